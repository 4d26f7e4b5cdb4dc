"""The streaming encoder: causal subsampling and conformer blocks (Gulati et al. 2020) with chunk-wise attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.errors import ConfigError
from streamst.nn.attention import AttentionState, ChunkAttention, chunk_mask
from streamst.nn.conv import ConvState, DepthwiseConv, StridedConv
from streamst.nn.state import State

STRIDES = {4: (4,), 8: (4, 2)}  # of the convolutions, by subsampling


@dataclass(frozen=True)
class ConformerConfig:
    """Encoder shape. One output frame covers `subsampling` feature frames."""

    bands: int = 80
    dim: int = 192
    layers: int = 7
    heads: int = 4
    expansion: int = 4  # feed-forward width over dim
    kernel: int = 9  # depthwise convolution [frames]
    max_distance: int = 32  # beyond it all distances share one attention bias [frames]
    left_frames: int = 48  # left context of attention when streaming
    subsampling: int = 8  # 4 (40 ms frames) or 8 (80 ms)
    dropout: float = 0.1
    middle: int = 4  # layer after which the companion losses look


@dataclass(frozen=True)
class BlockState(State):
    """attention: cache of keys and values; conv: tail of the depthwise convolution."""

    attention: AttentionState
    conv: ConvState


@dataclass(frozen=True)
class EncoderState(State):
    """subsampling: tails of the strided convolutions; blocks: one state a layer."""

    subsampling: tuple[ConvState, ...]
    blocks: tuple[BlockState, ...]


class FeedForward(nn.Sequential):
    """LayerNorm, widen, SiLU, narrow."""

    def __init__(self, dim: int, expansion: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(dim), nn.Linear(dim, expansion * dim), nn.SiLU(), nn.Dropout(dropout),
            nn.Linear(expansion * dim, dim), nn.Dropout(dropout),
        )  # fmt: skip


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, LayerNorm; residual each."""

    def __init__(self, c: ConformerConfig) -> None:
        super().__init__()
        self.forward_in = FeedForward(c.dim, c.expansion, c.dropout)
        self.attention_norm = nn.LayerNorm(c.dim)
        self.attention = ChunkAttention(c.dim, c.heads, c.max_distance)
        self.conv_norm = nn.LayerNorm(c.dim)
        self.conv_in = nn.Linear(c.dim, 2 * c.dim)
        self.conv = DepthwiseConv(c.dim, c.kernel)
        self.conv_mid_norm = nn.LayerNorm(c.dim)
        self.conv_out = nn.Linear(c.dim, c.dim)
        self.forward_out = FeedForward(c.dim, c.expansion, c.dropout)
        self.norm = nn.LayerNorm(c.dim)
        self.dropout = nn.Dropout(c.dropout)

    def init_state(self, batch: int, left: int, device: torch.device | str, dtype: torch.dtype) -> BlockState:
        """Fresh caches."""
        return BlockState(
            self.attention.init_state(batch, left, device, dtype), self.conv.init_state(batch, device, dtype)
        )

    def step(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """x: (B, T, D), one chunk."""
        x = x + 0.5 * self.forward_in(x)
        attended, attention = self.attention.step(self.attention_norm(x), state.attention)
        x = x + attended
        mixed, conv = self.conv.step(F.glu(self.conv_in(self.conv_norm(x))), state.conv)
        x = x + self.conv_out(F.silu(self.conv_mid_norm(mixed)))
        return self.norm(x + 0.5 * self.forward_out(x)), BlockState(attention, conv)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """x: (B, T, D); visible: (B or 1, T, T)."""
        x = x + 0.5 * self.forward_in(x)
        x = x + self.dropout(self.attention(self.attention_norm(x), visible))
        mixed = self.conv(F.glu(self.conv_in(self.conv_norm(x))))
        x = x + self.dropout(self.conv_out(F.silu(self.conv_mid_norm(mixed))))
        return self.norm(x + 0.5 * self.forward_out(x))


class Conformer(nn.Module):
    """Features (B, T, bands) to states (B, T // subsampling, dim)."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        if c.subsampling not in STRIDES:
            raise ConfigError(f"encoder.subsampling {c.subsampling} is not possible; allowed: 4, 8")
        if c.heads < 1 or c.dim % c.heads or not 1 <= c.middle <= c.layers:
            raise ConfigError(
                f"encoder: heads {c.heads} must divide dim {c.dim}, middle {c.middle} is one of {c.layers} layers"
            )
        strides = STRIDES[c.subsampling]
        sizes = (c.bands, *([c.dim] * len(strides)))
        kernels = (8, 4)
        self.subsample = nn.ModuleList(
            StridedConv(sizes[i], c.dim, kernels[i], stride) for i, stride in enumerate(strides)
        )
        self.blocks = nn.ModuleList(ConformerBlock(c) for _ in range(c.layers))
        self.dropout = nn.Dropout(c.dropout)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> EncoderState:
        """A fresh stream."""
        return EncoderState(
            tuple(conv.init_state(batch, device, dtype) for conv in self._convs()),
            tuple(block.init_state(batch, self.config.left_frames, device, dtype) for block in self._blocks()),
        )

    def step(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """x: (B, T, bands), exactly one chunk of any size that is a multiple of the subsampling."""
        tails = []
        for conv, tail in zip(self._convs(), state.subsampling, strict=True):
            x, tail = conv.step(x, tail)
            x = F.silu(x)
            tails.append(tail)
        blocks = []
        for block, before in zip(self._blocks(), state.blocks, strict=True):
            x, after = block.step(x, before)
            blocks.append(after)
        return x, EncoderState(tuple(tails), tuple(blocks))

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, chunk: int | Sequence[int] = -1, left: int = -1
    ) -> tuple[Tensor, Tensor]:
        """The masked offline path.

        x: (B, T, bands), T a multiple of the subsampling; lengths: (B,) valid output frames;
        chunk, left: frames, -1 is all; several chunks are one after the other (see `chunk_mask`).
        Returns the last layer's states and those of layer `middle`, both (B, T', dim).
        """
        for conv in self._convs():
            x = F.silu(conv(x))
        x = self.dropout(x)
        visible = chunk_mask(x.shape[1], chunk, left, x.device)[None]
        if lengths is not None:
            own = torch.arange(x.shape[1], device=x.device)
            inside = own[None] < lengths[:, None]
            visible = visible & (inside[:, None] | torch.eye(len(own), dtype=torch.bool, device=x.device)[None])
        middle = x
        for number, block in enumerate(self.blocks, 1):
            x = block(x, visible)
            if number == self.config.middle:
                middle = x
        return x, middle

    def _convs(self) -> list[StridedConv]:
        return [conv for conv in self.subsample if isinstance(conv, StridedConv)]

    def _blocks(self) -> list[ConformerBlock]:
        return [block for block in self.blocks if isinstance(block, ConformerBlock)]
