"""One speaker's talk with a server, for frameworks that hand audio over when there is some, and read when they can.

It lasts as long as the speaker wants: where the server would end a session, since nobody spoke for long or it is old,
it is ended here before, and the next audio begins another one. Times and segments go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import numpy as np

from streamst.audio import Pcm
from streamst.client import ServerEvent, stream
from streamst.errors import InputError
from streamst.events import Caption, Event, Finished, Words
from streamst.server.wire.seam import Closed, Settings, Welcome

log = logging.getLogger("streamst.integrations")

PIECE_MS = 40  # frames shorter than this are joined
LONGEST_S = 60.0  # of audio that waits while there is no server
OF_IDLE, OF_DURATION = 0.8, 0.98  # of what a server allows: the session is ended here after so long


class Talk:
    """`push` audio, read `events`. Settings may change on the way; `end` flushes everything."""

    def __init__(
        self,
        url: str,
        settings: Settings | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        longest_s: float = LONGEST_S,
    ) -> None:
        """longest_s: of audio that waits for a server; beyond that the oldest is dropped, and counted."""
        self._url, self.settings, self._token, self._tls = url, settings or Settings(), token, tls
        self._rate_hz = self.settings.sample_rate_hz
        self._most = int(longest_s * self._rate_hz)
        self._waiting: deque[Pcm | Settings] = deque()
        self._samples = 0  # in `_waiting`
        self._ended = False
        self._changed = asyncio.Event()
        self._limits: dict[str, float | int] | None = None  # of the session that runs
        self._sent = 0  # samples of it
        self._before = (0.0, 0)  # ms and segments of the sessions before it
        self._segments = 0  # of all of them
        self.dropped_ms = 0.0

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    def push(self, pcm: Pcm) -> None:
        """The next audio (samples,) float32 at the settings' rate; InputError after the end."""
        if self._ended:
            raise InputError("the talk has ended; begin another one")
        if not len(pcm):
            return
        self._waiting.append(pcm)
        self._samples += len(pcm)
        while self._samples > self._most:
            self._drop_oldest()
        self._changed.set()

    def configure(self, settings: Settings) -> None:
        """Go on with these, at the same sample rate, after all audio that was pushed before."""
        if settings.sample_rate_hz != self._rate_hz:
            raise InputError(f"the talk is at {self._rate_hz} Hz, not {settings.sample_rate_hz}")
        self._waiting.append(settings)
        self._changed.set()

    def end(self) -> None:
        """Nothing more is said: `events` ends when all is told."""
        self._ended = True
        self._changed.set()

    async def events(self) -> AsyncGenerator[ServerEvent]:
        """What is told. Raises as `streamst.client.stream`; called again after that, it goes on with a new session.

        `Closed` and `Finished` come once, from the last session.
        """
        while await self._more():
            first = self._waiting[0]
            if isinstance(first, Settings):
                self.settings = first
                self._waiting.popleft()
                continue
            told = stream(self._url, self._pieces(), self.settings, token=self._token, tls=self._tls)
            try:
                async with contextlib.aclosing(told) as events:
                    async for event in events:
                        if isinstance(event, Welcome):
                            self._limits = event.limits
                        if not isinstance(event, Closed | Finished) or not (self._waiting or not self._ended):
                            yield self._moved(event)
            finally:
                self._before = (self._before[0] + self._sent * 1000 / self._rate_hz, self._segments)
                self._limits, self._sent = None, 0

    async def _more(self) -> bool:
        """Wait for audio, settings or the end; whether it is one of the first two."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._waiting)

    async def _pieces(self) -> AsyncIterator[Pcm]:
        """The audio of one session: until settings change, the end, or what the server allows."""
        began_s, size = time.monotonic(), self._rate_hz * PIECE_MS // 1000
        while True:
            left_s = self._left_s(began_s)
            if left_s <= 0:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._enough(size)
            except TimeoutError:
                if self._limits is None:
                    continue
                if not self._samples:
                    return
            if not self._waiting or isinstance(self._waiting[0], Settings):
                return
            yield self._take()

    async def _enough(self, samples: int) -> None:
        """Wait for so much audio, or for what makes it wait no longer."""
        while not self._ended and self._samples < samples and self._all_audio():
            self._changed.clear()
            await self._changed.wait()

    def _left_s(self, began_s: float) -> float:
        if self._limits is None:
            return 1.0
        idle_s, most_s = self._limits["idle_ms"] / 1000 * OF_IDLE, self._limits["max_duration_ms"] / 1000 * OF_DURATION
        lasted_s = max(time.monotonic() - began_s, self._sent / self._rate_hz)
        return min(idle_s, most_s - lasted_s)

    def _all_audio(self) -> bool:
        return not any(isinstance(item, Settings) for item in self._waiting)

    def _take(self) -> Pcm:
        """Audio that waits: all up to the next settings, a second at most."""
        pieces: list[Pcm] = []
        count = 0
        while self._waiting and count < self._rate_hz:
            first = self._waiting[0]
            if isinstance(first, Settings):
                break
            pieces.append(first)
            count += len(first)
            self._waiting.popleft()
        self._samples -= count
        self._sent += count
        return np.concatenate(pieces)

    def _drop_oldest(self) -> None:
        at = next(i for i, item in enumerate(self._waiting) if not isinstance(item, Settings))
        lost = len(self._waiting[at])  # type: ignore[arg-type]
        del self._waiting[at]
        self._samples -= lost
        if not self.dropped_ms:
            log.warning("more than %.0f s of audio wait for %s: the oldest is dropped", self._most / 16_000, self._url)
        self.dropped_ms += lost * 1000 / self._rate_hz

    def _moved(self, event: ServerEvent) -> ServerEvent:
        """`event` as one of the whole talk."""
        ms, segments = self._before
        if isinstance(event, Caption):
            self._segments = max(self._segments, segments + event.segment + 1)
            return replace(
                event, source_ms=event.source_ms + ms, segment=event.segment + segments, start_ms=event.start_ms + ms,
                end_ms=event.end_ms + ms, spans_ms=tuple((a + ms, b + ms) for a, b in event.spans_ms),
            )  # fmt: skip
        if isinstance(event, Words):
            aligned = tuple(at + ms for at in event.aligned_ms)
            return replace(event, source_ms=event.source_ms + ms, segment=event.segment + segments, aligned_ms=aligned)
        return replace(event, source_ms=event.source_ms + ms) if isinstance(event, Event) else event


class Phrases:
    """Where each segment's speech ends: when as many words were heard as its captions have."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque()
        self._said = self._heard = 0

    def said(self, caption: Caption) -> int:
        """A final caption of the target's; how many segments' speech has ended with it."""
        words = len(caption.stable.split())
        if words:
            self._said += words
            self._ends.append(self._said)
        return self._over()

    def heard(self, text: str) -> int:
        """Speech with these words; how many segments' speech has ended with it."""
        self._heard += len(text.split())
        return self._over()

    def _over(self) -> int:
        count = 0
        while self._ends and self._heard >= self._ends[0]:
            self._ends.popleft()
            count += 1
        return count
