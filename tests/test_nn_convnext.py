"""The causal ConvNeXt stack keeps the state contract."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from streamst.nn.convnext import CausalDepthwise, ConvNeXtStack, StackState


@pytest.fixture
def stack() -> ConvNeXtStack:
    torch.manual_seed(3)
    return ConvNeXtStack(dim=12, blocks=3, kernel_frames=5, expansion=2).eval()


def streamed(stack: ConvNeXtStack, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    state, out = stack.init_state(x.shape[0]), []
    for piece in x.split(sizes, dim=1):
        y, state = stack.step(piece, state)
        out.append(y)
    return torch.cat(out, 1)


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("sizes", [[1] * 60, [7, 1, 0, 20, 2, 30], [59, 1]], ids=str)
def test_chunks_of_any_size_equal_offline(stack: ConvNeXtStack, batch: int, sizes: list[int]) -> None:
    x = torch.randn(batch, 60, 12)
    torch.testing.assert_close(streamed(stack, x, sizes), stack(x), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("batch", "frames"), [(1, 3), (4, 100)], ids=["few rows", "many rows"])
def test_depthwise_equals_a_padded_convolution(batch: int, frames: int) -> None:
    layer = CausalDepthwise(6, 7)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(batch, frames, 6)
    context = torch.cat([torch.zeros(batch, 6, 6), x], 1)
    expected = F.conv1d(F.pad(x.transpose(1, 2), (6, 0)), layer.weight.t()[:, None], layer.bias, groups=6)
    torch.testing.assert_close(layer(context), expected.transpose(1, 2), atol=1e-5, rtol=0)


@torch.no_grad()
def test_no_output_depends_on_a_later_input_and_the_memory_is_what_it_says(stack: ConvNeXtStack) -> None:
    x = torch.randn(1, 40, 12)
    changed = x.clone()
    changed[:, 15] += 1
    moved = (stack(changed) - stack(x)).abs().amax((0, 2)) > 1e-6
    field = 1 + 3 * (5 - 1)
    assert moved.nonzero().flatten().tolist() == list(range(15, 15 + field))


@torch.no_grad()
def test_interleaved_sessions_equal_separate_ones_and_reset_rows_are_fresh(stack: ConvNeXtStack) -> None:
    a, b = torch.randn(2, 24, 12).split(1)
    pool: StackState = stack.init_state(3)
    out: dict[int, list[torch.Tensor]] = {0: [], 2: []}
    for at, row in [(0, 0), (0, 2), (8, 2), (8, 0), (16, 0), (16, 2)]:
        source = a if row == 0 else b
        y, after = stack.step(source[:, at : at + 8], pool.select([row]))
        pool = pool.assign([row], after)
        out[row].append(y)
    torch.testing.assert_close(torch.cat(out[0], 1), stack(a), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cat(out[2], 1), stack(b), atol=1e-5, rtol=0)
    again, _ = stack.step(b, pool.reset([0]).select([0]))
    torch.testing.assert_close(again, stack(b), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_step_leaves_the_state_that_it_was_given(stack: ConvNeXtStack) -> None:
    _, state = stack.step(torch.randn(1, 9, 12), stack.init_state(1))
    before = [t.clone() for t in state.tensors()]
    stack.step(torch.randn(1, 9, 12), state)
    assert all(torch.equal(x, y) for x, y in zip(before, state.tensors(), strict=True))
