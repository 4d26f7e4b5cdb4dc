"""WAV while it is still being made: from its header on, whatever its sizes promise, without a moment's delay.

For what is plain in a WAV file: whole numbers of 8 to 32 bits, floating point, mu-law, A-law; any channels, which are
mixed. What is not plain is FFmpeg's (streamst/audio/pieces.py).
"""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from streamst.audio import to_pcm16
from streamst.errors import ProtocolError

from . import codes
from .g711 import ALAW, MULAW

LOWEST_HZ, HIGHEST_HZ = 8_000, 48_000
MOST_CHANNELS = 32
LONGEST_HEADER_BYTES = 1 << 16
WAV_PCM, WAV_FLOAT, WAV_ALAW, WAV_MULAW, WAV_EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # format tags (RFC 2361)
UNKNOWN_SIZE = 0x7FFFF000  # from which on, as 0, a size is what writes a header who does not know it yet
HEADER = re.compile(rb"RIFF.{4}WAVE(?:fmt |JUNK|LIST|bext|fact|iXML)", re.DOTALL)
TRAILING_CHUNKS = (
    b"LIST", b"JUNK", b"fact", b"bext", b"iXML", b"cue ", b"smpl", b"inst", b"id3 ", b"ID3 ", b"PEAK", b"PAD ", b"plst",
    b"acid", b"_PMX", b"aXML", b"chna", b"cart", b"note", b"labl", b"levl", b"afsp", b"LGWV", b"SAUR",
)  # fmt: skip
CODINGS = (
    (WAV_PCM, 8), (WAV_PCM, 16), (WAV_PCM, 24), (WAV_PCM, 32), (WAV_FLOAT, 32), (WAV_FLOAT, 64), (WAV_ALAW, 8),
    (WAV_MULAW, 8),
)  # fmt: skip


class UnusualError(Exception):
    """A WAV file whose samples are not plain: `WavDecoder` has not begun, and nothing of it was heard."""


class Samples:
    """Samples of a coding (format tag, bits), `channels` interleaved and cut anywhere, as mono 16-bit ones."""

    def __init__(self, coding: tuple[int, int], channels: int) -> None:
        self._coding, self._channels = coding, channels
        self._frame_bytes = coding[1] // 8 * channels
        self._rest = b""

    def decode(self, payload: bytes) -> bytes:
        """The samples that `payload` completes."""
        payload = self._rest + payload
        whole = len(payload) // self._frame_bytes * self._frame_bytes
        self._rest = payload[whole:]
        if self._coding == (WAV_PCM, 16) and self._channels == 1:
            return payload[:whole]
        values = self._values(payload[:whole]).reshape(-1, self._channels)
        return to_pcm16(values.mean(1).astype(np.float32))

    def _values(self, data: bytes) -> NDArray[np.floating]:
        """-1 to 1."""
        match self._coding:
            case (3, bits):  # which may be anything
                with np.errstate(invalid="ignore"):
                    return np.nan_to_num(np.clip(np.frombuffer(data, f"<f{bits // 8}"), -1, 1)).astype(np.float64)
            case (1, 8):
                return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
            case (1, 24):
                wide = np.zeros((len(data) // 3, 4), np.uint8)
                wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
                return wide.view("<i4")[:, 0] / np.float64(1 << 31)
            case (1, 32):
                return np.frombuffer(data, "<i4") / np.float64(1 << 31)
            case (6 | 7 as law, _):
                return (MULAW if law == WAV_MULAW else ALAW)[np.frombuffer(data, np.uint8)] / np.float32(1 << 15)
            case _:
                return np.frombuffer(data, "<i2") / np.float32(1 << 15)


class WavDecoder:
    """WAV from its header on, as 16-bit samples at `rate_hz`.

    The size that a header promises is what its writer guessed: samples go on after it, but for a chunk that is known to
    be none; and wherever another header stands, as where each message is a file of its own, it is read as one.
    """

    rate_hz = 16_000  # until the header is read

    def __init__(self) -> None:
        self._held = b""  # what cannot be told yet
        self._samples: Samples | None = None  # None while a header is read
        self._left: int | None = None  # bytes of samples until other chunks may follow; None: there is no telling
        self.begun = False  # a header was read
        self._skipped = 0  # bytes of a chunk without samples that are still to come

    def decode(self, payload: bytes) -> bytes:
        """The samples that `payload` completes; ProtocolError 1007 for what is no WAV, UnusualError before it began."""
        self._held += payload
        samples: list[bytes] = []
        while self._held and (part := self._next()) is not None:
            samples.append(part)
        return b"".join(samples)

    def _next(self) -> bytes | None:
        """Take the next part off what is held: the samples in it, None where more has to come first."""
        if self._skipped:
            self._skipped -= len(self._take(self._skipped))
            return b""
        if self._samples is None:
            return b"" if self._read_header() else None
        if self._left == 0:
            return b"" if self._look_on() else None
        at = _place_of_header(self._held)
        if at == 0:
            self._samples = None if HEADER.match(self._held) else self._samples
            return b"" if self._samples is None else None
        part = self._take(at if self._left is None else min(at, self._left))
        if self._left is not None:
            self._left -= len(part)
        return self._samples.decode(part)

    def _look_on(self) -> bool:
        """The promised samples are over: skip a chunk that is none, take anything else for more of them. Whether enough
        has come to tell."""
        name = self._held[:4]
        if any(known.startswith(name) for known in (*TRAILING_CHUNKS, b"RIFF")) and len(self._held) < 8:
            return False
        if name in TRAILING_CHUNKS:
            size = int.from_bytes(self._held[4:8], "little")
            self._take(8)
            self._skipped = size + size % 2
        else:
            self._left = None
        return True

    def _take(self, count: int) -> bytes:
        part, self._held = self._held[:count], self._held[count:]
        return part

    def _read_header(self) -> bool:
        """Read a header, once it is all there, up to where its samples begin; whether it was."""
        at, head = 12, self._held
        if not b"RIFF".startswith(head[:4]) or not b"WAVE".startswith(head[8:12]):
            raise _not_audio("it is no WAV file")
        samples: Samples | None = None
        while len(head) >= at + 8:
            name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
            at += 8
            if name == b"data":
                if samples is None:
                    raise _not_audio("its header does not say the format before the samples")
                self._samples = samples
                self._left = None if size == 0 or size >= UNKNOWN_SIZE else size
                self._take(at)
                return True
            if len(head) < at + size:
                break
            if name == b"fmt ":
                samples = self._read_format(head[at : at + size])
            at += size + size % 2
        if len(head) > LONGEST_HEADER_BYTES:
            raise _not_audio(f"no samples within {LONGEST_HEADER_BYTES} bytes")
        return False

    def _read_format(self, told: bytes) -> Samples:
        if len(told) < 16:
            raise _not_audio("its format is cut short")
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", told)
        if kind == WAV_EXTENSIBLE and len(told) >= 26:
            kind = int.from_bytes(told[24:26], "little")
        plain = (kind, bits) in CODINGS and 1 <= channels <= MOST_CHANNELS and LOWEST_HZ <= rate <= HIGHEST_HZ
        if not plain and not self.begun:
            raise UnusualError(f"format {kind}, {bits} bits, {channels} channels, {rate} Hz")
        if not plain or (self.begun and rate != self.rate_hz):
            reason = f"a WAV header of {rate} Hz, {bits} bits and {channels} channels (format {kind}) within audio of"
            raise _not_audio(f"{reason} {self.rate_hz} Hz; open another stream for it")
        self.rate_hz, self.begun = rate, True
        return Samples((kind, bits), channels)


def _place_of_header(data: bytes) -> int:
    """Where a header begins in `data`, or may begin with its last bytes; its length where there is none."""
    found = HEADER.search(data)
    if found is not None:
        return found.start()
    return next((at for at in range(max(0, len(data) - 15), len(data)) if _may_begin(data[at:])), len(data))


def _may_begin(tail: bytes) -> bool:
    """Whether a header may begin with these few bytes."""
    return b"RIFF".startswith(tail[:4]) and b"WAVE".startswith(tail[8:12])


def _not_audio(reason: str) -> ProtocolError:
    return ProtocolError(f"the audio cannot be read: {reason}", codes.BAD_DATA)
