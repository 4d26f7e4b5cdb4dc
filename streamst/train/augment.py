"""What training does to clean speech, on PCM (samples,) at 16 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_blocks
from streamst.codecs.base import Codec
from streamst.codecs.catalog import open_codec
from streamst.errors import InputError


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities and ranges; 0 turns a kind off."""

    speed: float = 0.6  # probability
    speed_range: tuple[float, float] = (0.86, 1.16)
    noise: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)
    reverb: float = 0.2
    telephone: float = 0.05
    microphone: float = 0.0  # a slope over the octaves, and dull or thin at an end of the band
    music: float = 0.0  # share of the noises that are tunes
    codec: float = 0.0  # our neural codec, at one of its bit rates
    gain_db: tuple[float, float] = (-18.0, 6.0)
    time_masks: int = 2
    time_mask_frames: int = 25  # of 10 ms
    band_masks: int = 2
    band_mask: int = 12


class Augmenter:
    """Draws augmentations from `config`, with the noises and impulse responses of two folders."""

    def __init__(self, config: AugmentConfig, noises: Sequence[Path], responses: Sequence[Path]) -> None:
        self.config = config
        self._noises = [_read(path) for path in noises]
        self._responses = [_read(path)[: SAMPLE_RATE_HZ // 2] for path in responses]
        self._codec = open_codec("neural") if config.codec else None

    def speed_factor(self, draw: Generator) -> float:
        """Tempo and pitch together, 1 for none."""
        return float(draw.uniform(*self.config.speed_range)) if draw.random() < self.config.speed else 1.0

    def wave(self, audio: Pcm, draw: Generator, strength: float = 1.0) -> Pcm:
        """Reverberation, telephone band, noise, codec, microphone, gain; `strength` scales the probabilities.

        Keeps the length.
        """
        c = self.config
        if self._responses and draw.random() < c.reverb * strength:
            response = self._responses[int(draw.integers(len(self._responses)))]
            size = next_fast_len(len(audio) + len(response), real=True)
            wet = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(response, size), size)[: len(audio)]
            audio = (wet * (_rms(audio) / _rms(wet))).astype(np.float32)
        if draw.random() < c.telephone * strength:
            audio = through_telephone(audio)
        if self._noises and draw.random() < c.noise * strength:
            snr_db = draw.uniform(*c.snr_db)
            noise = self.noise(len(audio), draw)
            audio = (audio + noise * (_rms(audio) / _rms(noise) * 10 ** (-snr_db / 20))).astype(np.float32)
        if self._codec is not None and draw.random() < c.codec * strength:
            audio = _coded(audio, self._codec, int(draw.choice(self._codec.bitrates_bps)))
        if draw.random() < c.microphone * strength:
            audio = through_microphone(audio, draw)
        gain_db = draw.uniform(*c.gain_db) if strength > 0 else 0.0
        return np.clip(audio * np.float32(10 ** (gain_db / 20)), -1, 1)

    def noise(self, samples: int, draw: Generator) -> Pcm:
        """`samples` of a recorded noise, of music (`tune`), or of white or brownish noise."""
        kind = draw.random()
        if not self._noises or kind < 0.15:
            white = draw.standard_normal(samples).astype(np.float32) * 0.05
            brown = np.convolve(white, np.ones(16) / 16, "same").astype(np.float32)
            return white if kind < 0.08 else brown
        if kind < 0.15 + self.config.music:
            return tune(samples, draw)
        source = self._noises[int(draw.integers(len(self._noises)))]
        start = int(draw.integers(len(source)))
        return np.resize(np.roll(source, -start), samples)

    def mask(self, mel: Tensor, lengths: Tensor, draw: Generator) -> Tensor:
        """SpecAugment (Park et al. 2019) without warping, on (B, T, bands) of zero mean."""
        c = self.config
        keep = torch.ones_like(mel, dtype=torch.bool)
        for row, length in enumerate(lengths.tolist()):
            for _ in range(c.time_masks):
                width = int(draw.integers(0, min(c.time_mask_frames, max(1, length // 5)) + 1))
                start = int(draw.integers(0, max(1, length - width)))
                keep[row, start : start + width] = False
            for _ in range(c.band_masks):
                width = int(draw.integers(0, c.band_mask + 1))
                start = int(draw.integers(0, mel.shape[2] - width))
                keep[row, :, start : start + width] = False
        return mel * keep


def _read(path: Path) -> Pcm:
    """A noise, as far as it can be read: some Opus files of ESC-10 are damaged at their end."""
    blocks: list[Pcm] = []
    try:
        for block in read_blocks(path, SAMPLE_RATE_HZ):
            blocks.append(block)  # what was read before the damage is kept
    except InputError:
        if sum(map(len, blocks)) < SAMPLE_RATE_HZ // 4:
            raise
    return np.concatenate(blocks)


def through_telephone(audio: Pcm) -> Pcm:
    """Without what is above 4 kHz."""
    narrow = soxr.resample(audio, SAMPLE_RATE_HZ, 8000, quality="LQ")
    back = soxr.resample(narrow, 8000, SAMPLE_RATE_HZ, quality="LQ")
    return np.pad(back, (0, max(0, len(audio) - len(back))))[: len(audio)].astype(np.float32)


def through_microphone(audio: Pcm, draw: Generator) -> Pcm:
    """As a cheap microphone hears it: up to 2 dB an octave of slope, maybe less above 3 to 7.5 kHz and below 100 to
    350 Hz."""
    hz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)
    gain_db = draw.uniform(-2, 2) * np.log2(np.maximum(hz, 60) / 1000)
    if draw.random() < 0.4:
        gain_db -= np.maximum(0, hz - draw.uniform(3000, 7500)) / 100
    if draw.random() < 0.3:
        gain_db -= np.maximum(0, draw.uniform(100, 350) - hz) / 10
    return np.fft.irfft(np.fft.rfft(audio) * 10 ** (gain_db / 20), len(audio)).astype(np.float32)


def tune(samples: int, draw: Generator) -> Pcm:
    """`samples` of made-up music: one to three voices of harmonic notes with vibrato that fade, and perhaps a drum."""
    out = np.zeros(samples)
    root_hz = draw.uniform(55, 220)
    scale = np.array((0, 2, 4, 5, 7, 9, 11)) if draw.random() < 0.5 else np.array((0, 2, 3, 5, 7, 8, 10))
    beat = int(draw.uniform(0.12, 0.6) * SAMPLE_RATE_HZ)
    for _ in range(int(draw.integers(1, 4))):
        octave, fall_hz, slope = 12 * draw.integers(0, 3), draw.uniform(0.5, 8), draw.uniform(0.3, 2.0)
        at = int(draw.integers(beat))
        while at < samples:
            length = min(samples - at, beat * int(draw.choice((1, 1, 2, 4))))
            time_s = np.arange(length) / SAMPLE_RATE_HZ
            hz = root_hz * 2 ** ((octave + draw.choice(scale)) / 12)
            phase = 2 * np.pi * (hz * time_s + draw.uniform(0, 0.3) * np.sin(2 * np.pi * 5.5 * time_s))
            partials = range(1, 1 + min(8, int(7_000 / hz)))
            note = sum(np.sin(k * phase) * k**-slope for k in partials)
            rise = np.minimum(1, time_s / 0.01) * np.minimum(1, (time_s[-1] - time_s) / 0.02)
            out[at : at + length] += note * rise * np.exp(-fall_hz * time_s)
            at += length + beat * int(draw.random() < 0.2)
    if draw.random() < 0.4:
        hit = draw.standard_normal(beat) * np.exp(-np.arange(beat) / draw.uniform(200, 1500))
        out += np.resize(np.concatenate([hit, np.zeros(beat)]), samples)
    return (0.1 * out / _rms(out)).astype(np.float32)


def _coded(audio: Pcm, codec: Codec, bitrate_bps: int) -> Pcm:
    """`audio` as it comes out of `codec`, in time with what went in."""
    encoder, decoder = codec.encoder(bitrate_bps), codec.decoder()
    padded = np.pad(audio, (0, codec.delay_samples))
    seconds = range(0, len(padded), codec.sample_rate_hz)
    packets = [encoder.push(padded[at : at + codec.sample_rate_hz]) for at in seconds] + [encoder.flush()]
    heard = np.concatenate([decoder.push(packet) for packet in packets if packet])
    return np.pad(heard[codec.delay_samples :], (0, len(audio)))[: len(audio)].astype(np.float32)


def _rms(audio: NDArray[np.floating]) -> float:
    return max(1e-5, float(np.sqrt(np.mean(np.square(audio)))))
