"""How sure a number is: bootstrap intervals, percentiles, paired tests of latency and quality, and of both at once.

Every resampling draws whole segments, is seeded, and says in its result how many segments it rests on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from streamst.errors import InputError

from .quality import QUALITY_UNITS, check_pairs, scorer
from .result import Metric

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric

RESAMPLES = 1000
SEED = 12345
LEVEL = 0.95
PERCENTILES = (50.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval of a corpus value: `low` <= true value <= `high` with probability `level`."""

    value: float
    low: float
    high: float
    level: float
    n: int  # segments that the value rests on
    resamples: int
    seed: int


@dataclass(frozen=True)
class Difference:
    """A minus B of a corpus value on the same segments.

    p_value: two-sided; the probability of a difference at least as large if the two were interchangeable.
    n: segments compared; left_out: those that one of the two has no value for.
    """

    value: float
    low: float
    high: float
    p_value: float
    n: int
    left_out: int
    test: str


@dataclass(frozen=True)
class TradeOff:
    """Run A against run B in latency and BLEU, from one joint bootstrap: both axes are resampled together.

    faster_and_better, ...: share of resamples in which A is so; a tie on either axis counts for none of the four.
    verdict: "A" or "B" when that run is better on both axes with at least `level`, "faster-but-worse" or
        "slower-but-better" (A seen from B) when both axes differ with at least `level`, otherwise "undecided".
    """

    latency: Difference
    quality: Difference
    faster_and_better: float
    faster_and_worse: float
    slower_and_better: float
    slower_and_worse: float
    verdict: str


def percentiles(values: Sequence[float | None], ranks: Sequence[float] = PERCENTILES) -> dict[str, float]:
    """{"p50": ..., "p90": ...} of the defined values (linear interpolation), {} when there are none."""
    defined = _defined(values)
    if not len(defined):
        return {}
    found = np.percentile(defined, list(ranks))
    return {f"p{rank:g}": float(value) for rank, value in zip(ranks, found, strict=True)}


def mean_interval(
    values: Sequence[float | None], resamples: int = RESAMPLES, seed: int = SEED, level: float = LEVEL
) -> Interval | None:
    """The bootstrap interval of the mean of the defined values; None when there are none."""
    defined = _defined(values)
    if not len(defined):
        return None
    means = _means(defined, _draws(len(defined), resamples, seed))
    low, high = _bounds(means, level)
    return Interval(float(defined.mean()), low, high, level, len(defined), resamples, seed)


def paired_difference(
    a: Sequence[float | None],
    b: Sequence[float | None],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
    weights: Sequence[float] | None = None,
) -> Difference | None:
    """Mean of a - b over the segments with both: bootstrap interval, p by approximate randomisation (sign flips).

    For latency, and for any quality that is a mean over segments; with `weights`, one a segment and above 0, a weighted
    mean, as error rates are by their references' lengths. None when no segment has both. Raises InputError for unequal
    lengths.
    """
    both, left_out = _both(a, b)
    if not both:
        return None
    differences = np.array([a[i] for i in both], dtype=np.float64) - np.array([b[i] for i in both], dtype=np.float64)
    share = np.ones(len(both)) if weights is None else np.array([weights[i] for i in both], dtype=np.float64)
    total = float(share.sum())
    observed = float(share @ differences) / total
    random = np.random.default_rng(seed)
    signs = random.integers(0, 2, (resamples, len(both)), dtype=np.int8) * 2 - 1
    flipped = np.abs(signs @ (share * differences)) / total
    p_value = (1 + int(np.count_nonzero(flipped >= abs(observed) - 1e-12))) / (resamples + 1)
    draws = _draws(len(both), resamples, seed)
    low, high = _bounds((share * differences)[draws].sum(axis=1) / share[draws].sum(axis=1), level)
    return Difference(observed, low, high, p_value, len(both), left_out, f"sign-flip,{resamples},seed:{seed}")


def quality_with_interval(
    name: str,
    hypotheses: Sequence[str],
    references: Sequence[str],
    tokenize: str = "13a",
    resamples: int = RESAMPLES,
) -> tuple[Metric, Interval]:
    """BLEU, chrF, chrF++ or TER as `sacrebleu_score` has it, and `quality_interval`; every segment is counted once."""
    check_pairs(hypotheses, references)
    metric = scorer(name, tokenize)
    counts = metric._extract_corpus_statistics(list(hypotheses), [list(references)])
    score = float(metric._aggregate_and_compute(counts).score)
    ranked = sorted(_resampled(metric, counts, resamples))
    cut = len(ranked) // 40
    low, high = ranked[cut], ranked[-1 - cut]
    interval = Interval(score, low, high, 0.95, len(hypotheses), resamples, _sacrebleu_seed())
    return Metric(score, QUALITY_UNITS[name], str(metric.get_signature())), interval


def quality_interval(
    name: str,
    hypotheses: Sequence[str],
    references: Sequence[str],
    tokenize: str = "13a",
    resamples: int = RESAMPLES,
) -> Interval:
    """Percentiles of sacrebleu's own resamples of BLEU, chrF, chrF++ or TER: within the metric's range.

    sacrebleu's `corpus_score(n_bootstrap=...)` (2.6) gives their mean +- half the width between the same two resamples,
    and fails where some resamples score exactly 0: its first step is done here.
    """
    return quality_with_interval(name, hypotheses, references, tokenize, resamples)[1]


def _resampled(metric: SacrebleuMetric, counts: Sequence[Sequence[float]], resamples: int) -> list[float]:
    """Scores of the resamples that sacrebleu 2.6 draws; it holds the counts of all of them at once."""
    draws = np.random.default_rng(_sacrebleu_seed()).choice(len(counts), size=(resamples, len(counts)), replace=True)
    table = np.array(counts, dtype=np.float32)
    return [float(metric._compute_score_from_stats(table[draw].sum(0)).score) for draw in draws]


def quality_difference(
    name: str,
    a: Sequence[str],
    b: Sequence[str],
    references: Sequence[str],
    test: str = "bs",
    tokenize: str = "13a",
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """(score of A, score of B, p) by sacrebleu's paired bootstrap ("bs") or approximate randomisation ("ar").

    A is the baseline. Raises InputError for another test and for unequal lengths.
    """
    if test not in ("bs", "ar"):
        raise InputError(f"unknown paired test {test!r}; allowed: bs, ar")
    check_pairs(a, references)
    check_pairs(b, references)
    paired = PairedTest(
        [("A", list(a)), ("B", list(b))],
        {name: scorer(name, tokenize)},
        references=[list(references)],
        test_type=test,
        n_samples=resamples,
    )
    _, scores = paired()
    first, second = (r for key, results in scores.items() if key != "System" for r in results)
    if isinstance(first, str) or isinstance(second, str) or second.p_value is None:
        raise InputError(f"sacrebleu gave no p-value for {name}: {scores}")
    p_value = 1.0 if list(a) == list(b) else float(second.p_value)  # sacrebleu's bootstrap takes equals for different
    return float(first.score), float(second.score), p_value


class BleuCounts:
    """Per-segment n-gram counts, from which BLEU of any resample is a sum away."""

    def __init__(self, hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> None:
        check_pairs(hypotheses, references)
        metric = BLEU(tokenize=tokenize, effective_order=True)
        rows = []
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            score = metric.sentence_score(hypothesis, [reference])
            rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
        self._rows = np.array(rows, dtype=np.int64)  # (segments, 4 counts + 4 totals + 2 lengths)

    def score(self, times: NDArray[np.int64] | None = None) -> float:
        """BLEU with segment i taken times[i] times; once each by default."""
        sums = self._rows.sum(axis=0) if times is None else times @ self._rows
        counts, totals = [int(v) for v in sums[:4]], [int(v) for v in sums[4:8]]
        return float(BLEU.compute_bleu(counts, totals, int(sums[8]), int(sums[9]), smooth_method="exp").score)


def compare_trade_off(
    latency_a: Sequence[float | None],
    latency_b: Sequence[float | None],
    hypotheses_a: Sequence[str],
    hypotheses_b: Sequence[str],
    references: Sequence[str],
    tokenize: str = "13a",
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> TradeOff | None:
    """Is run A on a better trade-off than run B? Latency [ms, lower is better] and BLEU resampled jointly.

    Quality counts all segments; latency, in the same resamples, those with a value in both runs. None when no segment
    has a latency in both. Raises InputError for unequal lengths.
    """
    if not len(latency_a) == len(latency_b) == len(references):
        counts = f"{len(latency_a)} and {len(latency_b)} latencies, {len(references)} references"
        raise InputError(f"the runs do not have the same segments: {counts}")
    alone = paired_difference(latency_a, latency_b, resamples, seed, level)
    if alone is None:
        return None
    bleu_a, bleu_b = (BleuCounts(h, references, tokenize) for h in (hypotheses_a, hypotheses_b))
    both = np.array([x is not None and y is not None for x, y in zip(latency_a, latency_b, strict=True)])
    gaps = np.array([0.0 if x is None or y is None else x - y for x, y in zip(latency_a, latency_b, strict=True)])
    slower, better = np.zeros(resamples), np.zeros(resamples)
    for k, draw in enumerate(_draws(len(references), resamples, seed)):
        times = np.bincount(draw, minlength=len(references))
        slower[k] = times @ gaps / max(1, int(times @ both))
        better[k] = bleu_a.score(times) - bleu_b.score(times)
    low, high = _bounds(better, level)
    _, _, p_value = quality_difference("BLEU", hypotheses_b, hypotheses_a, references, "bs", tokenize, resamples)
    gain = bleu_a.score() - bleu_b.score()
    quality = Difference(gain, low, high, p_value, len(references), 0, f"sacrebleu-paired-bs,{resamples}")
    shares = (
        float(np.mean((slower < 0) & (better > 0))),
        float(np.mean((slower < 0) & (better < 0))),
        float(np.mean((slower > 0) & (better > 0))),
        float(np.mean((slower > 0) & (better < 0))),
    )
    names = ("A", "faster-but-worse", "slower-but-better", "B")
    verdict = next((name for name, share in zip(names, shares, strict=True) if share >= level), "undecided")
    return TradeOff(alone, quality, *shares, verdict)


def _defined(values: Sequence[float | None]) -> NDArray[np.float64]:
    for i, value in enumerate(values):
        if value is not None and not math.isfinite(value):
            raise InputError(f"value {i} is {value!r}; it must be finite, or None where the metric is undefined")
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _both(a: Sequence[float | None], b: Sequence[float | None]) -> tuple[list[int], int]:
    if len(a) != len(b):
        raise InputError(f"{len(a)} segments against {len(b)}: a paired test needs the same ones")
    both = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x is not None and y is not None]
    return both, len(a) - len(both)


def _draws(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """(resamples, n) indices of segments, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, n, (resamples, n))


def _means(values: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    return values[draws].mean(axis=1)


def _bounds(samples: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.percentile(samples, [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return float(low), float(high)


def _sacrebleu_seed() -> int:
    return int(os.environ.get("SACREBLEU_SEED", "12345"))
