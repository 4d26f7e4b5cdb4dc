"""A log becomes a report: every metric that applies, how sure it is, and the rows that it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamst.errors import InputError
from streamst.evaluate.formats.detect import Log
from streamst.evaluate.log.elapsed import clocks_of
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.metrics import confidence, latency, speech
from streamst.evaluate.metrics.degeneracy import degeneracy
from streamst.evaluate.metrics.erasure import normalised_erasure
from streamst.evaluate.metrics.longform import LONG_FORMULAS, SEGMENTERS, long_corpus
from streamst.evaluate.metrics.normalise import normalisers_of
from streamst.evaluate.metrics.quality import edit_counts, error_rate, sacrebleu_score, tokenizer_for
from streamst.evaluate.metrics.result import Metric, signature

from .failures import Failure, Verdict, failures, verdict_of
from .regimes import regime_of
from .rows import (
    Row,
    gaps_of,
    long_rows,
    long_segments,
    recording_values,
    short_rows,
    speech_clocks,
    speech_names,
    spoken_of,
    utterance_of,
)
from .spans import after_speech, ear_voice_spans, lateness, listeners_clocks

FEWEST_FOR_INTERVALS = 2  # rows
SLACK_MS = 100.0  # of segments against each other and their audio
QUALITY_FIRST = ("BLEU", "chrF", "TER", "WER", "WER_whisper", "CER")


@dataclass(frozen=True)
class ScoreOptions:
    """source, target: language codes, for BLEU's tokenizer and WER's normaliser. resamples: of the bootstrap."""

    source: str = "en"
    target: str = "de"
    resamples: int = 1000


@dataclass(frozen=True)
class Score:
    """What a log says.

    metrics: by name; one that does not apply is absent. intervals: (low, high) of some of them, at `level`.
    percentiles: p50, p90, ... over the rows. notes: what a reader must know: how much was left out, and why.
    failures: what goes wrong how often, in words. verdict: whether it is simultaneous; None where nothing tells.
    """

    metrics: dict[str, Metric]
    intervals: dict[str, tuple[float, float]]
    percentiles: dict[str, dict[str, float]]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    level: float = confidence.LEVEL
    log_format: str = "streamst"
    failures: tuple[Failure, ...] = ()
    verdict: Verdict | None = None

    def convictions(self) -> list[str]:
        """What is said of the run, worst first."""
        said = [str(one) for one in self.failures if one.convicted]
        if self.verdict == "suspicious":
            said.insert(0, "suspicious: its mean delay says little about its words (see SWF, EFSW, DSPTV)")
        return said

    def summary(self) -> str:
        """One line: how much was scored."""
        recordings = self._recordings()
        hours = sum(r.source_ms for r in recordings) / 3.6e6
        length = f"{hours:.2f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        segments = f", {len(self.rows)} reference segments" if len(self.rows) != len(recordings) else ""
        regime = regime_of(self.metrics)
        ranked = f"; IWSLT regime: {regime}" if regime else ""
        return f"{len(recordings)} recordings, {length} of audio{segments}; {self.log_format} log{ranked}"

    def _recordings(self) -> list[Recording]:
        return list({id(row.recording): row.recording for row in self.rows}.values())

    def as_json(self) -> dict[str, Any]:
        """`report.json`."""
        return {
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "intervals": {
                name: {"low": low, "high": high, "level": self.level} for name, (low, high) in self.intervals.items()
            },
            "percentiles": self.percentiles,
            "notes": list(self.notes),
            "verdict": self.verdict,
            "regime": regime_of(self.metrics),
            "failures": {one.name: one.as_json() for one in self.failures},
            "gaps_ms": {r.name: gaps_of(r) for r in self._recordings() if r.speech},
            "rows": [
                {
                    "path": row.recording.name,
                    "segment": row.segment,
                    "source_ms": row.utterance.source_ms,
                    "hypothesis": row.hypothesis,
                    "reference": row.reference,
                    "values": row.values,
                }
                for row in self.rows
            ],
        }


@dataclass
class _Sheet:
    """A report while it is filled in."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def put(self, name: str, metric: Metric | None, ends: tuple[float, float] | None = None) -> None:
        if metric is not None:
            self.metrics[name] = metric
            if ends is not None:
                self.intervals[name] = ends


def score(log: Log, options: ScoreOptions | None = None) -> Score:
    """Every metric that applies to the recordings of `log`. InputError, with the log's line, for impossible times."""
    options = options or ScoreOptions()
    recordings = log.recordings
    if not recordings:
        raise InputError(f"{log.path}: no recording to score")
    clocks = clocks_of(recordings, log.format)
    sheet = _Sheet()
    is_long = any(recording.long_form for recording in recordings)
    if is_long:
        rows = _long(recordings, clocks, sheet, options)
    else:
        rows = short_rows(recordings, clocks)
        _short(recordings, clocks, sheet)
    rows = _quality(rows, sheet, options, "")
    rows = _recognition(rows, sheet, options, is_long)
    _speech(recordings, clocks, sheet)
    _computation(recordings, sheet, options)
    rows = _spans(rows, recordings, clocks, sheet)
    talks = [recording_values(r, clocks) | after_speech(r, listeners_clocks(clocks)) for r in recordings]
    _means(rows, sheet, options, talks if is_long else None)
    percentiles = {
        name: found
        for name in (*sheet.metrics, "EVS")
        if (found := confidence.percentiles([row.values.get(name) for row in rows])) and name not in ("empty", "BLEU")
    }
    first = [name for name in QUALITY_FIRST if name in sheet.metrics]
    metrics = {name: sheet.metrics[name] for name in [*first, *sheet.metrics]}
    found = failures(rows)
    return Score(
        metrics, sheet.intervals, percentiles, tuple(rows), _notes(log), log_format=log.format, failures=found,
        verdict=verdict_of(found, metrics),
    )  # fmt: skip


def _short(recordings: Sequence[Recording], clocks: Sequence[str], sheet: _Sheet) -> None:
    """AP, AL, LAAL, DAL, YAAL, ATD, offsets of utterances, on every clock."""
    texts = [recording for recording in recordings if recording.output != "speech"]
    if not texts:
        return
    unit = texts[0].unit
    for clock in ("", *clocks):
        utterances = [utterance_of(recording, clock) for recording in texts]
        suffix = f"_CA_{clock}" if clock else ""
        for name in latency.FORMULAS:
            if name != "NumChunks" or not clock:
                sheet.put(name + suffix, latency.corpus(name + suffix, utterances, unit))
        sheet.put("ATD" + suffix, speech.corpus("ATD" + suffix, utterances))
    plain = [utterance_of(recording) for recording in texts]
    sheet.metrics |= degeneracy(plain, unit=unit)
    sheet.put("empty", latency.count_empty(plain))


def _long(recordings: Sequence[Recording], clocks: Sequence[str], sheet: _Sheet, options: ScoreOptions) -> list[Row]:
    """StreamLAAL, LongYAAL and relatives of talks, on every clock; BLEU of the second segmenter under its own name."""
    unit = recordings[0].unit
    segmented = {(s, c): long_segments(recordings, s, c) for s in SEGMENTERS for c in ("", *clocks)}
    for (segmenter, clock), segments in segmented.items():
        suffix = f"_CA_{clock}" if clock else ""
        for name, formula in LONG_FORMULAS.items():
            if formula.segmenter == segmenter:
                sheet.put(name + suffix, long_corpus(name + suffix, segments, segmenter, unit))
    utterances = [utterance_of(recording) for recording in recordings]
    for name in ("StartOffset", "EndOffset"):
        sheet.put(name, latency.corpus(name, utterances, unit))
    sheet.metrics |= degeneracy([s.utterance for s in segmented["soft", ""]], "Long", unit=unit, segmenter="soft-1")
    plain = segmented["aswer", ""]
    sheet.put("empty", latency.count_empty([segment.utterance for segment in plain]))
    if recordings[0].task == "st":
        tokenize = tokenizer_for(options.target)
        soft = segmented["soft", ""]
        for name in ("BLEU", "chrF"):
            found = sacrebleu_score(name, [s.hypothesis for s in soft], [s.reference for s in soft], tokenize)
            sheet.put(f"{name}_soft", replace(found, signature=found.signature + "|segmenter:soft-1"))
    return long_rows(recordings, segmented)


def _quality(rows: Sequence[Row], sheet: _Sheet, options: ScoreOptions, suffix: str) -> list[Row]:
    """BLEU, chrF and TER of the rows that have a reference, and chrF of each."""
    pairs = [
        (row.hypothesis, row.reference)
        for row in rows
        if row.reference is not None and row.recording.task == "st" and row.recording.output != "speech"
    ]
    if not pairs:
        return list(rows)
    hypotheses, references = [h for h, _ in pairs], [r for _, r in pairs]
    tokenize = tokenizer_for(options.target)
    for name in ("BLEU", "chrF", "TER"):
        if len(pairs) < FEWEST_FOR_INTERVALS:
            sheet.put(name + suffix, sacrebleu_score(name, hypotheses, references, tokenize))
            continue
        found, ends = confidence.quality_with_interval(name, hypotheses, references, tokenize, options.resamples)
        sheet.put(name + suffix, found, (ends.low, ends.high))
    return [
        row
        if row.reference is None or row.recording.task != "st" or row.recording.output == "speech"
        else replace(
            row, values={**row.values, "chrF": sacrebleu_score("chrF", [row.hypothesis], [row.reference]).value}
        )
        for row in rows
    ]


def _recognition(rows: Sequence[Row], sheet: _Sheet, options: ScoreOptions, is_long: bool) -> list[Row]:
    """WER and CER of the source captions against what was said; for `asr`, of the recognised words."""
    heard: list[tuple[int, str, str]] = []  # row, captions, what was said
    for number, row in enumerate(rows):
        recording = row.recording
        first_of_talk = not row.segment
        captions = recording.prediction if recording.task == "asr" else recording.transcript
        if captions is not None and recording.source_text is not None and first_of_talk:
            heard.append((number, captions, recording.source_text))
    if not heard:
        return list(rows)
    hypotheses, references = [h for _, h, _ in heard], [r for _, _, r in heard]
    counts = {}
    for suffix, normaliser in normalisers_of(options.source).items():
        for rate in ("WER",) if suffix else ("WER", "CER"):
            name = rate + suffix
            counts[name] = [edit_counts(rate, h, r, normaliser) for h, r in zip(hypotheses, references, strict=True)]
            ends = _ratio_interval(counts[name], options.resamples, 100.0)
            sheet.put(name, error_rate(rate, hypotheses, references, normaliser), ends)
    found = list(rows)
    if not is_long:
        for name, (number, edits, length) in (
            (name, (heard[i][0], *pair)) for name, column in counts.items() for i, pair in enumerate(column)
        ):
            if length:
                row, rate = found[number], {name: 100.0 * edits / length}
                found[number] = replace(row, values=row.values | rate, weights={**row.weights, name: float(length)})
    return found


def _speech(recordings: Sequence[Recording], clocks: Sequence[str], sheet: _Sheet) -> None:
    """Offsets, ATD and silences of speech output."""
    for clock in speech_clocks(recordings, clocks):
        suffix = f"_CA_{clock}" if clock else ""
        spoken = [spoken_of(recording, clock) for recording in recordings]
        for name in speech_names(clock):
            sheet.put(f"{name}_speech{suffix}", speech.corpus(name + suffix, spoken))
    if any(recording.output == "speech" for recording in recordings):
        silent = sum(not recording.speech for recording in recordings)
        sheet.put("empty", Metric(float(silent), "segments", signature({"output": "speech", "n": len(recordings)})))


def _computation(recordings: Sequence[Recording], sheet: _Sheet, options: ScoreOptions) -> None:
    """RTF and erasure, where the log has what was computed and taken back."""
    if not all(recording.steps for recording in recordings):
        return
    pairs = [(r.compute_ms, r.source_ms) for r in recordings if r.compute_ms is not None]
    compute_ms, audio_ms = (math.fsum(column) for column in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    if audio_ms > 0:
        fields = {"of": "compute/audio", "clock": "wall", "average": "micro", "n": len(pairs)}
        rtf = Metric(compute_ms / audio_ms, "ratio", signature(fields))
        sheet.put("RTF", rtf, _ratio_interval(pairs, options.resamples))
    counts = [(sum(len(step.deleted) for step in r.steps), len(r.units)) for r in recordings]
    erased = normalised_erasure([recording.steps for recording in recordings], recordings[0].unit)
    sheet.put("NE", erased, _ratio_interval(counts, options.resamples))


def _spans(rows: Sequence[Row], recordings: Sequence[Recording], clocks: Sequence[str], sheet: _Sheet) -> list[Row]:
    """The ear-voice span, and what comes after the end of speech."""
    if recordings[0].output == "speech":
        return list(rows)
    shown = listeners_clocks(clocks)
    found, medians = ear_voice_spans(rows, shown)
    sheet.metrics |= lateness(recordings, shown) | found
    return [
        replace(row, values=row.values | spans | (after_speech(row.recording, shown) if row.segment is None else {}))
        for row, spans in zip(rows, medians, strict=True)
    ]


def _means(rows: Sequence[Row], sheet: _Sheet, options: ScoreOptions, talks: Sequence[dict[str, float]] | None) -> None:
    """Bootstrap intervals of what is a mean over rows (or, of a long-form log, over `talks`)."""
    for name in list(sheet.metrics):
        if name in sheet.intervals or name in ("empty", "NE"):
            continue
        values = [row.values.get(name) for row in rows]
        if talks is not None and not any(value is not None for value in values):
            values = [talk.get(name) for talk in talks]
        if sum(value is not None for value in values) >= FEWEST_FOR_INTERVALS:
            interval = confidence.mean_interval(values, options.resamples)
            if interval is not None:
                sheet.intervals[name] = (interval.low, interval.high)


def _ratio_interval(
    counts: Sequence[tuple[float, float]], resamples: int, scale: float = 1.0
) -> tuple[float, float] | None:
    """Bootstrap interval of `scale` times a ratio whose two sides are summed over rows; None for too few."""
    table = np.array(counts, dtype=np.float64)  # (rows, 2)
    if len(counts) < FEWEST_FOR_INTERVALS or not table[:, 1].sum():
        return None
    draws = np.random.default_rng(confidence.SEED).integers(0, len(table), (resamples, len(table)))
    sums = table[draws].sum(axis=1)
    rates = scale * sums[:, 0] / np.maximum(sums[:, 1], 1e-9)
    low, high = np.percentile(rates, [50 * (1 - confidence.LEVEL), 50 * (1 + confidence.LEVEL)])
    return float(low), float(high)


def _notes(log: Log) -> tuple[str, ...]:
    notes = []
    if log.truncated:
        notes.append(f"{log.truncated} lines at the end of the log were not whole and were left out")
    if log.missing:
        notes.append(f"{log.missing} recordings of the manifest are not in the log: the run is not finished")
    bare = [r.name for r in log.recordings if r.reference is None]
    if bare:
        which = f": {', '.join(bare[:3])}{', ...' if len(bare) > 3 else ''}" if len(bare) < len(log.recordings) else ""
        count = f"{len(bare)} of {len(log.recordings)} recordings"
        notes.append(f"{count} have no reference, their own length stands in for it{which}")
    late = [r.where for r in log.recordings if latency.past_end(utterance_of(r))]
    if late:
        more = ", ..." if len(late) > 3 else ""
        notes.append(
            f"{len(late)} of {len(log.recordings)} recordings have delays past the end of the source and are scored as "
            f"they stand: {', '.join(late[:3])}{more}"
        )
    notes += _misplaced(log.recordings)
    empty = sum(not r.units for r in log.recordings if r.output != "speech")
    if empty:
        notes.append(f"{empty} recordings have no output: they count for quality, and nowhere in latency")
    return tuple(notes)


def _misplaced(recordings: Sequence[Recording]) -> list[str]:
    """Reference segments that overlap or reach past the audio: scored as they stand."""
    late, early = [], []
    for recording in recordings:
        ends = [r.offset_ms + r.duration_ms for r in recording.references]
        late += [recording.name for end in ends if end > recording.source_ms + SLACK_MS]
        starts = [r.offset_ms for r in recording.references[1:]]
        early += [recording.name for start, end in zip(starts, ends, strict=False) if start < end - SLACK_MS]
    told = (
        (late, "reference segments reach past the end of their recording"),
        (early, "reference segments begin before the one before them ends"),
    )
    return [f"{len(names)} {what}: {', '.join(dict.fromkeys(names))}" for names, what in told if names]
