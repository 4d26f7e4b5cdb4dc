"""The recordings of one voice, ready for training: trimmed, levelled, with their words, pitch and energy."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamst.audio import Pcm, read_audio
from streamst.errors import InputError
from streamst.languages.german.spoken import spoken_german
from streamst.languages.german.symbols import encode
from streamst.models.speak.aligner import HOP_SAMPLES

SAMPLE_RATE_HZ = 16_000
LEVEL = 0.065  # root mean square of speech, everywhere the same
LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ = 110.0, 420.0


@dataclass(frozen=True)
class DataConfig:
    """Where the recordings are and how they are cut."""

    manifest: str = "../shared/data/speech/de/kerstin/manifest.tsv"
    lead_ms: int = 40  # silence kept before the first sound
    tail_ms: int = 240  # silence kept after the last sound
    validation_share: float = 0.04  # of the training recordings
    longest_s: float = 14.0
    limit: int = 0  # recordings to use; 0: all


@dataclass
class Recording:
    """One utterance at 50 frames a second."""

    id: str
    words: tuple[str, ...]  # spoken words
    pcm: Tensor  # (frames * HOP_SAMPLES,) int16
    pitch: Tensor  # (frames,) log2 of Hz, 0 where unvoiced
    energy: Tensor  # (frames,) log of the root mean square
    durations: Tensor | None = None  # (symbols,) frames per symbol, once aligned

    @property
    def frames(self) -> int:
        """Frames of 20 ms."""
        return len(self.pitch)

    @property
    def symbols(self) -> list[list[int]]:
        """Symbols by word."""
        return [encode(word, index == 0) for index, word in enumerate(self.words)]

    def samples(self) -> Tensor:
        """PCM (frames * HOP_SAMPLES,), -1..1."""
        return self.pcm.float() / 32_768


def read_recordings(config: DataConfig, split: str) -> list[Recording]:
    """The recordings of a `split` of the manifest, shortest first; InputError when there are none."""
    manifest = Path(config.manifest)
    if not manifest.exists():
        raise InputError(f"no recordings: {manifest} does not exist")
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [
            row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row.get("split") == split
        ]
    found = []
    for row in rows[: config.limit or None]:
        words = spoken_german(row["text"])
        pcm = prepare(read_audio(manifest.parent / row["path"], SAMPLE_RATE_HZ), config)
        frames = len(pcm) // HOP_SAMPLES
        letters = sum(len(encode(word)) for word in words) + 1
        if not words or frames < letters or frames * HOP_SAMPLES > config.longest_s * SAMPLE_RATE_HZ:
            continue
        pitch, energy = pitch_and_energy(pcm)
        stored = torch.from_numpy(np.clip(np.rint(pcm * 32_768), -32_768, 32_767).astype(np.int16))
        found.append(Recording(Path(row["path"]).stem, words, stored, pitch, energy))
    if not found:
        raise InputError(f"no usable recordings of split {split!r} in {manifest}")
    return sorted(found, key=lambda recording: recording.frames)


def prepare(pcm: Pcm, config: DataConfig) -> Pcm:
    """Without the silence around the speech, at LEVEL, a whole number of frames long."""
    pcm = pcm - pcm.mean()
    blocks = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    power = np.convolve(np.square(blocks).mean(1), np.ones(3) / 3, "same")
    loud = np.flatnonzero(power > max(np.quantile(power, 0.95) * 10**-3.3, 1e-9))
    if not len(loud):
        return np.zeros(0, np.float32)
    start = max(0, loud[0] * 160 - config.lead_ms * 16)
    end = (loud[-1] + 1) * 160 + config.tail_ms * 16
    speech = pcm[loud[0] * 160 : (loud[-1] + 1) * 160]
    cut = pcm[start:end]
    fade = np.ones(len(cut), np.float32)
    fade[:160], fade[-320:] = np.linspace(0, 1, 160), np.linspace(1, 0, 320)
    active = power[loud[0] : loud[-1] + 1]
    level = np.sqrt(active[active > np.quantile(active, 0.95) * 10**-3].mean()) if len(speech) else 1.0
    cut = (cut * fade * (LEVEL / max(level, 1e-4))).astype(np.float32)
    return np.concatenate([cut, np.zeros(-len(cut) % HOP_SAMPLES, np.float32)])


def pitch_and_energy(pcm: Pcm) -> tuple[Tensor, Tensor]:
    """Pitch (log2 Hz, 0 where unvoiced) and energy (log RMS) of every frame, from the normalised autocorrelation.

    The window is 48 ms around the middle of the frame's 40 ms analysis window (which ends with the frame).
    """
    window, frames = 768, len(pcm) // HOP_SAMPLES
    shortest, longest = int(SAMPLE_RATE_HZ / HIGHEST_PITCH_HZ), int(SAMPLE_RATE_HZ / LOWEST_PITCH_HZ)
    padded = np.concatenate([np.zeros(window // 2, np.float32), pcm, np.zeros(window, np.float32)])
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window)[::HOP_SAMPLES][:frames]
    pieces = pieces - pieces.mean(1, keepdims=True)
    power = np.fft.rfft(pieces, 2048, axis=1)
    correlation = np.fft.irfft(np.abs(power) ** 2, axis=1)[:, : longest + 2]
    squares = np.cumsum(np.square(pieces), axis=1)
    lags = np.arange(longest + 2)
    head, tail = (
        squares[:, window - 1 - lags],
        squares[:, -1:] - np.where(lags > 0, squares[:, np.maximum(lags - 1, 0)], 0),
    )
    normal = correlation / np.sqrt(np.maximum(head * tail, 1e-8))
    favoured = normal * (1 - 0.0006 * lags)  # a shorter period is likelier than its multiple
    inner = favoured[:, shortest : longest + 1]
    peak = inner.argmax(1) + shortest
    rows = np.arange(frames)
    left, middle, right = (normal[rows, peak + k] for k in (-1, 0, 1))
    curve = left - 2 * middle + right
    offset = np.where(np.abs(curve) > 1e-9, 0.5 * (left - right) / np.where(np.abs(curve) > 1e-9, curve, 1), 0)
    hz = SAMPLE_RATE_HZ / (peak + np.clip(offset, -0.5, 0.5))
    rms = np.sqrt(np.square(pieces).mean(1))
    voiced = (middle > 0.55) & (rms > 0.006)
    pitch = np.where(voiced, np.log2(hz), 0)
    return torch.from_numpy(_smooth(pitch)).float(), torch.from_numpy(np.log(rms + 1e-3)).float()


def _smooth(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of five over voiced frames, so that single octave errors go; lonely voiced frames become unvoiced."""
    padded = np.pad(pitch, 2)
    smoothed = np.zeros_like(pitch)
    for t in range(len(pitch)):
        near = padded[t : t + 5]
        near = near[near > 0]
        smoothed[t] = np.median(near) if pitch[t] > 0 and len(near) >= 2 else 0
    return smoothed


def pad(rows: Sequence[Tensor], length: int = 0) -> Tensor:
    """(B, longest, ...) with zeros after each row; at least `length` long."""
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    missing = length - padded.shape[1]
    return torch.nn.functional.pad(padded, (0, 0) * (padded.dim() - 2) + (0, missing)) if missing > 0 else padded


def load_or_read(config: DataConfig, split: str, cache: Path) -> list[Recording]:
    """`read_recordings`, kept in the file `cache`."""
    if cache.exists():
        return [Recording(**row) for row in torch.load(cache, weights_only=True)]
    recordings = read_recordings(config, split)
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save([vars(recording) for recording in recordings], cache)
    return recordings
