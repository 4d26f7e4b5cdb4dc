"""Figures of a writer that was given correct text: quality, length, loops, speed, and delay in source words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamst.errors import InputError
from streamst.evaluate.log.pairs import Pair, TextRun, Translation
from streamst.evaluate.metrics import confidence, latency
from streamst.evaluate.metrics.latency import Utterance
from streamst.evaluate.metrics.quality import sacrebleu_score, tokenizer_for
from streamst.evaluate.metrics.repetition import repeats_phrase, repeats_word
from streamst.evaluate.metrics.result import Metric, signature

from .compare import TESTED_QUALITY, Compared, Comparison, quality

LATENCIES = ("AP", "AL", "LAAL", "DAL", "YAAL")


@dataclass(frozen=True)
class TextReport:
    """What a writer did with a file of pairs; `metrics`, `intervals`, `percentiles` as in `score.Score`."""

    metrics: dict[str, Metric]
    intervals: dict[str, tuple[float, float]]
    percentiles: dict[str, dict[str, float]]
    rows: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """For `--json`: the shape of a run's `report.json`, a row a sentence."""
        return {
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "intervals": {
                name: {"low": low, "high": high, "level": confidence.LEVEL}
                for name, (low, high) in self.intervals.items()
            },
            "percentiles": self.percentiles,
            "notes": [],
            "rows": list(self.rows),
        }


def text_report(
    pairs: Sequence[Pair],
    run: TextRun,
    whole: TextRun | None,
    target: str,
    resamples: int = 1000,
) -> TextReport:
    """Score a run; `whole`: what the same writer makes of sentences that were read to their end, where `run` did not
    wait for it."""
    hypotheses, references = [one.text for one in run.translations], [pair.reference for pair in pairs]
    tokenize = tokenizer_for(target)
    metrics: dict[str, Metric] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name in ("BLEU", "chrF", "TER"):
        if len(pairs) < 2:
            metrics[name] = sacrebleu_score(name, hypotheses, references, tokenize)
            continue
        metrics[name], found = confidence.quality_with_interval(name, hypotheses, references, tokenize, resamples)
        intervals[name] = found.low, found.high
    metrics |= _shape(hypotheses, references)
    metrics["TokensPerSecond"] = Metric(
        run.tokens / max(run.compute_s, 1e-9), "tokens/s", signature({"of": "decoded target tokens/writer seconds"})
    )
    values: list[dict[str, float]] = [
        {"chrF": sacrebleu_score("chrF", [hypothesis], [reference]).value}
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    if whole is not None:
        metrics |= _beside(metrics["BLEU"], [one.text for one in whole.translations], references, tokenize)
        metrics |= _delays(pairs, run.translations, values)
    for name in LATENCIES:
        mean = confidence.mean_interval([row.get(name) for row in values], resamples)
        if mean is not None and mean.n > 1:
            intervals[name] = mean.low, mean.high
    percentiles = {
        name: found
        for name in ("chrF", *LATENCIES)
        if (found := confidence.percentiles([row.get(name) for row in values]))
    }
    return TextReport(metrics, intervals, percentiles, _rows(pairs, run.translations, values))


def earlier(path: Path) -> list[tuple[str, str, str]]:
    """Sources, references and hypotheses of what `--json` wrote to `path`; InputError for a file that is none."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [(str(row["source"]), str(row["reference"]), str(row["hypothesis"])) for row in rows]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no file that bench text --json wrote") from error


def against(report: TextReport, path: Path, target: str, resamples: int = 1000) -> Comparison:
    """`report` against an earlier one over the same sentences, which `--json` wrote to `path`.

    Raises InputError for a file that is none, and for one of other sentences.
    """
    before = earlier(path)
    after = [(row["source"], row["reference"], row["hypothesis"]) for row in report.rows]
    if [row[:2] for row in before] != [row[:2] for row in after]:
        raise InputError(f"{path} has {len(before)} sentences, not the {len(after)} that were written now")
    if len(after) < 2:
        raise InputError(f"{len(after)} sentence is nothing to compare by; allowed: 2 or more")
    first, second, references = [row[2] for row in after], [row[2] for row in before], [row[1] for row in after]
    tokenize, found = tokenizer_for(target), []
    for name in TESTED_QUALITY:
        difference = quality(name, first, second, references, tokenize, resamples)
        metric = report.metrics[name]
        found.append(Compared(name, metric.unit, metric.value, metric.value - difference.value, difference))
    return Comparison(tuple(found), None, "")


def _delays(
    pairs: Sequence[Pair], translations: Sequence[Translation], values: Sequence[dict[str, float]]
) -> dict[str, Metric]:
    """Latency as of speech, but counted in source words instead of ms; each sentence's is added to its `values`."""
    utterances = [
        Utterance(tuple(map(float, one.delays)), one.source_words, len(pair.reference.split()))
        for one, pair in zip(translations, pairs, strict=True)
    ]
    metrics: dict[str, Metric] = {}
    for name in LATENCIES:
        found = latency.corpus(name, utterances)
        if found is not None:
            metrics[name] = found if found.unit == "ratio" else replace(found, unit="words")
        for row, value in zip(values, latency.per_utterance(name, utterances), strict=True):
            if value is not None:
                row[name] = value
    return metrics


def _shape(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Metric]:
    """Length, loops and silence."""
    words, wanted = (sum(len(text.split()) for text in texts) for texts in (hypotheses, references))
    n = len(hypotheses)
    found = {
        "LengthRatio": Metric(words / wanted, "ratio", signature({"of": "words/reference words", "n": n})),
        "empty": Metric(float(sum(not text.split() for text in hypotheses)), "segments", signature({"n": n})),
    }
    for name, repeats, rule in (
        ("RepeatedWords", repeats_word, "a word three times running"),
        ("RepeatedPhrases", repeats_phrase, "2 to 8 words twice running"),
    ):
        fields = {"of": rule, "n": n, "in_references": sum(map(repeats, references))}
        found[name] = Metric(float(sum(map(repeats, hypotheses))), "segments", signature(fields))
    return found


def _beside(early: Metric, whole: Sequence[str], references: Sequence[str], tokenize: str) -> dict[str, Metric]:
    """What whole sentences score, and how much of it is kept by who writes early."""
    found = {f"{name}_whole": sacrebleu_score(name, whole, references, tokenize) for name in ("BLEU", "chrF")}
    best = found["BLEU_whole"].value
    if best > 0:
        found["BLEU_kept"] = Metric(100.0 * early.value / best, "%", signature({"of": "BLEU/BLEU_whole"}))
    return found


def _rows(
    pairs: Sequence[Pair], translations: Sequence[Translation], values: Sequence[dict[str, float]]
) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "line": pair.line,
            "source": pair.source,
            "source_words": one.source_words,
            "hypothesis": one.text,
            "reference": pair.reference,
            "delays": list(one.delays),
            "values": row,
        }
        for pair, one, row in zip(pairs, translations, values, strict=True)
    )
