"""Linear layers in 8 bits whose rows know nothing of each other: alone or in a batch, the same numbers to the last bit.

PyTorch scales what comes in by its extremes over the whole batch. Here each row is first divided by its own largest
value, so that the scale is always the same; integers add exactly.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

TOP = 127
SMALLEST = 1e-20  # of a row's largest value


def possible() -> bool:
    """Whether this PyTorch multiplies in 8 bits."""
    return any(name != "none" for name in torch.backends.quantized.supported_engines)


class RowLinear(nn.Module):
    """`linear` with weights in 8 bits, a scale an output, and inputs in 8 bits, a scale a row; for a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = nn.Parameter(
            torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().clone(), False
        )
        scales = linear.weight.detach().abs().amax(1).clamp_min(SMALLEST).double() / TOP
        places = torch.zeros(linear.out_features, dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the distant end of such tensors
            whole = torch.quantize_per_channel(linear.weight.detach(), scales, places, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(whole, None)
        half = not torch.cpu._is_vnni_supported()  # 7 bits, or sums of products overflow
        self._scale, self._zero = (2 / TOP, 64) if half else (2 / 255, 128)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), float32."""
        rows = x.reshape(-1, x.shape[-1])
        largest = rows.abs().amax(1, keepdim=True).clamp_min(SMALLEST)
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / largest, self._scale, self._zero, self._packed
        )
        return torch.addcmul(self.bias, y, largest).unflatten(0, x.shape[:-1])


def in_rows_of_8_bits(module: nn.Module) -> None:
    """Every linear layer within `module` becomes a `RowLinear`."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, RowLinear(child))
