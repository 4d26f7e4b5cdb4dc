"""Files that commands write: never over what they read, whole under their names, and what those names say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streamst.audio import Pcm, WavWriter, to_pcm16
from streamst.errors import InputError

from .view import err

STANDARD_OUTPUT = Path("-")
# Endings of speech, and what the sound library calls them.
SPEECH_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
}
_UNKNOWN_LENGTH = b"\xff" * 4


def check_outputs(inputs: Iterable[Path], outputs: Iterable[Path | None], quiet: bool = False) -> None:
    """InputError, before anything is opened, where an output is an input, through links too, or two are one file.

    A file that is there and will be replaced is told on standard error, unless `quiet`.
    """
    before = [path for path in inputs if path != STANDARD_OUTPUT]
    written: list[Path] = []
    for path in outputs:
        if path is None or path == STANDARD_OUTPUT:
            continue
        if any(_same(path, read) for read in before):
            raise InputError(f"{path} is what is read: writing there would destroy it; choose another name")
        if any(_same(path, other) for other in written):
            raise InputError(f"{path} is to be written twice: give each output a name of its own")
        written.append(path)
    for path in written:
        if not quiet and path.is_file() and path.stat().st_size:
            err.print(f"{path} is there already, and will be replaced", soft_wrap=True)


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b) and (a.is_file() or a.is_dir())  # not /dev/null, not a terminal
    except OSError:  # one of them does not exist yet
        return a.resolve() == b.resolve()


class Beside:
    """A file that is written beside `path` and takes its name when it is whole; devices and pipes are written at once.

    InputError when it cannot be.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise InputError(f"{path} cannot be written: it is a folder")
        if not path.parent.is_dir():
            raise InputError(f"{path} cannot be written: the folder {path.parent} does not exist")
        self._target = path.resolve()
        special = self._target.exists() and not self._target.is_file()
        self.path = self._target if special else self._target.with_name(f".{self._target.name}.{os.getpid()}.part")

    def keep(self) -> None:
        """The file is whole."""
        if self.path != self._target:
            self.path.replace(self._target)

    def discard(self) -> None:
        """The file is not wanted."""
        if self.path != self._target:
            self.path.unlink(missing_ok=True)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at `path`: it does so if no error comes."""
    beside = Beside(path)
    try:
        yield beside.path
    except BaseException:
        beside.discard()
        raise
    beside.keep()


def speech_format(path: Path) -> tuple[str, str]:
    """Container and coding by the ending of `path`; InputError where it names none."""
    if path.is_dir():
        raise InputError(f"{path} cannot be written: it is a folder")
    if path.exists() and not path.is_file():
        return SPEECH_FORMATS[".wav"]  # a device or a pipe
    found = SPEECH_FORMATS.get(path.suffix.lower())
    if found is None:
        raise InputError(f"{path}: speech is written as {', '.join(SPEECH_FORMATS)}, not {path.suffix!r}")
    return found


def open_speech(path: Path, sample_rate_hz: int) -> WavWriter:
    """A file of speech, in the format that its name says; "-" is a WAV on standard output."""
    return _SpeechToStdout(sample_rate_hz) if path == STANDARD_OUTPUT else _SpeechFile(path, sample_rate_hz)


class _SpeechFile(WavWriter):
    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        form = speech_format(path)
        self._beside = Beside(path)
        try:
            super().__init__(self._beside.path, sample_rate_hz, form)
        except InputError as error:
            told = str(error).replace(str(self._beside.path), str(path))
            raise InputError(told) from error

    def close(self) -> None:
        super().close()
        self._beside.keep()

    def discard(self) -> None:
        super().close()
        self._beside.discard()


class _SpeechToStdout(WavWriter):
    """A WAV without a length: nobody knows it when the header goes out."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz, self.samples = sample_rate_hz, 0
        rates = sample_rate_hz.to_bytes(4, "little") + (2 * sample_rate_hz).to_bytes(4, "little")
        form = b"\x01\0\x01\0" + rates + b"\x02\0\x10\0"
        head = b"RIFF" + _UNKNOWN_LENGTH + b"WAVEfmt \x10\0\0\0" + form + b"data" + _UNKNOWN_LENGTH
        sys.stdout.buffer.write(head)

    def write(self, pcm: Pcm) -> None:
        sys.stdout.buffer.write(to_pcm16(pcm))
        sys.stdout.buffer.flush()
        self.samples += len(pcm)

    def close(self) -> None:
        sys.stdout.buffer.flush()
