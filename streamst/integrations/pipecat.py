"""StreamST as a service of Pipecat: transcriptions, translations and the German speech, as frames.

Pipeline([transport.input(), StreamstService("ws://127.0.0.1:8000"), transport.output()])
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Sequence
from itertools import count

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    TranscriptionFrame,
    TranslationFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from streamst.audio import to_pcm16
from streamst.errors import InputError, StreamstError, UnavailableError
from streamst.events import Caption, Speech
from streamst.server.wire.seam import Settings, Welcome

from .frames import Frames
from .talk import Phrases, Talk

LAST_S = 30.0  # that the rest of a talk may take at its end
ATTEMPTS = 3  # to reach a server that is full or away, the longer between them the more
TTFS_P99_S = 1.5  # from the end of speech to its final transcription, as Pipecat wants to know


class StreamstService(STTService):
    """One speaker. Connections that drop are made again by our client, with nothing lost."""

    def __init__(
        self,
        url: str = "ws://127.0.0.1:8000",
        *,
        target_language: str = "de",
        source_language: str = "en",
        speech: bool = True,
        token: str | None = None,
        latency: str | None = None,
        policy: str | None = None,
        keyterms: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        **named: object,
    ) -> None:
        """url, token, tls: as for `streamst.client.stream`. speech: whether it is spoken, too. keyterms: words that are
        to be heard rather than others. named: as for `STTService`."""
        service_settings = STTSettings(model="streamst", language=source_language)
        super().__init__(settings=service_settings, ttfs_p99_latency=TTFS_P99_S, **named)  # type: ignore[arg-type]
        settings = Settings(
            source=source_language, target=target_language, latency=latency, policy=policy,
            output=("captions", "audio") if speech else ("captions",), glossary=tuple((term, "") for term in keyterms),
        )  # fmt: skip
        self._new_talk = lambda: Talk(url, settings, token, tls)
        self._languages = Language(source_language), Language(target_language)
        self._talk: Talk | None = None
        self._reading: asyncio.Task[None] | None = None
        self._frames, self._format = Frames(), (16_000, 1)
        self._phrases, self._numbers = Phrases(), count()
        self._told: dict[int, str] = {}  # of each segment that is not final, the translation so far
        self._context: str | None = None  # of the phrase that is being spoken

    def can_generate_metrics(self) -> bool:
        """Yes."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Begin. Nothing is sent before there is audio."""
        await super().setup(setup)
        self._talk = self._new_talk()
        self._reading = self.create_task(self._read(self._talk))

    async def stop(self, frame: EndFrame) -> None:
        """Say the rest of the talk, then end."""
        if self._talk is not None and self._reading is not None:
            if not self._talk.ended:
                self._talk.push(self._frames.rest())
                self._talk.end()
            await asyncio.wait([self._reading], timeout=LAST_S)
        await self._over()
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """End at once."""
        await self._over()
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Leave nothing behind."""
        await self._over()
        await super().cleanup()

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        """The next audio, at any rate, of any number of channels."""
        self._format = frame.sample_rate, frame.num_channels
        await super().process_audio_frame(frame, direction)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See `STTService`. An interruption ends the phrase that is being spoken; what follows is spoken anew."""
        if isinstance(frame, InterruptionFrame):
            await self._stop_phrase()
        await super().process_frame(frame, direction)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Hand audio over; what comes of it is pushed when it comes."""
        try:
            if self._talk is not None and not self._talk.ended:
                self._talk.push(self._frames.push(audio, *self._format))
        except InputError as error:
            await self.push_error(f"audio that is not usable: {error}", error)
        yield None

    async def _read(self, talk: Talk) -> None:
        failures = 0
        while True:
            try:
                async with contextlib.aclosing(talk.events()) as events:
                    async for event in events:
                        failures = 0
                        await self._take(event, talk)
                return
            except UnavailableError as error:
                failures += 1
                await self._fail(error, final=failures >= ATTEMPTS)
                if failures >= ATTEMPTS:
                    return
                await asyncio.sleep(0.25 * 4**failures)
            except StreamstError as error:
                await self._fail(error, final=True)
                return

    async def _fail(self, error: StreamstError, final: bool) -> None:
        await self._call_event_handler("on_connection_error", str(error))
        await self.push_error(str(error), error, force_treat_as_permanent=final)

    async def _take(self, event: object, talk: Talk) -> None:
        match event:
            case Welcome():
                await self._call_event_handler("on_connected")
            case Caption() if event.lang == talk.settings.source:
                await self._heard(event)
            case Caption():
                await self._said(event)
            case Speech():
                await self._spoken(event)
            case _:
                pass

    async def _heard(self, caption: Caption) -> None:
        """The whole segment, as it is now."""
        text, language = f"{caption.stable} {caption.unstable}".strip(), self._languages[0]
        if not text:
            return
        if not caption.final:
            await self.push_frame(
                InterimTranscriptionFrame(text, self._user_id, time_now_iso8601(), language, result=caption)
            )
            return
        await self.emit_stt_usage_metrics()
        await self.push_frame(
            TranscriptionFrame(text, self._user_id, time_now_iso8601(), language, result=caption, finalized=True)
        )

    async def _said(self, caption: Caption) -> None:
        """What is new of a translation, which never changes again."""
        fresh = caption.stable[len(self._told.get(caption.segment, "")) :]
        self._told[caption.segment] = caption.stable
        if fresh:
            frame = TranslationFrame(fresh.strip(), self._user_id, time_now_iso8601(), self._languages[1])
            await self.push_frame(frame)
        if caption.final:
            del self._told[caption.segment]
            if self._phrases.said(caption):
                await self._stop_phrase()

    async def _spoken(self, speech: Speech) -> None:
        if self._context is None:
            self._context = f"{self.name}-{next(self._numbers)}"
            await self.push_frame(TTSStartedFrame(context_id=self._context, append_to_context=False))
        pcm = to_pcm16(speech.pcm)
        await self.push_frame(TTSAudioRawFrame(pcm, speech.sample_rate_hz, 1, context_id=self._context))
        if self._phrases.heard(speech.text):
            await self._stop_phrase()

    async def _stop_phrase(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            await self.push_frame(TTSStoppedFrame(context_id=context))

    async def _over(self) -> None:
        reading, self._reading = self._reading, None
        if self._talk is not None:
            self._talk.end()
        if reading is not None:
            await self.cancel_task(reading)
            await self._stop_phrase()
            await self._call_event_handler("on_disconnected")
