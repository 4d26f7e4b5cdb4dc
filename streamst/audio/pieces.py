"""Sound out of a recording that comes in pieces, cut anywhere, while it is still being made.

FFmpeg reads where it likes, and waits for what it asked for: so it has a thread, which reads from a pipe. Whoever feeds
it waits until everything that was fed has been read, or until enough sound waits to be taken; nothing else waits, and
neither grows without bound.
"""

from __future__ import annotations

import io
import logging
import threading
from contextlib import closing

import numpy as np

from streamst.errors import InputError

from .decode import Sound
from .pcm import SAMPLE_RATE_HZ, Pcm, Resampler
from .source import Source

log = logging.getLogger(__name__)

MOST_S = 1.0  # of sound that waits to be taken
BLOCK_S = 0.02
SILENT_BYTES = 1 << 24  # that may come without a sample: pictures in front
MOST_CHANNELS = 32
PATIENCE_S = 10.0  # for a piece to be read
NAME = "the recording"


class Unpacker:
    """A container, in pieces, to mono samples at `sample_rate_hz`. One caller; `close` ends its thread."""

    def __init__(self, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.trouble = ""  # once it is over: what was wrong with the recording, in words
        self._rate_hz = sample_rate_hz
        self._turn = threading.Condition()
        self._input = bytearray()
        self._output: list[Pcm] = []
        self._held = 0  # samples that wait
        self._since = 0  # bytes that were read since the last sample
        self._asks = False  # the thread waits for bytes
        self._ended = self._closed = self._over = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="unpacker", daemon=True)
        self._thread.start()

    def feed(self, data: bytes) -> None:
        """The next bytes, or none to go on. Returns when they were read, when `take` is due, or at the end.

        Raises InputError for a piece that takes too long, and what went wrong by our own fault.
        """
        with self._turn:
            if self._over:
                return
            self._input += data
            self._asks = self._asks and not data and not self._ended
            self._turn.notify_all()
            if not self._turn.wait_for(lambda: self._asks or self._full or self._over, PATIENCE_S):
                self._closed = True
                raise InputError(f"{NAME} takes too long to read: {PATIENCE_S:g} s for a piece of it")
        if self._fault is not None:
            raise self._fault

    def end(self) -> None:
        """Nothing more comes. What is left is taken as before, with `feed` in between while `waiting`."""
        with self._turn:
            self._ended = True
        self.feed(b"")

    @property
    def waiting(self) -> bool:
        """Whether there is more to take, before more bytes are needed."""
        with self._turn:
            return bool(self._held) or not (self._asks or self._over)

    @property
    def over(self) -> bool:
        """Whether the recording has ended: by itself, by `end`, or because it could not be read."""
        return self._over and not self._held

    def take(self) -> Pcm:
        """The samples that wait, at most about a second."""
        with self._turn:
            taken, self._output, self._held = self._output, [], 0
            self._turn.notify_all()
        return np.concatenate([np.zeros(0, np.float32), *taken])

    def close(self) -> None:
        """Forget everything; the thread ends by itself. May be called from any thread, at any time."""
        with self._turn:
            self._closed = True
            self._input.clear()
            self._turn.notify_all()

    @property
    def _full(self) -> bool:
        return self._held >= MOST_S * self._rate_hz

    def _run(self) -> None:
        try:
            self._unpack()
        except InputError as error:
            self.trouble = str(error)
        except _ClosedError:
            pass
        except (ValueError, ArithmeticError, MemoryError) as error:  # of what damage claims to be
            self.trouble = f"{NAME} cannot be read: {error}"
        except Exception as error:
            log.error("unpacking failed", exc_info=error)
            self._fault = error
        with self._turn:
            self._over = True
            self._turn.notify_all()

    def _unpack(self) -> None:
        with Source(NAME, io.BufferedReader(_Pipe(self))) as source, closing(Sound(source)) as sound:
            if not 1 <= sound.channels <= MOST_CHANNELS:
                raise InputError(f"{NAME} has {sound.channels} channels; allowed: 1 to {MOST_CHANNELS}")
            resampler, heard_s = Resampler(sound.sample_rate_hz, self._rate_hz), 0.0
            for block, rate_hz in sound.blocks(BLOCK_S):
                if rate_hz != resampler.source_hz:
                    self._give(resampler.push(block[:0], final=True))
                    resampler = Resampler(rate_hz, self._rate_hz)
                if not np.isfinite(block).all():
                    raise InputError(f"{NAME} cannot be read past {heard_s:.2f} s: a sample there is not a number")
                heard_s += len(block) / rate_hz
                self._give(resampler.push(np.clip(block, -1, 1)))
            self._give(resampler.push(np.zeros(0, np.float32), final=True))
            told = sound.trouble(heard_s)
            self.trouble = told and f"{NAME} {told}"

    def _give(self, pcm: Pcm) -> None:
        """Hand samples over; waits while enough of them wait."""
        with self._turn:
            self._turn.wait_for(lambda: self._closed or not self._full)
            if self._closed:
                raise _ClosedError
            if len(pcm):
                self._output.append(pcm)
                self._held += len(pcm)
                self._since = 0
                self._turn.notify_all()

    def _read(self, count: int) -> bytes:
        """At most `count` bytes, once there are some; none at the end."""
        with self._turn:
            while not self._input and not self._ended and not self._closed:
                self._asks = True
                self._turn.notify_all()
                self._turn.wait()
            self._asks = False
            if self._closed:
                return b""
            data = bytes(self._input[:count])
            del self._input[:count]
            self._since += len(data)
        if self._since > SILENT_BYTES:
            self.close()
            self.trouble = f"{NAME} has no sound in {SILENT_BYTES >> 20} MiB"
            return b""
        return data


class _ClosedError(Exception):
    """Nobody wants what is left."""


class _Pipe(io.RawIOBase):
    """What the thread reads from."""

    def __init__(self, unpacker: Unpacker) -> None:
        self._unpacker = unpacker

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._unpacker._read(len(view))
        view[: len(data)] = data
        return len(data)
