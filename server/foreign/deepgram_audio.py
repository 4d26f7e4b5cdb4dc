"""Audio as Deepgram's clients send it without a container, as 16-bit samples: linear16, mu-law, A-law, Opus packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streamst.codecs.opus import DECODED_HZ, pyav
from streamst.errors import ProtocolError, UnavailableError
from streamst.server.wire import codes
from streamst.server.wire.audio import HIGHEST_HZ, LOWEST_HZ
from streamst.server.wire.g711 import alaw_to_pcm16, mulaw_to_pcm16

ENCODINGS = ("linear16", "mulaw", "alaw", "opus")
CONTAINERS = (None, "flac", "ogg-opus")  # what is in them is looked at, whatever the address says


class Decoder(Protocol):
    """One stream's audio."""

    rate_hz: int  # of what `decode` gives

    def decode(self, payload: bytes) -> bytes:
        """The 16-bit samples that a message completes; ProtocolError 1007 for what is no such audio."""
        ...


def check_encoding(encoding: str | None, sample_rate_hz: int | None) -> None:
    """ProtocolError 4400 for an encoding that is not heard here, or that says nothing without a rate; a container says
    its own."""
    if encoding in CONTAINERS:
        return
    if encoding not in ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        reason = f"encoding: {encoding!r}; allowed: {allowed}, or none for a file: WAV, FLAC, Ogg, MP3, WebM, MP4, AAC"
        raise ProtocolError(reason, codes.BAD_PARAMETER)
    if encoding != "opus" and sample_rate_hz is None:
        raise ProtocolError(f"sample_rate is needed with encoding={encoding}", codes.BAD_PARAMETER)
    if sample_rate_hz is not None and not LOWEST_HZ <= sample_rate_hz <= HIGHEST_HZ:
        reason = f"sample_rate: {sample_rate_hz}; allowed: {LOWEST_HZ} to {HIGHEST_HZ}"
        raise ProtocolError(reason, codes.BAD_PARAMETER)


def make_decoder(encoding: str | None, sample_rate_hz: int | None) -> Decoder | None:
    """A decoder, None for a container; ProtocolError 4400 as in `check_encoding`."""
    check_encoding(encoding, sample_rate_hz)
    if encoding is None or encoding in CONTAINERS:
        return None
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
