"""`streamst translate`, and what every command that shows captions shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from streamst import subtitles
from streamst.audio import WavWriter, known_length_s, read_blocks
from streamst.errors import InputError
from streamst.events import Caption, Event, Speech
from streamst.playback import PlaybackWriter

from . import options as opt
from .view import CaptionView, err, shown

Pcm = NDArray[np.float32]
BLOCK_MS = 80  # of audio that is pushed at once


def translate(
    file: opt.File,
    to: opt.To = "de",
    output: opt.Output = None,
    srt: opt.Subtitles = None,
    bilingual: opt.Bilingual = False,
    contiguous: opt.Contiguous = False,
    policy: opt.Policy = None,
    latency: opt.Latency = "medium",
    chunk_ms: opt.ChunkMs = None,
    glossary: opt.Glossary = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Hear the file at the pace of a speaker.")] = False,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    precision: opt.Precision = "float32",
    voice_name: opt.Voice = "own",
) -> None:
    """Translate an audio file, showing the captions while it is heard.

    A damaged file is translated up to the damage; what was written until then stays, and the error is told.
    """
    length_s = known_length_s(file)
    terms = read_terms(glossary)
    with shown("Loading the model"):
        from streamst.pipeline import load

        pipeline = load(model, device, precision, voice_name)
        session = pipeline.session(
            target=to,
            policy=policy,
            latency=latency,
            chunk_ms=chunk_ms,
            speech=output is not None,
            glossary=terms,
        )
    voice_hz = pipeline.voice.sample_rate_hz if pipeline.voice is not None else None
    if output is not None and voice_hz is None:
        raise InputError(f"model {model!r} has no voice: leave out -o")
    rate_hz = session.sample_rate_hz
    with Sinks(pipeline.source, to, srt, bilingual, length_s) as sinks:
        if output is not None and voice_hz is not None:
            sinks.speak_into(output, voice_hz, aligned=not contiguous)
        try:
            blocks = framed(read_blocks(file, rate_hz), rate_hz * BLOCK_MS // 1000)
            for block in paced(blocks, rate_hz) if realtime else blocks:
                sinks.heard(len(block) * 1000 / rate_hz)
                sinks.take(session.push(block))
        except InputError:
            sinks.take(session.finish())
            raise
        sinks.take(session.finish())
    sinks.summary(output)


def read_terms(path: Path | None) -> tuple[tuple[str, str], ...]:
    """The terms of a glossary's file; InputError names the line that is wrong."""
    if path is None:
        return ()
    from streamst.models.glossary import read_glossary

    return read_glossary(path).terms


class Sinks:
    """Everything that a session's events go to. A context manager: at its end, however it comes, files are complete.

    total_s: length of what will be heard, where it is known [s].
    """

    def __init__(
        self, source: str, target: str, srt: Path | None, bilingual: bool, total_s: float | None = None
    ) -> None:
        self.view = CaptionView(source, target, total_s)
        self._srt = None if srt is None else subtitles.check_path(srt)
        self._langs = (source, target) if bilingual else (target,)
        self._track = subtitles.CaptionTrack()
        self._wav: WavWriter | None = None
        self._speech: PlaybackWriter | None = None
        self._play: Callable[[Pcm], None] | None = None
        self._heard_ms = 0.0
        self._carried: Callable[[], str] | None = None

    def carried_by(self, told: Callable[[], str]) -> None:
        """Show what `told` says of the connection, live and at the end."""
        self._carried = self.view.note = told

    def speak_into(self, path: Path, sample_rate_hz: int, aligned: bool = True) -> None:
        """Write the speech to a WAV file as well."""
        self._wav = WavWriter(path, sample_rate_hz)
        self._speech = PlaybackWriter(self._wav, aligned)

    def play_through(self, play: Callable[[Pcm], None]) -> None:
        """Hand the speech, at the voice's rate, to `play` as well."""
        self._play = play

    def heard(self, milliseconds: float) -> None:
        """That much more was heard."""
        self._heard_ms += milliseconds
        self.view.heard(self._heard_ms)

    def take(self, events: Iterable[Event]) -> None:
        """Hand events on."""
        for event in events:
            self.view.show(event)
            if isinstance(event, Caption):
                self._track.add(event)
            elif isinstance(event, Speech):
                if self._speech is not None:
                    self._speech.add(event)
                if self._play is not None:
                    self._play(event.pcm)

    def summary(self, output: Path | None = None) -> None:
        """Tell in one line what happened."""
        heard_s, view = self._heard_ms / 1000, self.view
        told = [f"{heard_s:.1f} s heard, {view.words} words"]
        if view.first_word_ms is not None:
            told.append(f"the first when {view.first_word_ms / 1000:.1f} s were heard")
        if view.finished is not None and heard_s:
            told.append(f"real-time factor {view.finished.compute_s / heard_s:.2f}")
        if output is not None and self._speech is not None:
            told.append(f"{self._speech.spoken_s:.1f} s of speech in {output}")
        if self._srt is not None:
            told.append(f"subtitles in {self._srt}")
        if self._carried is not None:
            told.append(self._carried())
        err.print("; ".join(told), style="dim", soft_wrap=True)

    def __enter__(self) -> Sinks:
        self.view.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.view.close()
        if self._wav is not None:
            self._wav.close()
        if self._srt is not None:
            subtitles.write(self._srt, self._track.cues(self._langs))


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
