"""What a source token is often translated by, as a bias on the writer's next token.

A network that has read little knows rare words from few examples; counts know them from one. The bias is that of Arthur
et al. 2016 (arXiv:1606.02006, section 3.2.1): log(p + floor), where p mixes the translations of the source tokens by
the decoder's attention; its weight is learned with the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamst.text import Tokenizer

FLOOR = 1e-3  # share that a token has which no source token is translated by


@dataclass(frozen=True)
class Reading:
    """The translations of a sentence's tokens. tokens: (M,); shares: (S, M); weight: of the bias, a scalar."""

    tokens: Tensor
    shares: Tensor
    weight: Tensor

    def bias(self, logits: Tensor, attention: Tensor) -> None:
        """Add to `logits` (B, size), in place, what `Lexicon.forward` gives for `attention` (B, S), less a constant."""
        shares = attention[:, : len(self.shares)].float() @ self.shares
        logits.index_add_(1, self.tokens, (self.weight * (shares / FLOOR).log1p()).to(logits.dtype))


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

    def of(self, source: Tensor) -> Tensor:
        """source: (..., S) tokens; (..., S, size) shares of their translations."""
        found = torch.zeros(*source.shape, self.size, device=source.device)
        return found.scatter_add_(-1, self.tokens[source].long(), self.shares[source])

    def read(self, source: Tensor) -> Reading:
        """What `forward` is for one sentence, its tokens `source` (S,) read once."""
        tokens, places = self.tokens[source].unique(return_inverse=True)
        shares = self.shares.new_zeros(len(source), len(tokens)).scatter_add_(1, places, self.shares[source])
        return Reading(tokens.long(), shares, self.weight)

    def forward(self, attention: Tensor, found: Tensor) -> Tensor:
        """attention: (..., T, S); found: (..., S, size); (..., T, size) to be added to the logits."""
        return self.weight * ((attention @ found).float() + FLOOR).log()
