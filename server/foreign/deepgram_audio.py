"""Audio as Deepgram's clients send it, as 16-bit samples: linear16, mu-law, A-law, Opus packets, or a WAV file."""

from __future__ import annotations

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
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # in the header of who writes while it speaks
ENCODINGS = ("linear16", "mulaw", "alaw", "opus")


class Decoder(Protocol):
    """One stream's audio."""

    rate_hz: int  # of what `decode` gives

    def decode(self, payload: bytes) -> bytes:
        """The 16-bit samples that a message completes; ProtocolError 1007 for what is no such audio."""
        ...


def make_decoder(encoding: str | None, sample_rate_hz: int | None) -> Decoder:
    """A decoder; ProtocolError 4400 for an encoding or a rate that is not heard here. encoding: None is a WAV file."""
    if sample_rate_hz is not None:
        _checked_rate(sample_rate_hz)
    match encoding:
        case None:
            return WavDecoder()
        case "linear16" | "mulaw" | "alaw":
            return RawDecoder(encoding, sample_rate_hz or 16_000)
        case "opus":
            return OpusPackets()
        case _:
            allowed = ", ".join(ENCODINGS)
            reason = f"encoding: {encoding!r}; allowed: {allowed}, or none for a WAV file"
            raise ProtocolError(reason, codes.BAD_PARAMETER)


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
    """A WAV file from its header on: 16-bit, mu-law or A-law, one channel."""

    rate_hz = 16_000  # until the header is read

    def __init__(self) -> None:
        self._head = b""
        self._format: RawDecoder | None = None
        self._samples: RawDecoder | None = None  # once they begin
        self._left: int | None = None  # bytes of samples that the header promises; None: all that comes

    def decode(self, payload: bytes) -> bytes:
        """See `Decoder.decode`."""
        if self._samples is not None:
            return self._decode(self._samples, payload)
        self._head += payload
        if not b"RIFF".startswith(self._head[:4]) or not b"WAVE".startswith(self._head[8:12]):
            raise _not_audio("it is no WAV file; raw audio needs encoding and sample_rate in the address")
        begin = self._read_header()
        if begin is None:
            if len(self._head) > LONGEST_HEADER_BYTES:
                raise _not_audio(f"no samples within {LONGEST_HEADER_BYTES} bytes")
            return b""
        self._samples = self._format
        assert self._samples is not None
        rest, self._head = self._head[begin:], b""
        return self._decode(self._samples, rest)

    def _decode(self, samples: RawDecoder, payload: bytes) -> bytes:
        if self._left is not None:
            payload = payload[: self._left]
            self._left -= len(payload)
        return samples.decode(payload)

    def _read_header(self) -> int | None:
        """Where the samples begin, None while the header is not complete."""
        at, head = 12, self._head
        while len(head) >= at + 8:
            name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
            at += 8
            if name == b"data":
                if self._format is None:
                    raise _not_audio("its header does not say the format before the samples")
                self._left = None if size in UNKNOWN_SIZES else size
                return at
            if len(head) < at + size:
                return None
            if name == b"fmt ":
                self._read_format(head[at : at + size])
            at += size + size % 2
        return None

    def _read_format(self, told: bytes) -> None:
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
        self.rate_hz = rate
        self._format = RawDecoder(encoding, rate)


def _checked_rate(rate_hz: int) -> None:
    if not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
        reason = f"sample_rate: {rate_hz}; allowed: {LOWEST_HZ} to {HIGHEST_HZ}"
        raise ProtocolError(reason, codes.BAD_PARAMETER)


def _not_audio(reason: str) -> ProtocolError:
    return ProtocolError(f"the audio cannot be read: {reason}", codes.BAD_DATA)
