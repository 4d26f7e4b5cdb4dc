"""Joins a trained listener and a trained writer: the writer learns to read what the listener really hears.

Speech batches give the writer recognised tokens, errors included; text batches keep it fluent. Transcripts without a
translation get one from the writer as it came (sequence-level distillation, Kim and Rush 2016, arXiv:1606.07947). The
listener stays as it is. With `steps = 0` the two are only put together.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sacrebleu
import torch
from torch import Tensor
from torch.nn import functional as F

from streamst import checkpoint
from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.models import offline
from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.listen.search import SearchConfig, WordSearch
from streamst.models.translator import SpeechTranslator, TranslatorConfig
from streamst.models.write.network import OUTGROWN, Writer, writer_config
from streamst.text import Tokenizer
from streamst.train.base import save
from streamst.train.loop import Task
from streamst.train.speech import SpeechBatch, SpeechBatches, SpeechDataConfig
from streamst.train.writer import TextBatch, TextDataConfig, WriterTask


@dataclass(frozen=True)
class JoinConfig:
    """How speech and text batches meet."""

    text_share: float = 0.5  # of batches
    chunks: tuple[int, ...] = (4, 8, 16, -1)  # frames
    open_share: float = 0.3  # recognised sources cut short, without <end>
    distil: bool = True  # whether transcripts without a translation are translated by the writer as it came
    validation_cuts: str = ""
    validation_count: int = 60


class TranslatorTask:
    """The `Task` of recipes of kind "translator": `module` is the writer, the listener is frozen."""

    def __init__(
        self,
        listener: Listener,
        writer: Writer,
        text: WriterTask,
        speech: SpeechBatches | None,
        config: JoinConfig,
        valid: SpeechBatches | None,
        search: WordSearch | None = None,
    ) -> None:
        self.listener, self.module = listener.eval().requires_grad_(False), writer
        self.text, self.speech, self.config, self._valid = text, speech, config, valid
        self.search = search
        self._teacher = copy.deepcopy(writer).eval().requires_grad_(False) if config.distil else None
        self._taught: dict[str, str] = {}

    def batches(self, step: int) -> Iterator[SpeechBatch | TextBatch]:
        """Speech and text batches in a drawn order."""
        speech, text = (None if self.speech is None else self.speech.batches(step)), self.text.batches(step)
        for number in itertools.count(step):
            is_text = speech is None or random.Random(number).random() < self.config.text_share
            yield next(text) if is_text or speech is None else next(speech)

    def loss(self, batch: SpeechBatch | TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Label-smoothed cross-entropy of the translation."""
        if isinstance(batch, TextBatch):
            loss, _ = self.text.loss(batch, step)
            return loss, {"text": loss.item()}
        draw = np.random.default_rng((11, step))
        heard = self._hear(batch, int(draw.choice(self.config.chunks)))
        rows = []
        for tokens, english, said in zip(heard, batch.texts, batch.translations, strict=True):
            german = said or self.translated(english)
            if tokens and german:
                rows.append((tokens, self.text.target.encode(german)))
        if not rows:
            return sum(p.sum() for p in self.module.parameters()) * 0, {}  # type: ignore[return-value]
        source, hidden, inputs, targets = self._collate(rows, draw)
        memory = self.module.memory(source, hidden)
        logits, _ = self.module(memory, hidden, inputs)
        loss = F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), label_smoothing=self.text.config.label_smoothing
        )
        return loss, {"speech": loss.item()}

    def translated(self, english: str) -> str:
        """The teacher's German for a transcript; "" without a teacher or a transcript."""
        if self._teacher is None or not english:
            return ""
        if english not in self._taught:
            self._taught[english] = self.text.translated(self._teacher, english)
        return self._taught[english]

    @torch.no_grad()
    def _hear(self, batch: SpeechBatch, chunk: int) -> list[list[int]]:
        """Collapsed tokens of every row."""
        model, device = self.listener, self.listener.source.weight.device
        frames = (batch.samples // model.frame_samples).to(device)
        states, _ = model.encoder(model.features(batch.pcm.to(device)), frames, chunk, model.config.encoder.left_frames)
        best = model.source(states).argmax(-1)
        found = []
        for row, count in enumerate(frames.tolist()):
            labels = torch.unique_consecutive(best[row, :count])
            found.append(labels[labels != BLANK].tolist())
        return found

    def _collate(
        self, rows: list[tuple[list[int], list[int]]], draw: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cut = []
        for tokens, german in rows:
            ending = [Tokenizer.end]
            if draw.random() < self.config.open_share:
                size = int(draw.integers(1, len(tokens) + 1))
                german, ending = german[: int(len(german) * size / len(tokens))], []
                tokens = tokens[:size]
            cut.append(([Tokenizer.begin, *tokens, *ending], german[: self.module.config.max_tokens - 2]))
        device = self.listener.source.weight.device
        width, length = max(len(s) for s, _ in cut), max(len(t) for _, t in cut) + 1
        source = torch.zeros(len(cut), width, dtype=torch.long, device=device)
        hidden = torch.ones(len(cut), width, dtype=torch.bool, device=device)
        inputs = torch.full((len(cut), length), Tokenizer.begin, device=device)
        targets = torch.full((len(cut), length), -100, device=device)
        for row, (s, t) in enumerate(cut):
            source[row, : len(s)] = torch.tensor(s, device=device)
            hidden[row, : len(s)] = False
            inputs[row, 1 : len(t) + 1] = torch.tensor(t, dtype=torch.long, device=device)
            targets[row, : len(t)] = torch.tensor(t, dtype=torch.long, device=device)
            targets[row, len(t)] = Tokenizer.end
        return source, hidden, inputs, targets

    def validate(self) -> dict[str, float]:
        """BLEU and chrF on text, and on the validation speech as a session at 640 ms would hear it offline."""
        figures = {f"text {name}": value for name, value in self.text.validate().items()}
        if self._valid is None:
            return figures
        translator = self._translator()
        ear, pen = translator.recogniser, translator.pen
        hypotheses, references = [], []
        for cut in self._valid.cuts[: self.config.validation_count]:
            example = self._valid.example(cut)
            found = offline.write(ear, pen, offline.hear(ear, example.pcm, 640), pen.targets[0])
            hypotheses.append(pen.detokenize(pen.targets[0], found.tokens))
            references.append(example.translation)
        return {
            **figures,
            "speech BLEU": sacrebleu.corpus_bleu(hypotheses, [references]).score,
            "speech chrF": sacrebleu.corpus_chrf(hypotheses, [references]).score,
        }

    def export(self, directory: Path) -> None:
        """Write the translator: both networks and both tokenizers."""
        save(self._translator(), directory)

    def _translator(self) -> SpeechTranslator:
        search = SearchConfig() if self.search is None else self.search.config
        config = TranslatorConfig(self.listener.config, self.module.config, search=search)
        tokenizers = self.text.source, self.text.target
        return SpeechTranslator(config, self.listener, self.module, *tokenizers, search=self.search)


def task(recipe: dict[str, object], device: str) -> Task:
    """Build the task of a recipe of kind "translator"; `listener` and `writer` name exported models, `words` (optional)
    the file that a recipe of kind "words" wrote, searched with the weights of the table `search`. `parts` (optional) is
    a model whose voices, codec and other recognisers the new one's `model.json` names."""
    tables = {name: value for name, value in recipe.items() if isinstance(value, dict)}
    paths = {name: Path(str(recipe.get(name, ""))) for name in ("listener", "writer")}
    for name, path in paths.items():
        if not (path / checkpoint.CONFIG).exists():
            raise ConfigError(f"{name} = {str(path)!r} is not an exported model")
    heard = from_dict(ListenerConfig, checkpoint.read_config(paths["listener"], "listener"))
    if recipe.get("words") and heard.encoder.middle != heard.encoder.layers:
        raise ConfigError(
            f"a word search needs phonemes of the last layer: train the listener with middle = {heard.encoder.layers}, "
            "or leave out words"
        )
    listener = Listener(heard)
    checkpoint.load_weights(paths["listener"], listener)
    config = JoinConfig() if "join" not in tables else from_dict(JoinConfig, tables["join"], "join")
    search = None
    if recipe.get("words"):
        weights = from_dict(SearchConfig, tables.get("search", {}), "search")
        search = WordSearch.load(Path(str(recipe["words"])), weights)
    loop = tables.get("loop", {})
    learns = bool(loop.get("steps", 1))
    shape = writer_config(checkpoint.read_config(paths["writer"], "writer"))
    writer = Writer(shape)
    checkpoint.load_weights(paths["writer"], writer, OUTGROWN)
    source, target = Tokenizer(paths["listener"] / "source.model"), Tokenizer(paths["writer"] / "target.model")
    text = WriterTask(writer, source, target, from_dict(TextDataConfig, tables.get("text", {}), "text"), seed=2)
    phone_frame = listener.frame_samples // listener.config.phonemes_per_frame
    data = from_dict(SpeechDataConfig, tables.get("data", {}), "data")
    speech = SpeechBatches(data, source, 2, phone_frame) if learns else None
    valid = None
    if config.validation_cuts:
        valid = SpeechBatches(SpeechDataConfig(cuts=(config.validation_cuts,), longest_s=30), source, 2, phone_frame)
    return TranslatorTask(listener.to(device), writer, text, speech, config, valid, search)
