"""What streams will cost is told from the batches seen."""

import numpy as np
import pytest

from streamst.engine import Batch
from streamst.server.room.costs import CYCLE_S, KNOWN_AFTER_S, SHARED, UNKNOWN_COST, Costs


def work(
    costs: Costs, sizes: list[int], batch_s: float, piece_s: float, kind: str = "encode", noise: float = 0.0
) -> None:
    """Batches of these sizes, each piece of half a second of audio."""
    random = np.random.default_rng(0)
    for size in sizes:
        seconds = (batch_s + piece_s * size) * (1 + noise * random.standard_normal())
        costs.worked(Batch(kind, seconds, (0.0,) * size))
        costs.heard(0.5 * size)


def test_nothing_is_known_at_first() -> None:
    costs = Costs()
    assert costs.demand(10) == pytest.approx(10 * UNKNOWN_COST)
    work(costs, [1] * int(KNOWN_AFTER_S), 0.0, 0.01)
    assert costs.demand(10) == pytest.approx(10 * UNKNOWN_COST)


@pytest.mark.parametrize("size", [1, 4])
def test_while_sizes_are_alike_batches_are_thought_to_share_what_is_usual(size: int) -> None:
    costs = Costs()
    work(costs, [size] * 100, SHARED * 0.01, (1 - SHARED) * 0.01)
    assert costs.demand(1) == pytest.approx(2 * 0.01)  # two pieces a second, alone
    assert costs.demand(50) == pytest.approx(50 * 2 * (1 - SHARED) * 0.01 + SHARED * 0.01 / CYCLE_S)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_many_streams_share_batches(noise: float) -> None:
    costs = Costs()
    work(costs, [1, 2, 3, 4, 6, 8] * 20, 0.008, 0.002, noise=noise)
    few, many = 2, 60
    assert costs.demand(few) == pytest.approx(few * 2 * 0.010, rel=0.15)  # each batch has one piece
    assert costs.demand(many) == pytest.approx(many * 2 * 0.002 + 0.008 / CYCLE_S, rel=0.15)
    assert costs.demand(many) < 0.5 * many / few * costs.demand(few)


def test_kinds_add_up_and_what_was_long_ago_is_forgotten() -> None:
    costs = Costs()
    work(costs, [1] * 200, 0.0, 0.05, "speak")
    work(costs, [1] * 200, 0.0, 0.05)
    before = costs.demand(3)
    work(costs, [1] * 2000, 0.0, 0.02)
    assert costs.demand(3) == pytest.approx(3 * 2 * 0.02, rel=0.01)
    assert before > 2 * costs.demand(3)


def test_every_stream_more_costs_more() -> None:
    costs = Costs()
    work(costs, [1, 2, 4, 8] * 20, 0.01, 0.003, noise=0.3)
    demands = [costs.demand(count) for count in range(60)]
    assert demands[0] == 0
    assert (np.diff(demands) > 0).all()
