"""What is said in a room: the native protocol's messages (`server/wire/native.py`), told to many who only listen.

The websocket `/v1/rooms/ID/stream` takes the room's token as the query parameter `token`, as bearer or as the
subprotocol `token.…`. The listener's wishes are query parameters or a message, the first or any later one:

    listen {captions: "source" | "target" | "both" | "none", audio, codec, bitrate_bps}

Until it wishes otherwise it reads both languages and hears nothing. It may say `ping {id, rtt_ms, playback_ms,
last_sequence}` and `end`, and nothing else.

The server says `welcome` (what is on offer, the room's id, `last`, the number of the newest event, and where the
captions are whole), `listening` (the wishes that hold), then events that carry running numbers `n`: `caption`, `speech`
with its audio message, and `closed` at the end. Numbers of events that a listener did not ask for are left out. Who
comes late gets the newest caption of every segment of the last minute, and speech from now on. Who comes back says
`after=N`, the last number it got, and gets everything since, with the numbers that it first had. Who is so far behind
that it can only `jump {after, to, skipped_ms}` gets the newest captions of what it skipped, and no speech of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from streamst.config import from_dict
from streamst.errors import ConfigError, ProtocolError
from streamst.server.wire import codes
from streamst.server.wire.native import SUBPROTOCOL, NativeProtocol, json_message, read_object
from streamst.server.wire.numbers import whole_number
from streamst.server.wire.seam import AudioCodec, Message, Offer, Ping

from .tape import Coding

LISTENERS_SAY = "listen, ping, end"


@dataclass(frozen=True)
class Wish:
    """What a listener wants."""

    captions: Literal["source", "target", "both", "none"] = "both"
    audio: bool = False
    codec: AudioCodec = "pcm16"
    bitrate_bps: int | None = None

    @property
    def coding(self) -> Coding | None:
        """How speech is to be coded; None where none is wanted."""
        return Coding(self.codec, self.bitrate_bps) if self.audio else None

    def reads(self, lang: str, source: str) -> bool:
        """Whether captions in `lang` are wanted, where `source` is spoken."""
        return self.captions == "both" or self.captions == ("source" if lang == source else "target")


@dataclass(frozen=True)
class Leave:
    """The listener goes."""


Said = Wish | Ping | Leave


def read_wish(query: Mapping[str, str]) -> tuple[Wish, int | None]:
    """The wishes in a query and the number of the last event that came, None for who comes anew; ProtocolError 4400."""
    fields: dict[str, Any] = {name: query[name] for name in ("captions", "codec") if name in query}
    if "audio" in query:
        if query["audio"] not in ("0", "1", "false", "true"):
            raise ProtocolError(f"audio: {query['audio']!r}; allowed: 0, 1, false, true", codes.BAD_PARAMETER)
        fields["audio"] = query["audio"] in ("1", "true")
    if "bitrate_bps" in query:
        fields["bitrate_bps"] = _number("bitrate_bps", query["bitrate_bps"])
    after = _number("after", query["after"]) if "after" in query else None
    return _wish(fields), after


class ListenerProtocol:
    """One listener's side, without I/O."""

    def __init__(self, max_text_bytes: int) -> None:
        self._max_text_bytes = max_text_bytes
        self._native = NativeProtocol(max_text_bytes)

    def receive(self, message: Message) -> list[Said]:
        """What a message asks for; ProtocolError 1003 for audio, 4400 for what only a speaker may say."""
        if isinstance(message, bytes):
            raise ProtocolError("who listens in a room cannot speak in it", codes.WRONG_FRAME)
        fields = read_object(message, self._max_text_bytes)
        match fields.pop("type", None):
            case "listen":
                return [_wish(fields)]
            case "ping":
                return [ping for ping in self._native.receive(message) if isinstance(ping, Ping)]
            case "end":
                return [Leave()]
            case "config" | "hello" | "audio" as kind:
                reason = f"{kind!r} is for speakers; listeners say {LISTENERS_SAY}"
                raise ProtocolError(reason, codes.BAD_PARAMETER)
            case str():
                return []
            case _:
                raise ProtocolError('a text message must be a JSON object with a string "type"', codes.BAD_DATA)


def welcome(room_id: str, offer: Offer, last: int, limits: dict[str, float | int]) -> str:
    """The first message."""
    told = dataclasses.asdict(offer)
    del told["policies"], told["latencies"]
    where = {"captions_url": f"/v1/rooms/{room_id}/captions.vtt", "limits": limits}
    return json_message("welcome", protocol=SUBPROTOCOL, session_id=room_id, room=room_id, last=last, **told, **where)


def listening(wish: Wish) -> str:
    """The wishes that hold."""
    return json_message("listening", **dataclasses.asdict(wish))


def jump(after: int, to: int, skipped_ms: float) -> str:
    """The listener was too far behind."""
    return json_message("jump", after=after, to=to, skipped_ms=skipped_ms)


def _number(name: str, text: str) -> int:
    found = whole_number(text)
    if found is None or found < 0:
        raise ProtocolError(f"{name}: {text[:40]!r} is not a whole number from 0", codes.BAD_PARAMETER)
    return found


def _wish(fields: dict[str, Any]) -> Wish:
    try:
        return from_dict(Wish, fields, "listen")
    except ConfigError as error:
        raise ProtocolError(str(error), codes.BAD_PARAMETER) from error
