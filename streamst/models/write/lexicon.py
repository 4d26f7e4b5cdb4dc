"""What a source token is often translated by, as a bias on the writer's next token.

A network that has read little knows rare words from few examples; counts know them from one. The bias is that of Arthur
et al. 2016 (arXiv:1606.02006, section 3.2.1): log(p + floor), where p mixes the translations of the source tokens by
the decoder's attention; its weight is learned with the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamst.text import Tokenizer

FLOOR = 1e-3  # share that a token has which no source token is translated by


@dataclass(frozen=True)
class Reading:
    """The translations of a sentence's tokens. tokens: (M,), none twice; shares: (S, M); weight: of the bias."""

    tokens: np.ndarray[Any, Any]
    shares: np.ndarray[Any, Any]
    weight: float

    def bias(self, logits: np.ndarray[Any, Any], attention: np.ndarray[Any, Any]) -> None:
        """Add to `logits` (B, size), in place, what `Lexicon.forward` gives for `attention` (B, S)."""
        shares = attention[:, : len(self.shares)] @ self.shares
        logits[:, self.tokens] += self.weight * np.log1p(shares / FLOOR)


class Lexicon(nn.Module):
    """The `kept` most frequent translations of each of `size` tokens of one vocabulary."""

    def __init__(self, size: int, kept: int) -> None:
        super().__init__()
        self.size = size
        self.tokens: Tensor
        self.shares: Tensor
        self.register_buffer("tokens", torch.zeros(size, kept, dtype=torch.int32))
        self.register_buffer("shares", torch.zeros(size, kept))
        self.weight = nn.Parameter(torch.tensor(0.3))

    def fill(self, table: Tensor) -> None:
        """table: (size, size) p(target token | source token); `<end>` of the source becomes `<end>`."""
        shares, tokens = table.float().topk(self.tokens.shape[1], 1)
        shares[Tokenizer.end], tokens[Tokenizer.end] = 0.0, Tokenizer.end
        shares[Tokenizer.end, 0] = 1.0
        self.shares.copy_(shares)
        self.tokens.copy_(tokens)

    def read(self, source: Sequence[int]) -> Reading:
        """The translations of one sentence of tokens."""
        known, kept = (table[list(source)].cpu().numpy() for table in (self.tokens, self.shares))
        tokens, places = np.unique(known, return_inverse=True)
        shares = np.zeros((len(source), len(tokens)), np.float32)
        np.add.at(shares, (np.arange(len(source))[:, None], places.reshape(known.shape)), kept)
        return Reading(tokens, shares, float(self.weight))

    def spread(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """The same for sentences (B, S): their translations (B, U), token 0 fills up, and shares (B, S, U)."""
        rows = torch.arange(len(source), device=source.device)
        kept = self.tokens[source].long() + (rows * self.size)[:, None, None]
        found, places = kept.unique(return_inverse=True)
        first = torch.searchsorted(found, torch.arange(len(source) + 1, device=source.device) * self.size)
        tokens = found.new_zeros(len(source), int(first.diff().max()))
        row = found // self.size
        tokens[row, torch.arange(len(found), device=source.device) - first[row]] = found % self.size
        shares = self.shares.new_zeros(*source.shape, tokens.shape[1])
        return tokens, shares.scatter_add_(2, places - first[:-1, None, None], self.shares[source])

    def forward(self, attention: Tensor, shares: Tensor) -> Tensor:
        """attention: (B, T, S); shares: (B, S, U) of `spread`; (B, T, U) to be added to the logits of its tokens, the
        bias less log(floor), which all tokens have."""
        return self.weight * ((attention @ shares).float() / FLOOR).log1p()

    def added(self, logits: Tensor, attention: Tensor, source: Tensor) -> Tensor:
        """logits (B, T, size) with the translations of `source` (B, S) that `attention` (B, T, S) reads."""
        tokens, shares = self.spread(source)
        where = tokens[:, None].expand(-1, logits.shape[1], -1)
        return logits.scatter_add(2, where, self(attention, shares).to(logits.dtype))
