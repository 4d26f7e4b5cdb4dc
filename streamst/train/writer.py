"""Trains the writer on sentence pairs without audio, with simulated recognition errors and sources cut short."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import torch
from torch import Tensor
from torch.nn import functional as F

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.errors import ConfigError
from streamst.languages.english import spoken_english
from streamst.models.write.network import Writer, WriterConfig
from streamst.text import Tokenizer, train_tokenizer
from streamst.train.loop import Task
from streamst.train.synthesis import read_pairs


@dataclass(frozen=True)
class TextDataConfig:
    """Which sentence pairs, and what is done to them."""

    pairs: tuple[str, ...] = ()  # files of English TAB German
    excluded: tuple[str, ...] = ()  # files whose English sentences (first column) never train
    validation: str = ""
    validation_count: int = 200
    source_tokenizer: str = ""  # of the listener
    batch_tokens: int = 3000  # source and target together, padding included
    open_share: float = 0.3  # sources cut short, without <end>
    error_share: float = 0.4  # sources with simulated recognition errors
    error_rate: float = 0.15  # of their tokens, at most
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class TextBatch:
    """Padded token ids; targets are -100 where nothing is learned."""

    source: Tensor  # (B, S) with <begin> and <end>
    hidden: Tensor  # (B, S) True at padding
    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T)


def padded(rows: Sequence[tuple[list[int], list[int]]]) -> TextBatch:
    """Sources, with <begin> and perhaps <end>, and targets without, as one batch."""
    widths = max(len(s) for s, _ in rows), max(len(t) for _, t in rows) + 1
    source = torch.zeros(len(rows), widths[0], dtype=torch.long)
    inputs = torch.full((len(rows), widths[1]), Tokenizer.begin)
    targets = torch.full((len(rows), widths[1]), -100)
    hidden = torch.ones(len(rows), widths[0], dtype=torch.bool)
    for row, (s, t) in enumerate(rows):
        source[row, : len(s)] = torch.tensor(s)
        hidden[row, : len(s)] = False
        inputs[row, 1 : len(t) + 1] = torch.tensor(t, dtype=torch.long)
        targets[row, : len(t)] = torch.tensor(t, dtype=torch.long)
        targets[row, len(t)] = Tokenizer.end
    return TextBatch(source, hidden, inputs, targets)


class WriterTask:
    """The `Task` of recipes of kind "writer"."""

    def __init__(self, model: Writer, source: Tokenizer, target: Tokenizer, data: TextDataConfig, seed: int) -> None:
        self.module, self.source, self.target, self.config, self.seed = model, source, target, data, seed
        banned = {spoken_english(e) for path in data.excluded for e, _ in read_pairs(Path(path))}
        read = [(spoken_english(e), g) for path in data.pairs for e, g in read_pairs(Path(path))]
        kept = [(e, g) for e, g in read if e and g and e not in banned]
        self.pairs = [(source.encode(e), target.encode(g)) for e, g in kept]
        self.pairs = [(s, t) for s, t in self.pairs if len(s) < 96 and len(t) < 96]
        if not self.pairs:
            raise ConfigError("data.pairs holds no usable sentence pair")
        if (source.size, target.size) != (model.config.source_tokens, model.config.target_tokens):
            raise ConfigError(
                f"the tokenizers have {source.size} source and {target.size} target tokens, "
                f"the writer {model.config.source_tokens} and {model.config.target_tokens}"
            )
        self.validation: dict[str, list[str]] = {}
        for english, german in read_pairs(Path(data.validation)) if data.validation else ():
            self.validation.setdefault(english, []).append(german)
        if not self.validation or data.validation_count < 1:
            raise ConfigError(f"data.validation {data.validation!r} holds no sentence pair, or validation_count is 0")

    def batches(self, step: int) -> Iterator[TextBatch]:
        """Batches of like length from `step` on."""
        done = 0
        epoch = 0
        while True:
            draw = random.Random(self.seed * 1000 + epoch)
            for chosen in self._epoch(draw):
                if done >= step:
                    yield self.collate([self.pairs[i] for i in chosen], random.Random(self.seed + 7919 * done))
                done += 1
            epoch += 1

    def _epoch(self, draw: random.Random) -> list[list[int]]:
        # By target length in steps of 3, then by source length: little padding on either side.
        jitter = [draw.random() for _ in self.pairs]
        order = sorted(
            range(len(self.pairs)),
            key=lambda i: ((len(self.pairs[i][1]) + jitter[i]) // 3, len(self.pairs[i][0]) + jitter[i]),
        )
        batches: list[list[int]] = [[]]
        longest = 0
        for i in order:
            size = len(self.pairs[i][0]) + len(self.pairs[i][1]) + 3
            if batches[-1] and max(longest, size) * (len(batches[-1]) + 1) > self.config.batch_tokens:
                batches.append([])
                longest = 0
            longest = max(longest, size)
            batches[-1].append(i)
        draw.shuffle(batches)
        return batches

    def collate(self, pairs: Sequence[tuple[list[int], list[int]]], draw: random.Random) -> TextBatch:
        """Errors, cuts and padding."""
        return padded([self._vary(source, target, draw) for source, target in pairs])

    def _vary(self, source: list[int], target: list[int], draw: random.Random) -> tuple[list[int], list[int]]:
        ending = [Tokenizer.end]
        if draw.random() < self.config.open_share:
            cut = draw.randint(1, len(source))
            target = target[: int(len(target) * cut / len(source))]
            source, ending = source[:cut], []
        if draw.random() < self.config.error_share:
            source = self._misheard(source, draw.random() * self.config.error_rate, draw)
        return [Tokenizer.begin, *source, *ending], target

    def _misheard(self, source: list[int], rate: float, draw: random.Random) -> list[int]:
        heard: list[int] = []
        for token in source:
            kind = draw.random() / rate if rate else 1.0
            if kind >= 1.0:
                heard.append(token)
            elif kind < 0.6:
                heard.append(draw.randrange(3, self.source.size))
            elif kind < 0.8:
                heard += [token, draw.randrange(3, self.source.size)]
        return heard

    def loss(self, batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Label-smoothed cross-entropy."""
        del step
        device = self.module.target.weight.device
        hidden = batch.hidden.to(device)
        memory = self.module.memory(batch.source.to(device), hidden)
        logits, _ = self.module(memory, hidden, batch.inputs.to(device))
        flat, targets = logits.flatten(0, 1).float(), batch.targets.flatten().to(device)
        loss = F.cross_entropy(flat, targets, label_smoothing=self.config.label_smoothing)
        return loss, {"tokens": float((batch.targets >= 0).sum())}

    @torch.no_grad()
    def translated(self, writer: Writer, english: str) -> str:
        """The greedy translation of a whole sentence without recognition errors."""
        tokens = [Tokenizer.begin, *self.source.encode(spoken_english(english)), Tokenizer.end]
        memory_of = torch.tensor([tokens], device=writer.target.weight.device)
        memory = writer.memory(memory_of, torch.zeros_like(memory_of, dtype=torch.bool))
        return self.target.decode(writer.greedy(memory, [], 96).tokens)

    def validate(self) -> dict[str, float]:
        """BLEU and chrF of greedy translations of error-free validation sentences, and perplexity."""
        sentences = list(self.validation)[:: max(1, len(self.validation) // self.config.validation_count)]
        sentences = sentences[: self.config.validation_count]
        device = self.module.target.weight.device
        hypotheses = [self.translated(self.module, english) for english in sentences]
        most = max(len(self.validation[e]) for e in sentences)
        references = [[self.validation[e][min(i, len(self.validation[e]) - 1)] for e in sentences] for i in range(most)]
        pairs = [
            (self.source.encode(spoken_english(e)), self.target.encode(g))
            for e in sentences
            for g in self.validation[e]
        ]
        batch = self.collate(pairs, random.Random(0))
        hidden = batch.hidden.to(device)
        logits, _ = self.module(self.module.memory(batch.source.to(device), hidden), hidden, batch.inputs.to(device))
        entropy = F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten().to(device))
        return {
            "BLEU": sacrebleu.corpus_bleu(hypotheses, references).score,
            "chrF": sacrebleu.corpus_chrf(hypotheses, references).score,
            "perplexity": float(np.exp(entropy.item())),
        }

    def export(self, directory: Path) -> None:
        """Write the writer and its tokenizers."""
        checkpoint.save(directory, "writer", to_dict(self.module.config), self.module)
        (directory / "source.model").write_bytes(self.source.model.read_bytes())
        (directory / "target.model").write_bytes(self.target.model.read_bytes())


def task(recipe: dict[str, Any], device: str) -> Task:
    """Build the task of a recipe of kind "writer"."""
    del device
    config = from_dict(WriterConfig, recipe.get("model", {}), "model")
    text = from_dict(TextDataConfig, recipe.get("data", {}), "data")
    if not text.source_tokenizer:
        raise ConfigError("data.source_tokenizer is missing: it names the source.model of a listener's run")
    source = Tokenizer(Path(text.source_tokenizer))
    path = Path(str(recipe["output"])) / "target.model"
    if path.exists():
        target = Tokenizer(path)
    else:
        german = [g for pairs in text.pairs for _, g in read_pairs(Path(pairs))]
        target = train_tokenizer(german, config.target_tokens, path)
    torch.manual_seed(1)
    return WriterTask(Writer(config), source, target, text, seed=1)
