"""Audio as frameworks hand it over, frame by frame, in the form that a session hears."""

from __future__ import annotations

import numpy as np

from streamst.audio import SAMPLE_RATE_HZ, Pcm, Resampler
from streamst.errors import InputError

WIDTHS = {1: "<i1", 2: "<i2", 4: "<i4"}  # bytes of a sample, signed
MOST_CHANNELS = 32


class Frames:
    """Frames of one speaker to mono at `rate_hz`. Their rate, width and channels may change from one to the next."""

    def __init__(self, rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.rate_hz = rate_hz
        self._resampler: Resampler | None = None

    def push(self, data: bytes | memoryview, rate_hz: int, channels: int = 1, width: int = 2) -> Pcm:
        """What a frame completes: (samples,) float32. data: interleaved samples of `width` bytes.

        InputError for a rate, width or number of channels that is not usable, and for a part of a sample.
        """
        if width not in WIDTHS:
            raise InputError(f"samples of {width} bytes are not usable; allowed: 1, 2 or 4")
        if not 1 <= channels <= MOST_CHANNELS:
            raise InputError(f"{channels} channels are not usable; allowed: 1 to {MOST_CHANNELS}")
        if len(data) % (width * channels):
            raise InputError(f"{len(data)} bytes are not whole frames of {channels} samples of {width} bytes")
        samples = np.frombuffer(data, WIDTHS[width]).astype(np.float32) / np.float32(1 << (8 * width - 1))
        return self._at_rate(samples.reshape(-1, channels).mean(axis=1, dtype=np.float32), rate_hz)

    def rest(self) -> Pcm:
        """At the end: what the resampler holds."""
        resampler, self._resampler = self._resampler, None
        return np.zeros(0, np.float32) if resampler is None else _flushed(resampler)

    def _at_rate(self, pcm: Pcm, rate_hz: int) -> Pcm:
        before = np.zeros(0, np.float32)
        if self._resampler is None or self._resampler.source_hz != rate_hz:
            fresh = Resampler(rate_hz, self.rate_hz)
            before, self._resampler = self.rest(), fresh
        out = self._resampler.push(pcm)
        return np.concatenate([before, out]) if len(before) else out


def _flushed(resampler: Resampler) -> Pcm:
    return resampler.push(np.zeros(0, np.float32), final=True)
