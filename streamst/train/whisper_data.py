"""Clips for a Whisper ear: each as the teacher hears it, clean, and as the student does, with noise, room and codec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from streamst.audio import SAMPLE_RATE_HZ, read_audio
from streamst.errors import ConfigError
from streamst.train.augment import AugmentConfig, Augmenter
from streamst.train.manifest import read_manifest

SHORTEST_S = 1.0


@dataclass(frozen=True)
class WhisperDataConfig:
    """Which recordings, in which batches. Paths are relative to the current directory."""

    manifests: tuple[str, ...] = ()  # of their split "train"
    weights: tuple[float, ...] = ()  # of each manifest, how often a second of it is heard; 1 where there are none
    agreement: float = 0.0  # share of a text in capitals that Whisper must write, too, or it is heard but not read
    noises: str = ""  # folder of noise recordings
    responses: str = ""  # folder of impulse responses
    batch_s: float = 48.0
    longest_s: float = 17.0
    empty: float = 0.3  # share of batches that get a piece of noise without text
    lead_s: float = 0.75  # silence before the speech, at most
    tail_s: float = 0.9
    validation: int = 50  # clips that are kept for validation
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(speed=0.0, time_masks=0, band_masks=0))


@dataclass(frozen=True)
class WhisperBatch:
    """clean, noisy: (B, S); samples: (B,) real ones; tokens: of each text, None where it is not to be read, () for
    noise; dressed: whether it came in capitals, that is, was written down word by word."""

    clean: Tensor
    noisy: Tensor
    samples: Tensor
    tokens: list[tuple[int, ...] | None]
    dressed: list[bool]


Dress = Callable[[Sequence[tuple[Path, float, str]]], Mapping[Path, tuple[str, float]]]  # see whisper_labels.py


class WhisperBatches:
    """Batches without end; the same for the same first step and seed."""

    def __init__(self, config: WhisperDataConfig, tokenizer: Any, seed: int, dress: Dress | None = None) -> None:
        """dress: gives texts in capitals their case and marks; without it they are not read."""
        self.config, self.tokenizer, self.seed = config, tokenizer, seed
        weights = config.weights or (1.0,) * len(config.manifests)
        if len(weights) != len(config.manifests) or min(weights, default=1.0) <= 0:
            raise ConfigError(
                f"data.weights is {list(weights)}; one above 0 for each of {len(config.manifests)} data.manifests"
            )
        found = [
            ((Path(manifest).parent / row["path"], float(row["duration_s"]), row["text"]), weight)
            for manifest, weight in zip(config.manifests, weights, strict=True)
            for row in read_manifest(Path(manifest), "train")
        ]
        found = sorted((row for row in found if SHORTEST_S <= row[0][1] <= config.longest_s), key=lambda row: row[0][1])
        rows = [row for row, _ in found]
        if len(rows) <= config.validation:
            raise ConfigError(
                f"data.manifests hold {len(rows)} recordings of {SHORTEST_S} to {config.longest_s} s; "
                f"more than data.validation = {config.validation} are needed"
            )
        kept = {round(i) for i in np.linspace(0, len(rows) - 1, config.validation)} if config.validation else set()
        self.rows = [row for number, row in enumerate(rows) if number not in kept]
        self._kept = [row for number, row in enumerate(rows) if number in kept]
        shares = np.array([weight * row[1] for number, (row, weight) in enumerate(found) if number not in kept])
        self._shares = shares / shares.sum()
        capitals = [row for row in rows if row[2].isupper()]
        texts = dress(capitals) if dress is not None and capitals else {}
        self._dressed = {path: text for path, (text, same) in texts.items() if same >= config.agreement}
        noises = sorted(Path(config.noises).glob("**/*.ogg")) if config.noises else []
        responses = sorted(Path(config.responses).glob("*.flac")) if config.responses else []
        self.augmenter = Augmenter(config.augment, noises, responses)

    def batches(self, step: int) -> Iterator[WhisperBatch]:
        """Batches of neighbours in length, from `step` on."""
        while True:
            draw = np.random.default_rng((self.seed, step))
            at = int(draw.choice(len(self.rows), p=self._shares))
            count = max(1, int(self.config.batch_s / self.rows[at][1]))
            near = draw.permutation(np.arange(max(0, at - 8 * count), min(len(self.rows), at + 8 * count)))[:count]
            yield self._batch([self.rows[int(i)] for i in near], draw)
            step += 1

    def validation(self) -> Iterator[WhisperBatch]:
        """What is kept for validation, ten clips a batch."""
        for at in range(0, len(self._kept), 10):
            yield self._batch(self._kept[at : at + 10], np.random.default_rng((self.seed, 1, at)))

    def _batch(self, rows: list[tuple[Path, float, str]], draw: Generator) -> WhisperBatch:
        clean: list[NDArray[np.float32]] = []
        noisy: list[NDArray[np.float32]] = []
        tokens: list[tuple[int, ...] | None] = []
        dressed: list[bool] = []
        for path, _, text in rows:
            ends = [int(draw.uniform(0, s) * SAMPLE_RATE_HZ) for s in (self.config.lead_s, self.config.tail_s)]
            pcm = read_audio(path, SAMPLE_RATE_HZ)
            factor = self.augmenter.speed_factor(draw)
            if factor != 1.0:
                pcm = soxr.resample(pcm, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ / factor).astype(np.float32)
            clean.append(np.pad(pcm, ends))
            noisy.append(self.augmenter.wave(clean[-1], draw))
            dressed.append(text.isupper())
            known = self._dressed.get(path, "") if dressed[-1] else text
            tokens.append(tuple(self.tokenizer.encode(f" {known}", add_special_tokens=False).ids) if known else None)
        if draw.random() < self.config.empty:
            noise = self.augmenter.noise(len(clean[0]), draw) * np.float32(10 ** draw.uniform(-2, 0.3))
            noise = np.clip(noise, -1, 1).astype(np.float32)
            clean.append(noise)
            noisy.append(noise)
            tokens.append(())
            dressed.append(False)
        size = -(-max(map(len, clean)) // 320) * 320
        stack = [torch.from_numpy(np.stack([np.pad(x, (0, size - len(x))) for x in side])) for side in (clean, noisy)]
        return WhisperBatch(stack[0], stack[1], torch.tensor([len(x) for x in clean]), tokens, dressed)
