"""The likeliest tokens of the ear, found without a product with all of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.models.whisper.readout import Readout, likeliest, sketch_of


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 3), columns=st.integers(1, 40), count=st.integers(1, 16), seed=st.integers(0, 99))
def test_the_likeliest_are_found_in_the_table(rows: int, columns: int, count: int, seed: int) -> None:
    scores = torch.randn(rows, 24 * columns, generator=torch.Generator().manual_seed(seed))
    scores[:, ::3] = float("-inf")
    found = likeliest(scores, min(count, 8 * columns))
    wanted = scores.topk(found.shape[1], -1).values
    torch.testing.assert_close(scores.gather(-1, found).sort(-1, descending=True).values, wanted)


@pytest.mark.parametrize("rank", [0, 8, 32])
def test_a_quick_readout_finds_what_a_product_with_all_tokens_does(rank: int) -> None:
    draw = torch.Generator().manual_seed(5)
    weight = torch.randn(2400, 32, generator=draw)
    mixed = torch.randn(8, 32, generator=draw)
    states = torch.randn(60, 8, generator=draw) @ mixed + 0.05 * torch.randn(60, 32, generator=draw)
    allowed = torch.zeros(2400)
    allowed[::7] = float("-inf")
    exact = (states @ weight.T + allowed).log_softmax(-1).max(-1)
    sketch = sketch_of(weight, states.T @ states / len(states), rank) if rank else None
    readout = Readout(weight, sketch)
    tokens, likely = readout.best(states, allowed)
    assert tokens.tolist() == exact.indices.tolist()
    torch.testing.assert_close(likely, exact.values, atol=0.1, rtol=0.0)
    few = [readout.best(states[row : row + 1], allowed) for row in range(60)]
    assert torch.equal(torch.cat([one[1] for one in few]), likely)
    again = readout.likelihoods(states, exact.indices.tolist())
    wanted = (states @ weight.T).log_softmax(-1).gather(-1, exact.indices[:, None])[:, 0]
    torch.testing.assert_close(again, wanted, atol=0.1, rtol=0.0)
