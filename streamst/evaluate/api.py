"""What `import streamst.evaluate` offers: a log, or the path of one, becomes figures, a comparison or a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from streamst.errors import InputError

from .formats.detect import Log, read_log
from .formats.references import attach
from .formats.table import events_of
from .report.compare import Comparison
from .report.compare import compare as compare_scores
from .report.score import Score, ScoreOptions
from .report.score import score as score_log

Source = str | Path | Log


def read(
    path: str | Path,
    *,
    references: str | Path | None = None,
    segments: str | Path | None = None,
    format: str | None = None,
) -> Log:
    """The log at `path`, a file or a run's directory. InputError where it cannot be read.

    references: a text file, one a recording, or with `segments` (YAML of wav, offset, duration) one a segment of talks.
    format: streamst, simuleval, simulstream or omnisteval; detected unless given.
    """
    found = read_log(Path(path), format)
    if segments is not None and references is None:
        raise InputError(f"segments {segments} say where references are: give references, too")
    if references is not None:
        place = None if segments is None else Path(segments)
        found = replace(found, recordings=tuple(attach(found.recordings, Path(references), place)))
    return found


def score(
    log: Source,
    *,
    references: str | Path | None = None,
    segments: str | Path | None = None,
    source: str = "en",
    target: str = "de",
    resamples: int = 1000,
) -> Score:
    """Every metric that a log allows; `Score.metrics` has value, unit and signature by name. InputError as `read`.

    source, target: language codes. resamples: of the bootstrap behind `Score.intervals`.
    """
    return score_log(_log(log, references, segments), ScoreOptions(source, target, resamples))


def compare(
    a: Source,
    b: Source,
    *,
    references: str | Path | None = None,
    segments: str | Path | None = None,
    source: str = "en",
    target: str = "de",
    resamples: int = 1000,
) -> Comparison:
    """A minus B, with paired tests, over the same recordings. InputError where they are not the same."""
    options = ScoreOptions(source, target, resamples)
    scores = [score_log(_log(log, references, segments), options) for log in (a, b)]
    return compare_scores(scores[0], scores[1], options)


def events(log: Source) -> list[dict[str, Any]]:
    """Every event of every recording as a row of a table: `formats/table.py` names the columns."""
    return events_of(_log(log, None, None))


def _log(log: Source, references: str | Path | None, segments: str | Path | None) -> Log:
    if not isinstance(log, Log):
        return read(log, references=references, segments=segments)
    if references is not None or segments is not None:
        raise InputError("references are given to `read`, not to a log that was read already")
    return log
