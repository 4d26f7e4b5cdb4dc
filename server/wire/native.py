"""The native protocol `streamst.v1` without I/O.

Text messages are JSON objects with a `type`; unknown types are ignored. Binary messages, both ways, are a 12-byte
header, **little endian**, and a payload:

    offset  size  field
    0       u8    type: 1 audio
    1       u8    codec: 0 pcm16 (little-endian 16-bit mono), 1 Opus in chunks (`codecs/opus.py`), 2 the neural codec's
                  packets (`codecs/bitstream.py`), 3 from the client only: a recording as it is made, in any container
                  (WebM, MP4, Ogg, MP3, FLAC, WAV ...), cut anywhere (`containers.py`)
    2       u16   flags: 0; bits to come are ignored
    4       u32   sequence: one more with every audio message of its direction, modulo 2**32. For pcm16 and containers a
                  gap is an error; Opus and neural packets number their frames, so that lost ones are concealed and
                  others sorted
    8       u32   media time [samples], modulo 2**32. Towards the server: of the payload's first sample, as the client
                  counts. From the server: source samples heard when this was said, so that speech can be laid beside
                  the original voice.

The client says `config` (fields of `Settings`, all optional), audio, `ping {id, rtt_ms, playback_ms, last_sequence}`
and `end`. The server says `welcome`, `configured`, `ack`, `caption`, `words`, `speech` (just before the audio message
of the same sequence), `latency`, `pong`, `flow`, `goaway`, `error` (just before every close but 1000) and `closed`.
`config {glossary}` is an object {source: target} or a list of sources and [source, target] pairs; a source without a
target is heard, and translated like others. `configured` then tells `glossary {used, left_out, reasons}`: how many
terms are used and cannot be, and of the first of these `{entry, source, reason}`. With `config {room: true}` others may
listen (`server/audience/wire.py`): `room {id, token, url, listeners, lag_ms, lag_p95_ms}` tells its speaker, once a
second at most, who does. A client may begin with `hello {protocol}`; `welcome` tells the `protocol` that is spoken.
`welcome` and, when it changes, `flow` tell `credit_ms`: so much audio may be on its way, not yet acknowledged.

Resume: every answer about the session has a running number `n`, from 1 (`speech` stands for its audio message as well;
`welcome`, `pong`, `flow`, `goaway` and `error` are about the connection and have none). A client whose connection
dropped connects again, with the last `welcome`'s `resume_token` as the subprotocol `token.…` or as bearer, or without,
and says `hello {resume_token, last_sequence}`, `last_sequence` being the last `n` it got. The `welcome` that follows
has a new token and tells what came (`next_sequence`, `samples`, `configs`, `ended`); the client repeats what did not,
with the sequence numbers it first had, and the server says again what the client did not get. Audio that comes twice
is heard once.

Where sessions are kept in a store, `ack` has `kept`: the number of the last audio message that is safe, -1 before the
first. A client keeps what follows it, though it was heard: the server may be lost, and another one that goes on from
what was kept asks for it (`next_sequence`), and says nothing again that the client has (`last_sequence`) but `ack`,
then without `n`. A close with 1001 and without `closed` before it means: go on elsewhere, at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from typing import Any, NoReturn, TypeVar, get_args

from streamst.config import from_dict
from streamst.errors import ConfigError, ProtocolError
from streamst.events import Caption, Words

from . import codes
from .glossary import read_glossary, told_of_glossary
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
    Flow,
    GoAway,
    HeardAgain,
    Hello,
    Latency,
    Message,
    OfConnection,
    Output,
    Ping,
    Pong,
    Resumption,
    RoomState,
    Settings,
    Spoken,
    Welcome,
)

T = TypeVar("T")

SUBPROTOCOL = "streamst.v1"
HEADER = struct.Struct("<BBHII")
AUDIO = 1  # header type
CODEC_NUMBERS: dict[AudioCodec, int] = {"pcm16": 0, "opus": 1, "neural": 2, "container": 3}
CODEC_NAMES: dict[int, AudioCodec] = {number: name for name, number in CODEC_NUMBERS.items()}
CODECS: dict[str, AudioCodec] = {name: name for name in CODEC_NUMBERS}
SEQUENCES = 1 << 32
KINDS: dict[type[Answer], str] = {
    Configured: "configured", Acknowledged: "ack", Caption: "caption", Words: "words", Latency: "latency", Pong: "pong",
    Flow: "flow", RoomState: "room", GoAway: "goaway", Failure: "error", Closed: "closed", HeardAgain: "ack",
}  # fmt: skip
"""The type of the message that tells an answer; welcome and speech are made apart."""


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
    given = fields.get("glossary")
    settings = _read(Settings, {name: value for name, value in fields.items() if name != "glossary"}, "config")
    if given is not None:
        settings = dataclasses.replace(settings, glossary=read_glossary(given, "config.glossary"))
    if not settings.output:
        _refuse(codes.BAD_PARAMETER, f"config.output: [] asks for nothing; use some of {', '.join(get_args(Output))}")
    return settings


@dataclasses.dataclass(frozen=True)
class Mark:
    """How much came of a client's messages."""

    codec: str = "pcm16"
    expected: int = -1  # sequence of the next audio message, -1 before the first
    configs: int = 0
    end_samples: int = -1  # media time after the last audio, -1 where the client does not count it


class NativeProtocol:
    """One session's `streamst.v1`: counts the messages of both directions."""

    subprotocol: str | None = SUBPROTOCOL
    resumable = True
    patient = False

    def __init__(self, max_text_bytes: int = 1 << 16) -> None:
        self.max_text_bytes = max_text_bytes
        self._codec: AudioCodec = "pcm16"
        self._expected: int | None = None  # sequence of the next audio message from the client, None before the first
        self._configs = 0
        self._repeated: int | None = None  # audio before this sequence came over another connection
        self._end_samples: int | None = None  # media time after the last audio, of a client that counts it
        self._spoken = 0  # audio messages sent
        self._said = 0  # answers about the session

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
                self._configs += 1
                return [Configure(settings)]
            case "ping":
                return [_read_ping(fields)]
            case "end":
                return [End()]
            case "hello":
                return [_read_hello(fields)]
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
        if self._repeated is not None and _behind(audio.sequence, self._repeated):
            return []
        whole = audio.codec in ("pcm16", "container")
        if whole and self._expected is not None and audio.sequence != self._expected:
            _refuse(codes.BAD_PARAMETER, f"audio message {audio.sequence} came where {self._expected} belongs")
        self._expected = (audio.sequence + 1) % SEQUENCES
        audio = self._fresh(audio)
        return [audio] if audio.payload else []

    def _fresh(self, audio: Audio) -> Audio:
        """`audio` without the samples that came already, where the client cut its audio anew for another connection."""
        if audio.codec != "pcm16":
            return audio
        begin, end, count = audio.media_time_samples, self._end_samples, len(audio.payload) // 2
        if self._repeated is not None and end is not None and _behind(begin, end):
            again = min((end - begin) % SEQUENCES, count)
            begin, count = begin + again, count - again
            audio = dataclasses.replace(audio, media_time_samples=begin % SEQUENCES, payload=audio.payload[2 * again :])
        counts = begin % SEQUENCES == (0 if end is None else end)
        self._end_samples = (begin + count) % SEQUENCES if counts else None
        return audio

    def reconnected(self) -> None:
        """See `WireProtocol.reconnected`."""
        self._repeated = self._expected

    def resumption(self, token: str, resumed: bool, park_ms: float, ended: bool) -> Resumption:
        """What a client has to know of what came."""
        came = (self._expected or 0, self._end_samples or 0, self._configs)
        return Resumption(token, resumed, park_ms, *came, ended)

    @property
    def mark(self) -> Mark:
        """How much has come."""
        expected, end = self._expected, self._end_samples
        return Mark(self._codec, -1 if expected is None else expected, self._configs, -1 if end is None else end)

    @property
    def spoken(self) -> int:
        """Audio messages sent."""
        return self._spoken

    def go_on(self, mark: Mark, said: int, spoken: int) -> None:
        """Be where the session was when it was kept: of the client's messages those up to `mark` had been heard, and
        `said` answers, `spoken` of them audio, been given."""
        self._codec = CODECS[mark.codec]
        self._expected = None if mark.expected < 0 else mark.expected
        self._end_samples = None if mark.end_samples < 0 else mark.end_samples
        self._configs, self._said, self._spoken = mark.configs, said, spoken

    def render(self, answer: Answer, emit_ms: float, /) -> list[Message]:
        """See `WireProtocol.render`."""
        number: dict[str, Any] = {}
        if not isinstance(answer, OfConnection):
            self._said += 1
            number = {"n": self._said}
        match answer:
            case Welcome():
                return [json_message("welcome", **_of_welcome(answer))]
            case Spoken():
                return self._render_speech(answer, number, emit_ms)
            case _:
                return [answer_message(answer, number.get("n"), emit_ms)]

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """See `WireProtocol.closing`."""
        return code, reason

    def _render_speech(self, speech: Spoken, number: dict[str, Any], emit_ms: float) -> list[Message]:
        self._spoken += 1
        return speech_messages(speech, number["n"], self._spoken - 1, emit_ms)


def answer_message(answer: Answer, number: int | None, emit_ms: float) -> str:
    """The text message that tells an answer other than a welcome or speech; `number` is its `n`."""
    numbered = {} if number is None else {"n": number}
    return json_message(KINDS[type(answer)], **numbered, **_fields(answer, emit_ms))


def speech_messages(speech: Spoken, number: int, sequence: int, emit_ms: float) -> list[Message]:
    """What announces speech, answer `number`, and the audio message of this sequence that holds it."""
    told = dataclasses.asdict(speech)
    del told["payload"], told["media_time_samples"]
    return [
        json_message("speech", n=number, sequence=sequence % SEQUENCES, **told, emit_ms=emit_ms),
        pack_audio(speech.codec, sequence, speech.media_time_samples, speech.payload),
    ]


def _fields(answer: Answer, emit_ms: float) -> dict[str, Any]:
    """What a message tells of an answer beside its type and number."""
    told = dataclasses.asdict(answer)
    match answer:
        case Configured():
            settings = told["settings"]
            given = settings.pop("glossary")
            used = {"glossary": told_of_glossary(answer)} if given else {}
            return {**settings, "chunk_ms": answer.chunk_ms, **used}
        case Acknowledged(kept=None):
            del told["kept"]
            return told
        case Caption():
            del told["spans_ms"]
            return {**told, "emit_ms": emit_ms}
        case Words():
            return {**told, "emit_ms": emit_ms}
        case Failure():
            known = codes.meaning(answer.code)
            return {**told, "name": known.name, "retryable": known.retryable}
        case _:
            return told


def _of_welcome(welcome: Welcome) -> dict[str, Any]:
    told: dict[str, Any] = {
        "protocol": SUBPROTOCOL,
        "session_id": welcome.session_id,
        "limits": welcome.limits,
        **dataclasses.asdict(welcome.offer),
    }
    if welcome.credit_ms is not None:
        told["credit_ms"] = welcome.credit_ms
    return told if welcome.resumption is None else told | dataclasses.asdict(welcome.resumption)


def _behind(number: int, other: int) -> bool:
    """Whether `number` comes before `other`, both counted modulo 2**32."""
    return 0 < (other - number) % SEQUENCES < SEQUENCES // 2


def _read(cls: type[T], fields: dict[str, Any], where: str) -> T:
    """The dataclass `cls` from a client's `fields`; ProtocolError 4400 names what is not allowed."""
    try:
        return from_dict(cls, fields, where)
    except ConfigError as error:
        raise ProtocolError(str(error), codes.BAD_PARAMETER) from error


def _read_hello(fields: dict[str, Any]) -> Hello:
    if fields.get("protocol", SUBPROTOCOL) != SUBPROTOCOL:
        _refuse(codes.BAD_PARAMETER, f"hello.protocol: {fields['protocol']!r}; allowed: {SUBPROTOCOL}")
    known = {name: fields[name] for name in ("resume_token", "last_sequence") if name in fields}
    hello = _read(Hello, known, "hello")
    _check_number("hello.last_sequence", hello.last_sequence)
    return hello


def _check_number(name: str, number: int | None) -> None:
    if number is not None and not 0 <= number < 1 << 53:
        _refuse(codes.BAD_PARAMETER, f"{name}: {number} is not the number of an answer")


def _read_ping(fields: dict[str, Any]) -> Ping:
    ping = _read(Ping, fields, "ping")
    for name, value in (("rtt_ms", ping.rtt_ms), ("playback_ms", ping.playback_ms)):
        if value is not None and not (math.isfinite(value) and 0 <= value < 1e9):
            _refuse(codes.BAD_PARAMETER, f"ping.{name}: {value!r} is not a time in ms")
    if isinstance(ping.id, str) and len(ping.id) > 64:
        _refuse(codes.BAD_PARAMETER, f"ping.id may have 64 characters; this one has {len(ping.id)}")
    _check_number("ping.last_sequence", ping.last_sequence)
    return ping


def json_message(kind: str, **fields: Any) -> str:
    """A JSON message; times are told to a tenth of a millisecond."""
    message = {"type": kind, **rounded(fields)}
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What a client made us repeat may hold half a surrogate pair, which only an escape can carry.
    return text if text.isascii() or _is_utf8(text) else json.dumps(message, allow_nan=False)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def rounded(value: Any) -> Any:
    """`value` with its numbers as a message tells them: one decimal, or four where they are small."""
    if isinstance(value, float):
        return round(value, 1 if abs(value) >= 10 else 4)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(code: int, message: str) -> NoReturn:
    raise ProtocolError(message, code)
