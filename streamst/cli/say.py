"""`streamst say`: the model's voice on its own."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from streamst.audio import Pcm
from streamst.errors import InputError, UnavailableError

from . import options as opt
from .outputs import STANDARD_OUTPUT, check_outputs, open_speech, speech_format
from .view import err, out, shown

if TYPE_CHECKING:
    from streamst.models.seam import Voice


def say(
    text: Annotated[str, typer.Argument(help="What to say, in the language of the voice.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file: .wav, .flac, .mp3, .ogg, .opus; - is a pipe. Else aloud."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--json", help='Write {"first_audio_ms": ..., "rtf": ...} to this file.')
    ] = None,
    rate: Annotated[float, typer.Option(help="Speed: 0.8 is slower, 1.25 is faster.", min=0.8, max=1.25)] = 1.0,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    voice: opt.Voice = None,
    to: opt.To = None,
) -> None:
    """Speak a text with the model's voice, given to it word by word as in a translation.

    The times are those of a warm process: the model is loaded and has spoken once. first_audio_ms runs from the first
    word's arrival until its first samples; rtf is computing time over the length of the speech.
    """
    words = text.split()
    check_outputs([], [output, report])
    if output is not None and output != STANDARD_OUTPUT:
        speech_format(output)
    if not words:
        raise InputError("there is nothing to say: TEXT has no words")
    with shown("Loading the model"):
        from streamst.pipeline import load_voice

        speaker = load_voice(model, device, voice, to)
    said = _say(speaker, words, rate)
    if output is None:
        _play(said.pcm, speaker.sample_rate_hz)
    else:
        with open_speech(output, speaker.sample_rate_hz) as file:
            file.write(said.pcm)
    if report is not None:
        figures = {"first_audio_ms": round(said.first_audio_s * 1000, 1), "rtf": round(said.rtf, 4)}
        report.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    console = err if output == STANDARD_OUTPUT else out
    console.print(
        f"{output or 'said'}: {said.length_s:.1f} s of speech; first audio after {said.first_audio_s * 1000:.0f} ms, "
        f"real-time factor {said.rtf:.3f}",
        soft_wrap=True,
    )


@dataclass(frozen=True)
class _Said:
    pcm: Pcm
    length_s: float
    first_audio_s: float
    spent_s: float

    @property
    def rtf(self) -> float:
        return self.spent_s / self.length_s


def _say(speaker: Voice[Any], words: list[str], rate: float) -> _Said:
    """What a voice that has spoken before makes of the words, one by one; InputError where it is nothing."""
    from streamst.models.speak.aloud import Aloud

    warm = Aloud(speaker)
    warm.push(words[0])
    warm.finish()
    pieces: list[np.ndarray] = []
    first_audio_s: float | None = None
    aloud = Aloud(speaker, rate)
    started = time.perf_counter()
    for word in (*words, None):
        pcm = aloud.finish() if word is None else aloud.push(f"{word} ")
        if len(pcm) and first_audio_s is None:
            first_audio_s = time.perf_counter() - started
        pieces.append(pcm)
    spent_s = time.perf_counter() - started
    if first_audio_s is None:
        raise InputError(f"the voice finds nothing to say in {' '.join(words)!r}")
    pcm = np.concatenate(pieces)
    return _Said(pcm, len(pcm) / speaker.sample_rate_hz, first_audio_s, spent_s)


def _play(pcm: Pcm, sample_rate_hz: int) -> None:
    """Through the loudspeaker; UnavailableError, with what to do, where there is none."""
    from streamst.sound import Loudspeaker

    try:
        loudspeaker = Loudspeaker(sample_rate_hz)
    except UnavailableError as error:
        raise UnavailableError(f"{error}; or write a file with -o") from error
    with loudspeaker:
        loudspeaker.play(pcm)
        while loudspeaker.waiting_s() > 0:
            time.sleep(0.05)
