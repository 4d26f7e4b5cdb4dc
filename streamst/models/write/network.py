"""What writes: a token memory of the source, and an attention decoder that reads it.

The memory has one vector a source token: its embedding, then a small bidirectional encoder over the tokens, so that
sentence pairs without audio train all weights. `<begin>` always opens the memory; `<end>` closes it only when the
source is complete, so that the decoder knows an open sentence from a finished one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.models.listen.conformer import FeedForward
from streamst.nn.attention import AttentionState, ChunkAttention
from streamst.nn.eight_bits import RowLinear, in_rows_of_8_bits, possible
from streamst.nn.state import State
from streamst.text import Tokenizer

from .decoding import TensorDecoder
from .greedy import Continuation, Draft, write
from .lexicon import Lexicon, Reading


@dataclass(frozen=True)
class WriterConfig:
    """Shape of the memory encoder and the decoder."""

    source_tokens: int = 500
    target_tokens: int = 1000
    dim: int = 192
    heads: int = 4
    expansion: int = 4
    memory_layers: int = 2
    decoder_layers: int = 3
    max_distance: int = 32  # tokens
    max_tokens: int = 192  # longest target of a segment
    dropout: float = 0.1
    alignment_layer: int = 1  # decoder layer whose cross-attention is exported, from 0
    shared: bool = False  # one vocabulary and one embedding for source and target
    positions: bool = False  # each token knows its place in its sentence (Vaswani et al. 2017, section 3.5)
    lexicon: int = 0  # translations of each source token that are kept (`Lexicon`); needs a shared vocabulary
    prompts: tuple[str, ...] = ()  # tasks and target languages that it was trained with: "st:de", "asr:en"; () is one


SELDOM = 20.0  # nats
OUTGROWN = frozenset({"states.weight", "writer.states.weight"})  # of older checkpoints


def writer_config(described: dict[str, Any]) -> WriterConfig:
    """From a checkpoint; ConfigError for an unknown key, and for a writer that reads encoder states."""
    described = dict(described)
    described.pop("state_dim", None)
    if described.pop("reads_states", False):
        raise ConfigError("writer: reads_states = true is not possible; allowed: false, a writer reads words")
    return from_dict(WriterConfig, described, "TranslatorConfig.writer")


class MemoryLayer(nn.Module):
    """Self-attention over the whole memory, feed-forward; residual each."""

    def __init__(self, c: WriterConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(c.dim)
        self.attention = ChunkAttention(c.dim, c.heads, c.max_distance)
        self.feed_forward = FeedForward(c.dim, c.expansion, c.dropout)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """x: (B, S, D); visible: (B, S, S)."""
        x = x + self.dropout(self.attention(self.norm(x), visible))
        return x + self.feed_forward(x)


class CrossAttention(nn.Module):
    """Queries (B, T, D) over a memory (B, S, D); also returns the weights averaged over heads (B, T, S)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], hidden: Tensor) -> tuple[Tensor, Tensor]:
        """memory: projected keys and values (B, H, S, D / H); hidden: (B, S) True at padding."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        keys, values = memory
        scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = scores.masked_fill(hidden[:, None, None], float("-inf")).softmax(-1)
        return self.out((weights @ values).transpose(1, 2).flatten(2)), weights.mean(1)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `memory` (B, S, D)."""
        keys, values = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return keys.transpose(1, 2), values.transpose(1, 2)


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention, feed-forward; residual each."""

    def __init__(self, c: WriterConfig) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(c.dim)
        self.self_attention = ChunkAttention(c.dim, c.heads, c.max_distance, causal=True)
        self.cross_norm = nn.LayerNorm(c.dim)
        self.cross_attention = CrossAttention(c.dim, c.heads)
        self.feed_forward = FeedForward(c.dim, c.expansion, c.dropout)
        self.dropout = nn.Dropout(c.dropout)

    def forward(
        self, x: Tensor, visible: Tensor, memory: tuple[Tensor, Tensor], hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """x: (B, T, D); visible: (1, T, T) causal."""
        x = x + self.dropout(self.self_attention(self.self_norm(x), visible))
        read, weights = self.cross_attention(self.cross_norm(x), memory, hidden)
        x = x + self.dropout(read)
        return x + self.feed_forward(x), weights

    def step(
        self, x: Tensor, state: AttentionState, memory: tuple[Tensor, Tensor], hidden: Tensor, real: Tensor | None
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """x: (B, T, D) the next T positions; real: see `ChunkAttention.step`."""
        said, state = self.self_attention.step(self.self_norm(x), state, real, grow=True)
        x = x + said
        read, weights = self.cross_attention(self.cross_norm(x), memory, hidden)
        x = x + read
        return x + self.feed_forward(x), weights, state


@dataclass(frozen=True)
class DecoderState(State):
    """What decoding carries on: keys and values of the memory (B, H, S, D / H) and of what was said, a pair and a state
    a layer; hidden: (B, S) True at the memory's padding."""

    memory: tuple[tuple[Tensor, Tensor], ...]
    said: tuple[AttentionState, ...]
    hidden: Tensor


@dataclass(frozen=True)
class WriterGraphs:
    """`Writer.memory`, `step` where all rows are as long, and `logits` of states (B, D)."""

    memory: Callable[[Tensor, Tensor], Tensor]
    step: Callable[[Tensor, DecoderState, Tensor], tuple[Tensor, Tensor, DecoderState]]
    logits: Callable[[Tensor], Tensor]


class Writer(nn.Module):
    """Source tokens to target tokens."""

    def __init__(self, config: WriterConfig) -> None:
        super().__init__()
        self.config = c = config
        if c.heads < 1 or c.dim % c.heads or not 0 <= c.alignment_layer < c.decoder_layers:
            raise ConfigError(
                f"writer: heads {c.heads} must divide dim {c.dim}, "
                f"alignment_layer {c.alignment_layer} is one of {c.decoder_layers} decoder_layers, counted from 0"
            )
        if c.shared and c.source_tokens != c.target_tokens:
            raise ConfigError(
                f"writer: shared = true with {c.source_tokens} source_tokens and {c.target_tokens} target_tokens; "
                "a shared vocabulary has one size"
            )
        if c.lexicon < 0 or (c.lexicon and not c.shared):
            raise ConfigError(f"writer: lexicon {c.lexicon}; allowed: 0, or more with shared = true")
        self.lexicon = Lexicon(c.target_tokens, c.lexicon) if c.lexicon else None
        self.source = None if c.shared else nn.Embedding(c.source_tokens, c.dim)
        self.memory_layers = nn.ModuleList(MemoryLayer(c) for _ in range(c.memory_layers))
        self.memory_norm = nn.LayerNorm(c.dim)
        self.target = nn.Embedding(c.target_tokens, c.dim)
        self.prompt = nn.Embedding(len(c.prompts), c.dim) if c.prompts else None  # joins <begin>
        self.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c.decoder_layers))
        self.norm = nn.LayerNorm(c.dim)
        self.dropout = nn.Dropout(c.dropout)
        self.graphs: WriterGraphs | None = None  # what computes in place of the modules, once nothing is trained
        self.seldom: Tensor | None = None  # tokens that nothing but a wish brings about
        self.projection: Callable[[Tensor], Tensor] | None = None  # to the logits, in place of the embedding
        if self.source is not None:
            nn.init.normal_(self.source.weight, std=c.dim**-0.5)
        nn.init.normal_(self.target.weight, std=c.dim**-0.5)
        if self.prompt is not None:
            nn.init.normal_(self.prompt.weight, std=c.dim**-0.5)

    def memory(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """tokens: (B, S) with <begin> and perhaps <end>; hidden: (B, S) padding."""
        if self.graphs is not None:
            return self.graphs.memory(tokens, hidden)
        embedding = self.target if self.source is None else self.source
        x = self._placed(embedding(tokens) * self.config.dim**0.5, torch.arange(tokens.shape[1], device=tokens.device))
        x = self.dropout(x)
        eye = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
        visible = ~hidden[:, None] | eye
        for layer in self.memory_layers:
            x = layer(x, visible)
        return self.memory_norm(x)

    def forward(
        self, memory: Tensor, hidden: Tensor, inputs: Tensor, prompts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Teacher-forced, inputs (B, T) begin with <begin>: logits (B, T, target_tokens), what `lexicon` adds left out,
        and alignment (B, T, S).

        prompts: (B,) places in `config.prompts`, None for the first.
        """
        said, alignment = self.decoder_states(memory, hidden, inputs, prompts)
        return F.linear(said, self.target.weight), alignment

    def decoder_states(
        self, memory: Tensor, hidden: Tensor, inputs: Tensor, prompts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, the decoder's states (B, T, D) in place of the logits."""
        places = torch.arange(inputs.shape[1], device=inputs.device)
        x = self.dropout(self._placed(self._embedded(inputs, prompts), places))
        visible = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool, device=inputs.device).tril()[None]
        alignment = memory.new_zeros(())
        for number, layer in enumerate(self._layers()):
            x, weights = layer(x, visible, layer.cross_attention.project(memory), hidden)
            alignment = weights if number == self.config.alignment_layer else alignment
        return self.norm(x), alignment

    def prompt_number(self, prompt: str) -> int:
        """The place of `prompt` in `config.prompts`, 0 for a writer without prompts; ConfigError for an unknown one."""
        known = self.config.prompts
        if known and prompt not in known:
            raise ConfigError(f"the writer does not know the prompt {prompt!r}; allowed: {', '.join(known)}")
        return known.index(prompt) if known else 0

    def _embedded(self, inputs: Tensor, prompts: Tensor | None) -> Tensor:
        x = self.target(inputs)
        if self.prompt is not None:
            prompts = inputs.new_zeros(len(inputs)) if prompts is None else prompts
            begins = (inputs == Tokenizer.begin)[..., None]
            x = x + self.prompt(prompts)[:, None] * begins
        return x * self.config.dim**0.5

    def _placed(self, x: Tensor, places: Tensor) -> Tensor:
        """x (B, T, D) with sine and cosine of the places (B or 1, T), where the writer has them."""
        if not self.config.positions:
            return x
        half = self.config.dim // 2
        slopes = torch.exp(torch.arange(half, device=x.device) * (-math.log(10_000) / half))
        angles = places[..., None] * slopes
        return x + torch.cat([angles.sin(), angles.cos()], -1).to(x.dtype)

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest sentence."""
        return self.config.max_tokens

    def begin(self, memory: Tensor, hidden: Tensor) -> DecoderState:
        """Nothing said over `memory` (B, S, D); hidden: (B, S) padding."""
        batch, layers = len(memory), self._layers()
        return DecoderState(
            tuple(layer.cross_attention.project(memory) for layer in layers),
            tuple(layer.self_attention.init_state(batch, 0, memory.device, memory.dtype) for layer in layers),
            hidden,
        )

    def select(self, state: DecoderState, rows: Sequence[int], same: bool = False) -> DecoderState:
        """Some rows, in this order. same: row n is of the memory that it was of, which need not be moved."""
        if not same:
            return state.select(rows)
        return DecoderState(state.memory, tuple(one.select(rows) for one in state.said), state.hidden)

    def step(
        self, inputs: Tensor, state: DecoderState, prompts: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Tensor, DecoderState]:
        """inputs: (B, T) tokens; real: (B,) how many of the last of them are real where rows differ, at the beginning
        only. Returns the decoder's states (B, D) and the weights over the memory (B, S) at the last token."""
        if self.graphs is not None and prompts is not None and real is None:
            return self.graphs.step(inputs, state, prompts)
        places = state.said[0].length[:, None] + torch.arange(inputs.shape[1], device=inputs.device)
        if real is not None:
            places = (places + real[:, None] - inputs.shape[1]).clamp_min(0)
        x = self._placed(self._embedded(inputs, prompts), places)
        row, after = x, []
        for number, (layer, memory, said) in enumerate(zip(self._layers(), state.memory, state.said, strict=True)):
            x, weights, said = layer.step(x, said, memory, state.hidden, real)
            row = weights if number == self.config.alignment_layer else row
            after.append(said)
        return self.norm(x[:, -1]), row[:, -1], DecoderState(state.memory, tuple(after), state.hidden)

    def logits(self, said: Tensor) -> Tensor:
        """Decoder states (..., D) to (..., target_tokens)."""
        if self.graphs is not None and said.dim() == 2:
            return self.graphs.logits(said)
        found = F.linear(said, self.target.weight) if self.projection is None else self.projection(said)
        if self.seldom is not None:
            found[..., self.seldom] -= SELDOM
        return found

    def quicken(self) -> None:
        """From now on 8 bits, on a CPU that has them: `RowLinear` in place of every linear layer and of the logits'."""
        if possible():
            in_rows_of_8_bits(self)
            logits = nn.Linear(*self.target.weight.T.shape, bias=False)
            logits.weight.data = self.target.weight.data
            self.__dict__["projection"] = RowLinear(logits)  # no part: what is saved stays the same

    def lexical(self, tokens: Sequence[int]) -> Reading | None:
        """What the lexicon knows of the memory's `tokens`: for `Draft.lexical`."""
        return None if self.lexicon is None else self.lexicon.read(tokens)

    def greedy(self, memory: Tensor, prefix: Sequence[int], limit: int, **wishes: Any) -> Continuation:
        """`write` for one speaker: continue `prefix` over `memory` (1, S, D) by at most `limit` tokens."""
        hidden = torch.zeros(1, memory.shape[1], dtype=torch.bool, device=memory.device)
        return write(TensorDecoder(self), self.begin(memory, hidden), [Draft(prefix, limit, **wishes)])[0]

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]
