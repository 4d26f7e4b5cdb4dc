"""Server messages to events, and how long they are on their way."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from streamst.codecs.rate import RoundTrips
from streamst.config import from_dict
from streamst.errors import ProtocolError, UnavailableError
from streamst.events import Caption, Finished, Speech, Words
from streamst.server.wire import codes
from streamst.server.wire.native import unpack_audio
from streamst.server.wire.seam import (
    Acknowledged,
    Closed,
    Configured,
    Flow,
    GoAway,
    Latency,
    LeftOut,
    Offer,
    Settings,
    Welcome,
)
from streamst.server.wire.summary import Summary

from .audio import Listening
from .outgoing import Outgoing, Return

AWAITED = 64  # announcements of speech that are kept for audio that did not come yet
SESSION_LOST = (codes.UNAUTHORISED, codes.SUPERSEDED, codes.EXPIRED)  # what a server says to who comes back in vain

T = TypeVar("T")
ServerEvent = Welcome | Configured | Acknowledged | Caption | Words | Speech | Latency | GoAway | Closed | Finished

EVENTS = {"caption": Caption, "words": Words, "latency": Latency, "goaway": GoAway}  # that hold what the message says


@dataclass(frozen=True)
class _Pong:
    id: int


class Link:
    """Measures the way to the server and back."""

    def __init__(self) -> None:
        self.rtt_ms: float | None = None
        self.sent_s: dict[int, float] = {}
        self.round_trips = RoundTrips()

    def pong(self, pong: _Pong) -> None:
        """An answer came."""
        sent_s = self.sent_s.get(pong.id)
        self.sent_s = {number: at for number, at in self.sent_s.items() if number > pong.id}
        if sent_s is not None:
            self.rtt_ms = (time.monotonic() - sent_s) * 1000
            self.round_trips.add(self.rtt_ms)

    @property
    def queue_ms(self) -> float:
        """What waits on the way."""
        asked_s = min(self.sent_s.values(), default=time.monotonic())
        return self.round_trips.queue_ms((time.monotonic() - asked_s) * 1000)


class Reader:
    """Server messages to events. Keeps the error and the farewell, which decide how a stream ends."""

    def __init__(self, listening: Listening, outgoing: Outgoing, back: Return) -> None:
        self.failure: Exception | None = None
        self.closed: Closed | None = None
        self.link = Link()
        self.last = 0  # number of the last answer that came whole
        self._listening, self._outgoing, self._back = listening, outgoing, back
        self._numbers: dict[int, int] = {}  # of the answers whose audio is to come, by its sequence
        self._code = 0  # of the failure

    def hello(self) -> str | None:
        """The first message to a server that is come back to."""
        if self._back.token is None:
            return None
        return json.dumps({"type": "hello", "resume_token": self._back.token, "last_sequence": self.last})

    def settled(self) -> bool:
        """Whether an error ended the stream; one that may pass, told to who comes back, did not, nor did the going of a
        server that said no last word: another one goes on."""
        passes = self._back.returning and codes.meaning(self._code).retryable
        moved = self._code == codes.GOING_AWAY and self.closed is None and self._back.token is not None
        if self.failure is not None and (passes or moved):
            self.failure = None
        return self.failure is not None

    def read(self, message: str | bytes) -> ServerEvent | None:
        """What a message says; None for what is not the caller's. ProtocolError for what cannot be read."""
        if isinstance(message, bytes):
            return self._read_audio(message)
        try:
            fields = json.loads(message)
            kind = fields.pop("type")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ProtocolError(f"the server sent what is not a message: {message[:80]!r}", 1007) from error
        fields.pop("emit_ms", None)
        number = fields.pop("n", None)
        if number is not None and kind != "speech":
            if number <= self.last:
                return None
            self.last = number
        if isinstance(kind, str) and kind in EVENTS:
            return _known(EVENTS[kind], fields)
        match kind:
            case "welcome":
                return self._welcome(fields)
            case "configured":
                chunk_ms = fields.pop("chunk_ms")
                used: dict[str, Any] = fields.pop("glossary", {})
                left_out = tuple(_known(LeftOut, one) for one in used.get("reasons", ()))
                return Configured(_known(Settings, fields), chunk_ms, used.get("used", 0), left_out)
            case "ack":
                return self._acknowledged(fields)
            case "closed":
                self.closed = Closed(_known(Summary, fields["summary"]))
                return self.closed
            case _:
                self._take(kind, fields, number)
        return None

    def _take(self, kind: str, fields: dict[str, Any], number: int | None) -> None:
        """A message that is not the caller's; one of an unknown kind is a newer server's."""
        match kind:
            case "flow":
                self._outgoing.grant(_known(Flow, fields).credit_ms)
            case "pong":
                self.link.pong(_Pong(fields["id"]))
            case "speech":
                self._announced(fields, number)
            case "error":
                self._fail(fields)

    def _acknowledged(self, fields: dict[str, Any]) -> Acknowledged:
        acknowledged = _known(Acknowledged, fields)
        self._outgoing.heard(acknowledged.sequence, acknowledged.kept)
        return acknowledged

    def _welcome(self, fields: dict[str, Any]) -> Welcome:
        self._back.welcomed(fields)
        self._outgoing.grant(fields.pop("credit_ms", None))
        if fields.get("resumed"):
            self._outgoing.resume(int(fields["next_sequence"]), int(fields["configs"]), bool(fields["ended"]))
        return Welcome(fields["session_id"], _known(Offer, fields), fields["limits"])

    def _fail(self, fields: dict[str, Any]) -> None:
        """Being full, broken or about to stop is the server's condition; anything else is our mistake."""
        code, message = int(fields["code"]), str(fields["message"])
        self._code = code
        if self._back.returning and code in SESSION_LOST:
            self.failure = UnavailableError(f"the connection dropped, and the server: {message} (code {code})")
        elif fields.get("retryable"):
            self.failure = UnavailableError(f"the server: {message} (code {code})")
        else:
            self.failure = ProtocolError(f"the server: {message} (code {code})", code)

    def _announced(self, fields: dict[str, Any], number: int | None) -> None:
        sequence = int(fields["sequence"])
        self._numbers[sequence] = self.last + 1 if number is None else number
        while len(self._numbers) > AWAITED:  # the oldest was lost
            del self._numbers[next(iter(self._numbers))]
        self._listening.announced(fields)

    def _read_audio(self, message: bytes) -> Speech | None:
        """What can be heard now. Audio comes once for each announcement, be it after that of a later one."""
        audio = unpack_audio(message)
        number = None if audio is None else self._numbers.pop(audio.sequence, None)
        if audio is None or number is None:
            return None
        self.last = max(self.last, number)
        return self._listening.heard(audio)


def _known(cls: type[T], fields: dict[str, Any]) -> T:
    """The dataclass `cls` from the fields that it has: a newer server may say more."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return from_dict(cls, {name: value for name, value in fields.items() if name in names})


def finished(closed: Closed) -> Finished:
    """The session's last event, from the server's summary."""
    told = closed.summary
    return Finished(
        source_ms=told.audio_ms,
        compute_ms=0.0,
        samples=told.samples,
        segments=told.segments,
        decoder_calls=told.decoder_calls,
        compute_s=told.compute_ms / 1000,
    )
