"""`streamst bench`: run, sweep, report and text; other commands of it stand in `bench_logs` and `codec`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamst.errors import InputError

from . import options as opt
from .bench_iwslt import iwslt
from .bench_logs import compare, export, score
from .bench_options import (
    AllOption,
    CometOption,
    DeviceOption,
    JsonOption,
    JudgeOption,
    LatencyOption,
    LimitOption,
    ManifestArgument,
    ModelOption,
    OutOption,
    PrecisionOption,
    RealtimeOption,
    ResamplesOption,
    SourceOption,
    SpeechOption,
    TargetOption,
    TaskOption,
    ThreadsOption,
    TogetherOption,
    UrlOption,
    WorkersOption,
    counted,
    planned,
    player_of,
    say_notes,
)
from .outputs import check_outputs
from .view import err, out

if TYPE_CHECKING:
    from streamst.evaluate.report.judge import Judges
    from streamst.evaluate.run.options import RunOptions

bench_app = typer.Typer(
    name="bench",
    help="Measure latency and quality: of this system, of a server, or of any log.",
    no_args_is_help=True,
)


@bench_app.command()
def run(
    manifest: ManifestArgument,
    out_dir: OutOption,
    policy: Annotated[str | None, typer.Option(help="Such as wait-k or wait-k:k=3; else the dial's.")] = None,
    latency: LatencyOption = None,
    chunk_ms: Annotated[int | None, typer.Option(help="Audio encoded at once; else the dial's.")] = None,
    task: TaskOption = "st",
    source: SourceOption = None,
    target: TargetOption = None,
    glossary: Annotated[str | None, typer.Option(help="File of terms: SOURCE TAB TARGET a line.")] = None,
    codec: Annotated[str | None, typer.Option(help="The speech goes through NAME:BITRATE first: neural:3000.")] = None,
    url: UrlOption = None,
    realtime: RealtimeOption = False,
    speech: SpeechOption = True,
    limit: LimitOption = None,
    workers: WorkersOption = 1,
    together: TogetherOption = None,
    threads: ThreadsOption = 1,
    model: ModelOption = "en-de",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    voice: opt.Voice = None,
    judge: JudgeOption = None,
    comet: CometOption = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Play the recordings of MANIFEST to the system and report quality, latency and computation.

    A run that was stopped goes on where it was: finished recordings are not played again.
    """
    from streamst.evaluate.report.judge import Judges
    from streamst.evaluate.run.options import RunOptions

    judges, parts = Judges(judge, comet), planned(model, source, target, recogniser, writer, voice)
    options = RunOptions(
        model=model, device=device, precision=precision, source=parts.source, target=parts.target, policy=policy,
        latency=latency or parts.model.file.defaults.latency, chunk_ms=chunk_ms, glossary=glossary, codec=codec,
        task=task, speech=speech, realtime=realtime, url=url, threads=threads, recogniser=recogniser, writer=writer,
        voice=voice,
    )  # fmt: skip
    _play(manifest, limit, options, out_dir, workers, together)
    _report(out_dir, resamples, judges, everything)
    out.print(f"{out_dir / 'report.html'} shows every recording in time.", soft_wrap=True)


def _play(
    manifest: Path, limit: int | None, options: RunOptions, out_dir: Path, workers: int, together: int | None
) -> None:  # fmt: skip
    """Play what `out_dir` does not have yet."""
    from streamst.evaluate.log.manifest import read_manifest
    from streamst.evaluate.run.runner import run as run_all

    recordings = read_manifest(manifest, limit)
    with counted(["playing"], len(recordings.clips)) as count:
        told, player = lambda *_: count("playing"), player_of(options.url)
        result = run_all(recordings, options, out_dir, workers, told, player, together)
    if result.resumed or result.cut_lines:
        err.print(
            f"Went on with {out_dir}: {result.resumed} recordings were finished"
            + (f", {result.cut_lines} lines of unfinished ones were dropped." if result.cut_lines else ".")
        )


def _report(directory: Path, resamples: int, judges: Judges, everything: bool) -> None:
    """Score a run, write its reports and show the figures."""
    from streamst.evaluate.report.write import metrics_table, score_run, write_report

    found = score_run(directory, resamples, judges)
    write_report(found)
    out.print(metrics_table(found.score, everything))
    say_notes((*found.score.convictions(), *found.score.notes))


@bench_app.command()
def sweep(
    manifest: ManifestArgument,
    out_dir: OutOption,
    policy: Annotated[
        list[str] | None, typer.Option(help="May be repeated; wait-k:k=1/3/5 is three, all is what the model can do.")
    ] = None,
    latency: Annotated[list[str] | None, typer.Option(help="Position of the dial; may be repeated.")] = None,
    chunk_ms: Annotated[list[int] | None, typer.Option(help="May be repeated.")] = None,
    task: TaskOption = "st",
    source: SourceOption = None,
    target: TargetOption = None,
    url: UrlOption = None,
    realtime: RealtimeOption = False,
    speech: SpeechOption = False,
    limit: LimitOption = None,
    workers: WorkersOption = 1,
    threads: ThreadsOption = 1,
    model: ModelOption = "en-de",
    device: DeviceOption = "cpu",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    voice: opt.Voice = None,
    resamples: ResamplesOption = 1000,
) -> None:
    """Run every combination of policies, dial positions and chunk sizes, and draw quality against latency."""
    from streamst.evaluate.log.manifest import read_manifest
    from streamst.evaluate.report.write import sweep_table, write_sweep_report
    from streamst.evaluate.run.options import RunOptions
    from streamst.evaluate.run.players import pipeline_of
    from streamst.evaluate.run.sweep import every_policy, plan
    from streamst.evaluate.run.sweep import sweep as run_points

    parts = planned(model, source, target, recogniser, writer, voice)
    base = RunOptions(
        model=model, device=device, source=parts.source, target=parts.target, task=task, speech=speech,
        latency=parts.model.file.defaults.latency, realtime=realtime, url=url, threads=threads, recogniser=recogniser,
        writer=writer, voice=voice,
    )  # fmt: skip
    policies = [
        one for name in policy or [] for one in (every_policy(pipeline_of(base).provides) if name == "all" else [name])
    ]
    points = plan(base, policies, latency or [], chunk_ms or [])
    recordings = read_manifest(manifest, limit)
    with counted([point.name for point in points], len(recordings.clips)) as count:
        members = run_points(
            recordings, points, out_dir, workers, lambda point: lambda *_: count(point.name), resamples, player_of(url)
        )
    write_sweep_report(out_dir, members, f"Sweep over {manifest.stem}: {len(recordings.clips)} recordings")
    out.print(sweep_table(members))
    out.print(f"{out_dir / 'report.html'} has the curves.", soft_wrap=True)


@bench_app.command()
def text(
    pairs: Annotated[Path, typer.Argument(help="SOURCE TAB TARGET a line, or a manifest with text and translation.")],
    policy: Annotated[str | None, typer.Option(help="Words come one by one: wait-k:k=3. Else whole sentences.")] = None,
    against: Annotated[Path | None, typer.Option(help="What --json wrote before, of these sentences: paired.")] = None,
    json_file: JsonOption = None,
    source: SourceOption = None,
    target: TargetOption = None,
    limit: LimitOption = None,
    threads: ThreadsOption = 1,
    model: ModelOption = "en-de",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    writer: opt.Writer = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Measure the writer alone, on correct text: quality, length, loops, speed; with a policy, delay in words."""
    check_outputs([pairs, *([against] if against else [])], [json_file])
    from streamst.evaluate.log.pairs import read_pairs
    from streamst.evaluate.log.runlog import write_json
    from streamst.evaluate.report.text import against as compared
    from streamst.evaluate.report.text import earlier, text_report
    from streamst.evaluate.report.write import comparison_table, figures_table
    from streamst.evaluate.run.text import write_early, write_whole
    from streamst.pipeline import load
    from streamst.policies.catalog import parse_policy

    wanted, sentences = parse_policy(policy) if policy else None, read_pairs(pairs, limit)
    if against is not None:
        earlier(against)  # what is wrong with it is told before an hour of measuring
    loaded = load(model, device, precision, writer=writer, source=source, target=target, threads=threads)
    pen, target = loaded.writer, loaded.targets[0]
    early = write_early(pen, target, sentences, wanted) if wanted else None
    whole = write_whole(pen, target, sentences)
    found = text_report(sentences, early or whole, whole if early else None, target, resamples)
    if json_file is not None:
        write_json(json_file, found.as_json())
    out.print(figures_table(f"{pairs}: {len(sentences)} sentences", found, everything))
    if against is not None:
        out.print(comparison_table(compared(found, against, target, resamples), "now", str(against), everything))


@bench_app.command()
def report(
    directories: Annotated[list[Path], typer.Argument(help="Of a run or a sweep; of several runs with --out.")],
    out_dir: Annotated[Path | None, typer.Option("--out", help="A new directory: several runs on one page.")] = None,
    judge: JudgeOption = None,
    comet: CometOption = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Score a run or a sweep again and write its report.json and report.html; or several systems on one page."""
    from streamst.evaluate.log.runlog import SWEEP
    from streamst.evaluate.report.judge import Judges
    from streamst.evaluate.report.write import read_runs, read_sweep, sweep_table, write_sweep_report

    if out_dir is not None:
        members = read_runs(directories, resamples, Judges(judge, comet))
        out_dir.mkdir(parents=True, exist_ok=True)
        write_sweep_report(out_dir, members, ", ".join(member.name for member in members))
        out.print(sweep_table(members))
        out.print(f"{out_dir / 'report.html'} has them side by side.", soft_wrap=True)
        return
    if len(directories) > 1:
        raise InputError(f"{len(directories)} runs on one page need a directory for it: --out DIR")
    (directory,) = directories
    if (directory / SWEEP).is_file():
        members = read_sweep(directory, resamples)
        write_sweep_report(directory, members, f"Sweep in {directory.name}")
        out.print(sweep_table(members))
        return
    _report(directory, resamples, Judges(judge, comet), everything)


for command in (score, compare, export, iwslt):
    bench_app.command()(command)
