"""Token delay, playback and silences against the values of SimulEval, a literal reading and worked cases."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import InputError
from streamst.evaluate.metrics import speech
from streamst.evaluate.metrics.latency import FORMULAS, Utterance
from streamst.evaluate.metrics.speech import SpokenUtterance, average_token_delay

TESTS = Path(__file__).parent
PATHS = [p for p in (TESTS / "data/golden", TESTS.parents[1] / "shared/golden") if (p / "latency.json").is_file()]
GOLDEN = {path.parent.name: json.loads((path / "latency.json").read_text(encoding="utf-8")) for path in PATHS}
TOOL = "simuleval==1.1.4"


def _cases(kind):
    return [pytest.param(c, id=f"{place}-{c['id']}") for place, golden in GOLDEN.items() for c in golden[kind]]


@pytest.mark.parametrize("case", _cases("cases"))
def test_token_delay_of_text_equals_simuleval_with_and_without_computation(case):
    u = Utterance(tuple(case["delays_ms"]), case["source_length_ms"], 1, tuple(case["elapsed_ms"]))
    assert average_token_delay(u) == pytest.approx(case["expected"][TOOL]["ATD"], rel=1e-6, abs=1e-9)
    assert average_token_delay(u, "simuleval") == pytest.approx(case["expected"][TOOL]["ATD_CA"], rel=1e-6, abs=1e-9)


def test_a_token_waits_for_its_own_computation_where_one_delay_has_two_writes() -> None:
    """The last audio, and then the end: SimulEval 1.1.4 gives 10 and 30 ms behind one source token of 300 ms."""
    assert average_token_delay(Utterance((300.0, 300.0), 300.0, None, (310.0, 330.0)), "simuleval") == 20.0


@pytest.mark.parametrize("case", _cases("t2t"))
def test_token_delay_of_text_to_text_counts_words(case):
    u = Utterance(tuple(case["delays"]), case["source_length"])
    assert average_token_delay(u, source_is_text=True) == pytest.approx(case["expected"][TOOL]["ATD"], rel=1e-6)


@pytest.mark.parametrize("case", _cases("s2s"))
def test_speech_output_equals_simuleval(case):
    expected = case["expected"][TOOL]
    u = SpokenUtterance(tuple(case["delays_ms"]), tuple(case["durations_ms"]), expected["source_length_used"])
    timeline = speech.playback(u.delays_ms, u.durations_ms)
    intervals = [(i.start_ms, i.end_ms - i.start_ms) for i in timeline]
    assert intervals == [pytest.approx(tuple(pair)) for pair in expected["summarize"]["intervals"]]
    assert list(speech.silences(timeline)) == pytest.approx(expected["silences"])
    if not u.delays_ms:
        assert average_token_delay(u) is None
        assert speech.end_offset(u) is None
        assert speech.discontinuity(u) is None
        return
    assert average_token_delay(u) == pytest.approx(expected["ATD"], rel=1e-6)
    assert speech.end_offset(u) == pytest.approx(expected["EndOffset"], rel=1e-6)
    gaps = speech.discontinuity(u)
    assert gaps is not None
    assert gaps.count == expected["DiscontinuityNum"]
    assert gaps.sum_ms == pytest.approx(expected["DiscontinuitySum"])
    assert gaps.mean_ms == pytest.approx(expected["DiscontinuityAve"])
    chunks = u.as_utterance(expected["reference_length_used"])
    for name in ("AL", "LAAL", "AP", "DAL", "StartOffset", "NumChunks"):
        assert FORMULAS[name].compute(chunks) == pytest.approx(expected[name], rel=1e-6), name


def _literal_atd(writes, piece):
    """ATD by enumeration. writes: (delay, [(length, ready) of every target token]) in whole ms, delays distinct."""
    source, target = [], []  # (chunk, time) of every token
    heard = 0
    for chunk, (delay, tokens) in enumerate(writes):
        t = heard
        while t < delay:
            t = min(t + piece, delay)
            source.append((chunk, t))
        heard = delay
        for length, ready in tokens:
            target.append((chunk, max(ready, target[-1][1] if target else 0) + length))
    total = 0
    for t, (chunk, time) in enumerate(target, start=1):
        before_x = sum(c < chunk for c, _ in source)
        before_y = sum(c < chunk for c, _ in target)
        aligned = min(t - max(0, before_y - before_x), sum(c <= chunk for c, _ in source))
        total += time - (source[aligned - 1][1] if aligned else 0)
    return total / len(target)


WRITES = st.lists(st.tuples(st.integers(1, 1500), st.integers(1, 4), st.integers(0, 900)), min_size=1, max_size=6)


@settings(deadline=None)
@given(WRITES)
def test_token_delay_of_text_equals_a_literal_count_of_tokens_on_any_clock(parts):
    delay = 0
    writes, delays, elapsed = [], [], []
    for step, units, compute in parts:
        delay += step
        writes.append((delay, [(0, delay + compute)] * units))
        delays += [float(delay)] * units
        elapsed += [float(delay + compute)] * units
    u = Utterance(tuple(delays), float(delay), None, tuple(elapsed))
    assert average_token_delay(u, "simulstream") == pytest.approx(_literal_atd(writes, 300))
    without = [(d, [(0, d)] * len(tokens)) for d, tokens in writes]
    assert average_token_delay(u) == pytest.approx(_literal_atd(without, 300))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 1500), st.integers(1, 2000)), min_size=1, max_size=6))
def test_token_delay_of_speech_equals_a_literal_count_of_tokens(parts):
    delay = 0
    writes, delays = [], []
    for step, duration in parts:
        delay += step
        pieces = [300] * (duration // 300) + ([duration % 300] if duration % 300 else [])
        writes.append((delay, [(length, delay) for length in pieces]))
        delays.append(float(delay))
    u = SpokenUtterance(tuple(delays), tuple(float(d) for _, d in parts), float(delay))
    assert average_token_delay(u) == pytest.approx(_literal_atd(writes, 300))


def test_speech_that_is_ready_early_waits_for_its_turn_and_late_speech_leaves_a_silence():
    u = SpokenUtterance((1000.0, 1200.0, 5000.0), (800.0, 700.0, 500.0), 5000.0)
    assert [(i.start_ms, i.end_ms) for i in speech.playback(u.delays_ms, u.durations_ms)] == [
        (1000.0, 1800.0),
        (1800.0, 2500.0),
        (5000.0, 5500.0),
    ]
    assert speech.discontinuity(u) == speech.Discontinuity(1, 2500.0, 2500.0, 2500.0)
    assert speech.end_offset(u) == 500.0


def test_speech_is_measured_on_a_computation_aware_clock_too():
    u = SpokenUtterance((1000.0, 2000.0), (500.0, 500.0), 2000.0, (1100.0, 2400.0))
    values = {name: speech.corpus(f"{name}_CA_queue", [u]) for name in speech.SPEECH_UNITS}
    got = {name: metric.value for name, metric in values.items() if metric is not None}
    assert got == {
        "StartOffset": 1100.0,
        "EndOffset": 900.0,
        "NumChunks": 2.0,
        "DiscontinuityNum": 1.0,
        "DiscontinuitySum": 800.0,
        "DiscontinuityMean": 800.0,
        "DiscontinuityMax": 800.0,
        "C100": 0.0,
    }
    assert values["EndOffset"] is not None
    assert "ca:queue" in values["EndOffset"].signature


def test_the_corpus_value_counts_outputs_without_speech():
    u = SpokenUtterance((1000.0,), (600.0,), 1000.0)
    result = speech.corpus("ATD", [u, SpokenUtterance((), (), 1000.0)])
    assert result is not None
    assert result.value == average_token_delay(u)
    assert "output:speech" in result.signature
    assert "n:2|empty:1" in result.signature
    assert speech.corpus("ATD", [SpokenUtterance((), (), 1000.0)]) is None


@pytest.mark.parametrize(
    ("durations", "message"),
    [((1.0,), "2 delays but 1 durations"), ((1.0, -1.0), r"durations_ms\[1\] is -1.0"), ((float("nan"), 1.0), "nan")],
)
def test_durations_that_cannot_be_are_refused(durations, message):
    with pytest.raises(InputError, match=message):
        SpokenUtterance((1.0, 2.0), durations, 3.0)


def test_metrics_of_speech_need_durations_and_clocks_need_times():
    with pytest.raises(InputError, match="needs chunk durations"):
        speech.corpus("DiscontinuitySum", [Utterance((1.0,), 2.0)])
    with pytest.raises(InputError, match="needs elapsed_ms"):
        speech.corpus("ATD_CA_queue", [Utterance((1.0,), 2.0)])
    with pytest.raises(InputError, match="needs elapsed_ms"):
        speech.corpus("EndOffset_CA_queue", [SpokenUtterance((1.0,), (1.0,), 2.0)])
    with pytest.raises(InputError, match="unknown metric 'AL'"):
        speech.corpus("AL", [Utterance((1.0,), 2.0)])
