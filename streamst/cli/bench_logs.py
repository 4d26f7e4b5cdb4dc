"""`streamst bench score`, `compare` and `export`: logs of any tool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamst.errors import InputError

from .bench_options import (
    AllOption,
    CometOption,
    FormatOption,
    JsonOption,
    JudgeOption,
    ReferencesOption,
    ResamplesOption,
    SegmentsOption,
    say_notes,
)
from .outputs import check_outputs, written_beside
from .view import out

if TYPE_CHECKING:
    from streamst.evaluate.formats.detect import Log


def score(
    log: Annotated[Path, typer.Argument(help="File or directory: streamst, SimulEval, simulstream or OmniSTEval.")],
    json_file: JsonOption = None,
    format: FormatOption = None,
    references: ReferencesOption = None,
    segments: SegmentsOption = None,
    source: Annotated[str, typer.Option(help="Language that is spoken.")] = "en",
    target: Annotated[str, typer.Option(help="Language of the translation.")] = "de",
    judge: JudgeOption = None,
    comet: CometOption = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Every metric that a log allows, ours or another tool's."""
    from streamst.evaluate.log.runlog import write_json
    from streamst.evaluate.report.judge import Judges, judged
    from streamst.evaluate.report.score import ScoreOptions
    from streamst.evaluate.report.score import score as score_log
    from streamst.evaluate.report.write import metrics_table

    check_outputs([path for path in (log, references, segments) if path], [json_file])
    judges = Judges(judge, comet)
    found = score_log(_read(log, format, references, segments), ScoreOptions(source, target, resamples))
    found = judged(found, judges, target)
    if json_file is not None:
        write_json(json_file, found.as_json())
    out.print(metrics_table(found, everything))
    say_notes((*found.convictions(), *found.notes))


def compare(
    a: Annotated[Path, typer.Argument(help="A run's directory or a log.")],
    b: Annotated[Path, typer.Argument(help="Another, over the same recordings.")],
    json_file: JsonOption = None,
    references: ReferencesOption = None,
    segments: SegmentsOption = None,
    source: Annotated[str, typer.Option(help="Language that is spoken.")] = "en",
    target: Annotated[str, typer.Option(help="Language of the translation.")] = "de",
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """What differs between two runs, how much, and whether it may be chance: paired tests, recording by recording."""
    from streamst.evaluate.log.runlog import write_json
    from streamst.evaluate.report.compare import compare as compare_scores
    from streamst.evaluate.report.score import ScoreOptions
    from streamst.evaluate.report.score import score as score_log
    from streamst.evaluate.report.write import comparison_table, verdict

    check_outputs([path for path in (a, b, references, segments) if path], [json_file])
    options = ScoreOptions(source, target, resamples)
    scores = [score_log(_read(path, None, references, segments), options) for path in (a, b)]
    found = compare_scores(scores[0], scores[1], options)
    if json_file is not None:
        write_json(json_file, found.as_json())
    out.print(comparison_table(found, str(a), str(b), everything))
    if verdict(found):
        out.print(verdict(found), soft_wrap=True)
    for scored in scores:
        say_notes((*scored.convictions(), *scored.notes))


def export(
    log: Annotated[Path, typer.Argument(help="A run's directory or any log.")],
    format: Annotated[str | None, typer.Option(help="simuleval, simulstream or omnisteval.")] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="A new directory.")] = None,
    to: Annotated[Path | None, typer.Option(help="A table of every event: a name in .csv or .parquet.")] = None,
    references: ReferencesOption = None,
    segments: SegmentsOption = None,
) -> None:
    """Write a log as another tool reads it (--format with --out), or every event of it as a table (--to)."""
    from streamst.evaluate.formats.export import export as export_log

    if to is not None:
        if format is not None or out_dir is not None:
            raise InputError(f"--to {to} writes a table; --format and --out are for other tools' logs")
        _export_table(log, to)
        return
    if format is None or out_dir is None:
        raise InputError("export needs --format and --out, or --to a name in .csv or .parquet")
    for path in export_log(_read(log, None, references, segments), format, out_dir):
        out.print(str(path), soft_wrap=True)


def _export_table(log: Path, to: Path) -> None:
    from streamst.evaluate.formats.table import ENDINGS, events_of, write_table

    check_outputs([log], [to])
    if to.suffix not in ENDINGS:
        raise InputError(f"{to}: the ending {to.suffix!r} is not known; allowed: {', '.join(ENDINGS)}")
    rows = events_of(_read(log, None, None, None))
    with written_beside(to) as scratch:
        write_table(rows, scratch, to.suffix)
    out.print(f"{to}: {len(rows)} events", soft_wrap=True)


def _read(log: Path, format: str | None, references: Path | None, segments: Path | None) -> Log:
    from streamst.evaluate.formats.detect import read_log
    from streamst.evaluate.formats.references import attach

    found = read_log(log, format)
    if segments is not None and references is None:
        raise InputError("--segments says where references are: give --references, too")
    if references is not None:
        found = replace(found, recordings=tuple(attach(found.recordings, references, segments)))
    return found
