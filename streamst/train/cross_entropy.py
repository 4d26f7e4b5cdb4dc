"""Cross-entropy over a large vocabulary without its logits: some rows at a time, the gradient made on the way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 512


Bias = tuple[Tensor, Tensor]


class _Projected(torch.autograd.Function):
    """Mean label-smoothed cross-entropy of `states @ weight.T` and a bias; keeps gradients in place of the logits."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, smoothing: float, places: Tensor, bias: Tensor
    ) -> Tensor:
        total = states.new_zeros((), dtype=torch.float32)
        states_grad, bias_grad = torch.empty_like(states), torch.empty_like(bias)
        weight_grad = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        narrow = weight.to(states.dtype)
        share, other = (1 - smoothing) / len(targets), smoothing / weight.shape[0] / len(targets)
        for at in range(0, len(targets), ROWS):
            x, y, where = (one[at : at + ROWS] for one in (states, targets[:, None], places))
            scores = (x @ narrow.T).float().scatter_add_(1, where, bias[at : at + ROWS])
            among = scores.logsumexp(-1, keepdim=True)
            total -= share * (scores.gather(1, y) - among).sum()
            if smoothing:
                total -= other * (scores.sum() - weight.shape[0] * among.sum())
            slope = scores.sub_(among).exp_()
            slope.scatter_add_(1, y, torch.full_like(y, smoothing - 1, dtype=torch.float32))
            bias_grad[at : at + ROWS] = slope.gather(1, where).sub_(smoothing / weight.shape[0])
            slope = slope.to(states.dtype)
            states_grad[at : at + ROWS] = slope @ narrow
            weight_grad += slope.T @ x
        # The share of the smoothing is the same for every token: a sum of the weights, and of the states.
        each = smoothing / weight.shape[0]
        states_grad = (states_grad - each * narrow.sum(0)) / len(targets)
        weight_grad = (weight_grad - each * states.sum(0, dtype=torch.float32)) / len(targets)
        ctx.save_for_backward(states_grad, weight_grad.to(weight.dtype), bias_grad / len(targets))
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None, None, Tensor]:  # type: ignore[override]
        states_grad, weight_grad, bias_grad = ctx.saved_tensors
        to_states, to_weight = states_grad * slope.to(states_grad.dtype), weight_grad * slope.to(weight_grad.dtype)
        return to_states, to_weight, None, None, None, bias_grad * slope


def projected_cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0, bias: Bias | None = None
) -> Tensor:
    """Mean cross-entropy [nats], label-smoothed, of the logits `states @ weight.T`, to some of which a bias is added.

    states: (N, D); weight: (V, D); targets: (N,) from 0 to V - 1; bias: for each row U columns (N, U) of 0 to V - 1,
    and what is added to each (N, U) in float32.
    """
    if bias is None:
        bias = targets.new_zeros(len(targets), 0), states.new_zeros(len(targets), 0, dtype=torch.float32)
    return _Projected.apply(states, weight, targets, smoothing, *bias)
