"""A room's speech in one codec and at one rate, made once for all who want it so."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from streamst.codecs.base import Codec
from streamst.codecs.work import CodecSteps, now
from streamst.events import Speech
from streamst.server.wire.audio import Downlink
from streamst.server.wire.native import speech_messages
from streamst.server.wire.seam import Message, Spoken

from .tape import Coding

Coded = tuple[bytes, int]  # a payload, and how many samples are heard from it


class Coder:
    """One stream of speech. Coding takes a thread of its own, but for pcm16, which takes no time."""

    def __init__(
        self, coding: Coding, codec: Codec | None, voice_hz: int, source_hz: int, threads: Executor | None
    ) -> None:
        """voice_hz: of the speech that comes. source_hz: that source times are told in.

        ProtocolError 4400 for a codec or a rate that there is not.
        """
        self.coding = coding
        self.wanted_s = 0.0  # when somebody wanted it last, by the room's clock
        self._downlink = Downlink(coding.codec, codec, coding.bitrate_bps, voice_hz)
        self._source_hz, self._threads = source_hz, threads
        self._texts: list[str] = []  # of speech whose frame is not complete
        self._sequence = 0

    async def code(self, speech: Speech, number: int, emit_ms: float) -> list[Message]:
        """The messages that tell `speech`, event `number`; none while a frame of the codec is not complete."""
        payload, samples = await self._run(self._downlink.encoding(speech.pcm))
        self._texts += [speech.text] if speech.text else []
        return self._told(payload, samples, speech, number, emit_ms)

    async def rest(self, last: Speech, number: int, emit_ms: float) -> list[Message]:
        """The messages that tell what the codec held back after `last`."""
        payload, samples = await self._run(self._downlink.flushing())
        return self._told(payload, samples, last, number, emit_ms)

    def _told(self, payload: bytes, samples: int, speech: Speech, number: int, emit_ms: float) -> list[Message]:
        if not payload:
            return []
        text = " ".join(self._texts)
        self._texts.clear()
        heard = round(speech.source_ms * self._source_hz / 1000)
        rate_hz = self._downlink.sample_rate_hz
        times = speech.source_ms, speech.compute_ms
        spoken = Spoken(self.coding.codec, payload, samples, rate_hz, text, *times, heard, speech.rate)
        self._sequence += 1
        return speech_messages(spoken, number, self._sequence - 1, emit_ms)

    async def _run(self, steps: CodecSteps[Coded]) -> Coded:
        if self.coding.codec == "pcm16" or self._threads is None:
            return now(steps)
        return await asyncio.get_running_loop().run_in_executor(self._threads, now, steps)
