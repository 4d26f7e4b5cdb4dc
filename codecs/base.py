"""The codec seam: PCM to packets and back, in streams."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from streamst.audio import Pcm
from streamst.errors import InputError


def checked(pcm: Pcm) -> Pcm:
    """`pcm` (samples,) as float32, clipped to -1..1; InputError for NaN, infinity or more than one dimension."""
    pcm = np.asarray(pcm, np.float32)
    if pcm.ndim != 1:
        raise InputError(f"audio has the shape (samples,), not {pcm.shape}")
    if not np.isfinite(pcm).all():
        raise InputError("audio holds NaN or infinite samples")
    return np.clip(pcm, -1, 1)


class Encoder(Protocol):
    """One speaker's sending side; holds its state."""

    def push(self, pcm: Pcm) -> bytes:
        """The packet for whatever frames `pcm` (samples,) completes; b"" when none."""
        ...

    def flush(self) -> bytes:
        """The packet for the rest, padded with silence to a whole frame; the encoder is fresh afterwards."""
        ...


class Decoder(Protocol):
    """One speaker's receiving side; holds its state."""

    def push(self, packet: bytes) -> Pcm:
        """The samples in `packet`; raises InputError for a damaged one, whose state is then that of before."""
        ...

    def conceal(self, frames: int) -> Pcm:
        """Samples in place of `frames` lost frames."""
        ...


@runtime_checkable
class Lasting(Protocol):
    """An encoder or decoder that can be written down, and gone on with elsewhere."""

    def keep(self) -> bytes:
        """What `go_on` takes."""
        ...

    def go_on(self, kept: bytes) -> None:
        """Be where another one of the same codec was; InputError when `kept` is not of one."""
        ...


class Codec(Protocol):
    """A way of putting mono speech on a wire."""

    name: str
    sample_rate_hz: int
    frame_hz: float
    bitrates_bps: tuple[int, ...]
    latency_samples: int  # algorithmic: input needed beyond the first sample before its reconstruction is out
    delay_samples: int  # how far the decoded signal runs behind the encoder's input

    def encoder(self, bitrate_bps: int | None = None) -> Encoder:
        """A fresh encoder; None is the codec's default rate, an unknown rate an InputError that names the allowed."""
        ...

    def decoder(self) -> Decoder:
        """A fresh decoder for any of the rates."""
        ...
