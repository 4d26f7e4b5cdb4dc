"""The microphone and the loudspeaker of this machine, through PortAudio."""

from __future__ import annotations

import queue
import threading
from collections import deque
from types import ModuleType
from typing import Any

import numpy as np

from streamst.audio import SAMPLE_RATE_HZ, Pcm, Resampler
from streamst.errors import UnavailableError

LONGEST_WAIT_S = 60.0  # of sound that was recorded and not yet taken, or handed over and not yet played
_BLOCK_S = 0.04


def portaudio() -> ModuleType:
    """The sounddevice module; UnavailableError, with how to mend it, where it cannot be loaded."""
    try:
        import sounddevice
    except ImportError as error:
        raise UnavailableError("sounddevice is not installed: python -m pip install sounddevice") from error
    except OSError as error:  # how it reports a missing library
        raise UnavailableError(
            "PortAudio is missing: Debian: apt install libportaudio2; Fedora: dnf install portaudio; "
            "macOS: brew install portaudio"
        ) from error
    return sounddevice


def microphone_name(device: int | str | None = None) -> str:
    """The name of a microphone (None: the system's choice); UnavailableError when there is none."""
    return str(_device(device, "input")["name"])


def _device(device: int | str | None, kind: str) -> dict[str, Any]:
    library = portaudio()
    try:
        return dict(library.query_devices(device, kind))
    except (library.PortAudioError, ValueError) as error:
        what = "microphone" if kind == "input" else "loudspeaker"
        known = [str(d["name"]) for d in library.query_devices() if d[f"max_{kind}_channels"] > 0]
        if device is None or not known:
            raise UnavailableError(f"no {what} is connected: connect one, or choose it in the system") from error
        raise UnavailableError(f"there is no {what} {device!r}: use one of {', '.join(known)}") from error


class Microphone:
    """Recorded sound, mono at `sample_rate_hz`. A context manager; iterate over it until `stop`.

    Raises UnavailableError when there is no microphone, it may not be used, or the reader is a minute behind.
    """

    def __init__(self, device: int | str | None = None, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        found = _device(device, "input")
        library = portaudio()
        own_hz = round(found["default_samplerate"])
        self.name = str(found["name"])
        self._resampler = Resampler(own_hz, sample_rate_hz)
        self._recorded: queue.Queue[Pcm] = queue.Queue(maxsize=round(LONGEST_WAIT_S / _BLOCK_S))
        self._too_slow = self._stopped = False
        try:
            self._stream = library.InputStream(
                samplerate=own_hz, channels=1, dtype="float32", device=device,
                blocksize=round(own_hz * _BLOCK_S), callback=self._on_block,
            )  # fmt: skip
        except library.PortAudioError as error:
            raise UnavailableError(f"microphone {self.name} cannot be opened: {error}") from error

    def _on_block(self, block: np.ndarray, _frames: int, _when: Any, _status: Any) -> None:
        if self._stopped:
            return
        try:
            self._recorded.put_nowait(block[:, 0].copy())
        except queue.Full:
            self._too_slow = True

    def stop(self) -> None:
        """End the iteration once what was recorded until now has been taken."""
        self._stopped = True

    def __enter__(self) -> Microphone:
        self._stream.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Microphone:
        return self

    def __next__(self) -> Pcm:
        while True:
            if self._too_slow:
                raise UnavailableError(
                    f"this machine is {LONGEST_WAIT_S:.0f} s behind the speaker: choose a higher --latency, or a server"
                )
            try:
                block = self._recorded.get(timeout=0.1)  # short, so that `stop` is heard
            except queue.Empty:
                if self._stopped:
                    raise StopIteration from None
                continue
            pcm = self._resampler.push(block)
            if len(pcm):
                return pcm


class Loudspeaker:
    """Plays what it is given, without gaps while there is something. A context manager.

    When more than a minute waits, the oldest is dropped: a listener that far behind has lost the thread.
    """

    def __init__(self, sample_rate_hz: int, device: int | str | None = None) -> None:
        found = _device(device, "output")
        library = portaudio()
        own_hz = round(found["default_samplerate"])
        self._resampler = Resampler(sample_rate_hz, own_hz)
        self._waiting: deque[Pcm] = deque()
        self._limit = round(LONGEST_WAIT_S * own_hz)
        self._lock = threading.Lock()
        try:
            self._stream = library.OutputStream(
                samplerate=own_hz, channels=1, dtype="float32", device=device, callback=self._on_block
            )
        except library.PortAudioError as error:
            raise UnavailableError(f"loudspeaker {found['name']} cannot be opened: {error}") from error
        self._own_hz = own_hz

    def play(self, pcm: Pcm) -> None:
        """Append speech (samples,) and return at once."""
        with self._lock:
            self._waiting.append(self._resampler.push(pcm))
            while len(self._waiting) > 1 and sum(map(len, self._waiting)) > self._limit:
                self._waiting.popleft()

    def waiting_s(self) -> float:
        """How much is still to be played [s]."""
        with self._lock:
            return sum(map(len, self._waiting)) / self._own_hz

    def _on_block(self, block: np.ndarray, frames: int, _when: Any, _status: Any) -> None:
        filled = 0
        with self._lock:
            while filled < frames and self._waiting:
                piece = self._waiting.popleft()
                taken = piece[: frames - filled]
                block[filled : filled + len(taken), 0] = taken
                filled += len(taken)
                if len(taken) < len(piece):
                    self._waiting.appendleft(piece[len(taken) :])
        block[filled:] = 0

    def __enter__(self) -> Loudspeaker:
        self._stream.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
