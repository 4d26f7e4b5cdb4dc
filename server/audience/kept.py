"""A room as other nodes know it: what it is, and what is said in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamst.audio import from_pcm16, to_pcm16
from streamst.events import Caption, Speech
from streamst.nn.packing import from_bytes, to_bytes


@dataclass(frozen=True)
class Recent:
    """A caption of the last minute, as it is told to who comes late."""

    number: int
    age_s: float
    message: str
    lang: str
    segment: int


@dataclass(frozen=True)
class Wanted:
    """A way in which somebody wants speech."""

    codec: str
    bitrate_bps: int | None


@dataclass(frozen=True)
class RoomKept:
    """A room."""

    id: str
    token: str
    newest: int  # number of the last answer
    over: bool
    captions: tuple[Caption, ...]  # the newest of every segment and language
    recent: tuple[Recent, ...]  # in order
    wanted: tuple[Wanted, ...] = ()  # of who will come back

    def packed(self) -> bytes:
        """What `unpacked` reads."""
        return to_bytes(self)

    @classmethod
    def unpacked(cls, data: bytes) -> RoomKept:
        """The room; InputError when `data` holds none."""
        return from_bytes(cls, data)


@dataclass(frozen=True)
class Sound:
    """Speech in 16 bits, which is what most listeners get anyway."""

    pcm: NDArray[np.uint8]
    sample_rate_hz: int
    text: str
    rate: float
    source_ms: float
    compute_ms: float

    @classmethod
    def of(cls, speech: Speech) -> Sound:
        """`speech`, rounded."""
        times = speech.source_ms, speech.compute_ms
        pcm = np.frombuffer(to_pcm16(speech.pcm), np.uint8)
        return cls(pcm, speech.sample_rate_hz, speech.text, speech.rate, *times)

    def speech(self) -> Speech:
        """As a session says it."""
        return Speech(
            source_ms=self.source_ms, compute_ms=self.compute_ms, pcm=from_pcm16(self.pcm.tobytes()),
            sample_rate_hz=self.sample_rate_hz, text=self.text, rate=self.rate,
        )  # fmt: skip


@dataclass(frozen=True)
class News:
    """What was put down in a room: a caption, speech or the end; or, for who asked, what the room is (`room`)."""

    number: int
    emit_ms: float
    message: str = ""  # for everybody, of a caption for who reads its language; "" for speech
    caption: Caption | None = None
    speech: Sound | None = None
    over: bool = False
    room: RoomKept | None = None

    def packed(self) -> bytes:
        """What `unpacked` reads."""
        return to_bytes(self)

    @classmethod
    def unpacked(cls, data: bytes) -> News:
        """The news; InputError when `data` holds none."""
        return from_bytes(cls, data)
