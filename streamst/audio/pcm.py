"""PCM: `float32` of shape (samples,), -1..1, mono. Resampling in streams, and 16-bit samples."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from streamst.errors import InputError

Pcm = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000  # of everything that is heard
LOWEST_HZ, HIGHEST_HZ = 4_000, 384_000  # rates that files and microphones may have


class Resampler:
    """A stream at one rate becomes a stream at another. Pushed in any pieces, the output is the same."""

    def __init__(self, source_hz: int, target_hz: int) -> None:
        for rate in (source_hz, target_hz):
            if not LOWEST_HZ <= rate <= HIGHEST_HZ:
                raise InputError(f"a sample rate of {rate} Hz is not usable; allowed: {LOWEST_HZ} to {HIGHEST_HZ} Hz")
        self.source_hz, self.target_hz = source_hz, target_hz
        self._stream = self._fresh()

    def push(self, pcm: Pcm, final: bool = False) -> Pcm:
        """What `pcm` (samples,) completes at the target rate; after `final`, which flushes, the resampler is fresh."""
        if self._stream is None:
            return pcm
        out = self._stream.resample_chunk(np.ascontiguousarray(pcm, np.float32), last=final)
        if final:
            self._stream = self._fresh()
        return out

    def _fresh(self) -> soxr.ResampleStream | None:
        if self.source_hz == self.target_hz:
            return None
        return soxr.ResampleStream(self.source_hz, self.target_hz, 1, dtype="float32", quality="HQ")


def resample(pcm: Pcm, source_hz: int, target_hz: int) -> Pcm:
    """A whole signal (samples,) at another rate."""
    return Resampler(source_hz, target_hz).push(pcm, final=True)


def from_pcm16(data: bytes) -> Pcm:
    """Little-endian 16-bit samples as float32; InputError for half a sample."""
    if len(data) % 2:
        raise InputError(f"16-bit audio has an even number of bytes, not {len(data)}")
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768)


def to_pcm16(pcm: Pcm) -> bytes:
    """Little-endian 16-bit samples; what is beyond -1..1 is clipped."""
    return np.clip(np.rint(pcm * 32_768), -32_768, 32_767).astype("<i2").tobytes()
