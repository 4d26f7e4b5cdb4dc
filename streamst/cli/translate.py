"""`streamst translate`: recordings, and what a pipe brings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from streamst.audio import Pcm, known_length_s, read_blocks, recordings
from streamst.errors import InputError

from . import options as opt
from .outputs import check_outputs
from .sinks import Sinks, Wanted, read_terms
from .view import err, shown

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline
    from streamst.session import Session

BLOCK_MS = 80  # of audio that is pushed at once


def translate(
    files: opt.Files,
    to: opt.To = None,
    output: opt.Output = None,
    srt: opt.Subtitles = None,
    bilingual: opt.Bilingual = False,
    contiguous: opt.Contiguous = False,
    policy: opt.Policy = None,
    latency: opt.Latency = None,
    chunk_ms: opt.ChunkMs = None,
    glossary: opt.Glossary = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Hear the file at the pace of a speaker.")] = False,
    form: opt.Format = None,
    quiet: opt.Quiet = False,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    precision: opt.Precision = "float32",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    voice: opt.Voice = None,
    spoken: opt.From = None,
) -> None:
    """Translate recordings one after another, showing the captions while they are heard; "-" is standard input.

    Of a folder the recordings in it, by name. A damaged file is translated up to the damage; what was written until
    then stays, the error is told, and the next file is begun.
    """
    files = _recordings(files, glossary, output, srt, quiet)
    wanted = Wanted(srt, bilingual, output, not contiguous, form, quiet)
    lengths_s = [_length_s(file, len(files) > 1) for file in files]
    terms = read_terms(glossary)
    with shown("Loading the model"):
        from streamst.pipeline import load

        pipeline = load(model, device, precision, recogniser, writer, voice, spoken, to)
        new_session = partial(pipeline.session, to, policy, latency, chunk_ms, output is not None, terms)
        sessions = chain([new_session()], iter(new_session, None))  # the first is made before anything is heard
    if output is not None and pipeline.voice is None:
        raise InputError(f"there is no voice for {pipeline.targets[0]!r}: name one with --voice, or leave out -o")
    damaged = 0
    for file, length_s, session in zip(files, lengths_s, sessions, strict=False):
        damaged += not _translated(file, session, Sinks(wanted, length_s), pipeline, realtime, len(files) > 1)
    if damaged:
        raise InputError(f"{damaged} of {len(files)} recordings could not be read whole")


def _recordings(
    paths: list[Path], glossary: Path | None, output: Path | None, srt: Path | None, quiet: bool
) -> list[Path]:
    """The files, and those of folders; InputError where two wishes cannot be."""
    files = [one for path in paths for one in recordings(path)]
    if len(files) > 1 and (output is not None or srt is not None):
        raise InputError(f"-o and --srt are for one recording; {len(files)} were given")
    check_outputs([*files, *([glossary] if glossary else [])], [output, srt], quiet)
    return files


def _translated(
    file: Path, session: Session[Any, Any], sinks: Sinks, pipeline: Pipeline, realtime: bool, several: bool
) -> bool:  # fmt: skip
    """Whether it could be read whole; of one file alone, InputError where it could not."""
    whole = True
    sinks.begin(pipeline.source, session.options.target)
    if several:
        sinks.tell(f"{file}:")
    with sinks:
        if pipeline.voice is not None:
            sinks.voice_is_known(pipeline.voice.sample_rate_hz)
        try:
            _hear(file, session, sinks, realtime)
        except InputError as error:
            if not several:
                raise
            whole = False
            err.print(f"streamst: {error}", style="red", soft_wrap=True, markup=False)
    sinks.summary()
    return whole


def _length_s(file: Path, several: bool) -> float | None:
    """Length [s], where it is known; what is no recording is told first, or, among several, when it comes to it."""
    try:
        return known_length_s(file)
    except InputError:
        if several and file.is_file():
            return None
        raise


def _hear(file: Path, session: Session[Any, Any], sinks: Sinks, realtime: bool) -> None:
    rate_hz = session.sample_rate_hz
    try:
        size = rate_hz * BLOCK_MS // 1000
        blocks = framed(read_blocks(file, rate_hz), size)
        for block in paced(blocks, rate_hz) if realtime else blocks:
            sinks.heard(len(block) * 1000 / rate_hz)
            sinks.take(session.push(block))
    except InputError:
        sinks.take(session.finish())
        raise
    sinks.take(session.finish())


def framed(blocks: Iterable[Pcm], samples: int) -> Iterator[Pcm]:
    """The same audio in blocks of `samples`, the last one shorter; before an error passes, what was taken is given."""
    held: list[Pcm] = []
    try:
        for block in blocks:
            held.append(block)
            whole = np.concatenate(held)
            end = len(whole) - len(whole) % samples
            held = [whole[end:]]
            yield from (whole[begin : begin + samples] for begin in range(0, end, samples))
    except InputError:
        if held and len(held[0]):
            yield np.concatenate(held)
        raise
    if held and len(held[0]):
        yield held[0]


def paced(blocks: Iterable[Pcm], sample_rate_hz: int) -> Iterator[Pcm]:
    """Each block when a speaker would have finished it."""
    started, samples = time.monotonic(), 0
    for block in blocks:
        samples += len(block)
        time.sleep(max(0.0, started + samples / sample_rate_hz - time.monotonic()))
        yield block
