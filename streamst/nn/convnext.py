"""Causal ConvNeXt blocks, channel-last, over the state contract.

Liu et al., "A ConvNet for the 2020s" (2022), in one dimension and with the depthwise kernel looking only back: a
block is depthwise convolution -> layer norm -> linear -> GELU -> linear -> learned scale, added to its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.nn.state import State


@dataclass(frozen=True)
class BlockState(State):
    """What one block remembers."""

    previous: Tensor  # (B, K - 1, D) last inputs of the depthwise convolution


@dataclass(frozen=True)
class StackState(State):
    """What a stack of blocks remembers."""

    blocks: tuple[BlockState, ...]


class CausalDepthwise(nn.Module):
    """Depthwise convolution over (B, T, D); output t sees inputs t - K + 1 .. t."""

    def __init__(self, dim: int, kernel_frames: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernel_frames, dim) * kernel_frames**-0.5)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, K - 1 + T, D) with its left context in front -> (B, T, D)."""
        kernel, dim = self.weight.shape
        frames = x.shape[1] - kernel + 1
        if x.shape[0] * frames < 256:  # few rows: one product and one sum beat setting up a convolution
            return (x.unfold(1, kernel, 1).transpose(2, 3) * self.weight).sum(2) + self.bias
        weight = self.weight.t().unsqueeze(1)
        return F.conv1d(x.transpose(1, 2), weight, self.bias, groups=dim).transpose(1, 2)


class ConvNeXtBlock(nn.Module):
    """One causal block over (B, T, D)."""

    def __init__(self, dim: int, kernel_frames: int = 7, expansion: int = 3, scale: float = 0.2) -> None:
        super().__init__()
        self.dim, self.kernel_frames = dim, kernel_frames
        self.depthwise = CausalDepthwise(dim, kernel_frames)
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.up = nn.Linear(dim, dim * expansion)
        self.down = nn.Linear(dim * expansion, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> BlockState:
        """A fresh state for `batch` rows."""
        return BlockState(torch.zeros(batch, self.kernel_frames - 1, self.dim, device=device, dtype=dtype))

    def step(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """x (B, T, D), any T -> (B, T, D) and the state after it."""
        if x.shape[1] == 0:
            return x, state
        context = torch.cat([state.previous, x], dim=1)
        y = self.down(F.gelu(self.up(self.norm(self.depthwise(context)))))
        return x + self.scale * y, BlockState(context[:, context.shape[1] - self.kernel_frames + 1 :])

    def forward(self, x: Tensor) -> Tensor:
        """Offline: the step from a fresh state."""
        return self.step(x, self.init_state(x.shape[0], x.device, x.dtype))[0]


class ConvNeXtStack(nn.Module):
    """`blocks` causal blocks in a row; receptive field 1 + blocks * (K - 1) frames, none of them ahead."""

    def __init__(self, dim: int, blocks: int, kernel_frames: int = 7, expansion: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, kernel_frames, expansion) for _ in range(blocks))

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> StackState:
        """A fresh state for `batch` rows."""
        return StackState(tuple(block.init_state(batch, device, dtype) for block in self._blocks()))

    def step(self, x: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """x (B, T, D), any T -> (B, T, D) and the state after it."""
        after = []
        for block, before in zip(self._blocks(), state.blocks, strict=True):
            x, changed = block.step(x, before)
            after.append(changed)
        return x, StackState(tuple(after))

    def forward(self, x: Tensor) -> Tensor:
        """Offline: the step from a fresh state."""
        return self.step(x, self.init_state(x.shape[0], x.device, x.dtype))[0]

    def _blocks(self) -> list[ConvNeXtBlock]:
        return [block for block in self.blocks if isinstance(block, ConvNeXtBlock)]
