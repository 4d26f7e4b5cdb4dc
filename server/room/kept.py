"""A stream as bytes: its session, and all that the server knows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamst.nn.packing import from_bytes, to_bytes

from .meter import MeterKept


@dataclass(frozen=True)
class LiveKept:
    """A `LiveStream` between two messages."""

    settings: str  # JSON
    session: NDArray[np.uint8]  # its snapshot
    base_samples: int
    base_segment: int
    samples: int
    segments: int
    spoken_ms: float
    concealed_ms: float
    decoder_calls: int
    relieved: int  # level of pressure that it has given way to
    meter: MeterKept
    uplink: NDArray[np.uint8]
    downlink: NDArray[np.uint8]
    held_text: tuple[str, ...]  # of speech whose codec frame is not complete

    def packed(self) -> bytes:
        """What `unpacked` reads."""
        return to_bytes(self)

    @classmethod
    def unpacked(cls, data: bytes) -> LiveKept:
        """The stream; InputError when `data` holds none."""
        return from_bytes(cls, data)
