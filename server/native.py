"""The native protocol `streamst.v1` without I/O.

Text messages are JSON objects with a `type`; unknown types are ignored. Binary messages, both ways, are a 12-byte
header, **little endian**, and a payload:

    offset  size  field
    0       u8    type: 1 audio
    1       u8    codec: 0 pcm16 (little-endian 16-bit mono), 1 Opus in chunks (`codecs/opus.py`), 2 the neural codec's
                  packets (`codecs/bitstream.py`)
    2       u16   flags: 0; bits to come are ignored
    4       u32   sequence: one more with every audio message of its direction, modulo 2**32. For pcm16 a gap is an
                  error; Opus and neural packets number their frames, so that lost ones are concealed and others sorted
    8       u32   media time [samples], modulo 2**32. Towards the server: of the payload's first sample, as the client
                  counts. From the server: source samples heard when this was said, so that speech can be laid beside
                  the original voice.

The client says `config` (fields of `Settings`, all optional), audio, `ping {id, rtt_ms, playback_ms}` and `end`.
The server says `welcome`, `configured`, `ack`, `caption`, `words`, `speech` (just before the audio message of the
same sequence), `latency`, `pong`, `goaway`, `error` (just before every close but 1000) and `closed`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from typing import Any, NoReturn, get_args

from streamst.config import from_dict
from streamst.errors import ConfigError, ProtocolError
from streamst.events import Caption, Words

from . import codes
from .seam import (
    Acknowledged,
    Answer,
    Audio,
    AudioCodec,
    Closed,
    Command,
    Configure,
    Configured,
    End,
    Failure,
    GoAway,
    Latency,
    Message,
    Output,
    Ping,
    Pong,
    Settings,
    Spoken,
    Welcome,
)

SUBPROTOCOL = "streamst.v1"
HEADER = struct.Struct("<BBHII")
AUDIO = 1  # header type
CODEC_NUMBERS: dict[AudioCodec, int] = {"pcm16": 0, "opus": 1, "neural": 2}
CODEC_NAMES: dict[int, AudioCodec] = {number: name for name, number in CODEC_NUMBERS.items()}
SEQUENCES = 1 << 32


def pack_audio(codec: AudioCodec, sequence: int, media_time_samples: int, payload: bytes) -> bytes:
    """One binary audio message; sequence and media time wrap at 2**32."""
    return HEADER.pack(AUDIO, CODEC_NUMBERS[codec], 0, sequence % SEQUENCES, media_time_samples % SEQUENCES) + payload


def unpack_audio(message: bytes) -> Audio | None:
    """The inverse; None for a type that this version does not know. Raises ProtocolError for what cannot be audio."""
    if len(message) < HEADER.size:
        _refuse(codes.BAD_DATA, f"a binary message of {len(message)} bytes; its header alone has {HEADER.size}")
    kind, codec, _, sequence, media_time = HEADER.unpack_from(message)
    if kind != AUDIO:
        return None
    if codec not in CODEC_NAMES:
        allowed = ", ".join(f"{number} ({name})" for number, name in CODEC_NAMES.items())
        _refuse(codes.BAD_PARAMETER, f"codec {codec} in the audio header is not spoken here; allowed: {allowed}")
    payload = message[HEADER.size :]
    if codec == CODEC_NUMBERS["pcm16"] and len(payload) % 2:
        _refuse(codes.BAD_DATA, f"pcm16 has two bytes a sample; {len(payload)} bytes are half a sample too many")
    return Audio(CODEC_NAMES[codec], sequence, media_time, payload)


def read_object(text: str | bytes, max_bytes: int) -> dict[str, Any]:
    """The JSON object in `text`; ProtocolError 1009 for one that is too long, 1007 for anything else."""
    if len(text) > max_bytes:
        _refuse(codes.TOO_BIG, f"a JSON message may have {max_bytes} bytes; this one has {len(text)}")
    try:
        fields = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = f"a text message must be JSON (audio belongs in binary messages): {error}"
        raise ProtocolError(reason, codes.BAD_DATA) from error
    if not isinstance(fields, dict):
        _refuse(codes.BAD_DATA, f"a JSON message must be an object, not {type(fields).__name__}")
    return fields


def read_settings(fields: dict[str, Any]) -> Settings:
    """Settings from the fields of a `config` message; ProtocolError 4400 names what is not allowed."""
    try:
        settings = from_dict(Settings, fields, "config")
    except ConfigError as error:
        raise ProtocolError(str(error), codes.BAD_PARAMETER) from error
    if not settings.output:
        _refuse(codes.BAD_PARAMETER, f"config.output: [] asks for nothing; use some of {', '.join(get_args(Output))}")
    return settings


class NativeProtocol:
    """One session's `streamst.v1`: counts the messages of both directions."""

    subprotocol: str | None = SUBPROTOCOL
    resumable = True
    patient = False

    def __init__(self, max_text_bytes: int = 1 << 16) -> None:
        self.max_text_bytes = max_text_bytes
        self._codec: AudioCodec = "pcm16"
        self._expected: int | None = None  # sequence of the next audio message from the client, None before the first
        self._spoken = 0  # audio messages sent

    def receive(self, message: Message) -> list[Command]:
        """See `WireProtocol.receive`."""
        if isinstance(message, bytes):
            return self._receive_audio(message)
        fields = read_object(message, self.max_text_bytes)
        kind = fields.pop("type", None)
        if not isinstance(kind, str):
            _refuse(codes.BAD_DATA, 'a text message must be a JSON object with a string "type"')
        match kind:
            case "config":
                settings = read_settings(fields)
                self._codec = settings.codec
                return [Configure(settings)]
            case "ping":
                return [_read_ping(fields)]
            case "end":
                return [End()]
            case "audio":
                _refuse(codes.WRONG_FRAME, "audio belongs in binary messages, not in text")
            case _:
                return []

    def _receive_audio(self, message: bytes) -> list[Command]:
        audio = unpack_audio(message)
        if audio is None:
            return []
        if audio.codec != self._codec:
            _refuse(codes.BAD_PARAMETER, f"audio came as {audio.codec}; the config says codec {self._codec}")
        if audio.codec == "pcm16" and self._expected is not None and audio.sequence != self._expected:
            _refuse(codes.BAD_PARAMETER, f"audio message {audio.sequence} came where {self._expected} belongs")
        self._expected = (audio.sequence + 1) % SEQUENCES
        return [audio] if audio.payload else []

    def render(self, answer: Answer, emit_ms: float) -> list[Message]:
        """See `WireProtocol.render`."""
        match answer:
            case Welcome():
                return [_text("welcome", session_id=answer.session_id, limits=answer.limits, **answer.offer)]
            case Configured():
                return [_text("configured", **dataclasses.asdict(answer.settings), chunk_ms=answer.chunk_ms)]
            case Acknowledged():
                return [_text("ack", **dataclasses.asdict(answer))]
            case Caption():
                told = dataclasses.asdict(answer)
                del told["spans_ms"]
                return [_text("caption", **told, emit_ms=emit_ms)]
            case Words():
                return [_text("words", **dataclasses.asdict(answer), emit_ms=emit_ms)]
            case Spoken():
                return self._render_speech(answer, emit_ms)
            case Latency():
                return [_text("latency", **dataclasses.asdict(answer))]
            case Pong():
                return [_text("pong", **dataclasses.asdict(answer))]
            case GoAway():
                return [_text("goaway", **dataclasses.asdict(answer))]
            case Failure():
                known = codes.meaning(answer.code)
                return [_text("error", **dataclasses.asdict(answer), name=known.name, retryable=known.retryable)]
            case Closed():
                return [_text("closed", summary=answer.summary)]

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """See `WireProtocol.closing`."""
        return code, reason

    def _render_speech(self, speech: Spoken, emit_ms: float) -> list[Message]:
        sequence = self._spoken % SEQUENCES
        self._spoken += 1
        told = dataclasses.asdict(speech)
        del told["payload"], told["media_time_samples"]
        return [
            _text("speech", sequence=sequence, **told, emit_ms=emit_ms),
            pack_audio(speech.codec, sequence, speech.media_time_samples, speech.payload),
        ]


def _read_ping(fields: dict[str, Any]) -> Ping:
    try:
        ping = from_dict(Ping, fields, "ping")
    except ConfigError as error:
        raise ProtocolError(str(error), codes.BAD_PARAMETER) from error
    for name, value in (("rtt_ms", ping.rtt_ms), ("playback_ms", ping.playback_ms)):
        if value is not None and not (math.isfinite(value) and 0 <= value < 1e9):
            _refuse(codes.BAD_PARAMETER, f"ping.{name}: {value!r} is not a time in ms")
    if isinstance(ping.id, str) and len(ping.id) > 64:
        _refuse(codes.BAD_PARAMETER, f"ping.id may have 64 characters; this one has {len(ping.id)}")
    return ping


def _text(kind: str, **fields: Any) -> str:
    """A JSON message; times are told to a tenth of a millisecond."""
    message = {"type": kind, **_rounded(fields)}
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What a client made us repeat may hold half a surrogate pair, which only an escape can carry.
    return text if text.isascii() or _is_utf8(text) else json.dumps(message, allow_nan=False)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1 if abs(value) >= 10 else 4)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(code: int, message: str) -> NoReturn:
    raise ProtocolError(message, code)
