"""One recording of a run as the metrics see it: what was written and said, when, and what should have been.

Every log format becomes this, and every export is written from it. A log of raw events (ours, simulstream's) has steps,
from which every computation-aware clock follows; one with times of units only (SimulEval's, OmniSTEval's) has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from streamst.errors import InputError

from .clock import Step, final_units
from .manifest import Reference
from .units import split_units

Written = Literal["words", "captions", "stable"]


@dataclass(frozen=True)
class SpeechChunk:
    """Speech said in one go."""

    delay_ms: float  # source heard by then
    duration_ms: float
    step: int | None = None  # of `Recording.steps`
    text: str = ""


@dataclass(frozen=True)
class Recording:
    """What happened to one recording.

    units: (U,) final output. delays_ms: (U,) source heard when each was written for good [ms].
    elapsed_ms: (U,) or empty; times that another tool's log brings along, on that tool's clock.
    """

    index: int
    name: str  # path of the audio as the manifest or the log writes it
    where: str  # "file:line", for messages
    source_ms: float
    units: tuple[str, ...]
    delays_ms: tuple[float, ...]
    unit: str = "word"  # or "char"
    references: tuple[Reference, ...] = ()
    steps: tuple[Step, ...] = ()
    elapsed_ms: tuple[float, ...] = ()
    speech: tuple[SpeechChunk, ...] = ()
    speech_path: Path | None = None
    transcript: str | None = None  # source captions
    speaker: str = ""
    clock: str = "simulated"  # or "realtime", "remote": then the steps were timed as a listener gets them
    task: str = "st"
    output: Literal["text", "speech", "both"] = "text"  # what the log is about: no text in it is not an empty output
    units_a_word: tuple[int, ...] = ()  # how many units each word cut at U+0020 only is; empty where each is one
    captions: tuple[tuple[float, str], ...] = field(default=(), repr=False)  # (source ms, source text shown), timelines
    heard: tuple[tuple[str, float, float], ...] = field(default=(), repr=False)  # (source word, begin, end [ms])

    def __post_init__(self) -> None:
        count = len(self.units)
        for name in ("delays_ms", "elapsed_ms"):
            values = getattr(self, name)
            if len(values) != count and (values or name == "delays_ms"):
                raise InputError(f"{self.where}: {count} {self.unit}s but {len(values)} {name}: they must be equal")

    @cached_property
    def clocked_ms(self) -> dict[str, tuple[float, ...]]:
        """Times of the units by clock, as far as they were asked for (`elapsed.py`)."""
        return {}

    @property
    def prediction(self) -> str:
        """The final output as text."""
        return ("" if self.unit == "char" else " ").join(self.units)

    @property
    def reference(self) -> str | None:
        """The reference of the whole recording; None where a segment has none."""
        parts = [r.text if self.task == "asr" else r.translation for r in self.references]
        if not parts or any(part is None for part in parts):
            return None
        return ("" if self.unit == "char" else " ").join(str(part) for part in parts)

    @property
    def source_text(self) -> str | None:
        """What is said in the whole recording; None where a segment does not tell."""
        parts = [r.text for r in self.references]
        return None if not parts or any(p is None for p in parts) else " ".join(str(p) for p in parts)

    @property
    def long_form(self) -> bool:
        """True when the reference segments do not simply cover the recording: re-segmentation is needed."""
        return len(self.references) > 1 or any(r.offset_ms > 0 for r in self.references)

    @property
    def paced(self) -> bool:
        """True when the audio came at the speed of speech."""
        return self.clock != "simulated"

    @property
    def compute_ms(self) -> float | None:
        """All computation; None when the log does not tell, or has it mixed with the way to a server and back."""
        return sum(step.compute_ms for step in self.steps) if self.steps and self.clock != "remote" else None


def replay(steps: Sequence[Step], where: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Units that stand in the end and the delay of each [ms]. InputError, naming `where`, for an impossible step."""
    try:
        written = final_units(steps)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return written.units, written.delays_ms(steps)


def from_lines(lines: Sequence[Mapping[str, Any]], where: str, folder: Path | None = None) -> Recording:
    """A recording from its lines of `events.jsonl` (begin to end); `folder` is the run's, for the wav of the speech."""
    begin = lines[0]
    try:
        return _from_lines(begin, lines[1:-1], where, folder)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: recording {begin.get('id')} is damaged: {error!r}") from error


def _from_lines(
    begin: Mapping[str, Any], body: Sequence[Mapping[str, Any]], where: str, folder: Path | None
) -> Recording:
    reader = _Reader(begin)
    for line in body:
        reader.read(line)
    units, delays = replay(reader.steps, where)
    wav = folder / begin["speech"] if folder is not None and begin.get("speech") else None
    return Recording(
        index=begin["id"],
        name=begin["path"],
        where=where,
        source_ms=reader.source_ms,
        units=units,
        delays_ms=delays,
        unit=reader.unit,
        references=tuple(Reference(**segment) for segment in begin["references"]),
        steps=tuple(reader.steps),
        speech=tuple(reader.speech),
        speech_path=wav,
        transcript=reader.captions.text() if reader.captions.seen else None,
        speaker=begin.get("speaker", ""),
        clock=begin["clock"],
        task=begin["task"],
        output="both" if reader.speech else "text",
        captions=tuple(reader.shown),
        heard=reader.heard(),
    )


class _Reader:
    """The lines of one recording, one after the other, as steps, speech and captions."""

    def __init__(self, begin: Mapping[str, Any]) -> None:
        self.unit: str = begin.get("unit", "word")
        self.source_ms = float(begin["source_ms"])
        self.steps: list[Step] = []
        self.speech: list[SpeechChunk] = []
        self.captions = ShownText("word", begin["source"])
        self.shown: list[tuple[float, str]] = []
        self._heard: dict[int, list[tuple[str, float, float]]] = {}  # by segment
        self._target: str = begin["target"]
        self._paced = begin["clock"] != "simulated"
        self._written: Written = begin["written"]
        stable = self._written == "stable"
        self._text = ShownText(self.unit, begin["source"] if stable else self._target, stable_only=stable)

    def read(self, line: Mapping[str, Any]) -> None:
        """One more step."""
        gone: list[str] = []
        new: list[str] = []
        for event in line["events"]:
            kind = event["event"]
            if kind == "words" and self._written == "words" and event["lang"] == self._target:
                new.extend(part for word in event["words"] for part in split_units(word, self.unit))
            elif kind == "caption":
                self._show(event, gone, new)
            elif kind == "speech" and event["samples"]:
                duration_ms = 1000.0 * event["samples"] / event["sample_rate_hz"]
                delay_ms = min(float(event["source_ms"]), self.source_ms)
                self.speech.append(SpeechChunk(delay_ms, duration_ms, len(self.steps), event["text"]))
        self.steps.append(
            Step(
                heard_ms=min(float(line["audio_ms"]), self.source_ms),
                compute_ms=max(0.0, float(line["end_ms"]) - float(line["start_ms"])),
                written=tuple(new),
                deleted=tuple(gone),
                wall_ms=float(line["end_ms"]) if self._paced else None,
            )
        )

    def heard(self) -> tuple[tuple[str, float, float], ...]:
        """Every source word as it was shown last, with its begin and end [ms]."""
        return tuple(word for _, part in sorted(self._heard.items()) for word in part)

    def _show(self, event: Mapping[str, Any], gone: list[str], new: list[str]) -> None:
        """A caption; what it withdraws goes to `gone` (from `new` first: a step may take back what it wrote itself)."""
        if self.captions.show(event) is not None:
            self.shown.append((float(event["source_ms"]), self.captions.text()))
            words = f"{event['stable']} {event['unstable']}".split()
            self._heard[event["segment"]] = [
                (word, float(start), float(end))
                for word, (start, end) in zip(words, event.get("spans_ms", ()), strict=False)
            ]
        change = None if self._written == "words" else self._text.show(event)
        if change is not None:
            deleted, added = change
            back = min(len(new), len(deleted))
            del new[len(new) - back :]
            gone[:0] = deleted[: len(deleted) - back]
            new.extend(added)


class ShownText:
    """The text that captions of one language leave on the screen, and what each caption changes of it."""

    def __init__(self, unit: str, lang: str, stable_only: bool = False) -> None:
        self.unit, self.lang, self.stable_only = unit, lang, stable_only
        self.seen = False
        self._segments: dict[int, tuple[str, ...]] = {}

    def show(self, event: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """(units deleted at the end, units written then); None for a caption of another language."""
        if event["lang"] != self.lang:
            return None
        self.seen = True
        parts = (event["stable"],) if self.stable_only else (event["stable"], event["unstable"])
        units, before = split_units(" ".join(parts), self.unit), self._segments.get(event["segment"], ())
        later = tuple(u for number, part in sorted(self._segments.items()) if number > event["segment"] for u in part)
        self._segments[event["segment"]] = units
        same = 0
        while same < min(len(units), len(before)) and units[same] == before[same]:
            same += 1
        if same == len(before) == len(units):
            return (), ()
        return before[same:] + later, units[same:] + later

    def text(self) -> str:
        """All segments, in order."""
        separator = "" if self.unit == "char" else " "
        return separator.join(unit for _, part in sorted(self._segments.items()) for unit in part)
