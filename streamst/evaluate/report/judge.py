"""Metrics that need a program of your own: ASR metrics of the speech by a recogniser, COMET of the text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamst.errors import InputError
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.metrics.quality import comet
from streamst.evaluate.metrics.recognise import CommandRecogniser
from streamst.evaluate.metrics.speech_quality import speech_metrics

from .rows import Row
from .score import Score


@dataclass(frozen=True)
class Judges:
    """Commands as in a shell. speech: with {wav}, for a transcript. comet: with {source}, {hypothesis}, {reference}."""

    speech: str | None = None
    comet: str | None = None

    def __post_init__(self) -> None:
        for name, command, places in (
            ("judge", self.speech, ("{wav}",)),
            ("comet", self.comet, ("{source}", "{hypothesis}", "{reference}")),
        ):
            lacking = [place for place in places if command is not None and place not in command]
            if lacking:
                raise InputError(f"the {name} command {command!r} has no {lacking[0]}: it stands for a file")


def judged(score: Score, judges: Judges, target: str = "de", cache: Path | None = None) -> Score:
    """`score` with what the judges say of its log. `cache`: a folder for transcripts.

    Raises UnavailableError when a program is missing, InputError when it fails or there is nothing to judge.
    """
    metrics = dict(score.metrics)
    if judges.speech is not None:
        recordings = _recordings(score.rows)
        if not any(recording.speech for recording in recordings):
            raise InputError("the log has no speech: there is nothing to recognise")
        listener = CommandRecogniser(tuple(shlex.split(judges.speech)), judges.speech)
        metrics |= speech_metrics(recordings, listener, target, cache)
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
    return replace(score, metrics=metrics)


def _recordings(rows: Sequence[Row]) -> list[Recording]:
    """Each recording once, in order."""
    return list({id(row.recording): row.recording for row in rows}.values())


def _source(row: Row) -> str | None:
    if row.segment is None:
        return row.recording.source_text
    return row.recording.references[row.segment].text
