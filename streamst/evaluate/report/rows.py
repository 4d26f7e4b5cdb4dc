"""Recordings as rows of a report: an utterance each or, of a long talk, a reference segment each, with their values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamst.evaluate.log.clock import compute_rtf, step_times
from streamst.evaluate.log.elapsed import elapsed_of
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.log.units import split_units
from streamst.evaluate.metrics import longform, speech
from streamst.evaluate.metrics.latency import FORMULAS, Utterance, check, per_utterance
from streamst.evaluate.metrics.longform import LONG_FORMULAS, ReferenceSegment, Segment, resegment
from streamst.evaluate.metrics.speech import SpokenUtterance

Values = dict[str, float]  # of one row, by metric; a metric that is not defined for the row is absent


@dataclass(frozen=True)
class Row:
    """One line of a report: a recording, or one reference segment of a long one with the units aligned to it.

    weights: of those `values` whose figure over all rows is a weighted mean; the others are plain means.
    """

    recording: Recording
    segment: int | None  # None: the whole recording
    first_unit: int  # of `recording.units`; `utterance` has as many delays as the row has units
    hypothesis: str
    reference: str | None
    utterance: Utterance
    values: Values = field(default_factory=dict)
    weights: Values = field(default_factory=dict)


def utterance_of(recording: Recording, clock: str = "") -> Utterance:
    """A recording as one utterance, its `elapsed_ms` on `clock` (none for ""). InputError names the line of the log."""
    reference = recording.reference
    utterance = Utterance(
        recording.delays_ms,
        recording.source_ms,
        None if reference is None else len(split_units(reference, recording.unit)),
        elapsed_of(recording, clock) if clock else (),
    )
    check(replace(utterance, elapsed_ms=()), recording.where, len(recording.units))
    return utterance


def spoken_of(recording: Recording, clock: str = "") -> SpokenUtterance:
    """The speech of a recording, its `elapsed_ms` on `clock` (none for "")."""
    elapsed: tuple[float, ...] = ()
    if clock:
        times = step_times(recording.steps, clock)
        elapsed = tuple(times[chunk.step] for chunk in recording.speech if chunk.step is not None)
    return SpokenUtterance(
        tuple(chunk.delay_ms for chunk in recording.speech),
        tuple(chunk.duration_ms for chunk in recording.speech),
        recording.source_ms,
        elapsed,
    )


def short_rows(recordings: Sequence[Recording], clocks: Sequence[str]) -> list[Row]:
    """A row a recording with the latency of its text, of its speech, and its computation."""
    plain = [utterance_of(recording) for recording in recordings]
    values: list[Values] = [{} for _ in recordings]
    for clock in ("", *clocks):
        timed = [utterance_of(recording, clock) for recording in recordings] if clock else plain
        suffix = f"_CA_{clock}" if clock else ""
        for name in FORMULAS:
            if name == "NumChunks" and clock:
                continue
            for row, value in zip(values, per_utterance(name + suffix, timed), strict=True):
                _put(row, name + suffix, value)
        for row, value in zip(values, speech.per_utterance("ATD" + suffix, timed), strict=True):
            _put(row, "ATD" + suffix, value)
    for row, recording in zip(values, recordings, strict=True):
        row.update(recording_values(recording, clocks))
    return [
        Row(
            recording, None, 0, recording.prediction, recording.reference, utterance, row,
            {"RTF": recording.source_ms, "NE": float(len(recording.units))},
        )
        for recording, utterance, row in zip(recordings, plain, values, strict=True)
    ]  # fmt: skip


def speech_clocks(recordings: Sequence[Recording], clocks: Sequence[str]) -> tuple[str, ...]:
    """The clocks that speech output is measured on, "" for none; nothing when no recording has speech."""
    if not any(recording.speech for recording in recordings):
        return ()
    known = all(chunk.step is not None for recording in recordings for chunk in recording.speech)
    return ("", *(clock for clock in ("queue", "wallclock") if known and clock in clocks))


def speech_names(clock: str) -> tuple[str, ...]:
    """The speech metrics that differ on `clock`."""
    return ("ATD", *(name for name in speech.SPEECH_UNITS if not clock or name != "NumChunks"))


def recording_values(recording: Recording, clocks: Sequence[str]) -> Values:
    """What is defined for a recording of any length: speech output and computation."""
    values: Values = {}
    if recording.compute_ms is not None and recording.source_ms > 0:
        _put(values, "RTF", compute_rtf(recording.steps, recording.source_ms))
    if recording.steps and recording.units:
        _put(values, "NE", sum(len(step.deleted) for step in recording.steps) / len(recording.units))
    for clock in speech_clocks([recording], clocks):
        spoken = spoken_of(recording, clock)
        suffix = f"_CA_{clock}" if clock else ""
        for name in speech_names(clock):
            _put(values, f"{name}_speech{suffix}", speech.per_utterance(name + suffix, [spoken])[0])
    return values


def gaps_of(recording: Recording) -> list[tuple[float, float]]:
    """(begin, length) of every silence between two chunks of speech, as a live listener hears it [ms]."""
    spoken = spoken_of(recording)
    if recording.steps and all(chunk.step is not None for chunk in recording.speech):
        spoken = spoken_of(recording, "queue")
    heard = speech.playback(spoken.elapsed_ms or spoken.delays_ms, spoken.durations_ms)
    pairs = itertools.pairwise(heard)
    return [(a.end_ms, b.start_ms - a.end_ms) for a, b in pairs if b.start_ms > a.end_ms]


def long_segments(recordings: Sequence[Recording], segmenter: str, clock: str = "") -> list[Segment]:
    """Every reference segment of every recording with the text that `segmenter` aligns to it."""
    found: list[Segment] = []
    for recording in recordings:
        texts = [r.text if recording.task == "asr" else r.translation for r in recording.references]
        segments = tuple(
            ReferenceSegment(r.offset_ms, r.duration_ms, text or "")
            for r, text in zip(recording.references, texts, strict=True)
        )
        units, delays, elapsed = recording.units, recording.delays_ms, elapsed_of(recording, clock) if clock else ()
        if segmenter == "aswer-blanks" and recording.units_a_word:
            ends = list(itertools.accumulate(recording.units_a_word))
            units = tuple(
                "\u00a0".join(units[end - n : end]) for end, n in zip(ends, recording.units_a_word, strict=True)
            )
            delays, elapsed = (tuple(times[end - 1] for end in ends) if times else () for times in (delays, elapsed))
        talk = longform.Recording(units, delays, recording.source_ms, segments, elapsed)
        found.extend(resegment(talk, segmenter, recording.unit))
    return found


def long_rows(recordings: Sequence[Recording], segmented: Mapping[tuple[str, str], Sequence[Segment]]) -> list[Row]:
    """A row a reference segment, as AS-WER cuts them. `segmented`: segments by (segmenter, clock), "" for no clock."""
    owners = [(recording, number) for recording in recordings for number in range(len(recording.references))]
    values: list[Values] = [{} for _ in owners]
    for (segmenter, clock), segments in segmented.items():
        for name, formula in LONG_FORMULAS.items():
            if formula.segmenter != segmenter:
                continue
            for row, segment in zip(values, segments, strict=True):
                utterance = segment.utterance
                if clock:
                    utterance = replace(utterance, delays_ms=utterance.elapsed_ms, elapsed_ms=())
                if utterance.delays_ms:
                    _put(row, f"{name}_CA_{clock}" if clock else name, formula.compute(segment, utterance))
    rows: list[Row] = []
    first = 0
    for (recording, number), segment, row in zip(owners, segmented["aswer", ""], values, strict=True):
        first = first if number else 0
        rows.append(Row(recording, number, first, segment.hypothesis, segment.reference, segment.utterance, row))
        first += len(segment.utterance.delays_ms)
    return rows


def _put(values: Values, name: str, value: float | None) -> None:
    if value is not None:
        values[name] = value
