"""Listening in a room: what a speaker says to a server, for who has the room's link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streamst.codecs.base import Codec
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.server.wire.native import SUBPROTOCOL
from streamst.server.wire.seam import AudioCodec, Settings

from .audio import Exchange, Listening
from .connect import connect
from .outgoing import Outgoing, Return, pause_s
from .reader import Reader, ServerEvent, finished

PING_S = 5.0
PAGES = ("listen", "overlay")


@dataclass(frozen=True)
class Jump:
    """This listener was too far behind and goes on in the present; the newest captions of what was skipped follow."""

    after: int
    to: int
    skipped_ms: float


RoomEvent = ServerEvent | Jump


def room_url(url: str) -> tuple[str, str]:
    """The websocket address of a room and its token, from a link to its page or to itself; InputError otherwise."""
    try:
        parts = urlsplit(url)
        possible = bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, possible = urlsplit(""), False
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    query = dict(parse_qsl(parts.query))
    token = query.pop("token", "") or parts.fragment
    before, _, rest = parts.path.rstrip("/").rpartition("/")
    if before.rpartition("/")[2] in PAGES:
        prefix, room = before.rpartition("/")[0], rest
    elif rest == "stream" and before.rpartition("/")[0].endswith("/v1/rooms"):
        prefix, room = before.rpartition("/")[0].removesuffix("/v1/rooms"), before.rpartition("/")[2]
    else:
        prefix = room = ""
    if scheme not in ("ws", "wss") or not possible or not room or not token:
        raise InputError(f"{url!r} is not a room's link; use one like http://HOST:PORT/listen/ROOM#TOKEN")
    return urlunsplit((scheme, parts.netloc, f"{prefix}/v1/rooms/{room}/stream", "", "")), token


async def listen(
    url: str,
    *,
    captions: str = "both",
    audio: bool = False,
    codec_name: AudioCodec = "pcm16",
    bitrate_bps: int | None = None,
    codec: Codec | None = None,
    tls: ssl.SSLContext | None = None,
    patience_s: float = 60.0,
    exchange: Exchange | None = None,
) -> AsyncGenerator[RoomEvent]:
    """Yield what is said in the room of a link, until its end.

    captions: source, target, both or none. audio: speech as well, in the codec `codec_name`, at most at `bitrate_bps`;
    codec: needed where that is "neural". tls: for a certificate that the system does not trust. exchange: is kept up to
    date with what is carried.
    First comes `Welcome`, last `Closed` and `Finished`. A connection that drops is made again for `patience_s`, with
    nothing lost and nothing twice but for `Welcome`. Raises UnavailableError where there is no server, the room is full
    or the connection drops for longer; ProtocolError, with the close code, where the link opens nothing (4401), the
    talk is over (4410) or a wish cannot be had (4400).
    """
    address, token = room_url(url)
    exchange = exchange or Exchange()
    exchange.down.tls = exchange.up.tls = address.startswith("wss")
    settings = Settings(output=("captions", "audio") if audio else ("captions",), output_codec=codec_name)
    wishes: dict[str, object] = {"captions": captions, "audio": int(audio), "codec": codec_name}
    if bitrate_bps is not None:
        wishes["bitrate_bps"] = bitrate_bps
    visit = _Visit(address, token, wishes, Listening(settings, codec, exchange, joins=True), tls, exchange)
    async for event in visit.events(patience_s):
        yield event


class _Visit:
    """One listener, over as many connections as it takes."""

    def __init__(
        self,
        address: str,
        token: str,
        wishes: dict[str, object],
        listening: Listening,
        tls: ssl.SSLContext | None,
        exchange: Exchange,
    ) -> None:
        self._address, self._token, self._wishes, self._tls = address, token, wishes, tls
        self._listening, self._exchange = listening, exchange
        self._back = Return()
        self._reader = Reader(listening, Outgoing(), self._back)
        self._came = False  # a welcome, ever

    async def events(self, patience_s: float) -> AsyncGenerator[RoomEvent]:
        """See `listen`."""
        since_s, dropped_s = time.monotonic(), None
        while True:
            try:
                async with await self._connect() as socket:
                    ping = asyncio.create_task(self._ping(socket))
                    try:
                        with contextlib.suppress(ConnectionClosed):
                            async for message in socket:
                                since_s, dropped_s = time.monotonic(), None
                                for event in self._read(message):
                                    yield event
                    finally:
                        ping.cancel()
                        await asyncio.gather(ping, return_exceptions=True)
            except UnavailableError:
                if not self._came:
                    raise
            if self._reader.closed is not None:
                yield finished(self._reader.closed)
                return
            self._settle()
            now_s = time.monotonic()
            dropped_s = now_s if dropped_s is None else dropped_s
            if now_s - since_s >= patience_s:
                raise UnavailableError(f"the connection to {self._address} dropped and could not be made again")
            await asyncio.sleep(pause_s(now_s - dropped_s))
            self._exchange.reconnects += 1

    async def _connect(self) -> ClientConnection:
        wishes = {**self._wishes, "after": self._reader.last} if self._came else self._wishes
        offered = [SUBPROTOCOL, f"token.{self._token}"]
        return await connect(f"{self._address}?{urlencode(wishes)}", offered, self._tls)

    def _read(self, message: str | bytes) -> list[RoomEvent]:
        self._exchange.down.add(message)
        event = self._reader.read(message)
        if event is None:
            jump = _jump(message)
            if jump is not None:
                self._listening.rejoin()
            return [] if jump is None else [jump]
        self._came = True
        rest = self._listening.rest() if self._reader.closed is event else None
        return [one for one in (rest, event) if one is not None]

    def _settle(self) -> None:
        """Raise what the server said, unless it may pass and this listener was in already."""
        failure, self._reader.failure = self._reader.failure, None
        if failure is not None and not (self._came and isinstance(failure, UnavailableError)):
            raise failure

    async def _ping(self, socket: ClientConnection) -> None:
        link, number = self._reader.link, 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(PING_S)
                link.sent_s[number] = time.monotonic()
                await socket.send(json.dumps({"type": "ping", "id": number, "last_sequence": self._reader.last}))
                number += 1


def _jump(message: str | bytes) -> Jump | None:
    """The jump that a message tells; None for any other message."""
    if isinstance(message, bytes) or '"jump"' not in message:
        return None
    fields = json.loads(message)
    if fields.get("type") != "jump":
        return None
    try:
        return Jump(int(fields["after"]), int(fields["to"]), float(fields["skipped_ms"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the server sent what is not a jump: {message[:80]!r}", 1007) from error
