"""Whisper's decoder over a memory that grows: keys and values of what was heard and of what was said are kept.

The memory is the encoder's states of the utterance so far, filled up with states of silence that were computed once: a
decoder that learned on clips of 30 s begins the sentence anew where its memory ends with speech.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.models.whisper.readout import NO_MORE, Readout
from streamst.nn.eight_bits import in_rows_of_8_bits
from streamst.nn.frozen import frozen


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of the decoder; the values are those of tiny.en."""

    dim: int = 384
    heads: int = 6
    layers: int = 4
    tokens: int = 51_864
    places: int = 448
    sketch: int = 0  # dimensions of the states by which likely tokens are sought; 0 are all of them
    alignment: tuple[tuple[int, int], ...] = ((1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4))


@dataclass(frozen=True)
class Said:
    """parts: keys and values (2, H, T, D / H), of each layer, of the tokens that a speaker's decoder has read."""

    parts: tuple[Tensor, ...]

    @property
    def count(self) -> int:
        """Of tokens."""
        return self.parts[0].shape[2]

    def first(self, count: int) -> Said:
        """As it was after the first `count` tokens."""
        return Said(tuple(part[:, :, :count] for part in self.parts))


class ReadingBlock(nn.Module):
    """Causal self-attention, attention over the memory, feed-forward; residual each. What lies between the attentions
    knows nothing of rows: x is (N, D), the tokens of all speakers."""

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

    def ask(self, x: Tensor) -> Tensor:
        """Query, key and value (N, 3 * D) over what was said."""
        return self.project(self.attention_norm(x))

    def look(self, x: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        """x with what was found there, and the scaled query (N, D) over the memory."""
        x = x + self.out(found)
        return x, self.query(self.cross_norm(x)) * (x.shape[-1] // self.heads) ** -0.5

    def think(self, x: Tensor, found: Tensor) -> Tensor:
        """x with what was found in the memory, and thought over."""
        x = x + self.cross_out(found)
        return x + self.narrow(F.gelu(self.wide(self.norm(x))))

    def over_said(self, asked: Tensor, said: Tensor, later: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attention of one speaker's T tokens, asked (T, 3 * D), over those before them, said (2, H, P, D / H), and
        themselves; later: (T, P + T) True at what a token must not look at. Returns (T, D), and `said` with them."""
        parts = asked.unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        after = torch.cat([said, parts[1:]], 2)
        scores = parts[0] @ after[0].transpose(1, 2) * parts.shape[-1] ** -0.5
        weights = (scores if later is None else scores.masked_fill(later, float("-inf"))).softmax(-1)
        return (weights @ after[1]).transpose(0, 1).flatten(1), after

    def over_memory(self, query: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attention of one speaker's T tokens, query (T, D), over a memory (H, S, D / H); hidden: (T, S) True at what a
        token must not look at. Returns (T, D) and the weights (H, T, S)."""
        scores = query.unflatten(-1, (self.heads, -1)).transpose(0, 1) @ keys.transpose(1, 2)
        weights = (scores if hidden is None else scores.masked_fill(hidden, float("-inf"))).softmax(-1)
        return (weights @ values).transpose(0, 1).flatten(1), weights


class WhisperDecoder(nn.Module):
    """Tokens and a memory to the next token."""

    sketch: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.tokens = nn.Embedding(c.tokens, c.dim)
        self.places = nn.Parameter(torch.zeros(c.places, c.dim))
        self.blocks = nn.ModuleList(ReadingBlock(c.dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        if c.sketch:
            self.register_buffer("sketch", torch.zeros(2, c.sketch, c.dim))  # see readout.py
        self._readout: Readout | None = None
        self._graphs: dict[tuple[int, bool], Callable[..., tuple[Tensor, ...]]] = {}
        self._looked = [[head for layer, head in c.alignment if layer == number] for number in range(c.layers)]

    def heard(self, states: Tensor) -> Tensor:
        """States (B, S, D) as (B, 2 * layers, H, S, D / H): keys and values of each layer in turn."""
        pairs = [block.heard(states) for block in self.reading_blocks()]
        return torch.stack([part for pair in pairs for part in pair], 1)

    def nothing_said(self) -> Said:
        """One speaker, before the first token."""
        c = self.config
        return Said((torch.zeros(2, c.heads, 0, c.dim // c.heads, device=self.places.device),) * c.layers)

    def step(
        self,
        tokens: Sequence[Sequence[int]],
        said: Sequence[Said],
        memory: Sequence[Tensor],
        since: Sequence[Sequence[int]] | None = None,
    ) -> tuple[list[Tensor], list[Said], list[Tensor]]:
        """Read each speaker's next tokens, one at least. memory: (2 * layers, H, S, D / H) of each, which may differ in
        S; since: the frame of it before which each token must not look, growing. Returns the states (T, D) of each,
        what was said with the tokens, and the weights of the alignment heads (T, S).

        Weights are read once for all speakers; each looks over what it said and heard by itself, so nothing is padded.
        """
        device, counts = self.places.device, [len(row) for row in tokens]
        last = len(self.places) - 1
        places = [min(one.count + n, last) for one, count in zip(said, counts, strict=True) for n in range(count)]
        rows = torch.tensor([token for row in tokens for token in row], device=device)
        x = self.tokens(rows) + self.places[torch.tensor(places, device=device)]
        later = [_later(one.count, count, device) for one, count in zip(said, counts, strict=True)]
        since = since or [[0] * count for count in counts]
        first = [row[0] for row in since]
        hidden = [_before(row, one.shape[2], device) for row, one in zip(since, memory, strict=True)]
        (asked,) = self._between(0, True, x)
        grown: list[list[Tensor]] = [[] for _ in said]
        looked: list[list[Tensor]] = [[] for _ in said]
        for number, block in enumerate(self.reading_blocks()):
            found = []
            for row, part in enumerate(asked.split(counts)):
                y, after = block.over_said(part, said[row].parts[number], later[row])
                found.append(y)
                grown[row].append(after)
            x, query = self._between(number, False, x, _joined(found))
            found = []
            for row, part in enumerate(query.split(counts)):
                keys, values = memory[row][2 * number : 2 * number + 2, :, first[row] :]
                y, weights = block.over_memory(part, keys, values, hidden[row])
                found.append(y)
                looked[row] += [weights[head] for head in self._looked[number]]
            x, asked = self._between(number + 1, True, x, _joined(found))
        means = [F.pad(torch.stack(one).mean(0), (n, 0)) for n, one in zip(first, looked, strict=True)]
        return list(x.split(counts)), [Said(tuple(parts)) for parts in grown], means

    def _between(self, number: int, asks: bool, *x: Tensor) -> tuple[Tensor, ...]:
        """What lies between two attentions: before the one of block `number` over what was said where `asks`, over the
        memory where not."""
        graph = self._graphs.get((number, asks))
        return graph(*x) if graph is not None else self._part(number, asks, *x)

    def _part(self, number: int, asks: bool, *x: Tensor) -> tuple[Tensor, ...]:
        blocks = self.reading_blocks()
        if not asks:
            return blocks[number].look(*x)
        if not number:
            return (blocks[0].ask(*x),)
        after = blocks[number - 1].think(*x)
        return (self.norm(after), after) if number == len(blocks) else (after, blocks[number].ask(after))

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) to (..., tokens)."""
        return F.linear(states, self.tokens.weight)

    def quicken(self) -> None:
        """Compute in 8 bits and by graphs, for a CPU: a token costs the reading of all weights, a quarter of what it
        was."""
        c = self.config
        in_rows_of_8_bits(self)
        self._readout = Readout(self.tokens.weight, self.sketch if c.sketch else None)
        x = torch.zeros(3, c.dim)
        for number in range(c.layers + 1):
            for asks, inputs in ((True, (x, x) if number else (x,)), (False, (x, x))):
                if asks or number < c.layers:
                    self._graphs[number, asks] = frozen(self, partial(self._part, number, asks), *inputs)

    def best(self, states: Tensor, allowed: Tensor, more: Mapping[int, Tensor] = NO_MORE) -> tuple[Tensor, Tensor]:
        """The likeliest token of states (N, D), and the logarithm of its probability; allowed: (tokens,) 0, or -inf
        for what may not be written; more: likewise, of single states.

        Of a quickened decoder they come from its `Readout`.
        """
        if self._readout is not None:
            return self._readout.best(states, allowed, more)
        scores = self.logits(states) + allowed
        for place, forbidden in more.items():
            scores[place] += forbidden
        found = scores.log_softmax(-1).max(-1)
        return found.indices, found.values

    def likelihoods(self, states: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logarithm of the probability of a token after each of the states (N, D), as (N,)."""
        if self._readout is not None:
            return self._readout.likelihoods(states, tokens)
        return self.logits(states).log_softmax(-1)[range(len(tokens)), list(tokens)]

    def reading_blocks(self) -> list[ReadingBlock]:
        """The layers."""
        return [block for block in self.blocks if isinstance(block, ReadingBlock)]


def _later(before: int, count: int, device: torch.device) -> Tensor | None:
    """(count, before + count) True at the tokens after each of `count`; None of one."""
    if count == 1:
        return None
    return torch.ones(count, before + count, dtype=torch.bool, device=device).triu(before + 1)


def _joined(rows: list[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _before(since: Sequence[int], size: int, device: torch.device) -> Tensor | None:
    """(T, S) of the frames from the first of `since` (T) on to `size`: True before each; None where all are alike."""
    if len(set(since)) == 1:
        return None
    return torch.arange(since[0], size, device=device) < torch.tensor(since, device=device)[:, None]
