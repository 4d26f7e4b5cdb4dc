"""What both of OpenAI's realtime protocols share: events as JSON, audio as base64, errors that leave a session open.

The shapes are those of the types in the `openai` Python package, 3.52 (types/realtime).
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from streamst.errors import ProtocolError
from streamst.server.wire import codes
from streamst.server.wire.native import read_object
from streamst.server.wire.seam import Answer, Command, Failure, Message, Offer, Reply, Settings, Welcome

from .base import ForeignProtocol

SUBPROTOCOL = "realtime"
SECRET_PREFIX = "openai-insecure-api-key."  # of the subprotocol in which a browser sends its key or client secret
RATE_HZ = 24_000  # of PCM in both directions

# (type, code, close code) of each close code of ours; 3000 is what OpenAI closes with for a wrong key.
ERRORS: dict[int, tuple[str, str, int]] = {
    codes.GOING_AWAY: ("server_error", "session_expired", 1001),
    codes.WRONG_FRAME: ("invalid_request_error", "invalid_message_type", 1003),
    codes.BAD_DATA: ("invalid_request_error", "invalid_json", 1007),
    codes.POLICY: ("invalid_request_error", "origin_not_allowed", 1008),
    codes.TOO_BIG: ("invalid_request_error", "message_too_large", 1009),
    codes.OVERLOADED: ("rate_limit_error", "server_overloaded", 1013),
    codes.BAD_PARAMETER: ("invalid_request_error", "invalid_value", 1008),
    codes.UNAUTHORISED: ("invalid_request_error", "invalid_api_key", 3000),
    codes.IDLE: ("invalid_request_error", "session_idle", 1001),
    codes.TOO_FAST: ("rate_limit_error", "audio_too_fast", 1008),
    codes.QUOTA: ("rate_limit_error", "rate_limit_exceeded", 1008),
}
UNKNOWN_ERROR = ("server_error", "internal_error", 1011)


class Refused(Exception):
    """An event of the client's that is not possible; it is told, and the session goes on."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def error_object(code: int, message: str) -> dict[str, Any]:
    """The `error` object for one of our close codes."""
    kind, name, _ = ERRORS.get(code, UNKNOWN_ERROR)
    return {"type": kind, "code": name, "message": message, "param": None}


class Events:
    """Makes and reads events. new_id: gives a fresh identifier each time."""

    def __init__(self, max_text_bytes: int, new_id: Callable[[], str] | None = None) -> None:
        self.max_text_bytes = max_text_bytes
        self.new_id = new_id or _random

    def make(self, kind: str, **fields: Any) -> str:
        """An event of the server's."""
        return json.dumps({"type": kind, "event_id": f"event_{self.new_id()}", **fields}, allow_nan=False)

    def refusal(self, refused: Refused, event_id: str | None) -> str:
        """The error event for an event that was refused."""
        error = {"type": "invalid_request_error", "code": refused.code, "message": str(refused)}
        return self.make("error", error={**error, "param": refused.param, "event_id": event_id})

    def failure(self, failure: Failure) -> str:
        """The error event that precedes a close."""
        return self.make("error", error={**error_object(failure.code, failure.message), "event_id": None})

    def read(self, message: Message) -> tuple[str, dict[str, Any], str | None]:
        """Type, fields and event_id; ProtocolError for what is no JSON object, or binary."""
        if isinstance(message, bytes):
            reason = "audio comes base64-encoded in text messages here, not in binary ones"
            raise ProtocolError(reason, codes.WRONG_FRAME)
        fields = read_object(message, self.max_text_bytes)
        kind, event_id = fields.get("type"), fields.get("event_id")
        return kind if isinstance(kind, str) else "", fields, event_id if isinstance(event_id, str) else None


class OpenAIProtocol(ForeignProtocol, ABC):
    """The part of a `WireProtocol` that both share: a session that is told, and goes on after what is not possible."""

    def __init__(
        self,
        settings: Settings,
        expires_at: int,
        max_text_bytes: int,
        subprotocol: str | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """expires_at: when the session ends at the latest [Unix time]."""
        super().__init__()
        self.settings, self.subprotocol = settings, subprotocol
        self._expires_at = expires_at
        self._events = Events(max_text_bytes, new_id)
        self._session_id = self._source = ""

    @abstractmethod
    def _take(self, kind: str, fields: dict[str, Any]) -> list[Command]:
        """What an event of the client's asks for; Refused for what is not possible."""

    @abstractmethod
    def _tell(self, answer: Answer) -> list[Message]:
        """The events for an answer that is told in this protocol's own way."""

    @abstractmethod
    def _session(self) -> dict[str, Any]:
        """The session as it is told."""

    def receive(self, message: Message) -> list[Command]:
        """See `WireProtocol.receive`."""
        kind, fields, event_id = self._events.read(message)
        try:
            return self._take(kind, fields)
        except Refused as refused:
            return [Reply((self._events.refusal(refused, event_id),))]

    def render(self, answer: Answer, _: float, /) -> list[Message]:
        """See `WireProtocol.render`."""
        match answer:
            case Welcome():
                self._session_id, self._source = f"sess_{answer.session_id}", answer.offer.source
                self._offered(answer.offer)
                return [self._events.make("session.created", session=self._session())]
            case Failure():
                return [self._events.failure(answer)]
            case _:
                return self._tell(answer)

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """See `WireProtocol.closing`."""
        if code == codes.DONE:
            return code, reason
        kind, name, close = ERRORS.get(code, UNKNOWN_ERROR)
        return close, f"{kind}.{name}"

    def _offered(self, offer: Offer) -> None:
        """What may be asked for."""

    def _updated(self) -> str:
        return self._events.make("session.updated", session=self._session())


def unknown(kind: str, known: str) -> Refused:
    """What is told of an event type that is not one of those `known`."""
    return Refused(f"event type {kind!r} is not known here; allowed: {known}", param="type")


def asked_session(fields: dict[str, Any]) -> dict[str, Any]:
    """The session object of an update; Refused where there is none."""
    asked = part(fields, "session")
    if asked is None:
        raise Refused("session.update needs a session", "missing_required_parameter", "session")
    return asked


def read_audio(fields: dict[str, Any], sample_bytes: int = 2) -> bytes:
    """The bytes in `audio`; Refused for what is not base64 or not whole samples."""
    text = fields.get("audio")
    if not isinstance(text, str):
        raise Refused("audio must be a base64 string", "missing_required_parameter", "audio")
    try:
        payload = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"audio is not base64: {error}", param="audio") from error
    if len(payload) % sample_bytes:
        raise Refused(f"audio of {len(payload)} bytes is not whole 16-bit samples", param="audio")
    return payload


def part(fields: dict[str, Any], path: str, root: str = "") -> dict[str, Any] | None:
    """The object at a dotted path, None where there is none; Refused for anything else than an object or null.

    root: where `fields` are, for the message.
    """
    found: Any = fields
    for at, name in enumerate(path.split(".")):
        found = found.get(name)
        if found is None:
            return None
        if not isinstance(found, dict):
            where = ".".join([*([root] if root else []), *path.split(".")[: at + 1]])
            raise Refused(f"{where} must be an object, not {type(found).__name__}", "invalid_type", where)
    return found


def text_in(fields: dict[str, Any] | None, name: str, path: str) -> str | None:
    """The string `name`, None where there is none; Refused for another type."""
    value = None if fields is None else fields.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(f"{path}.{name} must be a string, not {type(value).__name__}", "invalid_type", f"{path}.{name}")
    return value


def language(value: str, allowed: tuple[str, ...], param: str) -> str:
    """One of the `allowed` languages for a tag such as "de-DE"; Refused names them."""
    base = value.replace("_", "-").split("-")[0].lower()
    if base not in allowed:
        raise Refused(f"{param}: {value!r} is not supported here; allowed: {', '.join(allowed)}", param=param)
    return base


def encode_audio(payload: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(payload).decode()


def _random() -> str:
    return secrets.token_hex(12)
