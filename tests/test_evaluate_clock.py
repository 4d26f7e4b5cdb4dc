"""Computation-aware clocks and erasure against the values of other tools and worked cases."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import InputError
from streamst.evaluate.log import clock
from streamst.evaluate.log.clock import Step
from streamst.evaluate.metrics.erasure import normalised_erasure

TESTS = Path(__file__).parent
PATHS = [p for p in (TESTS / "data/golden", TESTS.parents[1] / "shared/golden") if (p / "latency.json").is_file()]
GOLDEN = {
    f"{path.parent.name}-{case['id']}": case
    for path in PATHS
    for case in json.loads((path / "latency.json").read_text(encoding="utf-8"))["cases"]
}
FORWARDS = {name: case for name, case in GOLDEN.items() if case["kind"] != "non_monotone"}


def _steps(parts):
    return [Step(heard, compute, ("w",) * units) for heard, compute, units in parts]


@pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN)
def test_omnisteval_and_fbk_times_follow_from_the_elapsed_times_of_simuleval(case):
    expected = case["ca_conversions_ms"]
    delays, elapsed = case["delays_ms"], case["elapsed_ms"]
    assert clock.from_elapsed(delays, elapsed, "omnisteval") == pytest.approx(expected["omnisteval_fix_emission_ca"])
    fbk = expected["fbk_SegmentLevelDelayElapsed_start0"]["elapsed"]
    assert clock.from_elapsed(delays, elapsed, "fbk") == pytest.approx(fbk)
    assert clock.from_elapsed(delays, elapsed, "simuleval") == tuple(elapsed)


@pytest.mark.parametrize("case", FORWARDS.values(), ids=FORWARDS)
def test_clocks_of_raw_events_equal_the_reference_conversions(case):
    """The golden events of emitting chunks only: cost of each = growth of elapsed - delay between emissions."""
    expected = case["ca_conversions_ms"]
    if "per_event_no_queue (simulstream convention)" not in expected:
        with pytest.raises(InputError, match="allowed: simuleval, omnisteval, fbk"):
            clock.from_elapsed(case["delays_ms"], case["elapsed_ms"], "queue")
        return
    delays = case["delays_ms"]
    steps, spent = [], 0.0
    for delay in sorted(set(delays)):
        elapsed = case["elapsed_ms"][delays.index(delay)]
        steps.append(Step(delay, max(0.0, elapsed - delay - spent), ("w",) * delays.count(delay)))
        spent = elapsed - delay
    for convention, key in (("simulstream", "per_event_no_queue"), ("queue", "realtime_queue")):
        values = next(v for k, v in expected.items() if k.startswith(key))
        assert clock.unit_times(steps, convention) == pytest.approx(values), convention
    assert clock.unit_times(steps, "simuleval") == pytest.approx(case["elapsed_ms"])


def test_each_convention_gives_its_own_time_for_one_run():
    """Three chunks of a second; the second takes 1.5 s, so that the third has to wait."""
    steps = [
        Step(1000.0, 100.0, ("a",), wall_ms=1110.0),
        Step(2000.0, 1500.0, (), wall_ms=3530.0),
        Step(3000.0, 200.0, ("b", "c"), wall_ms=3740.0),
    ]
    times = {name: clock.unit_times(steps, name) for name in clock.CONVENTIONS}
    assert times == {
        "queue": (1100.0, 3700.0, 3700.0),
        "wallclock": (1110.0, 3740.0, 3740.0),
        "simuleval": (1100.0, 4800.0, 4800.0),
        "simulstream": (1100.0, 3200.0, 3200.0),
        "omnisteval": (1100.0, 4700.0, 4700.0),
        "fbk": (1100.0, 4700.0, 4700.0),
    }


STEPS = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 2500), st.integers(0, 3)), max_size=10)


@settings(deadline=None)
@given(STEPS)
def test_a_live_listener_waits_no_less_than_without_a_queue_and_no_more_than_for_all_computation(parts):
    heard, steps = 0, []
    for step, compute, units in parts:
        heard += step
        steps.append(Step(float(heard), float(compute), ("w",) * units))
    simulstream, queue, simuleval = (clock.step_times(steps, c) for c in ("simulstream", "queue", "simuleval"))
    assert all(a <= b <= c for a, b, c in zip(simulstream, queue, simuleval, strict=True))
    # The queue as a worker that is simulated chunk by chunk.
    free = 0.0
    for step, out in zip(steps, queue, strict=True):
        begin = free if free > step.heard_ms else step.heard_ms
        free = begin + step.compute_ms
        assert out == free


def test_withdrawn_units_are_gone_and_units_keep_the_step_that_wrote_them_last():
    steps = [Step(1000.0, 1.0, ("a", "b")), Step(2000.0, 1.0, ("c", "d"), ("b",)), Step(3000.0, 1.0, (), ("d",))]
    written = clock.final_units(steps)
    assert written == clock.Written(("a", "c"), (0, 1))
    assert written.delays_ms(steps) == (1000.0, 2000.0)
    result = normalised_erasure([steps, [Step(500.0, 1.0, ("x", "y"))]])
    assert result is not None
    assert result.value == 2 / 4
    assert "deleted:2|final:4" in result.signature


def test_erasure_is_zero_without_retraction_and_undefined_without_output():
    result = normalised_erasure([[Step(500.0, 1.0, ("x",))]])
    assert result is not None
    assert result.value == 0.0
    assert normalised_erasure([[Step(500.0, 1.0)]]) is None


@pytest.mark.parametrize("deleted", [("b", "a"), ("x",), ("a", "b", "c"), ("z", "a", "b")])
def test_deleting_what_does_not_stand_last_is_refused_with_the_step(deleted):
    with pytest.raises(InputError, match="step 1 deletes"):
        clock.final_units([Step(1.0, 1.0, ("a", "b")), Step(2.0, 1.0, (), deleted)])


def test_damaged_events_are_refused():
    with pytest.raises(InputError, match="compute_ms is nan"):
        Step(1.0, float("nan"))
    with pytest.raises(InputError, match="heard_ms is -1"):
        Step(-1.0, 1.0)
    with pytest.raises(InputError, match="step 1: 1 ms heard after 2 ms"):
        clock.final_units(_steps([(2.0, 1.0, 1), (1.0, 1.0, 1)]))
    with pytest.raises(InputError, match="unknown clock 'cpu'; allowed: queue, wallclock"):
        clock.unit_times([], "cpu")
    with pytest.raises(InputError, match="step 0 has no measured time"):
        clock.unit_times(_steps([(2.0, 1.0, 1)]), "wallclock")
    with pytest.raises(InputError, match="1 delays but 2 elapsed"):
        clock.from_elapsed([1.0], [1.0, 2.0], "fbk")


def test_compute_rtf_is_compute_time_over_audio_time():
    assert clock.compute_rtf(_steps([(1000.0, 250.0, 1), (2000.0, 750.0, 0)]), 2000.0) == 0.5
    with pytest.raises(InputError, match="longer than 0 ms"):
        clock.compute_rtf([], 0.0)
