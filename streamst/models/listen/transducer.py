"""A transducer head: encoder frames and the last labels say which label comes next, or none (blank). Graves 2012.

The predictor is stateless (Ghodsi et al. 2020): it sees the last `context` labels only, so a stream's state is that
many integers. Greedy search loops over labels, not frames (Bataev et al. 2024, arXiv:2406.06220): the joiner runs on
all frames that are left of a chunk at once, and every row of a batch jumps to its next label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.nn.state import State

from .lexicon import BLANK


@dataclass(frozen=True)
class TransducerConfig:
    """Shape of predictor and joiner, and how they are searched."""

    labels: int = 500  # classes, blank (0) included
    state_dim: int = 192  # of the encoder
    dim: int = 192  # label embedding
    joiner: int = 256
    context: int = 2  # labels that the predictor sees
    symbols_per_frame: int = 3  # the most that a frame may emit; 1 makes every search step a frame


@dataclass(frozen=True)
class TransducerState(State):
    """context: (B, context) the last labels, oldest first, blank where there was none."""

    context: Tensor


@dataclass(frozen=True)
class Emission:
    """One label of a search and where it was emitted."""

    label: int
    frame: int  # of the frames given
    log_prob: float


@dataclass(frozen=True)
class Path:
    """One hypothesis of the beam."""

    emissions: tuple[Emission, ...] = ()
    score: float = 0.0  # log-probability, summed over the alignments that were merged

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels alone."""
        return tuple(e.label for e in self.emissions)


class Transducer(nn.Module):
    """Encoder states (B, T, state_dim) and labels to logits over labels and blank."""

    def __init__(self, config: TransducerConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embedding = nn.Embedding(c.labels, c.dim)
        self.mix = nn.Parameter(torch.full((c.context, c.dim), c.context**-0.5))  # depthwise, over the context
        self.label = nn.Linear(c.dim, c.joiner)
        self.frame = nn.Linear(c.state_dim, c.joiner)
        self.out = nn.Linear(c.joiner, c.labels)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> TransducerState:
        """A fresh stream: nothing said. `dtype` is the networks'; labels are integers."""
        del dtype
        return TransducerState(torch.zeros(batch, self.config.context, dtype=torch.long, device=device))

    def predict(self, context: Tensor) -> Tensor:
        """context: (..., context) labels to (..., joiner)."""
        return self.label(F.silu((self.embedding(context) * self.mix).sum(-2)))

    def join(self, frames: Tensor, said: Tensor) -> Tensor:
        """Projected frames and predictions, of shapes that broadcast, (..., joiner) to logits (..., labels)."""
        return self.out(torch.tanh(frames + said))

    def contexts(self, targets: Tensor) -> Tensor:
        """What the predictor sees before each of the labels (B, U) and after the last: (B, U + 1, context)."""
        return F.pad(targets, (self.config.context, 0)).unfold(1, self.config.context, 1)

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """Logits (B, T, U + 1, labels) of the whole lattice; padding of `targets` (B, U) may be any label."""
        return self.join(self.frame(states)[:, :, None], self.predict(self.contexts(targets))[:, None])

    @torch.no_grad()
    def greedy(
        self, states: Tensor, state: TransducerState, counts: Tensor | None = None, blank_penalty: float = 0.0
    ) -> tuple[list[list[Emission]], TransducerState]:
        """The labels of the next frames (B, T, state_dim) of every row, and the state after them.

        counts: (B,) valid frames, all T where None. blank_penalty is subtracted from blank's logit. However the frames
        are cut into calls, the labels are the same.
        """
        c, (rows, times) = self.config, states.shape[:2]
        frames, context = self.frame(states), state.context
        counts = torch.full((rows,), times, device=states.device) if counts is None else counts.to(states.device)
        pointer, here = torch.zeros_like(counts), torch.zeros_like(counts)  # next frame; labels it has emitted
        found: list[list[Emission]] = [[] for _ in range(rows)]
        while bool((active := pointer < counts).any()):
            start = int(pointer[active].min())
            position = torch.arange(start, times, device=states.device)
            logits = self.join(frames[:, start:], self.predict(context)[:, None])
            logits[..., BLANK] -= blank_penalty
            best = logits.argmax(-1)
            says = (best != BLANK) & (position >= pointer[:, None]) & (position < counts[:, None])
            emits = says.any(1)
            at = torch.where(emits, says.int().argmax(1) + start, counts)
            index = (at - start).clamp(0, len(position) - 1)[:, None]
            label = best.gather(1, index)[:, 0]
            scores = logits.gather(1, index[..., None].expand(-1, -1, c.labels))[:, 0].log_softmax(-1)
            for row in emits.nonzero()[:, 0].tolist():
                own = int(label[row])
                found[row].append(Emission(own, int(at[row]), float(scores[row, own])))
            context = torch.where(emits[:, None], torch.cat([context[:, 1:], label[:, None]], 1), context)
            here = torch.where(at == pointer, here + 1, 1)
            full = emits & (here >= c.symbols_per_frame)
            pointer, here = torch.where(full, at + 1, at), torch.where(full, 0, here)
        return found, TransducerState(context)

    @torch.no_grad()
    def beam(
        self, states: Tensor, paths: Sequence[Path] = (), size: int = 4, offset: int = 0, blank_penalty: float = 0.0
    ) -> tuple[Path, ...]:
        """The `size` best paths, best first, after the next frames (T, state_dim) of one stream, from those before.

        At most one label a frame, so that all paths advance together; paths with equal labels are merged. `offset` is
        added to the frame numbers. Labels that all paths share will not change any more.
        """
        kept = list(paths) or [Path()]
        for number, frame in enumerate(self.frame(states), offset):
            context = torch.tensor([self._last(p) for p in kept], device=states.device)
            logits = self.join(frame, self.predict(context))
            logits[:, BLANK] -= blank_penalty
            log_probs = logits.log_softmax(-1)
            total = log_probs + torch.tensor([[p.score] for p in kept], device=states.device)
            best = total.flatten().topk(min(2 * size, total.numel())).indices.tolist()
            merged: dict[tuple[int, ...], Path] = {}
            for place in best:
                path, label = kept[place // self.config.labels], place % self.config.labels
                score, own = float(total.view(-1)[place]), float(log_probs.view(-1)[place])
                made = path.emissions if label == BLANK else (*path.emissions, Emission(label, number, own))
                labels = tuple(e.label for e in made)
                if labels in merged:
                    first = merged[labels]
                    score = float(torch.logaddexp(torch.tensor(first.score), torch.tensor(score)))
                    made = first.emissions
                merged[labels] = Path(made, score)
            kept = sorted(merged.values(), key=lambda p: -p.score)[:size]
        return tuple(kept)

    def _last(self, path: Path) -> list[int]:
        size = self.config.context
        return [*([BLANK] * size), *path.labels][-size:]
