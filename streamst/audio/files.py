"""Audio files and pipes: their length, and what they hold in blocks, mono at one rate.

PCM is `float32` of shape (samples,), -1..1. A talk of hours takes no more memory than a sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamst.errors import InputError

from .decode import Sound
from .pcm import SAMPLE_RATE_HZ, Pcm, Resampler
from .source import Source, is_pipe

_BLOCK_S = 0.25  # handed out at once: what stands before a damaged place is kept to this much


_ENDINGS_TEXT = """
.wav .w64 .rf64 .flac .ogg .oga .opus .mp3 .m4a .mp4 .m4b .aac .aif .aiff .aifc .au .snd .caf .webm .mkv .mka .mov .avi
.wma .amr .ac3 .ts .3gp
"""
ENDINGS = frozenset(_ENDINGS_TEXT.split())  # of recordings in a folder


def recordings(path: str | os.PathLike[str]) -> list[Path]:
    """`path` itself, or of a folder the recordings in it, by the endings of their names, in their order.

    InputError for a folder that holds none.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [folder]
    found = sorted(one for one in folder.iterdir() if one.suffix.lower() in ENDINGS and one.is_file())
    found = [one for one in found if not one.name.startswith(".")]
    if not found:
        raise InputError(f"{path} is a folder without a recording: none of its files ends in .wav, .flac, .mp3, ...")
    return found


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    sample_rate_hz: int
    channels: int
    frames: int | None  # samples a channel; None where only reading to the end tells
    format: str  # e.g. "wav pcm_s16le"

    @property
    def duration_s(self) -> float | None:
        """Length [s], where it is known."""
        return None if self.frames is None else self.frames / self.sample_rate_hz


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """The format and length of a file; InputError when it is missing, empty, not audio, or a pipe."""
    if is_pipe(path):
        raise InputError(f"{path} is a pipe: what it holds is known when it was read")
    with Source(path) as source, closing(Sound(source)) as sound:
        if next(sound.blocks(_BLOCK_S), None) is None:
            raise InputError(f"{source.name} {sound.trouble(0.0)}")
        return AudioInfo(sound.sample_rate_hz, sound.channels, sound.promised, sound.described)


def known_length_s(path: str | os.PathLike[str]) -> float | None:
    """Length [s]; None for a pipe, which is not touched, and where no header knows it. Errors as in `probe`."""
    return None if is_pipe(path) else probe(path).duration_s


def length_s(path: str | os.PathLike[str]) -> float:
    """Length of a file [s]: by its header, or where no header knows it, by reading it; errors as in `read_blocks`."""
    known = probe(path).duration_s
    return sum(map(len, read_blocks(path))) / SAMPLE_RATE_HZ if known is None else known


def read_blocks(path: str | os.PathLike[str], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Pcm]:
    """Mono blocks (samples,) of a file at `sample_rate_hz`, about a quarter of a second each; "-" is standard input.

    Raises InputError, naming the path, when the file is missing, empty or not audio; and, after the last block that
    could be read, when the file is damaged or shorter than its header promises.
    """
    with Source(path) as source, closing(Sound(source)) as sound:
        nothing = np.zeros(0, np.float32)
        heard_s, trouble = 0.0, ""
        resampler = Resampler(sound.sample_rate_hz, sample_rate_hz)
        for block, rate_hz in sound.blocks(_BLOCK_S):
            if rate_hz != resampler.source_hz:  # recordings of two rates may be joined
                yield resampler.push(nothing, final=True)
                resampler = Resampler(rate_hz, sample_rate_hz)
            if not np.isfinite(block).all():
                trouble = f"cannot be read past {heard_s:.2f} s: a sample there is not a number"
                break
            heard_s += len(block) / rate_hz
            yield resampler.push(block)
        rest = resampler.push(nothing, final=True)
        if len(rest):
            yield rest
        trouble = trouble or sound.trouble(heard_s)
        if trouble:
            raise InputError(f"{source.name} {trouble}")


def read_audio(path: str | os.PathLike[str], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Pcm:
    """A whole file as mono (samples,); errors as in `read_blocks`."""
    return np.concatenate([np.zeros(0, np.float32), *read_blocks(path, sample_rate_hz)])
