"""Who plays the recordings of a run: one after the other, several at once, or in processes of their own.

The session is the product's own: `streamst.pipeline.load(model).session(...)`.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamst.audio import Pcm, read_audio, read_blocks
from streamst.errors import InputError
from streamst.evaluate.log.manifest import Clip
from streamst.evaluate.log.runlog import Line
from streamst.models.glossary import read_glossary

from .codec_bench import condition, through
from .drive import drive, record
from .options import RunOptions, labels
from .together import Begin, Desk, play_together

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline
    from streamst.session import Session

Play = Callable[[Clip, Path], list[Line]]  # plays a recording; its speech is left in the run's directory
MakePlayer = Callable[[RunOptions], Play]
PlayAll = Callable[[Sequence[Clip], Path], Iterator[tuple[Clip, list[Line]]]]  # plays several, as they are done
MakePlayers = Callable[[RunOptions], PlayAll]


def players(make_player: MakePlayer | None, options: RunOptions, together: int) -> tuple[MakePlayers, int]:
    """Who plays recordings, and how many at once: those of `make_player`, or else sessions of this package."""
    if make_player is None and options.clock == "simulated" and together > 1:
        return functools.partial(_at_once, together), together
    return functools.partial(_one_by_one, make_player or player), 1


def _one_by_one(make_player: MakePlayer, options: RunOptions) -> PlayAll:
    play: list[Play] = []  # made for the first recording: without one nothing is loaded

    def play_all(clips: Sequence[Clip], out: Path) -> Iterator[tuple[Clip, list[Line]]]:
        for clip in clips:
            play.extend([] if play else [make_player(options)])
            yield clip, play[0](clip, out)

    return play_all


def _at_once(together: int, options: RunOptions) -> PlayAll:
    def play_all(clips: Sequence[Clip], out: Path) -> Iterator[tuple[Clip, list[Line]]]:
        if clips:
            pipeline = pipeline_of(options)
            begin, desk = beginning(pipeline, options), Desk(pipeline.models)
            yield from play_together(clips, begin, desk, labels(options), out, together)

    return play_all


def in_processes(
    clips: Sequence[Clip], options: RunOptions, out: Path, workers: int, make: MakePlayers, group: int = 1
) -> Iterator[tuple[Clip, list[Line]]]:
    """The lines of each clip, as they are done, `group` clips at a time in each process. Long ones are begun first, so
    that none is waited for at the end."""
    if not clips:
        return
    context = multiprocessing.get_context("spawn")
    longest = sorted(clips, key=lambda clip: -clip.duration_ms)
    size = min(group, -(-len(clips) // workers))
    groups = [longest[at : at + size] for at in range(0, len(longest), size)]
    pool = ProcessPoolExecutor(min(workers, len(groups)), context, _begin_worker, (options, make))
    try:
        pending = {pool.submit(_work, group, out) for group in groups}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def player(options: RunOptions) -> Play:
    """A function that plays a clip to a session of this package's and returns its lines."""
    return playing(pipeline_of(options), options)


def playing(pipeline: Pipeline, options: RunOptions, now: Callable[[], float] = time.perf_counter) -> Play:
    """`player` on this pipeline; `now`: the clock of its computation [s]."""
    begin = beginning(pipeline, options)

    def play(clip: Clip, out: Path) -> list[Line]:
        try:
            session, heard, piece = begin(clip)
            session.clock = now
            steps = drive(session, heard, piece, options.clock, now)
            return record(clip, steps, labels(options), session.sample_rate_hz, out)
        except InputError as error:
            raise InputError(f"manifest line {clip.line}: {error}") from error

    return play


def beginning(pipeline: Pipeline, options: RunOptions) -> Begin:
    """What a recording begins with: a session, the audio that it hears, and the samples of a piece of it."""
    terms = read_glossary(Path(options.glossary)).terms if options.glossary else ()
    coded = condition(options.codec) if options.codec else None

    def new() -> Session[Any, Any]:
        return pipeline.session(
            target=options.target,
            policy=options.policy,
            latency=options.latency,
            chunk_ms=options.chunk_ms,
            speech=options.speech and options.task == "st",
            glossary=terms,
        )

    new()  # what cannot be is told before a recording is heard

    def begin(clip: Clip) -> tuple[Session[Any, Any], Iterable[Pcm], int]:
        session = new()
        rate = session.sample_rate_hz
        heard = read_blocks(clip.path, rate)
        if coded is not None:
            heard = iter([through(coded.codec, coded.bitrate_bps, read_audio(clip.path, rate)).pcm])
        return session, heard, round(rate * session.options.chunk_ms / 1000)

    return begin


def pipeline_of(options: RunOptions) -> Pipeline:
    """The model that is run."""
    parts = (options.recogniser, options.writer, options.voice, options.source, options.target)
    return _pipeline(options.model, options.device, options.precision, *parts, options.threads)


@functools.lru_cache(maxsize=1)
def _pipeline(*arguments: Any) -> Pipeline:
    """The model, by the arguments of `load`; the points of a sweep share it."""
    from streamst.pipeline import load

    return load(*arguments)


_player: PlayAll | None = None  # of this worker process


def _begin_worker(options: RunOptions, make: MakePlayers) -> None:
    global _player
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _player = make(options)


def _end_with_parent() -> None:
    """A killed run leaves no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _work(clips: Sequence[Clip], out: Path) -> list[tuple[Clip, list[Line]]]:
    assert _player is not None, "the worker was not begun"
    return list(_player(clips, out))
