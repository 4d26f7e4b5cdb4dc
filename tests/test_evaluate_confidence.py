"""Intervals and paired tests against sacrebleu's golden values, exact enumeration, and their own promises."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from streamst.errors import InputError
from streamst.evaluate.metrics import confidence
from streamst.evaluate.metrics.quality import sacrebleu_score

GOLDEN = json.loads((Path(__file__).parent / "data/golden/quality.json").read_text(encoding="utf-8"))
REFERENCES, SYSTEM_A, SYSTEM_B = GOLDEN["references"], GOLDEN["sysA"], GOLDEN["sysB"]


@pytest.mark.parametrize("key", GOLDEN["scores"])
def test_quality_intervals_are_those_of_sacrebleu(key):
    name, system = key.split("/")
    golden = GOLDEN["scores"][key]
    interval = confidence.quality_interval(name, GOLDEN[system], REFERENCES)
    assert interval.value == pytest.approx(golden["score"], rel=1e-9)
    assert (interval.high - interval.low) / 2 == pytest.approx(golden["ci95"], rel=1e-6)
    assert interval.low < golden["bootstrap_mean"] < interval.high
    assert (interval.n, interval.resamples, interval.seed) == (60, 1000, 12345)


@pytest.mark.parametrize("name", ["BLEU", "chrF", "TER"])
def test_an_interval_of_quality_never_leaves_the_range_of_its_metric(name):
    """Resamples of few sentences differ much: half a width around their mean would reach beyond 0 or 100."""
    said = ["Guten Morgen.", "Wie geht es?"]
    for hypotheses, references in ((said, said), (["Guten Morgen.", "x y z"], said), (["", "Wie geht es?"], said)):
        interval = confidence.quality_interval(name, hypotheses, references)
        assert 0.0 <= interval.low <= interval.value + 1e-9
        assert interval.value - 1e-9 <= interval.high <= 100.0 + 1e-9


def test_an_interval_of_quality_has_two_and_a_half_percent_of_the_resamples_beyond_each_end():
    hypotheses, references = SYSTEM_A[:12], REFERENCES[:12]
    interval = confidence.quality_interval("BLEU", hypotheses, references, resamples=400)
    counts = confidence.BleuCounts(hypotheses, references)
    draws = np.random.default_rng(interval.seed).choice(12, size=(400, 12), replace=True)
    scores = [counts.score(np.bincount(draw, minlength=12)) for draw in draws]
    assert sum(score < interval.low for score in scores) == 10
    assert sum(score > interval.high for score in scores) == 10


def test_a_system_that_is_almost_always_wrong_has_an_interval_too():
    """Most resamples of one good output among twenty empty ones score exactly 0."""
    hypotheses = [REFERENCES[0], *[""] * 19]
    interval = confidence.quality_interval("BLEU", hypotheses, REFERENCES[:20], resamples=100)
    assert interval.low <= interval.value <= interval.high
    assert (confidence.quality_interval("BLEU", [""] * 20, REFERENCES[:20], resamples=100).high) == 0.0


@pytest.mark.parametrize(("name", "key"), [("BLEU", "BLEU"), ("chrF", "chrF2")])
def test_paired_bootstrap_of_quality_is_that_of_sacrebleu(name, key):
    a, b, p_value = confidence.quality_difference(name, SYSTEM_A, SYSTEM_B, REFERENCES, "bs")
    first, second = GOLDEN["paired_bs"][key]
    assert (a, b, p_value) == pytest.approx((first["score"], second["score"], second["p_value"]), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), [("BLEU", "BLEU"), ("chrF", "chrF2")])
def test_paired_randomisation_of_quality_is_that_of_sacrebleu(name, key):
    _, _, p_value = confidence.quality_difference(name, SYSTEM_A, SYSTEM_B, REFERENCES, "ar", resamples=10_000)
    assert p_value == pytest.approx(GOLDEN["paired_ar"][key][1]["p_value"], rel=1e-9)


def test_bleu_of_any_resample_is_the_corpus_score_of_that_resample():
    counts = confidence.BleuCounts(SYSTEM_A, REFERENCES)
    assert counts.score() == pytest.approx(GOLDEN["scores"]["BLEU/sysA"]["score"], rel=1e-12)
    draw = np.random.default_rng(3).integers(0, 60, 60)
    resample = [SYSTEM_A[i] for i in draw], [REFERENCES[i] for i in draw]
    times = np.bincount(draw, minlength=60)
    assert counts.score(times) == pytest.approx(sacrebleu_score("BLEU", *resample).value, rel=1e-12)


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error():
    values = list(np.random.default_rng(1).normal(2000.0, 400.0, 400))
    interval = confidence.mean_interval([*values, None, None])
    assert interval is not None
    assert interval.n == 400
    assert interval.value == pytest.approx(np.mean(values))
    error = np.std(values) / 20.0
    assert interval.high - interval.value == pytest.approx(1.96 * error, rel=0.1)
    assert interval.value - interval.low == pytest.approx(1.96 * error, rel=0.1)
    assert confidence.mean_interval(values) == confidence.mean_interval(values)
    assert confidence.mean_interval([None]) is None


def test_percentiles_leave_undefined_values_out():
    values = [float(v) for v in range(101)] + [None]
    assert confidence.percentiles(values) == {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}
    assert confidence.percentiles([None, None]) == {}


def test_the_paired_test_agrees_with_all_sign_flips():
    """Eleven segments have 2048 flips: the exact two-sided p, against 20,000 random ones."""
    random = np.random.default_rng(4)
    a = list(random.normal(2000.0, 300.0, 11))
    b = [value + extra for value, extra in zip(a, random.normal(90.0, 150.0, 11), strict=True)]
    gaps = np.array(a) - np.array(b)
    flips = np.array(list(itertools.product((-1.0, 1.0), repeat=11)))
    exact = np.mean(np.abs(flips @ gaps) >= abs(gaps.sum()) - 1e-9)
    result = confidence.paired_difference(a, b, resamples=20_000)
    assert result is not None
    assert 0.01 < exact < 0.2
    assert result.p_value == pytest.approx(exact, abs=0.01)
    assert result.value == pytest.approx(gaps.mean())
    assert result.low < result.value < result.high


def test_segments_that_only_one_run_has_a_value_for_are_left_out_and_counted():
    result = confidence.paired_difference([1.0, None, 3.0, 4.0], [2.0, 5.0, None, 6.0])
    assert result is not None
    assert (result.n, result.left_out, result.value) == (2, 2, -1.5)
    assert confidence.paired_difference([1.0, None], [None, 2.0]) is None


def test_a_run_does_not_differ_from_itself():
    values = [float(v) for v in range(30)]
    result = confidence.paired_difference(values, values)
    assert result is not None
    assert (result.value, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)
    latency = [1000.0] * 60
    same = confidence.compare_trade_off(latency, latency, SYSTEM_A, SYSTEM_A, REFERENCES, resamples=50)
    assert same is not None
    assert same.verdict == "undecided"
    assert same.faster_and_better == same.slower_and_worse == 0.0


@pytest.mark.parametrize(
    ("gap_ms", "a", "b", "verdict"),
    [
        (-500.0, SYSTEM_A, SYSTEM_B, "A"),
        (500.0, SYSTEM_A, SYSTEM_B, "slower-but-better"),
        (-500.0, SYSTEM_B, SYSTEM_A, "faster-but-worse"),
        (500.0, SYSTEM_B, SYSTEM_A, "B"),
        (0.0, SYSTEM_A, SYSTEM_B, "undecided"),
    ],
)
def test_the_trade_off_verdict_names_the_better_run_or_none(gap_ms, a, b, verdict):
    noise = np.random.default_rng(2).normal(0.0, 200.0, 60)
    base = [2000.0 + 10.0 * i for i in range(60)]
    other = [value + gap_ms + extra for value, extra in zip(base, noise, strict=True)]
    if gap_ms == 0.0:
        other = [value + extra for value, extra in zip(base, noise - noise.mean(), strict=True)]
    result = confidence.compare_trade_off(other, [*base[:-1], None], a, b, REFERENCES, resamples=200)
    assert result is not None
    assert result.verdict == verdict
    assert result.latency.left_out == 1
    total = result.faster_and_better + result.faster_and_worse + result.slower_and_better + result.slower_and_worse
    assert total == pytest.approx(1.0)


def test_unequal_runs_and_nan_are_refused():
    with pytest.raises(InputError, match="2 segments against 1"):
        confidence.paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="value 1 is nan"):
        confidence.mean_interval([1.0, math.nan])
    with pytest.raises(InputError, match="unknown paired test 't'; allowed: bs, ar"):
        confidence.quality_difference("BLEU", ["a"], ["a"], ["a"], "t")
    with pytest.raises(InputError, match="do not have the same segments"):
        confidence.compare_trade_off([1.0], [1.0, 2.0], ["a"], ["a"], ["a"])


@pytest.mark.parametrize("test", ["bs", "ar"])
def test_equal_outputs_do_not_differ(test):
    same = ["the cat sat on the mat", "a dog barked loudly", "it rains again today"]
    references = [sentence + " now" for sentence in same]
    score_a, score_b, p_value = confidence.quality_difference("BLEU", same, same, references, test, resamples=50)
    assert score_a == score_b
    assert p_value == 1.0
