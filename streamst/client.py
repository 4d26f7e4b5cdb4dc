"""The websocket client: audio to a server, and what it says back as the same typed events that a local session gives.

async for event in stream("ws://127.0.0.1:8000", blocks, realtime=True):
    match event:
        case Caption(): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from streamst.audio import Pcm
from streamst.client_audio import Exchange, Listening, Sending
from streamst.codecs.base import Codec
from streamst.codecs.rate import RoundTrips
from streamst.config import from_dict
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.events import Caption, Finished, Speech, Words
from streamst.server.native import SUBPROTOCOL, pack_audio, unpack_audio
from streamst.server.options import LOOPBACK
from streamst.server.seam import Acknowledged, Closed, Configured, GoAway, Latency, Settings, Welcome

PING_S = 2.0
MAX_MESSAGE_BYTES = 16 << 20  # from the server: a long phrase's speech
BURST_SHARE, SPEED_SHARE = 0.8, 0.95  # of what the server allows, to be on the safe side of its clock

T = TypeVar("T")
ServerEvent = Welcome | Configured | Acknowledged | Caption | Words | Speech | Latency | GoAway | Closed | Finished


def stream_url(url: str) -> str:
    """`url` as the native protocol's: http becomes ws, a missing path /v1/stream. InputError for anything else."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise InputError(f"{url!r} is not a server's address; use ws://HOST:PORT or wss://HOST:PORT")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") or "/v1/stream", parts.query, ""))


async def stream(
    url: str,
    pcm_chunks: Iterable[Pcm] | AsyncIterable[Pcm],
    settings: Settings | None = None,
    *,
    realtime: bool = False,
    codec: Codec | None = None,
    tls: ssl.SSLContext | None = None,
    token: str | None = None,
    bitrate_bps: int | None = None,
    exchange: Exchange | None = None,
) -> AsyncIterator[ServerEvent]:
    """Send audio, (samples,) float32 pieces at `settings.sample_rate_hz`, and yield what the server says until its end.

    realtime: no piece is sent before it could have been spoken; else as fast as the server's limits allow. What comes
    from a microphone paces itself: then either is right. codec: needed where `settings` say "neural". tls: for a
    certificate that the system does not trust. token: from POST /v1/sessions. bitrate_bps: of the codec that is sent,
    at most: sent in real time, or from an asynchronous source, it falls while the network is slower. exchange: is kept
    up to date with what is carried.
    The last event is `Finished`, after `Closed`. An InputError of `pcm_chunks` passes on once the server has said all
    about the audio before it. Raises UnavailableError when there is no server, it refuses, or the connection drops;
    ProtocolError, with the close code, for what the server calls our mistake.
    """
    settings = settings or Settings()
    address = stream_url(url)
    exchange = exchange or Exchange()
    exchange.up.tls = exchange.down.tls = address.startswith("wss")
    live = realtime or isinstance(pcm_chunks, AsyncIterable)
    sending = Sending(settings, codec, bitrate_bps, live, exchange)
    listening = Listening(settings, codec, exchange)
    offered = [SUBPROTOCOL, *([f"token.{token}"] if token else [])]
    async with _connected(address, offered, tls) as socket:
        reader = _Reader(listening)
        link = _Link()
        sender: asyncio.Task[None] | None = None
        pinger: asyncio.Task[None] | None = None
        try:
            async for message in socket:
                exchange.down.add(message)
                event = reader.read(message)
                if isinstance(event, _Pong):
                    link.pong(event)
                elif event is not None:
                    if isinstance(event, Welcome):
                        pace = _Pace(1.0, 0.0) if realtime else _allowed(event.limits)
                        sender = asyncio.create_task(_send(socket, pcm_chunks, settings, pace, sending, exchange, link))
                        pinger = asyncio.create_task(_ping(socket, link, exchange))
                    rest = listening.rest() if isinstance(event, Closed) else None
                    if rest is not None:
                        yield rest
                    yield event
        except ConnectionClosed:
            pass  # what it means is said below
        finally:
            for task in (sender, pinger):
                if task is not None and not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
        if reader.failure is not None:
            raise reader.failure
        if reader.closed is None:
            code = socket.close_code
            raise UnavailableError(f"the connection to {address} dropped before the stream's end (code {code})")
        if sender is not None and not sender.cancelled():
            sender.result()
        yield _finished(reader.closed)


@dataclass(frozen=True)
class _Pace:
    """Audio may run `burst_ms` ahead of `speed` times real time; speed 0 is no limit."""

    speed: float
    burst_ms: float

    async def wait(self, began_s: float, audio_ms: float) -> None:
        """Sleep until `audio_ms` of audio, counted from `began_s` (time.monotonic), may have been sent."""
        if self.speed:
            due_s = began_s + (audio_ms - self.burst_ms) / 1000 / self.speed
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


def _allowed(limits: dict[str, Any]) -> _Pace:
    return _Pace(float(limits["speed"]) * SPEED_SHARE, float(limits["burst_ms"]) * BURST_SHARE)


@dataclass(frozen=True)
class _Pong:
    id: int


class _Link:
    """Measures the way to the server and back."""

    def __init__(self) -> None:
        self.rtt_ms: float | None = None
        self.sent_s: dict[int, float] = {}
        self._round_trips = RoundTrips()

    def pong(self, pong: _Pong) -> None:
        """An answer came."""
        sent_s = self.sent_s.get(pong.id)
        self.sent_s = {number: at for number, at in self.sent_s.items() if number > pong.id}
        if sent_s is not None:
            self.rtt_ms = (time.monotonic() - sent_s) * 1000
            self._round_trips.add(self.rtt_ms)

    @property
    def queue_ms(self) -> float:
        """What waits on the way."""
        asked_s = min(self.sent_s.values(), default=time.monotonic())
        return self._round_trips.queue_ms((time.monotonic() - asked_s) * 1000)


@contextlib.asynccontextmanager
async def _connected(address: str, offered: list[str], tls: ssl.SSLContext | None) -> AsyncIterator[ClientConnection]:
    parts = urlsplit(address)
    try:
        socket = await connect(
            address,
            subprotocols=[Subprotocol(name) for name in offered],
            ssl=(tls or ssl.create_default_context()) if parts.scheme == "wss" else None,
            proxy=None if parts.hostname in LOOPBACK else True,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
        )
    except InvalidStatus as error:
        told = error.response.body or b""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            told = json.loads(told)["message"].encode()
        reason = told.decode(errors="replace")[:300] or f"HTTP {error.response.status_code}"
        raise UnavailableError(f"{address} refuses: {reason}") from error
    except InvalidURI as error:
        raise InputError(f"{address!r} is not a server's address: {error}") from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise UnavailableError(f"no StreamST server answers at {address}: {error}") from error
    async with socket:
        yield socket


async def _send(
    socket: ClientConnection,
    pcm_chunks: Iterable[Pcm] | AsyncIterable[Pcm],
    settings: Settings,
    pace: _Pace,
    sending: Sending,
    exchange: Exchange,
    link: _Link,
) -> None:
    """Config, audio and end; an error of the audio's source passes on after the end was said."""
    size = sending.piece_samples
    samples = sequence = 0
    trouble: Exception | None = None

    async def put(payload: bytes) -> None:
        nonlocal sequence
        if payload:
            message, begun_s = pack_audio(settings.codec, sequence, samples, payload), time.monotonic()
            await socket.send(message)
            exchange.up.add(message)
            sequence += 1
            sending.follow(message, socket, begun_s, link.queue_ms)

    try:
        config = json.dumps({"type": "config", **dataclasses.asdict(settings)})
        await socket.send(config)
        exchange.up.add(config)
        began_s = time.monotonic()
        try:
            async for chunk in _each(pcm_chunks):
                for at in range(0, len(chunk), size):
                    piece = np.asarray(chunk[at : at + size], np.float32)
                    exchange.audio_ms = (samples + len(piece)) * 1000 / settings.sample_rate_hz
                    await pace.wait(began_s, exchange.audio_ms)
                    await put(sending.encode(piece))
                    samples += len(piece)
        except ConnectionClosed:
            raise
        except Exception as error:
            trouble = error
        await put(sending.flush())
        await socket.send('{"type":"end"}')
    except ConnectionClosed:
        return  # the reading side tells why
    if trouble is not None:
        raise trouble


async def _ping(socket: ClientConnection, link: _Link, exchange: Exchange) -> None:
    number = 0
    with contextlib.suppress(ConnectionClosed):
        while True:
            number += 1
            link.sent_s[number] = time.monotonic()
            known = {} if link.rtt_ms is None else {"rtt_ms": link.rtt_ms}
            message = json.dumps({"type": "ping", "id": number, **known})
            await socket.send(message)
            exchange.up.add(message)
            await asyncio.sleep(PING_S)


async def _each(chunks: Iterable[Pcm] | AsyncIterable[Pcm]) -> AsyncIterator[Pcm]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk


class _Reader:
    """Server messages to events. Keeps the error and the farewell, which decide how a stream ends."""

    def __init__(self, listening: Listening) -> None:
        self.failure: ProtocolError | UnavailableError | None = None
        self.closed: Closed | None = None
        self._listening = listening

    def read(self, message: str | bytes) -> ServerEvent | _Pong | None:
        """What a message says; None for what this version does not know. ProtocolError for what cannot be read."""
        if isinstance(message, bytes):
            return self._read_audio(message)
        try:
            fields = json.loads(message)
            kind = fields.pop("type")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ProtocolError(f"the server sent what is not a message: {message[:80]!r}", 1007) from error
        fields.pop("emit_ms", None)
        match kind:
            case "welcome":
                return Welcome(fields.pop("session_id"), limits=fields.pop("limits"), offer=fields)
            case "configured":
                chunk_ms = fields.pop("chunk_ms")
                return Configured(_known(Settings, fields), chunk_ms)
            case "ack":
                return _known(Acknowledged, fields)
            case "caption":
                return _known(Caption, fields)
            case "words":
                return _known(Words, fields)
            case "latency":
                return _known(Latency, fields)
            case "goaway":
                return _known(GoAway, fields)
            case "pong":
                return _Pong(fields["id"])
            case "speech":
                self._listening.announced(fields)
            case "closed":
                self.closed = Closed(fields["summary"])
                return self.closed
            case "error":
                self._fail(fields)
            case _:
                pass
        return None

    def _fail(self, fields: dict[str, Any]) -> None:
        """Being full, broken or about to stop is the server's condition; anything else is our mistake."""
        code, message = int(fields["code"]), str(fields["message"])
        if fields.get("retryable"):
            self.failure = UnavailableError(f"the server: {message} (code {code})")
        else:
            self.failure = ProtocolError(f"the server: {message} (code {code})", code)

    def _read_audio(self, message: bytes) -> Speech | None:
        audio = unpack_audio(message)
        return None if audio is None else self._listening.heard(audio)


def _known(cls: type[T], fields: dict[str, Any]) -> T:
    """The dataclass `cls` from the fields that it has: a newer server may say more."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return from_dict(cls, {name: value for name, value in fields.items() if name in names})


def _finished(closed: Closed) -> Finished:
    """The session's last event, from the server's summary."""
    told = closed.summary
    return Finished(
        source_ms=told["audio_ms"],
        compute_ms=0.0,
        samples=told["samples"],
        segments=told["segments"],
        decoder_calls=told["decoder_calls"],
        compute_s=told["compute_ms"] / 1000,
    )
