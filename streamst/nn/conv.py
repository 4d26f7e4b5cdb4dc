"""Causal convolutions over the state contract, channel last: (B, T, D)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.nn.state import State


@dataclass(frozen=True)
class ConvState(State):
    """previous: (B, K - S, D) the last inputs."""

    previous: Tensor


class StridedConv(nn.Module):
    """Causal convolution with kernel K and stride S as one matrix product; T must be a multiple of S."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.inputs, self.kernel, self.stride = inputs, kernel, stride
        self.linear = nn.Linear(inputs * kernel, outputs)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> ConvState:
        """Zeros before the first input."""
        return ConvState(torch.zeros(batch, self.kernel - self.stride, self.inputs, device=device, dtype=dtype))

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """x: (B, T, inputs) to (B, T // S, outputs)."""
        if x.shape[1] % self.stride:
            raise ValueError(f"{x.shape[1]} inputs are not a multiple of the stride {self.stride}")
        joined = torch.cat([state.previous.to(x.dtype), x], 1)
        after = ConvState(joined[:, x.shape[1] :])
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], 0, self.linear.out_features), after
        windows = joined.unfold(1, self.kernel, self.stride)  # (B, T // S, inputs, K)
        return self.linear(windows.flatten(2)), after

    def forward(self, x: Tensor) -> Tensor:
        """The offline path."""
        return self.step(x, self.init_state(x.shape[0], x.device, x.dtype))[0]


class DepthwiseConv(nn.Module):
    """Causal depthwise convolution with kernel K."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.weight = nn.Parameter(torch.empty(channels, 1, kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.uniform_(self.weight, -(kernel**-0.5), kernel**-0.5)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> ConvState:
        """Zeros before the first input."""
        return ConvState(torch.zeros(batch, self.kernel - 1, self.channels, device=device, dtype=dtype))

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """x: (B, T, channels) to the same shape."""
        joined = torch.cat([state.previous.to(x.dtype), x], 1)
        y = F.conv1d(joined.transpose(1, 2), self.weight, self.bias, groups=self.channels).transpose(1, 2)
        return y, ConvState(joined[:, x.shape[1] :])

    def forward(self, x: Tensor) -> Tensor:
        """The offline path."""
        return self.step(x, self.init_state(x.shape[0], x.device, x.dtype))[0]
