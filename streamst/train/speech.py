"""Batches of speech: lhotse's bucketing over cut manifests, then augmentation, concatenation and noise without text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
import torch
from lhotse import CutSet, MonoCut
from lhotse.dataset import DynamicBucketingSampler
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from streamst.errors import ConfigError
from streamst.train.augment import SAMPLE_RATE_HZ, AugmentConfig, Augmenter

PHONEMES = (  # flite's, after the blank of CTC and the pause
    "blank", "pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh",
    "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w",
    "y", "z", "zh",
)  # fmt: skip
PAUSE = 1
SHORTEST_S = 0.3  # utterances below are left out


class Encodes(Protocol):
    """What turns text into labels: a tokenizer, or an alphabet."""

    def encode(self, text: str) -> list[int]:
        """Labels of `text`."""
        ...


@dataclass(frozen=True)
class SpeechDataConfig:
    """Which speech, in which batches. Paths are relative to the current directory."""

    cuts: tuple[str, ...] = ()
    noises: str = ""  # folder of noise recordings
    responses: str = ""  # folder of impulse responses
    batch_s: float = 40.0  # audio in a batch
    longest_s: float = 16.0
    concatenate: float = 0.25  # share of batches whose utterances are joined in twos and threes
    empty: float = 0.15  # share of batches that get a piece of noise without text
    easy_steps: int = 0  # short utterances with little augmentation up to this step
    easy_longest_s: float = 4.0
    buckets: int = 12
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class SpeechBatch:
    """A padded batch on the CPU."""

    pcm: Tensor  # (B, S)
    samples: Tensor  # (B,)
    tokens: Tensor  # (sum of token counts,) for CTC
    token_counts: Tensor  # (B,)
    phones: Tensor  # (sum,)
    phone_counts: Tensor  # (B,)
    frame_phones: Tensor  # (B, S // phone_frame_samples) labels, -1 where unknown
    texts: list[str]
    translations: list[str]


@dataclass(frozen=True)
class Example:
    """One utterance as it enters a batch."""

    pcm: NDArray[np.float32]
    text: str
    translation: str
    phones: list[int]
    marks: list[tuple[int, float]]  # (phoneme, end [s])


class SpeechBatches:
    """Batches without end; the same for the same first step and seed."""

    def __init__(self, config: SpeechDataConfig, tokenizer: Encodes, seed: int, phone_frame_samples: int) -> None:
        if not config.cuts:
            raise ConfigError("data.cuts is empty: name at least one cut manifest (cuts.jsonl.gz)")
        self.config, self.tokenizer, self.seed, self.phone_frame_samples = config, tokenizer, seed, phone_frame_samples
        for path in config.cuts:
            if not Path(path).is_file():
                raise ConfigError(f"data.cuts: {path} does not exist; `streamst train data.toml` makes such manifests")
        cuts = [cut for path in config.cuts for cut in CutSet.from_file(path) if isinstance(cut, MonoCut)]
        self.cuts = [cut for cut in cuts if SHORTEST_S <= cut.duration <= config.longest_s]
        if not self.cuts:
            raise ConfigError(f"data.cuts holds no utterance of {SHORTEST_S} to {config.longest_s} s (data.longest_s)")
        if config.easy_steps and min(cut.duration for cut in self.cuts) > config.easy_longest_s:
            raise ConfigError(f"data.cuts holds no utterance of up to {config.easy_longest_s} s (data.easy_longest_s)")
        noises = _recordings("data.noises", config.noises, "**/*.ogg")
        responses = _recordings("data.responses", config.responses, "*.flac")
        self.augmenter = Augmenter(config.augment, noises, responses)

    def batches(self, step: int) -> Iterator[SpeechBatch]:
        """Batches from `step` on."""
        done = 0
        for stage, until in (("easy", self.config.easy_steps), ("all", 1 << 60)):
            limit = self.config.easy_longest_s if stage == "easy" else self.config.longest_s
            cuts = [cut for cut in self.cuts if cut.duration <= limit]
            epoch = 0
            while done < until:
                for chosen in self._epoch(cuts, epoch):
                    if done >= until:
                        break
                    if done >= step:
                        draw = np.random.default_rng((self.seed, done))
                        yield self.collate(self._examples(chosen, draw, 0.3 if stage == "easy" else 1.0))
                    done += 1
                epoch += 1

    def _epoch(self, cuts: list[MonoCut], epoch: int) -> Iterator[list[MonoCut]]:
        few = len(cuts) < self.config.buckets or self.config.buckets < 2  # then all lengths go together
        sampler = DynamicBucketingSampler(
            CutSet.from_cuts(cuts), max_duration=self.config.batch_s, shuffle=True,
            num_buckets=self.config.buckets,
            duration_bins=[self.config.longest_s] if few else None,  # type: ignore[arg-type]
            seed=self.seed, buffer_size=2 * len(cuts), rank=0, world_size=1,
        )  # fmt: skip
        sampler.set_epoch(epoch)
        for batch in sampler:
            yield [cut for cut in batch if isinstance(cut, MonoCut)]  # type: ignore[union-attr]

    def _examples(self, cuts: Sequence[MonoCut], draw: Generator, strength: float) -> list[Example]:
        examples = [self.example(cut, self.augmenter.speed_factor(draw)) for cut in cuts]
        if draw.random() < self.config.concatenate * strength:
            group = int(draw.integers(2, 4))
            examples = [_join(examples[i : i + group], draw) for i in range(0, len(examples), group)]
        tail = [np.zeros(int(draw.uniform(0, 0.6) * SAMPLE_RATE_HZ), np.float32) for _ in examples]
        lead = [np.zeros(int(draw.uniform(0, 0.3) * SAMPLE_RATE_HZ), np.float32) for _ in examples]
        augmented = []
        for before, example, after in zip(lead, examples, tail, strict=True):
            pcm = self.augmenter.wave(np.concatenate([before, example.pcm, after]), draw, strength)
            shift = len(before) / SAMPLE_RATE_HZ
            marks = [(PAUSE, shift), *((p, end + shift) for p, end in example.marks)] if example.marks else []
            augmented.append(Example(pcm, example.text, example.translation, example.phones, marks))
        if draw.random() < self.config.empty:
            size = int(np.median([len(e.pcm) for e in augmented]))
            noise = self.augmenter.noise(size, draw) * np.float32(10 ** draw.uniform(-3, 0.3))
            augmented.append(Example(np.clip(noise, -1, 1), "", "", [], []))
        return augmented

    def example(self, cut: MonoCut, speed: float = 1.0) -> Example:
        """The utterance of `cut`, resampled to `speed`."""
        supervision = cut.supervisions[0]
        custom = supervision.custom or {}
        pcm = np.asarray(cut.load_audio(), dtype=np.float32)[0]
        if speed != 1.0:
            pcm = np.asarray(soxr.resample(pcm, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="LQ"), np.float32)
        marks = [(PHONEMES.index(label), end / speed) for label, end in custom.get("marks", [])]
        phones = [PHONEMES.index(label) for label in custom.get("phones", [])]
        return Example(pcm, supervision.text or "", custom.get("translation", ""), phones, marks)

    def collate(self, examples: Sequence[Example]) -> SpeechBatch:
        """Pad `examples` into a batch whose length is a whole number of 160 ms."""
        unit = 2560
        longest = max(len(e.pcm) for e in examples)
        pcm = torch.zeros(len(examples), -(-longest // unit) * unit)
        frame_phones = torch.full((len(examples), pcm.shape[1] // self.phone_frame_samples), -1)
        centres_s = (np.arange(frame_phones.shape[1]) + 0.5) * self.phone_frame_samples / SAMPLE_RATE_HZ
        tokens = []
        for row, example in enumerate(examples):
            pcm[row, : len(example.pcm)] = torch.from_numpy(example.pcm)
            tokens.append(self.tokenizer.encode(example.text))
            if example.marks:
                labels, ends = zip(*example.marks, strict=True)
                index = np.searchsorted(ends, centres_s)
                inside = index < len(labels)
                frame_phones[row, torch.from_numpy(inside)] = torch.tensor(labels)[index[inside]]
        return SpeechBatch(
            pcm, torch.tensor([len(e.pcm) for e in examples]),
            torch.tensor([t for row in tokens for t in row], dtype=torch.long),
            torch.tensor([len(row) for row in tokens]),
            torch.tensor([p for e in examples for p in e.phones], dtype=torch.long),
            torch.tensor([len(e.phones) for e in examples]),
            frame_phones, [e.text for e in examples], [e.translation for e in examples],
        )  # fmt: skip


def _recordings(key: str, folder: str, pattern: str) -> list[Path]:
    """The files of a folder; ConfigError where a folder is named that has none."""
    found = sorted(Path(folder).glob(pattern)) if folder else []
    if folder and not found:
        raise ConfigError(f"{key}: {folder} has no {pattern}")
    return found


def _join(examples: Sequence[Example], draw: Generator) -> Example:
    pcm: list[NDArray[np.float32]] = []
    marks: list[tuple[int, float]] = []
    known = all(e.marks for e in examples)
    for number, example in enumerate(examples):
        if number:
            pcm.append(np.zeros(int(draw.uniform(0.05, 0.7) * SAMPLE_RATE_HZ), np.float32))
        offset = sum(map(len, pcm)) / SAMPLE_RATE_HZ
        if known:
            marks += [(PAUSE, offset)] if number else []
            marks += [(p, end + offset) for p, end in example.marks]
        pcm.append(example.pcm)
    text = " ".join(e.text for e in examples)
    translation = " ".join(e.translation for e in examples) if all(e.translation for e in examples) else ""
    return Example(np.concatenate(pcm), text, translation, [p for e in examples for p in e.phones], marks)
