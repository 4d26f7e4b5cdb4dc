"""Which source token a target token translates, by how often the two meet (IBM Model 1, Brown et al. 1993).

The positions weigh in as in fast_align (Dyer et al. 2013). It guides the writer's attention from the first step (Chen
et al. 2016, guided alignment training), and tells how much of a translation the beginning of a sentence allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from streamst.text import Tokenizer

CELLS = 4_000_000  # of one piece of work
TENSION = 4.0  # how much a target token prefers the source token at its own place
SURE = 0.3  # a posterior from which on a token counts as aligned


class Alignment:
    """p(target token | source token) for one vocabulary; <begin> stands for no source token."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.table = torch.full((size * size,), 1.0)

    def learn(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], rounds: int = 4) -> None:
        """Rounds of expectation and maximisation over (source, target) tokens, without begin and end."""
        order = sorted(pairs, key=lambda pair: (len(pair[0]), len(pair[1])))
        for _ in range(rounds):
            counts = torch.zeros_like(self.table)
            for source, target in _batches(order):
                keys = self._keys(source, target)
                shares = self.table[keys] * (source >= 0)[:, None]
                shares = shares / shares.sum(-1, keepdim=True).clamp_min(1e-30) * (target >= 0)[..., None]
                counts.index_add_(0, keys.flatten(), shares.flatten())
            square = counts.view(self.size, self.size)
            self.table = (square / square.sum(1, keepdim=True).clamp_min(1e-9)).flatten()

    def posterior(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, T, S) which of the source tokens (B, S) each of the target tokens (B, T) translates; negative ids are
        padding. A row is 0 where the two never met."""
        lengths = (source >= 0).sum(1)[:, None, None], (target >= 0).sum(1)[:, None, None]
        places = (torch.arange(n, device=source.device) for n in (source.shape[1], target.shape[1]))
        at, goal = (place / length for place, length in zip(places, lengths, strict=True))
        near = torch.exp(-TENSION * (at - goal.transpose(1, 2)).abs())
        near = torch.where((source == Tokenizer.begin)[:, None], torch.full_like(near, 0.1), near)
        met = self.table[self._keys(source, target)] * near * ((source >= 0)[:, None] & (target >= 0)[..., None])
        total = met.sum(-1, keepdim=True)
        return torch.where(total > 1e-7, met / total.clamp_min(1e-30), torch.zeros_like(met))

    def known(self, source: Sequence[int], target: Sequence[int], cut: int) -> int:
        """How many target tokens the first `cut` source tokens allow: all before the first one that surely translates
        a later one."""
        ids = torch.tensor([Tokenizer.begin, *source])[None], torch.tensor(target)[None]
        sure, at = self.posterior(*ids)[0].max(-1)
        later = ((at > cut) & (sure > SURE)).nonzero()
        return int(later[0, 0]) if len(later) else len(target)

    def _keys(self, source: Tensor, target: Tensor) -> Tensor:
        return source.clamp_min(0)[:, None] * self.size + target.clamp_min(0)[..., None]


def _batches(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Padded with -1; <begin> opens each source."""
    start = 0
    while start < len(pairs):
        wide, end = 0, start
        while end < len(pairs):
            wide = max(wide, (len(pairs[end][0]) + 1) * len(pairs[end][1]))
            if end > start and wide * (end + 1 - start) > CELLS:
                break
            end += 1
        sources = [torch.tensor([Tokenizer.begin, *source]) for source, _ in pairs[start:end]]
        targets = [torch.tensor(list(target)) for _, target in pairs[start:end]]
        yield pad_sequence(sources, True, -1), pad_sequence(targets, True, -1)
        start = end
