"""Audio as Deepgram's clients send it, as 16-bit samples: linear16, mu-law, A-law, Opus packets, or a WAV file."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Protocol

from streamst.codecs.opus import DECODED_HZ, pyav
from streamst.errors import ProtocolError, UnavailableError
from streamst.server.wire import codes
from streamst.server.wire.audio import HIGHEST_HZ, LOWEST_HZ

from .g711 import alaw_to_pcm16, mulaw_to_pcm16

LONGEST_HEADER_BYTES = 1 << 16
WAV_PCM, WAV_ALAW, WAV_MULAW, WAV_EXTENSIBLE = 1, 6, 7, 0xFFFE  # format tags (RFC 2361)
UNKNOWN_SIZE = 0x7FFFF000  # from which on, as 0, a size is what writes a header who does not know it yet
HEADER = re.compile(rb"RIFF.{4}WAVE(?:fmt |JUNK|LIST|bext|fact|iXML)", re.DOTALL)
TRAILING_CHUNKS = (
    b"LIST", b"JUNK", b"fact", b"bext", b"iXML", b"cue ", b"smpl", b"inst", b"id3 ", b"ID3 ", b"PEAK", b"PAD ", b"plst",
    b"acid", b"_PMX", b"aXML", b"chna", b"cart", b"note", b"labl", b"levl", b"afsp", b"LGWV", b"SAUR",
)  # fmt: skip
ENCODINGS = ("linear16", "mulaw", "alaw", "opus")


class Decoder(Protocol):
    """One stream's audio."""

    rate_hz: int  # of what `decode` gives

    def decode(self, payload: bytes) -> bytes:
        """The 16-bit samples that a message completes; ProtocolError 1007 for what is no such audio."""
        ...


def check_encoding(encoding: str | None, sample_rate_hz: int | None) -> None:
    """ProtocolError 4400 for an encoding that is not heard here, or that says nothing without a rate."""
    if encoding is not None and encoding not in ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        reason = f"encoding: {encoding!r}; allowed: {allowed}, or none for a WAV file"
        raise ProtocolError(reason, codes.BAD_PARAMETER)
    if encoding not in (None, "opus") and sample_rate_hz is None:
        raise ProtocolError(f"sample_rate is needed with encoding={encoding}", codes.BAD_PARAMETER)
    if sample_rate_hz is not None and not LOWEST_HZ <= sample_rate_hz <= HIGHEST_HZ:
        reason = f"sample_rate: {sample_rate_hz}; allowed: {LOWEST_HZ} to {HIGHEST_HZ}"
        raise ProtocolError(reason, codes.BAD_PARAMETER)


def make_decoder(encoding: str | None, sample_rate_hz: int | None) -> Decoder:
    """A decoder; ProtocolError 4400 as in `check_encoding`. encoding: None is a WAV file."""
    check_encoding(encoding, sample_rate_hz)
    if encoding is None:
        return WavDecoder()
    return OpusPackets() if encoding == "opus" else RawDecoder(encoding, sample_rate_hz or 16_000)


class RawDecoder:
    """Samples without a header, cut anywhere."""

    def __init__(self, encoding: str, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._odd = b""
        self._expand: Callable[[bytes], bytes] | None = {"mulaw": mulaw_to_pcm16, "alaw": alaw_to_pcm16}.get(encoding)

    def decode(self, payload: bytes) -> bytes:
        """See `Decoder.decode`."""
        if self._expand is not None:
            return self._expand(payload)
        payload = self._odd + payload
        whole = len(payload) // 2 * 2
        self._odd = payload[whole:]
        return payload[:whole]


class OpusPackets:
    """One Opus packet (RFC 6716) a message."""

    rate_hz = DECODED_HZ

    def __init__(self) -> None:
        try:
            self._av = pyav()
        except UnavailableError as error:
            raise ProtocolError(f"encoding: {error}", codes.BAD_PARAMETER) from error
        self._context = self._av.CodecContext.create("libopus", "r")
        self._context.sample_rate, self._context.layout = DECODED_HZ, "mono"
        self._context.open()

    def decode(self, payload: bytes) -> bytes:
        """See `Decoder.decode`."""
        try:
            frames = self._context.decode(self._av.Packet(payload))
        except self._av.error.FFmpegError as error:
            reason = f"a message of {len(payload)} bytes is no Opus packet: {error}"
            raise ProtocolError(reason, codes.BAD_DATA) from error
        return b"".join(frame.to_ndarray().astype("<i2").tobytes() for frame in frames)


class WavDecoder:
    """WAV from its header on: 16-bit, mu-law or A-law, one channel.

    The size that a header promises is what its writer guessed: samples go on after it, but for a chunk that is known to
    be none; and wherever another header stands, as where each message is a file of its own, it is read as one.
    """

    rate_hz = 16_000  # until the header is read

    def __init__(self) -> None:
        self._held = b""  # what cannot be told yet
        self._samples: RawDecoder | None = None  # None while a header is read
        self._left: int | None = None  # bytes of samples until other chunks may follow; None: there is no telling
        self._begun = False  # a header was read
        self._skipped = 0  # bytes of a chunk without samples that are still to come

    def decode(self, payload: bytes) -> bytes:
        """See `Decoder.decode`."""
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
            raise _not_audio("it is no WAV file; raw audio needs encoding and sample_rate in the address")
        samples: RawDecoder | None = None
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

    def _read_format(self, told: bytes) -> RawDecoder:
        if len(told) < 16:
            raise _not_audio("its format is cut short")
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", told)
        if kind == WAV_EXTENSIBLE and len(told) >= 26:
            kind = int.from_bytes(told[24:26], "little")
        encoding = {(WAV_PCM, 16): "linear16", (WAV_ALAW, 8): "alaw", (WAV_MULAW, 8): "mulaw"}.get((kind, bits))
        if encoding is None or channels != 1:
            raise _not_audio(f"a WAV file of format {kind}, {bits} bits and {channels} channels; use 16-bit mono")
        if not LOWEST_HZ <= rate <= HIGHEST_HZ:
            raise _not_audio(f"a WAV file at {rate} Hz; {LOWEST_HZ} to {HIGHEST_HZ} are heard")
        if self._begun and rate != self.rate_hz:
            raise _not_audio(f"a WAV header of {rate} Hz within audio of {self.rate_hz} Hz; open another stream for it")
        self.rate_hz, self._begun = rate, True
        return RawDecoder(encoding, rate)


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
