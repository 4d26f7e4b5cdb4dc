"""Trains TAED's gate for a text writer, on written and heard sentences, whole and joined; the writer stays as it is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from torch import Tensor

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.languages.english import spoken_english
from streamst.models.write import store
from streamst.models.write.network import Writer
from streamst.models.write.taed import Taed, TaedConfig
from streamst.train.heads import table
from streamst.train.loop import Task
from streamst.train.pairs import read_corpora
from streamst.train.taed import TaedLossConfig, read_and_said, reading_loss
from streamst.train.text_writer import RegistersConfig, RegistersTask
from streamst.train.writer import TextBatch


class TextGateTask:
    """The `Task` of recipes of kind "text-gate"."""

    def __init__(self, writer: Writer, taed: Taed, text: RegistersTask, config: TaedLossConfig) -> None:
        self.writer, self.module = writer.requires_grad_(False), taed.requires_grad_(True)
        self.text, self.config = text, config

    def batches(self, step: int) -> Iterator[TextBatch]:
        """Batches of sentence pairs from `step` on."""
        return self.text.batches(step)

    def loss(self, batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `reading_loss`."""
        stride = random.Random(17 * step).choice(self.config.strides)
        return reading_loss(self.module, self.writer, batch, stride, self.config.delay_penalty)

    def validate(self) -> dict[str, float]:
        """BLEU of reading token by token, and the share of the source that was read when a target token was said; of
        the first validation file, as it is heard."""
        sentences, references = next(iter(self.text.validation.values()))
        said, shares = self._read([spoken_english(one) for one in sentences])
        return {
            "BLEU": sacrebleu.corpus_bleu(said, [references]).score,
            "average proportion": sum(shares) / max(1, len(shares)),
        }

    def _read(self, sentences: Sequence[str]) -> tuple[list[str], list[float]]:
        texts, shares = [], []
        for sentence in sentences:
            tokens = self.text.tokenizer.encode(sentence)
            said, read = read_and_said(self.module, self.writer, tokens)
            texts.append(self.text.tokenizer.decode(said))
            shares += [r / max(1, len(tokens)) for r in read]
        return texts, shares

    def export(self, directory: Path) -> None:
        """Write the writer with its gate."""
        store.save(directory, self.writer, self.text.tokenizer, self.module, self.text.table)


def task(recipe: dict[str, Any], device: str) -> Task:
    """Build the task of a recipe of kind "text-gate"; `base`: the folder of a writer without a gate, or whose gate
    learns on."""
    base = Path(str(recipe.get("base", "")))
    if not base.is_dir():
        raise ConfigError(f"base = {str(base)!r} is not the folder of a text writer")
    pen = store.load(base, device)
    shape = replace(from_dict(TaedConfig, table(recipe, "model")), dim=pen.network.config.dim)
    loss = from_dict(TaedLossConfig, table(recipe, "loss"))
    # Open sources and errors are the lattice's own business: the sentences are whole, no alignment says where to cut.
    data = from_dict(RegistersConfig, table(recipe, "data"))
    data = replace(data, open_share=0.0, error_share=0.0, aligned=1)
    pairs = read_corpora(data.corpora, data.excluded)
    text = RegistersTask(pen.network, pen.source_tokenizer, pairs, data, seed=4)
    if not text.validation:
        raise ConfigError("data.validation names no file")
    if (base / store.WORDS).exists():
        text.table = (base / store.WORDS).read_text(encoding="utf-8").splitlines()
    torch.manual_seed(1)
    return TextGateTask(pen.network, pen.taed or Taed(shape).to(device), text, loss)
