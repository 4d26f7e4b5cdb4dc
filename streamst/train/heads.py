"""Trains frame heads of a finished translator: transducers and target CTC, on its frozen listener or together with it.

The transducer's loss is pruned (Kuang et al. 2022, arXiv:2206.13236): a factorised joiner, trained beside, says which
few labels a frame can be at, and only there the real joiner works.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import jiwer
import numpy as np
import sacrebleu
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.models import offline
from streamst.models.heads import Heads, HeadsConfig
from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.transducer import Transducer
from streamst.models.translator import SpeechTranslator
from streamst.train.base import base_translator, save
from streamst.train.listener import ValidationConfig
from streamst.train.loop import Task
from streamst.train.rnnt import banded, bands, lattice_loss, simple_emissions
from streamst.train.speech import SpeechBatch, SpeechBatches, SpeechDataConfig


@dataclass(frozen=True)
class HeadsLossConfig:
    """Weights of the losses and the draws of chunk and left context."""

    band: int = 5  # label positions that the joiner sees a frame
    simple: float = 0.5  # weight of the factorised loss
    warmup_steps: int = 200  # over which the pruned loss comes in
    delay_penalty: float = 0.0  # added to a label's log-probability for each frame that it is before the middle
    draft: float = 0.4
    source_ctc: float = 1.0  # keeps a shared listener listening
    shared: bool = False  # whether the listener learns too
    chunks: tuple[int, ...] = (2, 4, 8, 16, -1)  # frames, -1 is all
    lefts: tuple[int, ...] = (16, 48, -1)


class SimpleJoiner(nn.Module):
    """The factorised joiner that finds the bands; only training has it."""

    def __init__(self, joiner: int, labels: int) -> None:
        super().__init__()
        self.frame = nn.Linear(joiner, labels)
        self.label = nn.Linear(joiner, labels)


class HeadsTask:
    """The `Task` of recipes of kind "heads"."""

    def __init__(
        self,
        translator: SpeechTranslator,
        heads: Heads,
        data: SpeechDataConfig,
        loss: HeadsLossConfig,
        validation: ValidationConfig,
        seed: int,
    ) -> None:
        self.translator, self.heads, self.loss_config, self.validation = translator, heads, loss, validation
        self.module = nn.ModuleDict({"heads": heads})
        for name in ("captions", "transducer"):
            config = getattr(heads.config, name)
            if config is not None:
                self.module[f"simple_{name}"] = SimpleJoiner(config.joiner, config.labels)
        listener = translator.listener.requires_grad_(loss.shared)
        if loss.shared:
            self.module["listener"] = listener
        if heads.taed is not None:
            heads.taed.requires_grad_(False)
        tokenizer, phone_frame = translator.source_tokenizer, listener.frame_samples // 2
        self.data = SpeechBatches(data, tokenizer, seed, phone_frame)
        self._valid = [
            SpeechBatches(SpeechDataConfig(cuts=(path,), longest_s=30.0), tokenizer, seed, phone_frame)
            for path in validation.cuts
        ]

    def batches(self, step: int) -> Iterator[SpeechBatch]:
        """Speech batches from `step` on."""
        return self.data.batches(step)

    def loss(self, batch: SpeechBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """The sum of the losses of the heads that there are, each a label."""
        c, draw, listener = self.loss_config, np.random.default_rng((13, step)), self.translator.listener
        device = listener.source.weight.device
        chunk, left = int(draw.choice(c.chunks)), int(draw.choice(c.lefts))
        frames = (batch.samples // listener.frame_samples).to(device)
        with torch.set_grad_enabled(c.shared):
            states, _ = listener.encoder(listener.features(batch.pcm.to(device)), frames, chunk, left)
        states = states.float()
        source = [t.tolist() for t in batch.tokens.split(batch.token_counts.tolist())]
        target = [self.translator.target_tokenizer.encode(t) for t in batch.translations]
        known = [bool(t) or not s for t, s in zip(target, source, strict=True)]  # noise has neither
        total, logged = states.new_zeros(()), {"audio_s": float(batch.samples.sum()) / 16_000}
        if c.shared:
            own = self._ctc(listener.source(states), source, frames)
            total, logged["source"] = total + c.source_ctc * own, own.item()
        if self.heads.captions is not None:
            own = self._lattice("captions", self.heads.captions, states, source, frames, step)
            total, logged["captions"] = total + own, own.item()
        rows = [row for row, is_known in enumerate(known) if is_known]
        if rows and self.heads.transducer is not None:
            chosen = states[rows], [target[row] for row in rows], frames[rows]
            own = self._lattice("transducer", self.heads.transducer, *chosen, step)
            total, logged["transducer"] = total + own, own.item()
        if rows and self.heads.draft is not None:
            own = self._ctc(self.heads.draft(states[rows]), [target[row] for row in rows], frames[rows])
            total, logged["draft"] = total + c.draft * own, own.item()
        return total + 0.0 * sum(p.sum() for p in self.module.parameters() if p.requires_grad), logged

    def _lattice(
        self, name: str, head: Transducer, states: Tensor, targets: list[list[int]], frames: Tensor, step: int
    ) -> Tensor:
        c, simple = self.loss_config, cast(SimpleJoiner, self.module[f"simple_{name}"])
        said = pad_sequence([torch.tensor(t, dtype=torch.long) for t in targets], batch_first=True).to(states.device)
        counts = torch.tensor([len(t) for t in targets], device=states.device)
        by_frame, by_label = head.frame(states), head.predict(head.contexts(said))
        blank, label = simple_emissions(simple.frame(by_frame), simple.label(by_label), said)
        early = frames[:, None] / 2 - torch.arange(states.shape[1], device=states.device)
        bonus = c.delay_penalty * early[..., None]
        label = label + bonus
        coarse = lattice_loss(blank, label, frames, counts)
        arcs = torch.autograd.grad(-coarse.sum(), (blank, label), retain_graph=True)
        starts = bands(arcs[0] + F.pad(arcs[1], (0, 1)), frames, counts, c.band)
        index = starts[..., None] + torch.arange(c.band, device=states.device)  # (B, T, band)
        rows = torch.arange(len(states), device=states.device)[:, None, None]
        near = F.pad(by_label, (0, 0, 0, c.band))[rows, index]
        log_probs = head.join(by_frame[:, :, None], near).log_softmax(-1)
        following = F.pad(said, (0, c.band + 1))[rows, index]
        narrow = log_probs.gather(3, following[..., None])[..., 0] + bonus
        fine = lattice_loss(
            banded(log_probs[..., BLANK], starts, said.shape[1] + 1),
            banded(narrow, starts, said.shape[1]),
            frames,
            counts,
        )
        fits = counts <= frames * (c.band - 1)
        whole = c.simple * coarse + min(1.0, 0.1 + step / max(1, c.warmup_steps)) * fine
        return torch.where(fits, whole, 0.0).sum() / counts.sum().clamp_min(1)

    def _ctc(self, logits: Tensor, targets: list[list[int]], frames: Tensor) -> Tensor:
        counts = torch.tensor([len(t) for t in targets], device=logits.device)
        flat = torch.tensor([label for t in targets for label in t], dtype=torch.long, device=logits.device)
        scores = logits.log_softmax(-1).transpose(0, 1)
        losses = F.ctc_loss(scores, flat, frames, counts, BLANK, "none", zero_infinity=True)
        return losses.sum() / counts.sum().clamp_min(1)

    def validate(self) -> dict[str, float]:
        """Greedy figures of each head at the validation chunk: WER, chrF, and by how much the draft miscounts [%]."""
        heard: list[str] = []
        truth: list[str] = []
        said: list[str] = []
        wanted: list[str] = []
        counted, real = 0, 0
        translator = self._joined()
        ear = translator.recogniser
        for source in self._valid:
            for cut in source.cuts[: self.validation.count]:
                example = source.example(cut)
                state = offline.hear(ear, example.pcm, round(self.validation.chunk * ear.frame_ms))
                truth.append(example.text)
                heard.append(" ".join(word.text for word in ear.listening(state).words))
                if example.translation and self.heads.transducer is not None:
                    labels = [e.label for e in self.heads.lattice(state.heads, state.frames, 0.0)]
                    said.append(translator.target_tokenizer.decode(labels))
                    wanted.append(example.translation)
                if example.translation and self.heads.draft is not None:
                    size = len(translator.target_tokenizer.encode(example.translation))
                    counted, real = counted + abs(len(state.heads.draft) - size), real + size
        figures = {"WER": 100 * float(jiwer.wer(truth, heard))} if self.heads.captions is not None and truth else {}
        if said:
            figures["transducer chrF"] = sacrebleu.corpus_chrf(said, [wanted]).score
        if real:
            figures["draft miscounts %"] = 100 * counted / real
        return figures

    def export(self, directory: Path) -> None:
        """Write the whole translator, with the heads."""
        save(self._joined(), directory)

    def _joined(self) -> SpeechTranslator:
        old = self.translator  # what is heard comes from one head: words of a search give way to a transducer's
        search = old.search if self.heads.captions is None else None
        return SpeechTranslator(
            replace(old.config, heads=self.heads.config), old.listener, old.writer, old.source_tokenizer,
            old.target_tokenizer, self.heads, search,
        )  # fmt: skip


def table(recipe: dict[str, object], name: str) -> dict[str, object]:
    """A table of a recipe, empty where it has none."""
    found = recipe.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{name} = {found!r} is not a table")
    return found


def task(recipe: dict[str, object], device: str) -> Task:
    """Build the task of a recipe of kind "heads"; `base` names the translator that gets the heads of [heads]."""
    translator = base_translator(recipe, device)
    wanted = from_dict(HeadsConfig, table(recipe, "heads"))
    if wanted.captions is None and wanted.draft is None and wanted.transducer is None:
        raise ConfigError("heads: name at least one of captions, draft, transducer")
    source, target = translator.source_tokenizer.size, translator.target_tokenizer.size
    dim, old = translator.config.listener.encoder.dim, translator.config.heads
    config = HeadsConfig(  # the sizes are the translator's
        None if wanted.captions is None else replace(wanted.captions, labels=source, state_dim=dim),
        None if wanted.draft is None else replace(wanted.draft, labels=target, state_dim=dim),
        None if wanted.transducer is None else replace(wanted.transducer, labels=target, state_dim=dim),
        old.taed,
    )
    torch.manual_seed(1)
    heads = Heads(config)
    if heads.taed is not None and translator.heads.taed is not None:
        heads.taed.load_state_dict(translator.heads.taed.state_dict())
    data, loss = from_dict(SpeechDataConfig, table(recipe, "data")), from_dict(HeadsLossConfig, table(recipe, "loss"))
    validation = from_dict(ValidationConfig, table(recipe, "validation"))
    return HeadsTask(translator, heads.to(device), data, loss, validation, seed=3)
