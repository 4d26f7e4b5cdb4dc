"""Two runs over the same recordings: what differs, by how much, and how likely that is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from streamst.errors import InputError
from streamst.evaluate.metrics import confidence
from streamst.evaluate.metrics.confidence import Difference, TradeOff
from streamst.evaluate.metrics.quality import scorer, tokenizer_for

from .rows import Row
from .score import Score, ScoreOptions

TESTED_QUALITY = ("BLEU", "chrF", "TER")


@dataclass(frozen=True)
class Compared:
    """One metric of two runs, `a` and `b` over the rows that both have; `difference` is A minus B over these."""

    name: str
    unit: str
    a: float
    b: float
    difference: Difference

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance, at the level of the intervals, not corrected for many metrics."""
        return self.difference.p_value < 1 - confidence.LEVEL


@dataclass(frozen=True)
class Comparison:
    """All that two runs have in common. `trade_off`: LAAL (StreamLAAL of talks) against BLEU; None without both."""

    metrics: tuple[Compared, ...]
    trade_off: TradeOff | None
    trade_off_latency: str

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "metrics": {one.name: {**asdict(one), "significant": one.significant} for one in self.metrics},
            "trade_off": None if self.trade_off is None else asdict(self.trade_off),
            "trade_off_latency": self.trade_off_latency,
        }


def compare(a: Score, b: Score, options: ScoreOptions | None = None) -> Comparison:
    """A against B. InputError, naming the first recording, when they are not about the same ones."""
    options = options or ScoreOptions()
    pairs = _pairs(a.rows, b.rows)
    tokenize = tokenizer_for(options.target)
    found: list[Compared] = []
    for name, metric in a.metrics.items():
        other = b.metrics.get(name)
        if other is None:
            continue
        if name in TESTED_QUALITY:
            difference = _quality(name, pairs, tokenize, options.resamples)
            if difference is not None:
                found.append(Compared(name, metric.unit, metric.value, other.value, difference))
        elif (of_rows := _of_rows(name, metric.unit, pairs, options.resamples)) is not None:
            found.append(of_rows)
    axis = next((name for name in ("LAAL", "StreamLAAL_simulstream") if name in a.metrics and name in b.metrics), "")
    return Comparison(tuple(found), _trade_off(axis, pairs, tokenize, options.resamples) if axis else None, axis)


def _of_rows(name: str, unit: str, pairs: Sequence[tuple[Row, Row]], resamples: int) -> Compared | None:
    """A metric that is a mean over rows, weighted where its rows have weights: both figures from the rows of both."""
    both = [(x, y) for x, y in pairs if name in x.values and name in y.values]
    weights = [x.weights.get(name, 1.0) for x, _ in both]
    a, b = [x.values[name] for x, _ in both], [y.values[name] for _, y in both]
    difference = confidence.paired_difference(a, b, resamples, weights=weights)
    if difference is None:
        return None
    mean_a, mean_b = (float(np.average(side, weights=weights)) for side in (a, b))
    return Compared(name, unit, mean_a, mean_b, replace(difference, left_out=len(pairs) - len(both)))


def _pairs(a: Sequence[Row], b: Sequence[Row]) -> list[tuple[Row, Row]]:
    def key(row: Row) -> tuple[str, int | None]:
        return row.recording.name, row.segment

    other = {key(row): row for row in b}
    for rows, known, which in ((a, other, "second"), (b, {key(row): row for row in a}, "first")):
        for row in rows:
            if key(row) not in known:
                raise InputError(
                    f"{row.recording.where}: {row.recording.name} is not in the {which} run: nothing to pair"
                )
    for row in a:
        if row.reference != other[key(row)].reference:
            raise InputError(f"{row.recording.where}: the runs have different references for {row.recording.name}")
    return [(row, other[key(row)]) for row in a]


def _texts(pairs: Sequence[tuple[Row, Row]]) -> tuple[list[str], list[str], list[str]]:
    scored = [(x, y) for x, y in pairs if x.reference is not None]
    return (
        [x.hypothesis for x, _ in scored],
        [y.hypothesis for _, y in scored],
        [str(x.reference) for x, _ in scored],
    )


def _quality(name: str, pairs: Sequence[tuple[Row, Row]], tokenize: str, resamples: int) -> Difference | None:
    first, second, references = _texts(pairs)
    return None if len(references) < 2 else quality(name, first, second, references, tokenize, resamples)


def quality(
    name: str, first: list[str], second: list[str], references: list[str], tokenize: str, resamples: int
) -> Difference:
    """The difference of a corpus score of two texts or more: p by sacrebleu's paired bootstrap, the interval from
    resampled rows."""
    if first == second:
        return Difference(0.0, 0.0, 0.0, 1.0, len(references), 0, "equal-output")
    score_b, score_a, p_value = confidence.quality_difference(
        name, second, first, references, "bs", tokenize, resamples
    )
    metric = scorer(name, tokenize)
    statistics = [np.array(metric._extract_corpus_statistics(side, [references])) for side in (first, second)]
    draws = np.random.default_rng(confidence.SEED).integers(0, len(references), (resamples, len(references)))
    gaps = []
    for draw in draws:
        scores = [metric._compute_score_from_stats(side[draw].sum(axis=0).tolist()).score for side in statistics]
        gaps.append(scores[0] - scores[1])
    low, high = np.percentile(gaps, [50 * (1 - confidence.LEVEL), 50 * (1 + confidence.LEVEL)])
    test = f"sacrebleu-paired-bs,{resamples}"
    return Difference(score_a - score_b, float(low), float(high), p_value, len(references), 0, test)


def _trade_off(axis: str, pairs: Sequence[tuple[Row, Row]], tokenize: str, resamples: int) -> TradeOff | None:
    scored = [(x, y) for x, y in pairs if x.reference is not None and x.recording.task == "st"]
    if len(scored) < 2:
        return None
    first, second, references = _texts(scored)
    return confidence.compare_trade_off(
        [x.values.get(axis) for x, _ in scored],
        [y.values.get(axis) for _, y in scored],
        first,
        second,
        references,
        tokenize,
        resamples,
    )
