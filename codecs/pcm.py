"""16-bit PCM behind the codec seam: no compression, no delay."""

from __future__ import annotations

import numpy as np

from streamst.audio import from_pcm16, to_pcm16
from streamst.codecs.base import Pcm, checked
from streamst.errors import InputError


class PcmEncoder:
    """Samples to little-endian 16-bit bytes; holds nothing back."""

    def push(self, pcm: Pcm) -> bytes:
        """The samples (samples,) as bytes; beyond -1..1 they are clipped. InputError for NaN or infinity."""
        return to_pcm16(checked(pcm))

    def flush(self) -> bytes:
        """Nothing is left to send."""
        return b""


class PcmDecoder:
    """Little-endian 16-bit bytes to samples."""

    def __init__(self, frame_samples: int) -> None:
        self.frame_samples = frame_samples

    def push(self, packet: bytes) -> Pcm:
        """The samples in `packet`; InputError for half a sample."""
        return from_pcm16(packet)

    def conceal(self, frames: int) -> Pcm:
        """Silence for `frames` frames."""
        return np.zeros(frames * self.frame_samples, np.float32)


class PcmCodec:
    """PCM at `sample_rate_hz`; frames of 20 ms serve only to count what was lost."""

    name = "pcm16"
    latency_samples = delay_samples = 0

    def __init__(self, sample_rate_hz: int = 16_000) -> None:
        if sample_rate_hz % 50:
            raise InputError(f"a sample rate of {sample_rate_hz} Hz has no whole frames of 20 ms")
        self.sample_rate_hz = sample_rate_hz
        self.frame_hz = 50.0
        self.bitrates_bps: tuple[int, ...] = (16 * sample_rate_hz,)

    def encoder(self, bitrate_bps: int | None = None) -> PcmEncoder:
        """A fresh encoder; the only rate is 16 bits a sample."""
        if bitrate_bps is not None and bitrate_bps not in self.bitrates_bps:
            raise InputError(f"pcm16 at {self.sample_rate_hz} Hz has {self.bitrates_bps[0]} bit/s, not {bitrate_bps}")
        return PcmEncoder()

    def decoder(self) -> PcmDecoder:
        """A fresh decoder."""
        return PcmDecoder(self.sample_rate_hz // 50)
