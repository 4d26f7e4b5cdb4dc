"""Latency of long recordings: re-segment the hypothesis to the reference segments, then measure each segment.

StreamLAAL (Papi et al. 2024, StreamAtt) in its two published variants, and LongYAAL with its relatives (Polak et al.
2025, "Better Late Than Never"). Delays are relative to the start of the segment.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from streamst.errors import InputError
from streamst.evaluate.log.units import split_at_blanks, split_units

from .align import aswer, soft
from .latency import (
    Utterance,
    average_lagging,
    average_proportion,
    computation_aware,
    differentiable_average_lagging,
    length_adaptive_average_lagging,
    yet_another_average_lagging,
)
from .result import Metric, signature

# By name, with the name and version that signatures state. "aswer-blanks" takes words that are cut at U+0020 only.
SEGMENTERS = {"aswer": "aswer-1", "aswer-blanks": "aswer-1,words-at:U+0020", "soft": "soft-1"}


@dataclass(frozen=True)
class ReferenceSegment:
    """A stretch of a recording and its reference translation (may be empty)."""

    offset_ms: float
    duration_ms: float
    text: str

    def __post_init__(self) -> None:
        for name, value in (("offset_ms", self.offset_ms), ("duration_ms", self.duration_ms)):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} of segment {self.text[:40]!r} is {value!r}; it must be finite and >= 0")


@dataclass(frozen=True)
class Recording:
    """One talk: what was written when, and its reference segments in order.

    units: the final hypothesis; delays_ms, elapsed_ms (or empty): one each, from the recording's start.
    source_ms: length of the audio.
    """

    units: tuple[str, ...]
    delays_ms: tuple[float, ...]
    source_ms: float
    references: tuple[ReferenceSegment, ...]
    elapsed_ms: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        Utterance(self.delays_ms, self.source_ms, None, self.elapsed_ms)
        if len(self.units) != len(self.delays_ms):
            raise InputError(f"{len(self.units)} units but {len(self.delays_ms)} delays: they must be equal")
        if not self.references:
            raise InputError("a recording needs at least one reference segment")


@dataclass(frozen=True)
class Segment:
    """A reference segment with the part of the hypothesis that was aligned to it.

    utterance: delays relative to the segment's start (negative when a unit came before it), X = its duration.
    recording_end_ms, reference_end_ms: ends of the audio and of the last reference segment, on the same axis.
    """

    hypothesis: str
    reference: str
    utterance: Utterance
    recording_end_ms: float
    reference_end_ms: float


def resegment(recording: Recording, segmenter: str = "aswer", text_unit: str = "word") -> tuple[Segment, ...]:
    """One Segment for each reference segment; every unit of the hypothesis is in exactly one, in order.

    segmenter: "aswer" (minimum edit distance), "aswer-blanks" (the same, of words cut at U+0020 only, which the units
        then are) or "soft" (character sets; exact characters where text_unit is "char").
    Raises InputError for an unknown segmenter or unit.
    """
    if segmenter not in SEGMENTERS:
        raise InputError(f"unknown segmenter {segmenter!r}; allowed: {', '.join(SEGMENTERS)}")
    at_blanks = segmenter == "aswer-blanks" and text_unit == "word"
    references = tuple(
        split_at_blanks(segment.text) if at_blanks else split_units(segment.text, text_unit)
        for segment in recording.references
    )
    owners = _owners(references, recording.units, segmenter == "soft", text_unit == "char")
    reference_end = max(segment.offset_ms + segment.duration_ms for segment in recording.references)
    segments = []
    for index, (segment, units) in enumerate(zip(recording.references, references, strict=True)):
        mine = slice(bisect_left(owners, index), bisect_right(owners, index))
        offset = segment.offset_ms
        utterance = Utterance(
            tuple(delay - offset for delay in recording.delays_ms[mine]),
            segment.duration_ms,
            len(units),
            tuple(elapsed - offset for elapsed in recording.elapsed_ms[mine]),
        )
        text = ("" if text_unit == "char" else " ").join(recording.units[mine])
        ends = (recording.source_ms - offset, reference_end - offset)
        segments.append(Segment(text, segment.text, utterance, *ends))
    return tuple(segments)


@lru_cache(maxsize=256)
def _owners(
    references: tuple[tuple[str, ...], ...], units: tuple[str, ...], softly: bool, exact: bool
) -> tuple[int, ...]:
    """The segment of each unit, never decreasing; kept, because every clock of a run asks for the same alignment."""
    return tuple(soft(references, units, exact=exact) if softly else aswer(references, units))


def _clipped(u: Utterance) -> Utterance:
    return Utterance(tuple(max(0.0, d) for d in u.delays_ms), u.source_ms, u.reference_units)


@dataclass(frozen=True)
class LongFormula:
    """One metric by name: its function of a segment on one clock, and what its signature states."""

    compute: Callable[[Segment, Utterance], float | None]
    unit: str
    segmenter: str  # the one that its authors use
    rules: str


LONG_FORMULAS: dict[str, LongFormula] = {
    "StreamLAAL_fbk": LongFormula(
        lambda _, u: length_adaptive_average_lagging(_clipped(u)), "ms", "aswer", "LAAL,delays-clipped-at-0"
    ),
    "StreamLAAL_simulstream": LongFormula(
        lambda _, u: length_adaptive_average_lagging(u), "ms", "aswer-blanks", "LAAL,delays-not-clipped"
    ),
    "LongYAAL": LongFormula(
        lambda s, u: yet_another_average_lagging(u, s.recording_end_ms), "ms", "soft", "YAAL,end=audio,exclusive"
    ),
    "LongYAAL_omnisteval": LongFormula(
        lambda s, u: yet_another_average_lagging(u, s.reference_end_ms), "ms", "soft", "YAAL,end=last-segment,exclusive"
    ),
    "LongAL": LongFormula(lambda _, u: average_lagging(u), "ms", "soft", "AL"),
    "LongLAAL": LongFormula(lambda _, u: length_adaptive_average_lagging(u), "ms", "soft", "LAAL"),
    "LongAP": LongFormula(lambda _, u: average_proportion(u), "ratio", "soft", "AP"),
    "LongDAL": LongFormula(lambda _, u: differentiable_average_lagging(u), "ms", "soft", "DAL"),
}


def long_corpus(name: str, segments: Sequence[Segment], segmenter: str, text_unit: str = "word") -> Metric | None:
    """The plain mean of a long-form metric over the segments that define it; None when none does.

    name: a key of LONG_FORMULAS, or NAME_CA_<clock>: then the recordings' `elapsed_ms` hold that clock's times.
    segments: of all recordings, cut by `segmenter`, which the signature names.
    """
    base, _, convention = name.partition("_CA_")
    if base not in LONG_FORMULAS or (not convention and base != name):
        raise InputError(f"unknown long-form metric {name!r}; known: {', '.join(LONG_FORMULAS)}, also NAME_CA_<clock>")
    if segmenter not in SEGMENTERS:
        raise InputError(f"unknown segmenter {segmenter!r}; allowed: {', '.join(SEGMENTERS)}")
    formula = LONG_FORMULAS[base]
    values = [
        formula.compute(s, computation_aware(s.utterance) if convention else s.utterance)
        for s in segments
        if s.utterance.delays_ms
    ]
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    fields = {
        "unit": text_unit,
        "rule": formula.rules,
        "segmenter": SEGMENTERS[segmenter],
        "ca": convention or "none",
        "n": len(segments),
        "empty": len(segments) - len(values),
        "undefined": len(values) - len(defined),
    }
    return Metric(math.fsum(defined) / len(defined), formula.unit, signature(fields))
