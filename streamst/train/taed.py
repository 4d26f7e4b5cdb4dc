"""Trains TAED's gate (and, where wanted, the writer with it) on sentence pairs without audio.

A sentence is a lattice over the moments of reading: after every few source tokens, and once more when the source is
closed. The last moment cannot read on, so its blank is the end of the sentence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import sacrebleu
import torch
from torch import Tensor, nn

from streamst.config import from_dict
from streamst.languages.english import spoken_english
from streamst.models.heads import Heads
from streamst.models.translator import SpeechTranslator
from streamst.models.write.network import Writer
from streamst.models.write.taed import Taed, TaedConfig
from streamst.text import Tokenizer
from streamst.train.base import base_translator, save
from streamst.train.heads import table
from streamst.train.loop import Task
from streamst.train.rnnt import emissions, lattice_loss
from streamst.train.writer import TextBatch, TextDataConfig, WriterTask


@dataclass(frozen=True)
class TaedLossConfig:
    """How sentences are read in training."""

    strides: tuple[int, ...] = (1, 2, 4)  # source tokens read at a time, drawn for each batch
    delay_penalty: float = 0.05  # added to a label's log-probability for each moment that it is before the middle
    freeze_writer: bool = True  # only the gate learns; the translation itself stays as it is


class TaedTask:
    """The `Task` of recipes of kind "taed"."""

    def __init__(self, translator: SpeechTranslator, taed: Taed, text: WriterTask, config: TaedLossConfig) -> None:
        self.translator, self.taed, self.text, self.config = translator, taed, text, config
        self.writer = text.module.requires_grad_(not config.freeze_writer)
        self.module = nn.ModuleDict({"taed": taed, "writer": self.writer})

    def batches(self, step: int) -> Iterator[TextBatch]:
        """Batches of sentence pairs from `step` on."""
        return self.text.batches(step)

    def loss(self, batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Negative log-likelihood of the target over every way to take turns at reading and saying, a target token."""
        stride = random.Random(17 * step).choice(self.config.strides)
        return reading_loss(self.taed, self.writer, batch, stride, self.config.delay_penalty)

    def validate(self) -> dict[str, float]:
        """BLEU of reading token by token, and the share of the source that was read when a target token was said."""
        hypotheses, references, shares = [], [], []
        for english, germans in list(self.text.validation.items())[: self.text.config.validation_count]:
            tokens = self.text.source.encode(spoken_english(english))
            said, read = self.simulate(tokens)
            hypotheses.append(self.text.target.decode(said))
            references.append(germans[0])
            shares += [r / max(1, len(tokens)) for r in read]
        return {
            "BLEU": sacrebleu.corpus_bleu(hypotheses, [references]).score,
            "chrF": sacrebleu.corpus_chrf(hypotheses, [references]).score,
            "average proportion": sum(shares) / max(1, len(shares)),
        }

    def simulate(self, tokens: list[int], blank_penalty: float = 0.0) -> tuple[list[int], list[int]]:
        """See `read_and_said`."""
        return read_and_said(self.taed, self.writer, tokens, blank_penalty)

    def export(self, directory: Path) -> None:
        """Write the whole translator, with the gate and the writer."""
        old = self.translator
        config = replace(old.config.heads, taed=self.taed.config)
        heads = Heads(config)
        heads.load_state_dict({**old.heads.state_dict(), **{f"taed.{k}": v for k, v in self.taed.state_dict().items()}})
        made = SpeechTranslator(
            replace(old.config, heads=config), old.listener, self.writer, old.source_tokenizer, old.target_tokenizer,
            heads.to(old.device), old.search,
        )  # fmt: skip
        save(made, directory)


def reading_loss(
    taed: Taed, writer: Writer, batch: TextBatch, stride: int, delay_penalty: float
) -> tuple[Tensor, dict[str, float]]:
    """Negative log-likelihood of the target over every way to take turns at reading and saying, a target token.

    stride: source tokens read at a time; delay_penalty: see `TaedLossConfig`.
    """
    device = writer.target.weight.device
    sizes = (~batch.hidden).sum(1).tolist()  # <begin>, tokens, <end>
    rows, moments, known = [], [], []
    for row, size in enumerate(sizes):
        points = [*range(1 + stride, size - 1, stride), size - 1, size]
        rows += [row] * len(points)
        moments += list(range(len(points)))
        known += points
    row, moment, read = (torch.tensor(x, device=device) for x in (rows, moments, known))
    source, inputs = batch.source.to(device), batch.inputs.to(device)
    hidden = torch.arange(source.shape[1], device=device)[None] >= read[:, None]
    labels = (batch.targets >= 0).sum(1).to(device) - 1
    frames = torch.bincount(row, minlength=len(sizes))
    memory = writer.memory(source[row], hidden)
    is_open = moment < frames[row] - 1
    logits = taed.logits(writer, memory, hidden, inputs[row], is_open, source[row])
    said, once = inputs[:, 1:], torch.ones(len(row), dtype=torch.long)
    blank, label = emissions(logits[:, None], said[row], once, labels[row], Tokenizer.end)
    early = frames[row] / 2 - moment
    label = label + delay_penalty * early[:, None, None]
    shape = len(sizes), int(frames.max())
    whole = [x.new_zeros(*shape, x.shape[2]).index_put((row, moment), x[:, 0]) for x in (blank, label)]
    loss = lattice_loss(whole[0], whole[1], frames, labels).sum() / (labels + 1).sum()
    return loss, {"moments": float(len(row)) / len(sizes)}


@torch.no_grad()
def read_and_said(
    taed: Taed, writer: Writer, tokens: list[int], blank_penalty: float = 0.0
) -> tuple[list[int], list[int]]:
    """Target tokens said while `tokens` are read one by one, and how many were read at each."""
    said: list[int] = []
    read: list[int] = []
    device = writer.target.weight.device
    for size in range(1, len(tokens) + 2):
        closed = size == len(tokens) + 1
        ids = torch.tensor([[Tokenizer.begin, *tokens[:size], *([Tokenizer.end] if closed else [])]], device=device)
        memory = writer.memory(ids, torch.zeros_like(ids, dtype=torch.bool))
        newest = memory[:, -1]
        gate = None if closed else (lambda said, newest=newest: float(taed(newest, said[None, None])) - blank_penalty)
        limit = max(0, 2 * len(tokens) + 8 - len(said))
        found = writer.greedy(memory, said, limit, ending=gate, lexical=writer.lexical(ids[0].tolist()))
        said += found.tokens
        read += [min(size, len(tokens))] * len(found.tokens)
    return said, read


def task(recipe: dict[str, object], device: str) -> Task:
    """Build the task of a recipe of kind "taed"; `base` names the translator that gets the gate."""
    translator = base_translator(recipe, device)
    shape = replace(from_dict(TaedConfig, table(recipe, "model")), dim=translator.config.writer.dim)
    loss = from_dict(TaedLossConfig, table(recipe, "loss"))
    # Open sources and errors are the lattice's own business: the sentences are whole.
    data = replace(from_dict(TextDataConfig, table(recipe, "data")), open_share=0.0, error_share=0.0)
    text = WriterTask(translator.writer, translator.source_tokenizer, translator.target_tokenizer, data, seed=4)
    torch.manual_seed(1)
    return TaedTask(translator, Taed(shape).to(device), text, loss)
