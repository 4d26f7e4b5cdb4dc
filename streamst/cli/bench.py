"""`streamst bench`: run, score, sweep, compare, report and export evaluations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from streamst.errors import InputError

from .view import err, out

if TYPE_CHECKING:
    from streamst.evaluate.formats.detect import Log
    from streamst.evaluate.run.runner import MakePlayer

bench_app = typer.Typer(
    name="bench",
    help="Measure latency and quality: of this system, of a server, or of any log.",
    no_args_is_help=True,
)

ManifestArgument = Annotated[Path, typer.Argument(help="TSV: path, duration_s, speaker, text, translation.")]
OutOption = Annotated[Path, typer.Option("--out", help="Directory of the run; the same command goes on with it.")]
ModelOption = Annotated[str, typer.Option(help="A model's name or directory.")]
PrecisionOption = Annotated[str, typer.Option(help="float32, frozen, int8 or auto: speed on a CPU.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
TaskOption = Annotated[str, typer.Option(help="st: translations. asr: captions in the spoken language.")]
LimitOption = Annotated[int | None, typer.Option(help="Only the first N recordings.", min=1)]
WorkersOption = Annotated[int, typer.Option(help="Processes that play recordings at the same time.", min=1)]
ThreadsOption = Annotated[int, typer.Option(help="Of the networks, in each process.", min=1)]
SpeechOption = Annotated[bool, typer.Option("--speech/--no-speech", help="Speak the translations, too.")]
RealtimeOption = Annotated[bool, typer.Option(help="Play at the speed of speech and measure the wall clock.")]
UrlOption = Annotated[str | None, typer.Option(help="Of a server (ws://...) to measure in place of this process.")]
ResamplesOption = Annotated[int, typer.Option(help="Of the bootstrap behind the intervals.", min=100)]
AllOption = Annotated[bool, typer.Option("--all", help="Show every metric, not only the usual ones.")]
FormatOption = Annotated[str | None, typer.Option(help="Of the log, where it is not to be detected.")]
ReferencesOption = Annotated[Path | None, typer.Option(help="Text file, one reference a line.")]
SegmentsOption = Annotated[Path | None, typer.Option(help="YAML of the references' places: wav, offset, duration.")]
RecogniserOption = Annotated[
    str | None, typer.Option(help="Command with {wav} that prints a transcript: ASR-BLEU and ASR-WER of the speech.")
]
CometOption = Annotated[
    str | None, typer.Option(help="Command with {source}, {hypothesis}, {reference} that prints COMET.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the figures there.")]


@bench_app.command()
def run(
    manifest: ManifestArgument,
    out_dir: OutOption,
    policy: Annotated[str | None, typer.Option(help="Such as wait-k or wait-k:k=3; else the dial's.")] = None,
    latency: Annotated[str, typer.Option(help="minimal, low, medium, high or xhigh.")] = "medium",
    chunk_ms: Annotated[int | None, typer.Option(help="Audio encoded at once; else the dial's.")] = None,
    task: TaskOption = "st",
    target: Annotated[str, typer.Option(help="Language of the translation.")] = "de",
    glossary: Annotated[str | None, typer.Option(help="File of terms: SOURCE TAB TARGET a line.")] = None,
    codec: Annotated[str | None, typer.Option(help="The speech goes through NAME:BITRATE first: neural:3000.")] = None,
    url: UrlOption = None,
    realtime: RealtimeOption = False,
    speech: SpeechOption = True,
    limit: LimitOption = None,
    workers: WorkersOption = 1,
    threads: ThreadsOption = 1,
    model: ModelOption = "en-de",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    recogniser: RecogniserOption = None,
    comet: CometOption = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Play the recordings of MANIFEST to the system and report quality, latency and computation.

    A run that was stopped goes on where it was: finished recordings are not played again.
    """
    from streamst.evaluate.log.manifest import read_manifest
    from streamst.evaluate.report.judge import Judges
    from streamst.evaluate.report.write import metrics_table, score_run, write_report
    from streamst.evaluate.run.runner import RunOptions
    from streamst.evaluate.run.runner import run as run_all

    judges = Judges(recogniser, comet)
    options = RunOptions(
        model=model,
        device=device,
        precision=precision,
        target=target,
        policy=policy,
        latency=latency,
        chunk_ms=chunk_ms,
        glossary=glossary,
        codec=codec,
        task=task,
        speech=speech,
        realtime=realtime,
        url=url,
        threads=threads,
    )
    recordings = read_manifest(manifest, limit)
    with _bar() as bar:
        job = bar.add_task("playing", total=len(recordings.clips))
        result = run_all(
            recordings, options, out_dir, workers, lambda done, _: _advance(bar, job, done), _player_of(url)
        )
    if result.resumed or result.cut_lines:
        err.print(
            f"Went on with {out_dir}: {result.resumed} recordings were finished"
            + (f", {result.cut_lines} lines of unfinished ones were dropped." if result.cut_lines else ".")
        )
    report = score_run(out_dir, resamples, judges)
    write_report(report)
    out.print(metrics_table(report.score, everything))
    _say_notes(report.score.notes)
    out.print(f"{out_dir / 'report.html'} shows every recording in time.", soft_wrap=True)


@bench_app.command()
def score(
    log: Annotated[Path, typer.Argument(help="File or directory: streamst, SimulEval, simulstream or OmniSTEval.")],
    json_file: JsonOption = None,
    format: FormatOption = None,
    references: ReferencesOption = None,
    segments: SegmentsOption = None,
    source: Annotated[str, typer.Option(help="Language that is spoken.")] = "en",
    target: Annotated[str, typer.Option(help="Language of the translation.")] = "de",
    recogniser: RecogniserOption = None,
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

    judges = Judges(recogniser, comet)
    found = score_log(_read(log, format, references, segments), ScoreOptions(source, target, resamples))
    found = judged(found, judges, target)
    if json_file is not None:
        write_json(json_file, found.as_json())
    out.print(metrics_table(found, everything))
    _say_notes(found.notes)


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
    target: Annotated[str, typer.Option(help="Language of the translation.")] = "de",
    url: UrlOption = None,
    realtime: RealtimeOption = False,
    speech: SpeechOption = False,
    limit: LimitOption = None,
    workers: WorkersOption = 1,
    threads: ThreadsOption = 1,
    model: ModelOption = "en-de",
    device: DeviceOption = "cpu",
    resamples: ResamplesOption = 1000,
) -> None:
    """Run every combination of policies, dial positions and chunk sizes, and draw quality against latency."""
    from streamst.evaluate.log.manifest import read_manifest
    from streamst.evaluate.report.write import sweep_table, write_sweep_report
    from streamst.evaluate.run.runner import RunOptions, pipeline_of
    from streamst.evaluate.run.sweep import every_policy, plan
    from streamst.evaluate.run.sweep import sweep as run_points

    base = RunOptions(
        model=model, device=device, target=target, task=task, speech=speech, realtime=realtime, url=url, threads=threads
    )
    policies = [
        one
        for name in policy or []
        for one in (every_policy(pipeline_of(base).translator.provides) if name == "all" else [name])
    ]
    points = plan(base, policies, latency or [], chunk_ms or [])
    recordings = read_manifest(manifest, limit)
    with _bar() as bar:
        jobs = {point.name: bar.add_task(point.name, total=len(recordings.clips)) for point in points}
        members = run_points(
            recordings,
            points,
            out_dir,
            workers,
            lambda point: lambda done, _: _advance(bar, jobs[point.name], done),
            resamples,
            _player_of(url),
        )
    write_sweep_report(out_dir, members, f"Sweep over {manifest.stem}: {len(recordings.clips)} recordings")
    out.print(sweep_table(members))
    out.print(f"{out_dir / 'report.html'} has the curves.", soft_wrap=True)


@bench_app.command()
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

    options = ScoreOptions(source, target, resamples)
    scores = [score_log(_read(path, None, references, segments), options) for path in (a, b)]
    found = compare_scores(scores[0], scores[1], options)
    if json_file is not None:
        write_json(json_file, found.as_json())
    out.print(comparison_table(found, str(a), str(b), everything))
    if verdict(found):
        out.print(verdict(found), soft_wrap=True)
    for scored in scores:
        _say_notes(scored.notes)


@bench_app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Of a run or a sweep.")],
    recogniser: RecogniserOption = None,
    comet: CometOption = None,
    resamples: ResamplesOption = 1000,
    everything: AllOption = False,
) -> None:
    """Score a run or a sweep again and write its report.json and report.html."""
    from streamst.evaluate.log.runlog import SWEEP
    from streamst.evaluate.report.judge import Judges
    from streamst.evaluate.report.write import (
        metrics_table,
        read_sweep,
        score_run,
        sweep_table,
        write_report,
        write_sweep_report,
    )

    if (directory / SWEEP).is_file():
        members = read_sweep(directory, resamples)
        write_sweep_report(directory, members, f"Sweep in {directory.name}")
        out.print(sweep_table(members))
        return
    found = score_run(directory, resamples, Judges(recogniser, comet))
    write_report(found)
    out.print(metrics_table(found.score, everything))
    _say_notes(found.score.notes)


@bench_app.command()
def export(
    log: Annotated[Path, typer.Argument(help="A run's directory or any log.")],
    format: Annotated[str, typer.Option(help="simuleval, simulstream or omnisteval.")],
    out_dir: Annotated[Path, typer.Option("--out", help="A new directory.")],
    references: ReferencesOption = None,
    segments: SegmentsOption = None,
) -> None:
    """Write a log as another tool reads it."""
    from streamst.evaluate.formats.export import export as export_log

    for path in export_log(_read(log, None, references, segments), format, out_dir):
        out.print(str(path), soft_wrap=True)


def _read(log: Path, format: str | None, references: Path | None, segments: Path | None) -> Log:
    from streamst.evaluate.formats.detect import read_log
    from streamst.evaluate.formats.references import attach

    found = read_log(log, format)
    if segments is not None and references is None:
        raise InputError("--segments says where references are: give --references, too")
    if references is not None:
        found = replace(found, recordings=tuple(attach(found.recordings, references, segments)))
    return found


def _player_of(url: str | None) -> MakePlayer | None:
    if url is None:
        return None
    from .bench_remote import remote_player

    return remote_player


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err
    )


def _advance(bar: Progress, job: TaskID, done: int) -> None:
    bar.advance(job, done)


def _say_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        err.print(f"Note: {note}.", style="yellow", soft_wrap=True)
