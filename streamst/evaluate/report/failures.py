"""What goes wrong, in words: failure modes of recordings, and the verdict on a run that a mean latency can hide.

Every mode looks at each recording (a talk: the whole of it; repetition and length: each of its segments) and counts
those that show it. From a share of its own on, a report says it of the run. The thresholds are those of `MODES`; why
they are what they are stands in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from streamst.evaluate.log.recording import Recording
from streamst.evaluate.log.units import split_units
from streamst.evaluate.metrics.repetition import repeats_phrase, repeats_word
from streamst.evaluate.metrics.result import Metric
from streamst.evaluate.metrics.speech import playback

from .rows import Row, spoken_of, utterance_of

Verdict = Literal["simultaneous", "suspicious", "degenerate"]

FEWEST = 4  # words or chunks: fewer tell nothing of a policy
MOST = 0.9  # of what is written
END, BEGIN = 0.9, 0.1  # of the source
LONG_SENTENCE = 8  # words
SUSPICIOUS = 20.0  # points of DSPTV, either way
QUEUE_MS = 5000.0  # that speech may wait for speech
LONGER, SHORTER = 2.0, 0.5  # than the reference


@dataclass(frozen=True)
class Mode:
    """One way to fail. `judge`: None where a row cannot tell. degenerate: the run is not simultaneous at all."""

    name: str
    rule: str
    convicts_from: float  # share of the judged; 0: a single one
    judge: Callable[[Row], bool | None]
    by_segment: bool = False  # of talks
    degenerate: bool = False


@dataclass(frozen=True)
class Failure:
    """How many of the recordings (or segments) that can tell show a mode, and the names of the first three."""

    name: str
    rule: str
    count: int
    judged: int
    convicts_from: float
    examples: tuple[str, ...]

    @property
    def convicted(self) -> bool:
        """Whether it is said of the run."""
        return self.count > 0 and self.count >= self.convicts_from * self.judged

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.name}: {self.count} of {self.judged} ({self.rule}): {', '.join(self.examples)}{more}"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "count": self.count,
            "of": self.judged,
            "convicted": self.convicted,
            "convicts_from": self.convicts_from,
            "rule": self.rule,
            "examples": list(self.examples),
        }


def failures(rows: Sequence[Row]) -> tuple[Failure, ...]:
    """Every mode that at least one row can tell of, in the order of `MODES`."""
    whole = [_whole(recording) for recording in {id(row.recording): row.recording for row in rows}.values()]
    found: list[Failure] = []
    for mode in MODES:
        told = [(row, said) for row in (rows if mode.by_segment else whole) if (said := mode.judge(row)) is not None]
        guilty = [_name(row) for row, said in told if said]
        if told:
            found.append(Failure(mode.name, mode.rule, len(guilty), len(told), mode.convicts_from, tuple(guilty[:3])))
    return tuple(found)


def verdict_of(found: Sequence[Failure], metrics: Mapping[str, Metric]) -> Verdict | None:
    """Is this run simultaneous? None where nothing was written at known times.

    "degenerate" by a mode that says so; "suspicious" where DSPTV is more than 20 points from 0, or undefined although
    words were written; a missing value acquits nobody.
    """
    if any(one.convicted and _BY_NAME[one.name].degenerate for one in found):
        return "degenerate"
    prefix = next((prefix for prefix in ("", "Long") if f"{prefix}SWF" in metrics), None)
    if prefix is None:
        return None
    shift = metrics.get(f"{prefix}DSPTV")
    return "suspicious" if shift is None or abs(shift.value) > SUSPICIOUS else "simultaneous"


def _whole(recording: Recording) -> Row:
    utterance = utterance_of(recording)
    return Row(recording, None, 0, recording.prediction, recording.reference, utterance)


def _name(row: Row) -> str:
    return row.recording.name if row.segment is None else f"{row.recording.name} segment {row.segment + 1}"


def _said(row: Row) -> list[tuple[float, float]]:
    """(source heard, weight) of every word or, where there is speech alone, of every chunk by its length."""
    if row.recording.output == "speech":
        return [(chunk.delay_ms, chunk.duration_ms) for chunk in row.recording.speech]
    return [(delay, 1.0) for delay in row.utterance.delays_ms]


def _share(row: Row, counts: Callable[[float], bool]) -> float | None:
    """Share of what was said at delays [of the source's length] that count. None for too little to tell."""
    said, length = _said(row), row.recording.source_ms
    total = sum(weight for _, weight in said)
    if len(said) < FEWEST or not length or not total:
        return None
    return sum(weight for delay, weight in said if counts(delay / length)) / total


def _at_the_end(row: Row) -> bool | None:
    share = _share(row, lambda place: place >= END)
    return None if share is None else share >= MOST


def _at_the_beginning(row: Row) -> bool | None:
    share = _share(row, lambda place: place <= BEGIN)
    return None if share is None else share >= MOST


def _at_once(row: Row) -> bool | None:
    delays = row.utterance.delays_ms
    if len(delays) < LONG_SENTENCE:
        return None
    return max(delays.count(delay) for delay in set(delays)) >= MOST * len(delays)


def _nothing(row: Row) -> bool | None:
    recording = row.recording
    if recording.reference is not None and not recording.reference.strip():
        return None
    return not (recording.speech if recording.output == "speech" else recording.units)


def _repeats(row: Row) -> bool | None:
    if row.recording.output == "speech" or not row.hypothesis:
        return None
    return any(says(row.hypothesis) and not says(row.reference or "") for says in (repeats_word, repeats_phrase))


def _length(row: Row) -> float | None:
    """Of the output in lengths of its reference."""
    wanted = row.utterance.reference_units or 0
    if row.recording.output == "speech" or row.reference is None or wanted < FEWEST:
        return None
    return len(split_units(row.hypothesis, row.recording.unit)) / wanted


def _too_much(row: Row) -> bool | None:
    length = _length(row)
    return None if length is None else length > LONGER


def _too_little(row: Row) -> bool | None:
    length = _length(row)
    return None if not length else length < SHORTER


def _over_itself(row: Row) -> bool | None:
    if not row.recording.speech:
        return None
    said = spoken_of(row.recording)
    heard = playback(said.delays_ms, said.durations_ms)
    first = {delay: interval for delay, interval in reversed(list(zip(said.delays_ms, heard, strict=True)))}
    return max(interval.start_ms - delay for delay, interval in first.items()) > QUEUE_MS


def _takes_back(row: Row) -> bool | None:
    steps, units = row.recording.steps, row.recording.units
    if not steps or not units:
        return None
    return sum(len(step.deleted) for step in steps) > len(units)


def _too_slow(row: Row) -> bool | None:
    spent, length = row.recording.compute_ms, row.recording.source_ms
    return None if spent is None or not length else spent > length


MODES = (
    Mode("writes everything at the end", "90 % of it when 90 % of the source was heard", 0.5, _at_the_end,
         degenerate=True),
    Mode("writes everything at the beginning", "90 % of it when 10 % of the source was heard", 0.5, _at_the_beginning,
         degenerate=True),
    Mode("writes whole sentences at once", "90 % of 8 words or more at one moment", 0.5, _at_once, by_segment=True),
    Mode("writes nothing", "no output where there is something to translate", 0.0, _nothing),
    Mode("repeats itself", "a word three times or a phrase twice running, not so in the reference", 0.05, _repeats,
         by_segment=True),
    Mode("writes too much", "more than twice the words of its reference", 0.05, _too_much, by_segment=True),
    Mode("writes too little", "less than half the words of its reference", 0.1, _too_little, by_segment=True),
    Mode("speaks over itself", "speech waits more than 5 s for earlier speech to end", 0.1, _over_itself),
    Mode("takes back more than it keeps", "more words deleted than left", 0.1, _takes_back),
    Mode("is slower than the speaker", "more time computing than the recording lasts", 0.1, _too_slow),
)  # fmt: skip
_BY_NAME = {mode.name: mode for mode in MODES}
