"""Trains the listener: source CTC, with phonemes (CTC and, where times are known, frame by frame) as companions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.errors import ConfigError
from streamst.languages.english import spoken_english
from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.translator import SpeechTranslator
from streamst.text import Tokenizer, train_tokenizer
from streamst.train.base import base_translator, save
from streamst.train.loop import Task
from streamst.train.speech import PAUSE, PHONEMES, SpeechBatch, SpeechBatches, SpeechDataConfig
from streamst.train.synthesis import read_pairs


@dataclass(frozen=True)
class ListenerLossConfig:
    """Weights of the losses and the draws of chunk and left context."""

    source_ctc: float = 1.0
    phoneme_ctc: float = 0.5
    phoneme_frames: float = 1.0
    companion_steps: int = 6000  # over which the companions decay linearly to `companion_floor` of their weight
    companion_floor: float = 0.1
    chunks: tuple[int, ...] = (2, 4, 8, 16, -1)  # frames, -1 is all
    lefts: tuple[int, ...] = (16, 48, -1)


@dataclass(frozen=True)
class ValidationConfig:
    """Cut manifests to validate on, each with how many of its first cuts."""

    cuts: tuple[str, ...] = ()
    count: int = 100
    chunk: int = 8


class ListenerTask:
    """The `Task` of recipes of kind "listener"."""

    def __init__(
        self,
        model: Listener,
        tokenizer: Tokenizer,
        data: SpeechDataConfig,
        loss: ListenerLossConfig,
        validation: ValidationConfig,
        seed: int,
        base: SpeechTranslator | None = None,
    ) -> None:
        """base: the finished translator whose listener `model` is."""
        self.base = base
        self.module, self.tokenizer, self.loss_config, self.validation = model, tokenizer, loss, validation
        phone_frame = model.frame_samples // model.config.phonemes_per_frame
        self.data = SpeechBatches(data, tokenizer, seed, phone_frame)
        valid = SpeechDataConfig(**{**data.__dict__, "longest_s": 30.0})
        self._valid = {}
        for path in validation.cuts:
            source = SpeechBatches(
                SpeechDataConfig(**{**valid.__dict__, "cuts": (path,)}), tokenizer, seed, phone_frame
            )
            self._valid[Path(path).parent.name] = (source, source.cuts[: validation.count])

    def batches(self, step: int) -> Iterator[SpeechBatch]:
        """Speech batches from `step` on."""
        return self.data.batches(step)

    def fit_normalisation(self, count: int = 200) -> None:
        """Set the features' global mean and deviation from `count` training utterances at random levels."""
        draw = np.random.default_rng(0)
        chosen = random.Random(0).sample(self.data.cuts, min(count, len(self.data.cuts)))
        frames = []
        for cut in chosen:
            pcm = self.data.augmenter.wave(self.data.example(cut).pcm, draw)
            frames.append(self.module.features(torch.from_numpy(pcm)[None])[0])
        stacked = torch.cat(frames)
        self.module.features.mean.copy_(stacked.mean(0))
        self.module.features.deviation.copy_(stacked.std(0).clamp_min(0.5))

    def loss(self, batch: SpeechBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Source CTC plus the decaying companions, with a chunk and a left context drawn for this step."""
        c, model = self.loss_config, self.module
        device = model.source.weight.device
        draw = np.random.default_rng((7, step))
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            mel = model.features(batch.pcm.to(device))
            mel = (
                self.data.augmenter.mask(mel, batch.samples // 160, draw) if step > self.data.config.easy_steps else mel
            )
        frames = (batch.samples // model.frame_samples).to(device)
        chunk, left = int(draw.choice(c.chunks)), int(draw.choice(c.lefts))
        states, middle = model.encoder(mel, frames, chunk, left)
        fade = max(c.companion_floor, 1 - step / max(1, c.companion_steps))
        source = ctc(model.source_log_probs(states.float()), batch.tokens, frames, batch.token_counts)
        phones = model.phoneme_log_probs(middle.float())
        per_frame = model.config.phonemes_per_frame
        phoneme = ctc(phones, batch.phones, frames * per_frame, batch.phone_counts)
        labels = batch.frame_phones[:, : phones.shape[1]].to(device)
        frame = (
            F.nll_loss(phones.flatten(0, 1), labels.flatten(), ignore_index=-1)
            if (labels >= 0).any()
            else phones.sum() * 0
        )
        total = c.source_ctc * source + fade * (c.phoneme_ctc * phoneme + c.phoneme_frames * frame)
        logged = {"source": source.item(), "phoneme": phoneme.item(), "frame": frame.item()}
        return total, {**logged, "audio_s": float(batch.samples.sum()) / 16_000}

    def validate(self) -> dict[str, float]:
        """Greedy word and phoneme error rates [%] on each validation set, at the validation chunk."""
        figures = {}
        for name, (source, cuts) in self._valid.items():
            truth, heard, spoken, recognised = [], [], [], []
            for start in range(0, len(cuts), 10):
                batch = source.collate([source.example(cut) for cut in cuts[start : start + 10]])
                texts, phones = self.transcribe(batch)
                truth += batch.texts
                heard += texts
                spoken += [_phonetic(row) for row in batch.phones.split(batch.phone_counts.tolist())]
                recognised += [_phonetic(row) for row in phones]
            figures[f"WER {name}"] = 100 * float(jiwer.wer(truth, heard))
            known = [pair for pair in zip(spoken, recognised, strict=True) if pair[0]]
            if known:
                figures[f"PER {name}"] = 100 * float(jiwer.wer([row for row, _ in known], [row for _, row in known]))
        return figures

    def transcribe(self, batch: SpeechBatch) -> tuple[list[str], list[Tensor]]:
        """Greedy transcripts of a batch, and phonemes."""
        model = self.module
        device = model.source.weight.device
        mel = model.features(F.pad(batch.pcm, (0, 5120)).to(device))
        frames = (batch.samples + 5120) // model.frame_samples
        states, middle = model.encoder(mel, frames.to(device), self.validation.chunk, model.config.encoder.left_frames)
        best = model.source(states).argmax(-1).cpu()
        sounds = model.phoneme_log_probs(middle).argmax(-1).cpu()
        texts, phones = [], []
        for row, sound, count in zip(best, sounds, frames.tolist(), strict=True):
            collapsed = torch.unique_consecutive(row[:count]).tolist()
            texts.append(self.tokenizer.decode([t for t in collapsed if t != BLANK]))
            phones.append(torch.unique_consecutive(sound[: count * model.config.phonemes_per_frame]))
        return texts, phones

    def export(self, directory: Path) -> None:
        """Write the listener and its tokenizer; the whole translator where the listener is one's."""
        if self.base is not None:
            save(self.base, directory)
            return
        checkpoint.save(directory, "listener", to_dict(self.module.config), self.module)
        (directory / "source.model").write_bytes(self.tokenizer.model.read_bytes())


def task(recipe: dict[str, Any], device: str) -> Task:
    """Build the task of a recipe of kind "listener"; `base` names a finished translator whose listener learns on."""
    data = from_dict(SpeechDataConfig, recipe.get("data", {}), "data")
    loss = from_dict(ListenerLossConfig, recipe.get("loss", {}), "loss")
    validation = from_dict(ValidationConfig, recipe.get("validation", {}), "validation")
    torch.manual_seed(1)
    if "base" in recipe:
        base = _tunable(recipe, device)
        return ListenerTask(base.listener.train(), base.source_tokenizer, data, loss, validation, seed=1, base=base)
    config = from_dict(ListenerConfig, recipe.get("model", {}), "model")
    if config.phonemes != len(PHONEMES):
        config = ListenerConfig(
            config.features, config.encoder, config.source_tokens, len(PHONEMES), config.phonemes_per_frame
        )
    output = Path(str(recipe["output"]))
    tokenizer_path = output / "source.model"
    if tokenizer_path.exists():
        tokenizer = Tokenizer(tokenizer_path)
    else:
        text = [spoken_english(e) for e in dict.fromkeys(e for e, _ in read_pairs(Path(str(recipe["text"]))))]
        tokenizer = train_tokenizer([t for t in text if t], config.source_tokens, tokenizer_path)
    if tokenizer.size != config.source_tokens:
        raise ConfigError(
            f"{tokenizer_path} has {tokenizer.size} tokens, model.source_tokens is {config.source_tokens}"
        )
    built = ListenerTask(Listener(config), tokenizer, data, loss, validation, seed=1)
    built.fit_normalisation()
    return built


def _tunable(recipe: dict[str, Any], device: str) -> SpeechTranslator:
    """The recipe's `base`; ConfigError where a change of its listener would leave other parts behind."""
    unused = [key for key in ("model", "text") if key in recipe]
    if unused:
        raise ConfigError(f"with base, leave out {' and '.join(unused)}: network and tokenizer are the translator's")
    base = base_translator(recipe, device)
    heads = base.config.heads
    if heads.captions or heads.draft or heads.transducer:
        raise ConfigError(f"base = {recipe['base']!r}: its heads read the listener's states and would no longer fit")
    return base


def _phonetic(labels: Tensor) -> str:
    return " ".join(PHONEMES[i] for i in labels.tolist() if i not in (BLANK, PAUSE))


def ctc(log_probs: Tensor, targets: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
    """CTC a target token, rows too short for their targets left out."""
    fits = counts.to(lengths.device) <= lengths
    loss = F.ctc_loss(
        log_probs.transpose(0, 1),
        targets.to(log_probs.device),
        lengths,
        counts.to(log_probs.device),
        BLANK,
        "none",
        zero_infinity=True,
    )
    return (loss * fits).sum() / counts.sum().clamp_min(1)
