"""`streamst bench iwslt`: the talks of a folder become the log that IWSLT's simultaneous task takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .bench_options import (
    AllOption,
    DeviceOption,
    LatencyOption,
    LimitOption,
    ModelOption,
    OutOption,
    PrecisionOption,
    ReferencesOption,
    ResamplesOption,
    SegmentsOption,
    SourceOption,
    TargetOption,
    ThreadsOption,
    WorkersOption,
    counted,
    planned,
    say_notes,
)
from .view import out

if TYPE_CHECKING:
    from streamst.evaluate.log.manifest import Manifest


def iwslt(
    folder: Annotated[Path, typer.Argument(help="Audio, segments.yaml and references.txt, a line a segment.")],
    out_dir: OutOption,
    policy: Annotated[str | None, typer.Option(help="Such as wait-k or wait-k:k=3; else the dial's.")] = None,
    latency: LatencyOption = None,
    chunk_ms: Annotated[int | None, typer.Option(help="Audio encoded at once; else the dial's.")] = None,
    source: SourceOption = None,
    target: TargetOption = None,
    segments: SegmentsOption = None,
    references: ReferencesOption = None,
    limit: LimitOption = None,
    workers: WorkersOption = 1,
    threads: ThreadsOption = 1,
    model: ModelOption = "en-de",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Play the talks of FOLDER whole, score them, and write the simulstream log that the task takes.

    A run that was stopped goes on where it was. Without references the log is written and nothing is scored.
    """
    from dataclasses import replace

    from streamst.evaluate.run.iwslt import read_talks
    from streamst.evaluate.run.options import RunOptions
    from streamst.evaluate.run.runner import run as run_all

    talks = read_talks(folder, segments, references)
    talks = replace(talks, clips=talks.clips[:limit])
    parts = planned(model, source, target, recogniser, writer)
    options = RunOptions(
        model=model, device=device, precision=precision, source=parts.source, target=parts.target, policy=policy,
        latency=latency or parts.model.file.defaults.latency, chunk_ms=chunk_ms, speech=False, threads=threads,
        recogniser=recogniser, writer=writer,
    )  # fmt: skip
    with counted(["playing"], len(talks.clips)) as count:
        run_all(talks, options, out_dir, workers, lambda *_: count("playing"))
    _write(talks, out_dir, resamples, everything)


def _write(talks: Manifest, out_dir: Path, resamples: int, everything: bool) -> None:
    """The submission, and where there are references a report, on the screen too."""
    from streamst.evaluate.formats.detect import read_log
    from streamst.evaluate.report.write import metrics_table, score_run, write_report
    from streamst.evaluate.run.iwslt import SUBMISSION, write_submission

    for path in write_submission(read_log(out_dir, "streamst"), out_dir / SUBMISSION):
        out.print(str(path), soft_wrap=True)
    if any(reference.translation is None for clip in talks.clips for reference in clip.references):
        say_notes(("the talk list has no references: nothing is scored",))
        return
    found = score_run(out_dir, resamples)
    write_report(found)
    out.print(metrics_table(found.score, everything))
    say_notes((*found.score.convictions(), *found.score.notes))
