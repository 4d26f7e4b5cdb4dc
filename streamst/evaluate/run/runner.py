"""Runs the recordings of a manifest through a session into a run's directory; continues where a killed run stopped.

The session is the product's own: `streamst.pipeline.load(model).session(...)`, in this process, in worker processes, or
behind a websocket. On the simulated clock audio is pushed as fast as it is computed, and the clocks of
`streamst.evaluate.log.clock` say what a live listener would have got.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamst
from streamst.audio import read_audio, read_blocks
from streamst.errors import InputError, StreamstError
from streamst.evaluate.log.manifest import Clip, Manifest, check_audio
from streamst.evaluate.log.recording import Written
from streamst.evaluate.log.runlog import FORMAT, Line, RunDirectory
from streamst.evaluate.log.units import unit_of
from streamst.models.glossary import read_glossary

from .codec_bench import condition, through
from .drive import ClockName, Labels, drive, record

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

TASKS = ("st", "asr")
Progress = Callable[[int, float], None]  # recordings finished, their audio [s]


@dataclass(frozen=True)
class RunOptions:
    """What is run: two runs with equal options and manifests are the same run.

    policy: as `streamst.policies.catalog.parse_policy` reads it (`wait-k:k=3`), None for the dial's. chunk_ms: None for
    the dial's. task: "st" scores translations, "asr" the captions in the language that is spoken. url: of a server.
    codec: as `streamst.evaluate.run.codec_bench.condition` reads it; its delay is taken off.
    """

    model: str = "en-de"
    device: str = "cpu"
    precision: str = "float32"
    source: str = "en"
    target: str = "de"
    policy: str | None = None
    latency: str = "medium"
    chunk_ms: int | None = None
    task: str = "st"
    speech: bool = True
    realtime: bool = False
    url: str | None = None
    threads: int = 1  # of the networks, in each process
    glossary: str | None = None  # a file of terms
    codec: str | None = None  # NAME:BITRATE that the speech went through before it is heard
    recogniser: str | None = None  # parts by their names, as `streamst.assembly.plan` reads them; None is the model's
    writer: str | None = None
    voice: str | None = None

    def __post_init__(self) -> None:
        if self.codec is not None and self.url is not None:
            raise InputError(f"codec {self.codec!r} is for runs in this process; a server's client chooses its own")
        if self.url is not None and (self.recogniser or self.writer or self.voice):
            part = self.recogniser or self.writer or self.voice
            raise InputError(f"{part!r} is for runs in this process; a server has its own recogniser, writer and voice")
        if self.task not in TASKS:
            raise InputError(f"unknown task {self.task!r}; allowed: {', '.join(TASKS)}")
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}; use 1 or more")
        if self.chunk_ms is not None and self.chunk_ms <= 0:
            raise InputError(f"chunk_ms is {self.chunk_ms}; use a number of milliseconds above 0")

    @property
    def clock(self) -> ClockName:
        """Which clock drives the run."""
        return "remote" if self.url else "realtime" if self.realtime else "simulated"

    @property
    def written(self) -> Written:
        """Where the scored units are read from."""
        if self.task == "asr":
            return "stable"
        return "captions" if (self.policy or "").split(":")[0] == "retranslate" else "words"


Play = Callable[[Clip, Path], list[Line]]  # plays a recording; its speech is left in the run's directory
MakePlayer = Callable[[RunOptions], Play]


@dataclass(frozen=True)
class RunResult:
    """What a call of `run` did."""

    finished: int  # recordings run now
    resumed: int  # found finished
    cut_lines: int  # lines of unfinished recordings that were dropped


def run(
    manifest: Manifest,
    options: RunOptions,
    out: Path,
    workers: int = 1,
    progress: Progress | None = None,
    make_player: MakePlayer | None = None,
) -> RunResult:
    """Run what of `manifest` is not in `out` yet. InputError names unreadable audio, or what differs from `out`'s run.

    workers: processes; 1 runs in this one. make_player: `player` unless given; called once a
    process, so for several workers it is a function of a module.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; use 1 or more")
    check_audio(manifest)
    directory = RunDirectory.open(out, describe_run(manifest, options, workers))
    todo = [clip for clip in manifest.clips if clip.index not in directory.done]
    make = make_player or player
    lines = (
        in_processes(todo, options, out, workers, make) if workers > 1 else in_this_process(todo, options, out, make)
    )
    try:
        for clip, block in lines:
            directory.append(block)
            if progress:
                progress(1, clip.duration_ms / 1000.0)
    except StreamstError:
        directory.leave()
        raise
    return RunResult(len(todo), len(manifest.clips) - len(todo), directory.cut_lines)


def in_this_process(
    clips: Sequence[Clip], options: RunOptions, out: Path, make_player: MakePlayer
) -> Iterator[tuple[Clip, list[Line]]]:
    """The lines of each clip, in order."""
    if not clips:
        return
    play = make_player(options)
    for clip in clips:
        yield clip, play(clip, out)


def in_processes(
    clips: Sequence[Clip], options: RunOptions, out: Path, workers: int, make_player: MakePlayer
) -> Iterator[tuple[Clip, list[Line]]]:
    """The lines of each clip, as they are done. Long ones are begun first, so that none is waited for at the end."""
    if not clips:
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(clips)), context, _begin_worker, (options, make_player))
    try:
        longest = sorted(clips, key=lambda clip: -clip.duration_ms)
        pending: dict[Future[list[Line]], Clip] = {pool.submit(_work, clip, out): clip for clip in longest}
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def player(options: RunOptions) -> Play:
    """A function that plays a clip to a session of this package's and returns its lines."""
    return playing(pipeline_of(options), options)


def playing(pipeline: Pipeline, options: RunOptions, now: Callable[[], float] = time.perf_counter) -> Play:
    """`player` on this pipeline; `now`: the clock of its computation [s]."""
    terms = read_glossary(Path(options.glossary)).terms if options.glossary else ()
    coded = condition(options.codec) if options.codec else None

    def play(clip: Clip, out: Path) -> list[Line]:
        session = pipeline.session(
            target=options.target,
            policy=options.policy,
            latency=options.latency,
            chunk_ms=options.chunk_ms,
            speech=options.speech and options.task == "st",
            glossary=terms,
        )
        session.clock = now
        rate = session.sample_rate_hz
        piece = round(rate * session.options.chunk_ms / 1000)
        try:
            heard = read_blocks(clip.path, rate)
            if coded is not None:
                heard = iter([through(coded.codec, coded.bitrate_bps, read_audio(clip.path, rate)).pcm])
            steps = drive(session, heard, piece, options.clock, now)
            return record(clip, steps, labels(options), rate, out)
        except InputError as error:
            raise InputError(f"manifest line {clip.line}: {error}") from error

    return play


def pipeline_of(options: RunOptions) -> Pipeline:
    """The model that is run."""
    parts = (options.recogniser, options.writer, options.voice, options.source, options.target)
    return _pipeline(options.model, options.device, options.precision, *parts, options.threads)


@functools.lru_cache(maxsize=1)
def _pipeline(*arguments: Any) -> Pipeline:
    """The model, by the arguments of `load`; the points of a sweep share it."""
    from streamst.pipeline import load

    return load(*arguments)


def labels(options: RunOptions) -> Labels:
    """What the log says of every recording."""
    language = options.source if options.task == "asr" else options.target
    return Labels(options.source, options.target, unit_of(language), options.written, options.task, options.clock)


def describe_run(manifest: Manifest, options: RunOptions, workers: int) -> Line:
    """`run.json`."""
    return {
        "format": FORMAT,
        "manifest": {"sha256": manifest.sha256, "clips": len(manifest.clips)},
        "options": asdict(options),
        "model": _weights(options),
        "manifest_path": str(manifest.path.resolve()),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "workers": workers,
        "versions": _versions(),
        "git": _git_revision(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
        },
    }


_player: Play | None = None  # of this worker process


def _begin_worker(options: RunOptions, make_player: MakePlayer) -> None:
    global _player
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _player = make_player(options)


def _end_with_parent() -> None:
    """A killed run leaves no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _work(clip: Clip, out: Path) -> list[Line]:
    assert _player is not None, "the worker was not begun"
    return _player(clip, out)


def _weights(options: RunOptions) -> dict[str, str]:
    """SHA-256 of each network's weights; none for a server's, which it does not tell."""
    if options.url:
        return {}
    from streamst.assembly import plan

    parts = plan(options.model, options.recogniser, options.writer, options.voice, options.source, options.target)
    return {path.name: str(json.loads((path / "config.json").read_bytes())["sha256"]) for path in parts.folders()}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "numpy", "sacrebleu")
    return {"streamst": streamst.__version__, "python": platform.python_version(), **{n: version(n) for n in names}}


def _git_revision() -> str | None:
    """The revision of the source tree, "+" when it has changes; None where the package does not run from one."""
    folder = Path(streamst.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True)
        dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return (head.stdout.strip() + ("+" if dirty.stdout.strip() else "")) or None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or sys.platform
