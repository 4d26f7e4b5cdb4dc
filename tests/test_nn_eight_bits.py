"""Linear layers in 8 bits: near what they stand for, and a row is the same in any company."""

import pytest
import torch
from torch import nn

from streamst.nn.eight_bits import RowLinear, in_rows_of_8_bits


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_layer_in_8_bits_is_near_the_layer(bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(96, 40, bias)
    x = torch.randn(3, 5, 96) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    exact, near = linear(x), RowLinear(linear)(x)
    assert near.shape == exact.shape
    assert 0 < float(((near - exact).norm(dim=-1) / exact.norm(dim=-1)).max()) < 0.03


@torch.inference_mode()
def test_a_row_is_the_same_to_the_last_bit_alone_and_beside_louder_ones() -> None:
    torch.manual_seed(1)
    layer = RowLinear(nn.Linear(64, 33))
    rows = torch.randn(17, 64) * torch.logspace(-4, 4, 17)[:, None]
    together = layer(rows)
    for number, row in enumerate(rows):
        assert torch.equal(layer(row[None])[0], together[number])


@torch.inference_mode()
def test_zeros_give_the_bias() -> None:
    linear = nn.Linear(8, 4)
    torch.testing.assert_close(RowLinear(linear)(torch.zeros(2, 8)), linear.bias.expand(2, 4))


@torch.inference_mode()
def test_every_linear_layer_within_is_replaced_and_nothing_else() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 2)))
    in_rows_of_8_bits(module)
    kinds = [type(one) for one in module.modules() if not list(one.children())]
    assert kinds == [RowLinear, nn.LayerNorm, RowLinear]
