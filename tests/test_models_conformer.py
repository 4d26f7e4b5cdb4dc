"""The encoder's caches are its training mask, for every chunk and left context."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import ConfigError
from streamst.models.listen.conformer import Conformer, ConformerConfig
from streamst.nn.attention import chunk_mask

CONFIG = ConformerConfig(
    bands=16, dim=24, layers=3, heads=2, expansion=2, kernel=5, max_distance=6, left_frames=8, middle=2
)


def encoder(left: int = 8) -> Conformer:
    torch.manual_seed(0)
    model = Conformer(ConformerConfig(**{**CONFIG.__dict__, "left_frames": left})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def streamed(model: Conformer, x: torch.Tensor, chunk: int | Sequence[int]) -> torch.Tensor:
    state = model.init_state(x.shape[0])
    parts = []
    sizes = chunk if isinstance(chunk, int) else [size * model.config.subsampling for size in chunk]
    for piece in x.split(sizes * model.config.subsampling if isinstance(sizes, int) else sizes, 1):
        y, state = model.step(piece, state)
        parts.append(y)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("chunk", [1, 2, 3, 8])
@pytest.mark.parametrize("left", [0, 4, 8])
@torch.no_grad()
def test_cached_streaming_equals_the_masked_forward_far_past_the_left_window(chunk: int, left: int) -> None:
    model = encoder(left)
    x = torch.randn(2, 8 * 61, 16)
    offline, _ = model(x, chunk=chunk, left=left)
    assert torch.allclose(streamed(model, x, chunk), offline, atol=1e-4)


@torch.no_grad()
def test_no_output_depends_on_input_beyond_its_chunk() -> None:
    model = encoder()
    x = torch.randn(1, 8 * 12, 16)
    changed = x.clone()
    changed[:, 8 * 8 :] += 1.0
    before, after = (model(v, chunk=4, left=8)[0] for v in (x, changed))
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:], atol=1e-3)


@torch.no_grad()
def test_padding_does_not_change_a_shorter_row() -> None:
    model = encoder()
    x = torch.randn(2, 8 * 10, 16)
    alone, _ = model(x[:1, : 8 * 6], chunk=-1)
    together, _ = model(x, lengths=torch.tensor([6, 10]), chunk=-1)
    # The convolutions are causal and the attention masks padding, so the row's own frames cannot see it.
    assert torch.allclose(together[:1, :6], alone, atol=1e-4)


@torch.no_grad()
def test_interleaved_and_reset_rows_equal_fresh_separate_streams() -> None:
    model = encoder()
    x = torch.randn(3, 8 * 20, 16)
    alone = [streamed(model, x[i : i + 1], 4) for i in range(3)]
    pool = model.init_state(2)
    first, pool = model.step(x[:2, :32], pool)
    rows = pool.select([1])
    second, rows = model.step(x[1:2, 32:64], rows)
    pool = pool.assign([1], rows).reset([0])
    third, _ = model.step(x[2:3, :32], pool.select([0]))
    fourth, _ = model.step(x[1:2, 64:96], pool.select([1]))
    assert torch.allclose(first, torch.cat([alone[0][:, :4], alone[1][:, :4]]), atol=1e-4)
    assert torch.allclose(second, alone[1][:, 4:8], atol=1e-4)
    assert torch.allclose(third, alone[2][:, :4], atol=1e-4)
    assert torch.allclose(fourth, alone[1][:, 8:12], atol=1e-4)


@given(
    sizes=st.lists(st.integers(1, 12), min_size=8, max_size=20),
    left=st.integers(0, 11),
    rows=st.integers(1, 3),
    kernel=st.sampled_from([1, 4, 9]),
)
@settings(max_examples=12, deadline=None)
@torch.no_grad()
def test_streaming_equals_the_mask_for_chunks_of_changing_size_batched_and_alone(
    sizes: list[int], left: int, rows: int, kernel: int
) -> None:
    torch.manual_seed(sum(sizes))
    model = Conformer(ConformerConfig(**{**CONFIG.__dict__, "left_frames": left, "kernel": kernel})).eval()
    x = torch.randn(rows, 8 * sum(sizes), 16)
    offline, _ = model(x, chunk=sizes, left=left)
    together = streamed(model, x, sizes)
    assert torch.allclose(together, offline, atol=1e-4)
    for row in range(rows):
        assert torch.allclose(streamed(model, x[row : row + 1], sizes), together[row : row + 1], atol=1e-4)


@pytest.mark.parametrize("sizes", [4, [4], [3, 1, 5], [2, 7], [20]])
@pytest.mark.parametrize("left", [-1, 0, 3])
def test_the_mask_shows_a_frame_its_chunk_and_the_left_context_of_the_chunk(sizes: int | list[int], left: int) -> None:
    given_sizes = [sizes] if isinstance(sizes, int) else sizes
    bounds = list(itertools.accumulate([*given_sizes, *([given_sizes[-1]] * 20)], initial=0))
    mask = chunk_mask(15, sizes, left)
    for query, key in itertools.product(range(15), range(15)):
        start = max(b for b in bounds if b <= query)
        end = min(b for b in bounds if b > query)
        assert bool(mask[query, key]) == (key < end and (left < 0 or key >= start - left))


@pytest.mark.parametrize("changes", [{"subsampling": 3}, {"heads": 5}, {"middle": 9}, {"middle": 0}])
def test_an_impossible_shape_is_named(changes: dict[str, int]) -> None:
    name, value = next(iter(changes.items()))
    with pytest.raises(ConfigError, match=rf"{name} .*{value}"):
        Conformer(replace(CONFIG, **changes))


@pytest.mark.parametrize("sizes", [0, [], [3, 0], [4, -1]])
def test_a_chunk_of_no_frames_is_an_error_that_names_it(sizes: int | list[int]) -> None:
    with pytest.raises(ValueError, match="chunks of"):
        chunk_mask(9, sizes, 2)
