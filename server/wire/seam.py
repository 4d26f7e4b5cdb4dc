"""The wire-protocol seam: messages become commands, answers become messages, and nobody here touches a socket.

A protocol object serves one session. Commands and answers are the same for every protocol, so that the shell in
`connection.py` and the sessions behind it do not know which one is spoken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from streamst.events import Caption, Speech, Words

from .summary import Summary

Message = str | bytes  # a text or a binary websocket message
AudioCodec = Literal["pcm16", "opus", "neural", "container"]  # container: of any kind, from a client only
Output = Literal["captions", "audio"]


@dataclass(frozen=True)
class Settings:
    """What a client asks of its session. None leaves the choice to the server."""

    source: str | None = None
    target: str | None = None
    policy: str | None = None
    latency: str | None = None
    output: tuple[Output, ...] = ("captions", "audio")
    codec: AudioCodec = "pcm16"  # of the audio that the client sends
    output_codec: AudioCodec = "pcm16"
    output_bitrate_bps: int | None = None  # of speech in `output_codec`, at most: it falls while the network is slow
    sample_rate_hz: int = 16_000  # of pcm16 that the client sends
    room: bool = False  # open one, in which others may listen
    glossary: tuple[tuple[str, str], ...] = ()  # terms: source, and target or "" for what is only to be heard


@dataclass(frozen=True)
class Choice:
    """What a server takes where a client leaves it open."""

    target: str | None = None
    policy: str | None = None
    latency: str | None = None


@dataclass(frozen=True)
class Offer:
    """What a client may choose from, as `welcome` and GET /v1/info tell it."""

    version: str = ""  # of the server
    source: str = ""
    targets: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    latencies: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    sample_rate_hz: int = 16_000  # of the model
    defaults: Choice = field(default_factory=Choice)
    output_sample_rate_hz: int = 16_000  # of the voice
    model: str = ""
    parts: dict[str, str] = field(default_factory=dict[str, str])  # who recognises, writes and speaks, by kind


@dataclass(frozen=True)
class Configure:
    """Translate with these settings from the next audio on."""

    settings: Settings
    flush: bool = False  # finish what was begun first, though the settings stay as they are


@dataclass(frozen=True)
class Audio:
    """One message of source audio."""

    codec: AudioCodec
    sequence: int  # from 0, one more with every message, modulo 2**32
    media_time_samples: int  # of the first sample, as the client counts
    payload: bytes


@dataclass(frozen=True)
class Ping:
    """A sign of life; the client may tell what only it can measure."""

    id: str | int | None = None
    rtt_ms: float | None = None
    playback_ms: float | None = None  # audio that waits in the client's player
    last_sequence: int | None = None  # number of the last answer that it got


@dataclass(frozen=True)
class End:
    """Nothing more will be said: flush everything, then close."""


@dataclass(frozen=True)
class Alive:
    """The client is there, though it sends no audio: no reason to call it idle."""


@dataclass(frozen=True)
class Reply:
    """What the protocol itself answers, in the order in which it was asked."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Hello:
    """The first message of a client that comes back: it shows the token, and tells the last answer that it got."""

    resume_token: str | None = None
    last_sequence: int = 0


Command = Configure | Audio | Ping | End | Alive | Reply | Hello


@dataclass(frozen=True)
class Resumption:
    """How a session goes on over another connection: told at its beginning and whenever it went on."""

    resume_token: str  # good for one return; each return brings a new one
    resumed: bool
    park_ms: float  # how long the session waits for its client's return
    next_sequence: int = 0  # of the first audio message that has not come
    samples: int = 0  # of pcm16 that came, as the client counts
    configs: int = 0  # `config` messages that came
    ended: bool = False  # whether `end` came


@dataclass(frozen=True)
class Welcome:
    """The first answer: who serves, what is on offer, which limits hold."""

    session_id: str
    offer: Offer
    limits: dict[str, float | int]
    credit_ms: float | None = None  # as in `Flow`
    resumption: Resumption | None = None  # None where a session ends with its connection


@dataclass(frozen=True)
class LeftOut:
    """A term of a glossary that cannot be used, or only in part."""

    entry: int  # its number, from 1
    source: str
    reason: str


@dataclass(frozen=True)
class Configured:
    """The settings that now hold, every choice made."""

    settings: Settings
    chunk_ms: int
    terms: int = 0  # of the glossary, that are used
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Acknowledged:
    """All audio up to and with message `sequence` was heard."""

    sequence: int
    samples: int  # at the session's rate, since the stream's start
    processed_ms: float
    kept: int | None = None  # number of the last message that is safe, -1: none is; None: nothing is kept anywhere


@dataclass(frozen=True)
class HeardAgain(Acknowledged):
    """The same, to a client that was told so by a node that is gone: what it sent again waits for credit here."""


@dataclass(frozen=True)
class Spoken:
    """Target speech, encoded for the wire; follows without a gap whatever was spoken before."""

    codec: AudioCodec
    payload: bytes
    samples: int
    sample_rate_hz: int
    text: str
    source_ms: float
    compute_ms: float
    media_time_samples: int  # source samples heard when this was said
    rate: float = 1.0  # of the voice: above 1 it has fallen behind and hurries


@dataclass(frozen=True)
class Latency:
    """The live meter (`meter.py` says how each value is computed); None where a value does not apply yet."""

    laal_ms: float | None
    al_ms: float | None
    stream_laal_ms: float | None
    laal_ca_ms: float | None
    start_offset_ms: float | None
    lag_ms: float | None
    words: int
    source_ms: float
    rtf: float | None
    split: dict[str, float | None]  # network, buffer, policy, compute, playback [ms]
    long_yaal_ms: float | None = None


@dataclass(frozen=True)
class Pong:
    """The answer to a ping."""

    id: str | int | None
    server_ms: float


@dataclass(frozen=True)
class Flow:
    """At most `credit_ms` of audio may be on its way: sent, and not acknowledged."""

    credit_ms: float


@dataclass(frozen=True)
class GoAway:
    """The server stops in `in_ms`: end the stream, or be finished."""

    in_ms: float
    reason: str


@dataclass(frozen=True)
class Failure:
    """Why the connection is about to be closed; `code` is the close code that follows."""

    code: int
    message: str
    retry_after_ms: float | None = None


@dataclass(frozen=True)
class RoomState:
    """The speaker's room: what listeners are to be given, how many are there, and how far behind they are [ms]."""

    id: str
    token: str  # which opens it for listening, and nothing else
    url: str  # of the listeners' page, without the server's own address
    listeners: int = 0
    lag_ms: float | None = None  # from an event until it was handed to the network: their median
    lag_p95_ms: float | None = None


@dataclass(frozen=True)
class Closed:
    """The last answer of a stream that was flushed."""

    summary: Summary = field(default_factory=Summary)


Answer = (
    Welcome
    | Configured
    | Acknowledged
    | HeardAgain
    | Caption
    | Words
    | Speech
    | Spoken
    | Latency
    | Pong
    | Flow
    | RoomState
    | GoAway
    | Failure
    | Closed
)
"""`Speech`, not coded, is for a room, whose listeners choose codecs of their own; no protocol has a word for it."""
OfConnection = Welcome | HeardAgain | Pong | Flow | RoomState | GoAway | Failure
"""Answers about the connection: not said again over the next one, as the session's are."""


class WireProtocol(Protocol):
    """One session's language, over one connection or, where it is `resumable`, several one after the other."""

    subprotocol: str | None  # what the handshake agrees on
    resumable: bool  # whether a session outlives its connection
    patient: bool  # audio that comes too fast is read later, not refused

    def receive(self, message: Message) -> list[Command]:
        """What a message asks for; raises ProtocolError, with the close code, for one that breaks the protocol."""
        ...

    def render(self, answer: Answer, emit_ms: float, /) -> list[Message]:
        """The messages that say `answer` (none where the protocol has no word for it).

        emit_ms: wall time since the session's first audio arrived [ms].
        """
        ...

    def reconnected(self) -> None:
        """The client comes back over a new connection, and may repeat what came already."""
        ...

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """The close code and reason with which this protocol says one of `codes`."""
        ...
