"""Whisper's decoder over a memory that grows: keys and values of what was heard and of what was said are kept.

The memory is the encoder's states of the utterance so far, filled up with states of silence that were computed once: a
decoder that learned on clips of 30 s begins the sentence anew where its memory ends with speech.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.nn.eight_bits import in_rows_of_8_bits
from streamst.nn.frozen import frozen
from streamst.nn.state import State, stacked

LIKELY = 16  # tokens that are looked at again


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of the decoder; the values are those of tiny.en."""

    dim: int = 384
    heads: int = 6
    layers: int = 4
    tokens: int = 51_864
    places: int = 448
    alignment: tuple[tuple[int, int], ...] = ((1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4))


@dataclass(frozen=True)
class Said(State):
    """keys, values: (B, layers, H, T, D / H) of the tokens that each speaker's decoder has read."""

    keys: Tensor
    values: Tensor

    def first(self, count: int) -> Said:
        """As it was after the first `count` tokens."""
        return self.map(lambda held: held[:, :, :, :count])


class ReadingBlock(nn.Module):
    """Causal self-attention, attention over the memory, feed-forward; residual each."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.project, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.cross_norm, self.query = nn.LayerNorm(dim), nn.Linear(dim, dim)
        self.key_value, self.cross_out = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.norm, self.wide, self.narrow = nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def heard(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, S, D) as keys and values (B, H, S, D / H) of the memory."""
        keys, values = self.key_value(states).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return keys.transpose(1, 2), values.transpose(1, 2)

    def forward(
        self, x: Tensor, said: tuple[Tensor, Tensor], unsaid: Tensor, memory: tuple[Tensor, Tensor], unheard: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x: (B, T, D); said: keys and values before it; unsaid: (B, 1, T, P + T) and unheard: (B, 1, 1, S), True where
        nobody may look. Returns x, all keys and values said, and weights over the memory (B, H, T, S)."""
        query, key, value = self.project(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        keys, values = torch.cat([said[0], key.transpose(1, 2)], 2), torch.cat([said[1], value.transpose(1, 2)], 2)
        y = F.scaled_dot_product_attention(
            query.transpose(1, 2), keys, values, attn_mask=None if unsaid is None else ~unsaid
        )
        x = x + self.out(y.transpose(1, 2).flatten(2))
        query = self.query(self.cross_norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = query @ memory[0].transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = scores.masked_fill(unheard, float("-inf")).softmax(-1)
        x = x + self.cross_out((weights @ memory[1]).transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norm(x)))), keys, values, weights


class WhisperDecoder(nn.Module):
    """Tokens and a memory to the next token."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.tokens = nn.Embedding(c.tokens, c.dim)
        self.places = nn.Parameter(torch.zeros(c.places, c.dim))
        self.blocks = nn.ModuleList(ReadingBlock(c.dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        self._readout: tuple[Tensor, Tensor] | None = None
        self._graph: Callable[..., tuple[Tensor, Tensor, Said]] | None = None

    def heard(self, states: Tensor) -> Tensor:
        """States (B, S, D) as (B, 2 * layers, H, S, D / H): keys and values of each layer in turn."""
        pairs = [block.heard(states) for block in self._blocks()]
        return torch.stack([part for pair in pairs for part in pair], 1)

    def nothing_said(self) -> Said:
        """One speaker, before the first token."""
        c = self.config
        empty = torch.zeros(1, c.layers, c.heads, 0, c.dim // c.heads, device=self.places.device)
        return Said(empty, empty)

    def step(
        self, tokens: Sequence[Sequence[int]], said: Sequence[Said], memory: Tensor, unheard: Tensor
    ) -> tuple[Tensor, list[Said], Tensor]:
        """Read each row's next tokens, one at least. memory: (B, 2 * layers, H, S, D / H); unheard: (B, S) True at
        padding. Returns the states (B, T, D), what was said with the tokens, and the weights of the alignment heads
        (B, T, S); of the T places of a row its tokens are the first ones."""
        device, before, news = memory.device, [one.keys.shape[3] for one in said], [len(row) for row in tokens]
        longest, count = max(before), max(news)
        rows = torch.tensor([[*row, *([0] * (count - len(row)))] for row in tokens], device=device)
        past, inside = torch.tensor(before, device=device)[:, None], torch.arange(count, device=device)
        places = (past + inside).clamp(max=len(self.places) - 1)
        at = torch.arange(longest + count, device=device)
        missing = (at >= past) & (at < longest)
        unsaid = (missing[:, None] | (at > (longest + inside)[:, None]))[:, None]
        filled = [one.map(lambda held: F.pad(held, (0, 0, 0, longest - held.shape[3]))) for one in said]
        read = self._graph or self._read
        y, weights, after = read(rows, places, unsaid, memory, unheard[:, None, None], stacked(filled))
        grown = []
        for row, (n, new) in enumerate(zip(before, news, strict=True)):
            own = after.map(lambda held, row=row: held[row : row + 1]) if len(before) > 1 else after
            if n < longest:
                own = own.map(lambda held, n=n: torch.cat([held[:, :, :, :n], held[:, :, :, longest:]], 3))
            grown.append(own.first(n + new))
        return y, grown, weights

    def _read(
        self, rows: Tensor, places: Tensor, unsaid: Tensor, memory: Tensor, unheard: Tensor, said: Said
    ) -> tuple[Tensor, Tensor, Said]:
        """Tokens and their places (B, T) to states, alignment weights, and what was said with them."""
        x = self.tokens(rows) + self.places[places]
        keys, values, weights = [], [], []
        for number, block in enumerate(self._blocks()):
            x, key, value, looked = block(
                x, (said.keys[:, number], said.values[:, number]), unsaid,
                (memory[:, 2 * number], memory[:, 2 * number + 1]), unheard,
            )  # fmt: skip
            keys.append(key)
            values.append(value)
            weights += [looked[:, head] for layer, head in self.config.alignment if layer == number]
        return self.norm(x), torch.stack(weights).mean(0), Said(torch.stack(keys, 1), torch.stack(values, 1))

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) to (..., tokens)."""
        return F.linear(states, self.tokens.weight)

    def quicken(self) -> None:
        """Compute in 8 bits and by one graph, for a CPU: a token costs the reading of all weights, a quarter of what it
        was."""
        weight = self.tokens.weight.detach()
        scale = weight.abs().amax(1).clamp_min(1e-8) / 127
        self._readout = ((weight / scale[:, None]).round().to(torch.int8), scale.bfloat16())
        in_rows_of_8_bits(self)
        c = self.config
        said = Said(*(torch.zeros(2, c.layers, c.heads, 3, c.dim // c.heads) for _ in range(2)))
        memory = torch.zeros(2, 2 * c.layers, c.heads, 5, c.dim // c.heads)
        rows, unsaid, unheard = torch.zeros(2, 2).long(), torch.zeros(2, 1, 2, 5).bool(), torch.zeros(2, 1, 1, 5).bool()
        self._graph = cast(Any, frozen(self, self._read, rows, rows, unsaid, memory, unheard, state=said))

    def best(self, states: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest token of states (N, D), and the logarithm of its probability; allowed: (N, tokens) 0, or -inf
        for what may not be written.

        With a readout in 8 bits the likeliest few are looked at again exactly.
        """
        if self._readout is None:
            scores = (self.logits(states) + allowed).log_softmax(-1)
            found = scores.max(-1)
            return found.indices, found.values
        rough = self._rough(states) + allowed
        few = rough.topk(LIKELY, -1).indices
        exact = torch.einsum("nkd,nd->nk", self.tokens.weight[few], states) + allowed.gather(-1, few)
        top = exact.max(-1, keepdim=True)
        return few.gather(-1, top.indices)[:, 0], top.values[:, 0] - rough.logsumexp(-1)

    def likelihoods(self, states: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logarithm of the probability of a token after each of the states (N, D), as (N,)."""
        scores = self.logits(states) if self._readout is None else self._rough(states)
        exact = (self.tokens.weight[list(tokens)] * states).sum(-1)
        return exact - scores.logsumexp(-1)

    def _rough(self, states: Tensor) -> Tensor:
        """Logits by the readout in 8 bits."""
        assert self._readout is not None
        return torch.ops.aten._weight_int8pack_mm(states.bfloat16(), *self._readout).float()

    def _blocks(self) -> list[ReadingBlock]:
        return [block for block in self.blocks if isinstance(block, ReadingBlock)]
