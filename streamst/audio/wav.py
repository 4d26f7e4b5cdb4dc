"""Writing WAV files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from streamst.errors import InputError

from .pcm import Pcm, to_pcm16


class WavWriter:
    """A mono 16-bit WAV file that grows while it is written. A context manager.

    form: another container and coding, by libsndfile's names.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate_hz: int, form: tuple[str, str] = ("WAV", "PCM_16")
    ) -> None:
        self.sample_rate_hz, self.samples = sample_rate_hz, 0
        container, coding = form
        try:
            self._file = soundfile.SoundFile(
                str(path), "w", samplerate=sample_rate_hz, channels=1, format=container, subtype=coding
            )
        except soundfile.LibsndfileError as error:
            raise InputError(f"{path} cannot be written: {_why_not_written(Path(path), error.error_string)}") from error

    def write(self, pcm: Pcm) -> None:
        """Append (samples,)."""
        self._file.write(np.frombuffer(to_pcm16(pcm), "<i2"))
        self.samples += len(pcm)

    def pad_to(self, samples: int) -> None:
        """Append silence until the file is `samples` long; nothing if it is already."""
        while self.samples < samples:
            self.write(np.zeros(min(samples - self.samples, self.sample_rate_hz), np.float32))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def discard(self) -> None:
        """Close the file, which is not wanted after all."""
        self.close()

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _why_not_written(path: Path, otherwise: str) -> str:
    """What the sound library calls a system error, in words."""
    if path.is_dir():
        return "it is a folder"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return otherwise.rstrip(".")


def write_wav(path: str | os.PathLike[str], pcm: Pcm, sample_rate_hz: int) -> None:
    """Write (samples,) as a mono 16-bit WAV file."""
    with WavWriter(path, sample_rate_hz) as file:
        file.write(pcm)
