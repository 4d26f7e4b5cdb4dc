"""Metrics that need a program of your own: ASR metrics of the speech by a recogniser, COMET of the text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamst.backends.recognisers import RECOGNISERS
from streamst.errors import InputError
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.metrics import confidence
from streamst.evaluate.metrics.quality import comet
from streamst.evaluate.metrics.recognise import CommandRecogniser, Recogniser, named_recogniser
from streamst.evaluate.metrics.speech_quality import speech_score

from .dub import dub_score
from .rows import Row
from .score import FEWEST_FOR_INTERVALS, Score


@dataclass(frozen=True)
class Judges:
    """Commands as in a shell. speech: with {wav}, for a transcript, or a recogniser's name: "whisper:DIR". comet: with
    {source}, {hypothesis}, {reference}."""

    speech: str | None = None
    comet: str | None = None

    def __post_init__(self) -> None:
        for name, command, places in (
            ("judge", None if _is_name(self.speech) else self.speech, ("{wav}",)),
            ("comet", self.comet, ("{source}", "{hypothesis}", "{reference}")),
        ):
            lacking = [place for place in places if command is not None and place not in command]
            if lacking:
                raise InputError(f"the {name} command {command!r} has no {lacking[0]}: it stands for a file")


def judged(
    score: Score, judges: Judges, target: str = "de", cache: Path | None = None, resamples: int = confidence.RESAMPLES
) -> Score:
    """`score` with what the judges say of its log. `cache`: a folder for transcripts. resamples: of the bootstrap.

    Raises UnavailableError when a program is missing, InputError when it fails on everything or there is nothing to
    judge.
    """
    metrics, intervals, notes, rows = dict(score.metrics), dict(score.intervals), score.notes, score.rows
    if judges.speech is not None:
        recordings = _recordings(score.rows)
        if not any(recording.speech for recording in recordings):
            raise InputError("the log has no speech: there is nothing to recognise")
        listener = listener_of(judges.speech, target)
        if any(recording.long_form for recording in recordings):
            found = dub_score(recordings, listener, target, cache, score.log_format)
            rows = tuple(
                replace(row, values=row.values | own) for row, own in zip(rows, found.values, strict=True)
            )  # fmt: skip
            for name in {name for own in found.values for name in own}:
                interval = confidence.mean_interval([own.get(name) for own in found.values], resamples)
                if interval is not None and interval.n >= FEWEST_FOR_INTERVALS:
                    intervals[name] = (interval.low, interval.high)
        else:
            found = speech_score(recordings, listener, target, cache)
        metrics |= found.metrics
        notes = (*notes, *found.notes)
    if judges.comet is not None:
        told = [
            (row, source) for row in score.rows if row.reference is not None and (source := _source(row)) is not None
        ]
        if not told:
            raise InputError("COMET needs what was said (text) and its translation, and the log has none")
        metrics["COMET"] = comet(
            shlex.split(judges.comet),
            [source for _, source in told],
            [row.hypothesis for row, _ in told],
            [str(row.reference) for row, _ in told],
        )
    return replace(score, metrics=metrics, intervals=intervals, notes=notes, rows=rows)


def listener_of(speech: str, target: str) -> Recogniser:
    """The recogniser of speech in `target` that a command or a name means."""
    if _is_name(speech):
        return named_recogniser(speech, target)
    return CommandRecogniser(tuple(shlex.split(speech)), speech)


def _is_name(speech: str | None) -> bool:
    """Whether it is the name of a recogniser, and no command."""
    return speech is not None and speech.partition(":")[0] in ("own", "ear", *RECOGNISERS)


def _recordings(rows: Sequence[Row]) -> list[Recording]:
    """Each recording once, in order."""
    return list({id(row.recording): row.recording for row in rows}.values())


def _source(row: Row) -> str | None:
    if row.segment is None:
        return row.recording.source_text
    return row.recording.references[row.segment].text
