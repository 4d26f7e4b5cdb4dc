"""Whisper's encoder made chunk-wise: a frame sees its chunk and seconds before it; the last ones are encoded once more.

The weights and the arithmetic are Whisper's (Radford et al., 2022, section 2.2): two convolutions, sinusoidal places,
pre-norm blocks. Only the mask is new, so whole clips come out as Whisper's own, and the mask of training is the cache
of inference. Frames near a chunk's end know little of what follows: `again` of them go through the blocks a second
time, with the next chunk, and replace what they were (as the right context of Emformer, Shi et al., 2021). Places end
at 1,500 frames (30 s): whoever hears longer begins anew before (see recogniser.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.models.whisper.features import BANDS, HOP_SAMPLES, MelState, WhisperMel
from streamst.nn.attention import chunk_mask
from streamst.nn.eight_bits import in_rows_of_8_bits
from streamst.nn.frozen import frozen
from streamst.nn.state import State

PLACES = 1500
FRAME_SAMPLES = 2 * HOP_SAMPLES
FRAME_MS = 20.0


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the encoder; the values are those of tiny.en."""

    dim: int = 384
    heads: int = 6
    layers: int = 4
    left: int = 250  # frames before a chunk that it sees
    again: int = 32  # frames that are encoded once more with the chunk after them


@dataclass(frozen=True)
class EncoderState(State):
    """mel: of the features; frames: (B, 2, 80) the last two; inner: (B, 1, D) the last of the first convolution;
    open: (B, again, D) what goes into the blocks once more; keys, values: (B, layers, H, left, D / H) of what came
    before it, maybe in 16 bits; all right-aligned; place: (B,) frames encoded so far."""

    mel: MelState
    frames: Tensor
    inner: Tensor
    open: Tensor
    keys: Tensor
    values: Tensor
    place: Tensor


class Block(nn.Module):
    """Self-attention and feed-forward, residual each."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.project, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm, self.wide, self.narrow = nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor], hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: (B, T, D); past: keys and values (B, H, P, D / H); hidden: (B or 1, 1, T, P + T) True where a query must
        not look. Returns x and all keys and values."""
        query, key, value = self.project(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        keys, values = torch.cat([past[0], key.transpose(1, 2)], 2), torch.cat([past[1], value.transpose(1, 2)], 2)
        y = F.scaled_dot_product_attention(query.transpose(1, 2), keys, values, attn_mask=~hidden)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norm(x)))), keys, values


class WhisperEncoder(nn.Module):
    """PCM (B, S) to states (B, S // 320, D)."""

    _places: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.features = WhisperMel()
        self.first, self.second = nn.Conv1d(BANDS, c.dim, 3), nn.Conv1d(c.dim, c.dim, 3, stride=2)
        self.blocks = nn.ModuleList(Block(c.dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        self.register_buffer("_places", sinusoids(PLACES, c.dim), persistent=False)
        self._graph: Callable[[Tensor, EncoderState], tuple[Tensor, EncoderState]] | None = None

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> EncoderState:
        """Nothing heard."""
        c = self.config
        cache = torch.zeros(batch, c.layers, c.heads, c.left, c.dim // c.heads, device=device, dtype=dtype)
        return EncoderState(
            self.features.init_state(batch, device, dtype),
            torch.zeros(batch, 2, BANDS, device=device, dtype=dtype),
            torch.zeros(batch, 1, c.dim, device=device, dtype=dtype),
            torch.zeros(batch, c.again, c.dim, device=device, dtype=dtype),
            cache,
            cache,
            torch.zeros(batch, dtype=torch.long, device=device),
        )

    def step(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """x: (B, S), one chunk, S a multiple of 320; ValueError beyond the last of the 1,500 places.

        Returns the states (B, again + S / 320, D) of the frames that are encoded once more (of a row that has not heard
        as many, the last ones) and of the chunk's.
        """
        last = int(state.place.max()) + x.shape[1] // FRAME_SAMPLES - 1
        if last >= PLACES:
            raise ValueError(f"frame {last} has no place; {PLACES} are known")
        return (self._graph or self._step)(x, state)

    def quicken(self) -> None:
        """Compute in 8 bits and by one graph, for a CPU."""
        in_rows_of_8_bits(self)
        x, state = torch.zeros(1, 8 * FRAME_SAMPLES), narrow(self.init_state(1))
        self._graph = cast(Any, frozen(self, self._step, x, state=state))

    def _step(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        mel, features = self.features.step(x, state.mel)
        inner = F.gelu(self.first(_after(state.frames, mel))).transpose(1, 2)
        new = F.gelu(self.second(_after(state.inner, inner))).transpose(1, 2)
        count, left, again = new.shape[1], self.config.left, self.config.again
        place = state.place[:, None] + torch.arange(count, device=x.device)
        y = torch.cat([state.open, new + self._places[place]], 1)
        opened = y[:, count:]
        known = state.place.clamp(max=left + again)[:, None]  # of cache and `open`
        hidden = (torch.arange(left + again + count, device=x.device) < left + again - known)[:, None, None]
        keys, values = [], []
        for number, block in enumerate(self.blocks):
            y, key, value = block(y, (state.keys[:, number], state.values[:, number]), hidden)
            keys.append(key[:, :, left : left + count])
            values.append(value[:, :, left : left + count])
        after = EncoderState(
            features, mel[:, -2:], inner[:, -1:], opened, _moved(state.keys, keys), _moved(state.values, values),
            state.place + count,
        )  # fmt: skip
        return self.norm(y), after

    def forward(self, mel: Tensor, chunk: int = -1, left: int = -1, lengths: Tensor | None = None) -> Tensor:
        """Whole utterances at once: features (B, T, 80) to states (B, T // 2, D), as `step` gives them chunk by chunk.

        chunk, left: frames of a chunk, and before it, that a frame sees; -1 is all. lengths: (B,) frames of each that
        are real, where rows differ.
        """
        state = self.init_state(len(mel), mel.device, mel.dtype)
        inner = F.gelu(self.first(_after(state.frames, mel))).transpose(1, 2)
        y = F.gelu(self.second(_after(state.inner, inner))).transpose(1, 2)
        frames = y.shape[1]
        y = y + self._places[:frames]
        visible = chunk_mask(frames, chunk, left, mel.device)[None]
        if lengths is not None:
            real = torch.arange(frames, device=mel.device) < lengths[:, None]
            visible = (visible & real[:, None]) | torch.eye(frames, dtype=torch.bool, device=mel.device)
        past = (state.keys[:, 0, :, :0], state.values[:, 0, :, :0])
        for block in self.blocks:
            y, _, _ = block(y, past, ~visible[:, None])
        return self.norm(y)


def narrow(state: EncoderState) -> EncoderState:
    """As it is kept: keys and values in 16 bits."""
    return replace(state, keys=state.keys.half(), values=state.values.half())


def _moved(past: Tensor, new: list[Tensor]) -> Tensor:
    """The last frames of `past` (B, layers, H, left, d), and of each layer's `new` (B, H, T, d), as many as before."""
    more = torch.stack(new, 1).to(past.dtype)
    left = past.shape[3]
    return torch.cat([past[:, :, :, more.shape[3] :], more[:, :, :, -left:]], 3)


def _after(last: Tensor, frames: Tensor) -> Tensor:
    """(B, D, P + T): what a convolution over `frames` (B, T, D) reads, the `last` (B, P, D) before them in front."""
    return torch.cat([last, frames], 1).transpose(1, 2)


def sinusoids(length: int, dim: int) -> Tensor:
    """(length, dim): sines of geometrically falling frequencies, then their cosines."""
    rates = torch.exp(-math.log(10_000) / (dim // 2 - 1) * torch.arange(dim // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
