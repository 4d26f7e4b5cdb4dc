"""Cross-entropy over a large vocabulary without its logits: some rows at a time, the gradient made on the way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 512


class _Projected(torch.autograd.Function):
    """Mean label-smoothed cross-entropy of `states @ weight.T + bias`; keeps the gradients in place of the logits."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, smoothing: float, bias: Tensor | None
    ) -> Tensor:
        total = states.new_zeros((), dtype=torch.float32)
        states_grad = torch.empty_like(states)
        weight_grad = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        bias_grad = None if bias is None else torch.empty_like(bias)
        narrow = weight.to(states.dtype)
        share, other = (1 - smoothing) / len(targets), smoothing / weight.shape[0] / len(targets)
        for at in range(0, len(targets), ROWS):
            x, y = states[at : at + ROWS], targets[at : at + ROWS, None]
            logits = (x @ narrow.T).float()
            if bias is not None:
                logits += bias[at : at + ROWS]
            scores = logits.log_softmax(-1)
            total -= share * scores.gather(1, y).sum() + other * scores.sum()
            slope = scores.exp_().div_(len(targets))
            slope.scatter_add_(1, y, torch.full_like(y, -share, dtype=torch.float32))
            slope = slope.sub_(other)
            if bias_grad is not None:
                bias_grad[at : at + ROWS] = slope
            slope = slope.to(states.dtype)
            states_grad[at : at + ROWS] = slope @ narrow
            weight_grad += slope.T @ x
        ctx.save_for_backward(states_grad, weight_grad.to(weight.dtype), bias_grad)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None, Tensor | None]:  # type: ignore[override]
        states_grad, weight_grad, bias_grad = ctx.saved_tensors
        bias = None if bias_grad is None else bias_grad * slope
        return states_grad * slope.to(states_grad.dtype), weight_grad * slope.to(weight_grad.dtype), None, None, bias


def projected_cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0, bias: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy [nats], label-smoothed, of the logits `states @ weight.T + bias`.

    states: (N, D); weight: (V, D); targets: (N,) from 0 to V - 1; bias: (N, V) in float32.
    """
    return _Projected.apply(states, weight, targets, smoothing, bias)
