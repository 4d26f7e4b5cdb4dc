"""How far the output is behind, word by word: the ear-voice span, and what comes after the speech is over.

EVS_p50, _p90, _p99  over all words: from the end of the source word that a word answers to until it is written [ms].
                     Interpreters' lag is counted so. Which word answers to which: `metrics/word_align.py`.
AfterSpeech          of a recording: from the end of speech until its last word [ms]; 0 where that came before.
WordsAfterSpeech     of a recording: words written after the end of speech.

Where source words were heard is taken from the log where it tells (our own runs); elsewhere the reference's source
text is spread over its segment by letters. Speech ends with the last word heard, else with the last segment.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamst.evaluate.log.elapsed import LOG_CLOCK, elapsed_of
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.metrics.result import Metric, signature
from streamst.evaluate.metrics.word_align import align_words

from .rows import Row, Values

RANKS = (50, 90, 99)
MODEL = "dyer-1,tension=4"


@dataclass(frozen=True)
class _Source:
    """The source words of one row, and when each was over [ms of the recording]."""

    words: tuple[str, ...]
    ends_ms: tuple[float, ...]
    heard: bool  # by the log; else spread


def ear_voice_spans(rows: Sequence[Row], clocks: Sequence[str]) -> tuple[dict[str, Metric], list[Values]]:
    """Percentiles over all words, on every clock of `clocks` ("" for none), and the median of each row as `EVS`."""
    sources = [_source_of(row) for row in rows]
    pairs = [
        (source.words if source else (), row.recording.units[_place(row)])
        for row, source in zip(rows, sources, strict=True)
    ]
    taught = [(text.split(), row.reference.split()) for row in rows if row.reference and (text := _text_of(row))]
    aligned = align_words(pairs, taught)
    metrics: dict[str, Metric] = {}
    values: list[Values] = [{} for _ in rows]
    for clock in clocks:
        suffix = f"_CA_{clock}" if clock else ""
        spans: list[float] = []
        for row, source, partners, kept in zip(rows, sources, aligned, values, strict=True):
            times = (elapsed_of(row.recording, clock) if clock else row.recording.delays_ms)[_place(row)]
            mine = [
                time - source.ends_ms[partner]
                for time, partner in zip(times, partners, strict=True)
                if source is not None and partner is not None
            ]
            spans += mine
            if mine:
                kept[f"EVS{suffix}"] = float(np.median(mine))
        if spans:
            told = {
                "of": "time-end of source word",
                "align": MODEL,
                "source_times": _kinds(sources),
                "ca": clock or "none",
                "words": len(spans),
                "unaligned": sum(len(target) for _, target in pairs) - len(spans),
            }
            for rank, value in zip(RANKS, np.percentile(spans, RANKS), strict=True):
                metrics[f"EVS_p{rank}{suffix}"] = Metric(float(value), "ms", signature(told))
    return metrics, values


def after_speech(recording: Recording, clocks: Sequence[str]) -> Values:
    """AfterSpeech and WordsAfterSpeech of one recording on each clock; nothing without output."""
    values: Values = {}
    for clock in clocks if recording.units else ():
        times = elapsed_of(recording, clock) if clock else recording.delays_ms
        end_ms, suffix = speech_end(recording), f"_CA_{clock}" if clock else ""
        values[f"AfterSpeech{suffix}"] = max(0.0, times[-1] - end_ms)
        values[f"WordsAfterSpeech{suffix}"] = float(sum(time > end_ms for time in times))
    return values


def lateness(recordings: Sequence[Recording], clocks: Sequence[str]) -> dict[str, Metric]:
    """The means of `after_speech` over the recordings with output."""
    late = [values for recording in recordings if (values := after_speech(recording, clocks))]
    found: dict[str, Metric] = {}
    for name in late[0] if late else ():
        _, _, clock = name.partition("_CA_")
        fields = {"end": "last word heard, else last segment, else audio", "ca": clock or "none", "n": len(late)}
        mean = math.fsum(values[name] for values in late) / len(late)
        found[name] = Metric(mean, "words" if name.startswith("Words") else "ms", signature(fields))
    return found


def listeners_clocks(clocks: Sequence[str]) -> tuple[str, ...]:
    """Of the clocks of a log, "" for none and those that a listener lives by."""
    return ("", *(clock for clock in ("queue", "wallclock", LOG_CLOCK) if clock in clocks))


def speech_end(recording: Recording) -> float:
    """When the last word was over, as far as the log tells [ms]."""
    if recording.heard:
        return max(end for _, _, end in recording.heard)
    segments = [reference.offset_ms + reference.duration_ms for reference in recording.references]
    return max(segments) if recording.long_form else recording.source_ms


def _kinds(sources: Sequence[_Source | None]) -> str:
    kinds = {"heard" if source.heard else "even" for source in sources if source is not None}
    return "+".join(sorted(kinds))


def _place(row: Row) -> slice:
    return slice(row.first_unit, row.first_unit + len(row.utterance.delays_ms))


def _text_of(row: Row) -> str | None:
    recording = row.recording
    return recording.source_text if row.segment is None else recording.references[row.segment].text


def _source_of(row: Row) -> _Source | None:
    """The source words of a row: heard in it, or its text spread over it."""
    recording = row.recording
    start, end = 0.0, recording.source_ms
    if row.segment is not None:
        reference = recording.references[row.segment]
        start, end = reference.offset_ms, reference.offset_ms + reference.duration_ms
    heard = [(word, over) for word, begun, over in recording.heard if start <= (begun + over) / 2 < end]
    if heard:
        return _Source(tuple(word for word, _ in heard), tuple(over for _, over in heard), True)
    words = (_text_of(row) or "").split()
    if not words:
        return None
    letters = list(itertools.accumulate(len(word) for word in words))
    ends = tuple(start + (end - start) * so_far / letters[-1] for so_far in letters)
    return _Source(tuple(words), ends, False)
