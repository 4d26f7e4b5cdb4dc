"""The seam between sessions and where they are translated: this process, others, or other machines."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from streamst.codecs.base import Codec
from streamst.server.wire.seam import Answer, Audio, Settings
from streamst.server.wire.summary import Heard


class Stream(Protocol):
    """One stream, wherever it is translated. One call at a time; a message's pieces are heard one a call."""

    @property
    def settings(self) -> Settings:
        """Those that hold."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether pieces of the last message, or of a recording's end, are still to be heard."""
        ...

    async def configure(self, settings: Settings, flush: bool = False) -> list[Answer]:
        """Translate with `settings`, to be asked again while `waiting`; ProtocolError 4400 names what is not allowed.
        flush: see `Configure`."""
        ...

    async def hear(self, audio: Audio, arrived_s: float) -> list[Answer]:
        """Take a message in that arrived at `arrived_s` (time.perf_counter) and hear its first piece."""
        ...

    async def step(self) -> list[Answer]:
        """Hear the next piece."""
        ...

    async def finish(self, cut: bool = False) -> list[Answer]:
        """Hear the end: everything that was held back, to be asked again while `waiting`. cut: what of the audio is not
        heard yet never will be."""
        ...

    @property
    def restless(self) -> bool:
        """Whether it would ask less of the device, or more again, when it is kept the next time."""
        ...

    async def keep(self, relieve: bool = False) -> bytes:
        """All that `restore` takes, between two messages; b"" where that is not to be had. See `LiveStream.keeping`."""
        ...

    async def restore(self, kept: bytes, recording: bytes = b"") -> None:
        """Be where the stream was that was kept, once `step` is done while `waiting`; InputError when `kept` is none,
        or of another model. recording: what came of one, where it hears a container."""
        ...

    def measured(self, rtt_ms: float | None, playback_ms: float | None) -> None:
        """Learn what only the client can measure."""
        ...

    def summary(self) -> Heard:
        """What became of it so far."""
        ...

    def release(self) -> None:
        """It is over: free what is kept for it. Once."""
        ...


class Workers(Protocol):
    """Where streams are translated. Lives on the event loop and never blocks it."""

    @property
    def codec(self) -> Codec | None:
        """The model's own codec, to ask it how much audio a packet holds."""
        ...

    @property
    def room(self) -> bool:
        """Whether another stream can be served without making the others wait."""
        ...

    @property
    def demand(self) -> float:
        """Share of the devices' time that the streams take."""
        ...

    def open(self, session: Hashable, client: Hashable, defaults: Settings, relieve: bool) -> Stream:
        """A stream for `session`; `release` it in the end.

        client: among whom the device's time is shared when it is short. relieve: under pressure hear in wider chunks.
        """
        ...

    def forget(self, client: Hashable) -> None:
        """The client has no session any more."""
        ...

    def close(self) -> None:
        """Let the running work end, forget what waits."""
        ...
