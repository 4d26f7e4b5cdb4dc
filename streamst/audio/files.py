"""Audio files and PCM: reading in blocks, mono at one rate, streaming resampling, writing WAV.

PCM is `float32` of shape (samples,), -1..1, mono. Whatever libsndfile reads is read (WAV, FLAC, Ogg Vorbis and Opus,
MP3, AIFF, ...), in blocks, so that a talk of hours takes no more memory than a sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamst.errors import InputError

from .pcm import SAMPLE_RATE_HZ, Pcm, Resampler

_BLOCK_S = 0.25  # read at once: what stands before a damaged place is kept to this much
_UNKNOWN_BYTES = (0, 0xFFFFFFFF)  # what a WAV header says whose writer could not seek back
_LAST_PAGE_BYTES = 65_307  # the longest Ogg page there can be


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    sample_rate_hz: int
    channels: int
    frames: int  # samples a channel
    format: str  # e.g. "WAV PCM_16"

    @property
    def duration_s(self) -> float:
        """Length [s]."""
        return self.frames / self.sample_rate_hz


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """The format and length of a file; InputError when it is missing, empty or not audio."""
    with _open(Path(path)) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames, f"{file.format} {file.subtype}")


def read_blocks(path: str | os.PathLike[str], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Pcm]:
    """Mono blocks (samples,) of a file at `sample_rate_hz`, about a quarter of a second each.

    Raises InputError, naming the path, when the file is missing, empty or not audio; and, after the last block that
    could be read, when the file is damaged or shorter than its header promises.
    """
    path = Path(path)
    with _open(path) as file:
        resampler = Resampler(file.samplerate, sample_rate_hz)
        size, read = round(_BLOCK_S * file.samplerate), 0
        trouble = ""
        while not trouble:
            try:
                block = np.asarray(file.read(size, dtype="float32", always_2d=True), np.float32)
            except soundfile.LibsndfileError as error:
                trouble = error.error_string
                break
            if not len(block):
                break
            if not np.isfinite(block).all():
                trouble = "a sample there is not a number"
                break
            read += len(block)
            yield resampler.push(_mono(block))
        rest = resampler.push(np.zeros(0, np.float32), final=True)
        if len(rest):
            yield rest
        heard_s, rate = read / file.samplerate, file.samplerate
        if trouble:
            raise InputError(f"{path} cannot be read past {heard_s:.2f} s: {trouble.rstrip('.')}")
        promised = max(file.frames, _promised_frames(path, file))
        if read < promised:
            raise InputError(f"{path} is truncated: {heard_s:.2f} s of audio where it promises {promised / rate:.2f} s")
        if _ends_inside_a_page(path, file.format):
            raise InputError(f"{path} is truncated: it ends inside a page, after {heard_s:.2f} s of audio")


def read_audio(path: str | os.PathLike[str], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Pcm:
    """A whole file as mono (samples,); errors as in `read_blocks`."""
    return np.concatenate([np.zeros(0, np.float32), *read_blocks(path, sample_rate_hz)])


class _Forward(soundfile.SoundFile):
    """A file that is read from its beginning to its end. soundfile seeks around every read where it can, and an MP3
    decoder that was made to seek goes on with another frame's memory: audible at each block."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open for reading, or say what is wrong with the file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not an audio file")
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read by this user")
    try:
        file = _Forward(str(path))
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise InputError(
            f"{path} is not audio that can be read, or is damaged: {reason}; use WAV, FLAC, Ogg, MP3 or AIFF"
        ) from error
    with file:
        if file.frames == 0:
            raise InputError(f"{path} is empty: a {file.format} header without samples")
        yield file


def _mono(block: NDArray[np.float32]) -> Pcm:
    """(samples, channels) as the mean of the channels."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def _promised_frames(path: Path, file: soundfile.SoundFile) -> int:
    """Frames by the size in a WAV's `data` header, which libsndfile corrects in silence; 0 where none are promised."""
    if file.format not in ("WAV", "WAVEX") or not file.subtype.startswith(("PCM", "FLOAT", "DOUBLE", "ALAW", "ULAW")):
        return 0
    with path.open("rb") as raw:
        head = raw.read(12)
        while len(chunk := raw.read(8)) == 8 and head[:4] == b"RIFF":
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                held = path.stat().st_size - raw.tell()
                return 0 if size in _UNKNOWN_BYTES or size <= held else round(file.frames * size / max(held, 1))
            raw.seek(size + size % 2, os.SEEK_CUR)
    return 0


def _ends_inside_a_page(path: Path, container: str) -> bool:
    """True for an Ogg file whose last page is not whole (RFC 3533, section 6)."""
    if container != "OGG":
        return False
    with path.open("rb") as raw:
        raw.seek(max(0, path.stat().st_size - _LAST_PAGE_BYTES))
        tail = raw.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    lacing = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 or len(lacing) < page[26] or len(page) < 27 + len(lacing) + sum(lacing)
