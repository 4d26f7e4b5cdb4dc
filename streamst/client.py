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
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from streamst.audio import Pcm
from streamst.client_audio import Exchange, Listening, Sending
from streamst.client_outgoing import Allowance, Outgoing, Return
from streamst.codecs.base import Codec
from streamst.codecs.rate import RoundTrips
from streamst.config import from_dict
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.events import Caption, Finished, Speech, Words
from streamst.server import codes
from streamst.server.native import SUBPROTOCOL, pack_audio, unpack_audio
from streamst.server.options import LOOPBACK
from streamst.server.seam import Acknowledged, Closed, Configured, Flow, GoAway, Latency, Settings, Welcome

PING_S = 2.0
MAX_MESSAGE_BYTES = 16 << 20  # from the server: a long phrase's speech
AWAITED = 64  # announcements of speech that are kept for audio that did not come yet
SESSION_LOST = (codes.UNAUTHORISED, codes.SUPERSEDED, codes.EXPIRED)  # what a server says to who comes back in vain

T = TypeVar("T")
ServerEvent = Welcome | Configured | Acknowledged | Caption | Words | Speech | Latency | GoAway | Closed | Finished


def stream_url(url: str) -> str:
    """`url` as the native protocol's: http becomes ws, a missing path /v1/stream. InputError for anything else."""
    try:
        parts = urlsplit(url)
        possible = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535, half an IPv6 address
        parts, possible = urlsplit(""), False
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not possible:
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
    certificate that the system does not trust. token: an API key, or from POST /v1/sessions. bitrate_bps: of the codec
    that is sent, at most: sent in real time, or from an asynchronous source, it falls while the network is slower.
    exchange: is kept up to date with what is carried.
    The last event is `Finished`, after `Closed`. A connection that drops is made again, and the session goes on:
    nothing is lost and nothing comes twice, but for `Welcome`. An InputError of `pcm_chunks` passes on once the server
    has said all about the audio before it. Raises UnavailableError when there is no server, it refuses, or the
    connection drops for longer than the server waits; ProtocolError, with the close code, for what the server calls our
    mistake.
    """
    settings = settings or Settings()
    address = stream_url(url)
    exchange = exchange or Exchange()
    exchange.up.tls = exchange.down.tls = address.startswith("wss")
    live = realtime or isinstance(pcm_chunks, AsyncIterable)
    sending = Sending(settings, codec, bitrate_bps, live, exchange)
    listening = Listening(settings, codec, exchange)
    outgoing, back = Outgoing(), Return()
    reader = _Reader(listening, outgoing, back)
    producer: asyncio.Task[None] | None = None
    allowance: Allowance | None = None
    try:
        while True:
            closing, on_purpose = "no answer", False
            tasks: list[asyncio.Task[None]] = []
            try:
                known = back.token or token
                offered = [SUBPROTOCOL, *([f"token.{known}"] if known else [])]
                async with await _connect(address, offered, tls) as socket:
                    async for message in _messages(socket, reader.hello()):
                        exchange.down.add(message)
                        event = reader.read(message)
                        if isinstance(event, Welcome):
                            allowance = allowance or Allowance(event.limits)
                            if producer is None:
                                speak = _speak(pcm_chunks, settings, realtime, sending, exchange, outgoing)
                                producer = asyncio.create_task(speak)
                            link = reader.link = _Link()
                            send = _send(socket, outgoing, allowance, sending, exchange, link)
                            for work in (send, _ping(socket, exchange, reader)):
                                tasks.append(asyncio.create_task(_guarded(socket, work, reader)))
                        rest = listening.rest() if isinstance(event, Closed) else None
                        if rest is not None:
                            yield rest
                        if event is not None:
                            yield event
                    on_purpose = socket.protocol.close_rcvd is not None
                    closing = f"code {socket.close_code}"
            except UnavailableError:
                if back.token is None:
                    raise
            finally:
                await _cancel(tasks)
            if reader.closed is not None or reader.settled():
                break
            if on_purpose or not await back.wait():
                raise UnavailableError(f"the connection to {address} dropped before the stream's end ({closing})")
            exchange.reconnects += 1
        if reader.failure is not None:
            raise reader.failure
        if producer is not None and producer.done() and not producer.cancelled():
            producer.result()
        assert reader.closed is not None
        yield _finished(reader.closed)
    finally:
        await _cancel([producer] if producer is not None else [])


async def _messages(socket: ClientConnection, hello: str | None) -> AsyncIterator[str | bytes]:
    """What comes after `hello`, until the connection ends, however it does."""
    with contextlib.suppress(ConnectionClosed):
        if hello is not None:
            await socket.send(hello)
        async for message in socket:
            yield message


async def _guarded(socket: ClientConnection, work: Coroutine[Any, Any, None], reader: _Reader) -> None:
    """Do what goes on beside the reading; an error of it ends the stream."""
    try:
        await work
    except ConnectionClosed:
        return  # the reading side tells why
    except Exception as error:
        reader.failure = error
        await socket.close()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class _Pong:
    id: int


class _Link:
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


async def _connect(address: str, offered: list[str], tls: ssl.SSLContext | None) -> ClientConnection:
    parts = urlsplit(address)
    try:
        return await connect(
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
    except ssl.SSLCertVerificationError as error:
        why = f"{error.verify_message}; --insecure, or a context as `tls`, accepts it"
        raise UnavailableError(f"the certificate of {address} is not trusted: {why}") from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise UnavailableError(f"no StreamST server answers at {address}: {error}") from error


async def _speak(
    pcm_chunks: Iterable[Pcm] | AsyncIterable[Pcm],
    settings: Settings,
    realtime: bool,
    sending: Sending,
    exchange: Exchange,
    outgoing: Outgoing,
) -> None:
    """Config, audio and end, for whichever connection sends them; an error of the source passes on after the end."""
    size, rate = sending.piece_samples, settings.sample_rate_hz
    samples = of_message = 0
    trouble: Exception | None = None

    async def put(payload: bytes) -> None:
        nonlocal of_message
        if payload:
            message = pack_audio(settings.codec, outgoing.next_sequence, of_message, payload)
            await outgoing.put("audio", message, (samples - of_message) * 1000 / rate)
            of_message = samples

    await outgoing.put("config", json.dumps({"type": "config", **dataclasses.asdict(settings)}))
    began_s = time.monotonic()
    try:
        async for chunk in _each(pcm_chunks):
            chunk = _checked(chunk)
            for at in range(0, len(chunk), size):
                piece = chunk[at : at + size]
                samples += len(piece)
                exchange.audio_ms = samples * 1000 / rate
                if realtime:
                    await asyncio.sleep(max(0.0, began_s + samples / rate - time.monotonic()))
                await put(sending.encode(piece))
    except Exception as error:
        trouble = error
    await put(sending.flush())
    await outgoing.put("end", '{"type":"end"}')
    if trouble is not None:
        raise trouble


def _checked(chunk: Pcm) -> Pcm:
    """`chunk` as float32; InputError for what would reach the server as noise."""
    given = np.asarray(chunk)
    if given.ndim != 1 or given.dtype.kind != "f":
        found = f"{given.dtype} of shape {given.shape}"
        raise InputError(f"a piece of audio is {found}; use float32 of shape (samples,), -1 to 1: see from_pcm16")
    if not np.isfinite(given).all():
        raise InputError(f"audio holds {int((~np.isfinite(given)).sum())} values that are not numbers")
    return given.astype(np.float32, copy=False)


async def _send(
    socket: ClientConnection,
    outgoing: Outgoing,
    allowance: Allowance,
    sending: Sending,
    exchange: Exchange,
    link: _Link,
) -> None:
    """Send what is to be sent, as fast as the server allows."""
    while True:
        item = await outgoing.next()
        if item.kind == "audio":
            await allowance.wait(item.audio_ms)
        begun_s = time.monotonic()
        outgoing.sent()
        await socket.send(item.message)
        exchange.up.add(item.message)
        if isinstance(item.message, bytes):
            sending.follow(item.message, socket, begun_s, link.queue_ms)


async def _ping(socket: ClientConnection, exchange: Exchange, reader: _Reader) -> None:
    number, link = 0, reader.link
    while True:
        number += 1
        link.sent_s[number] = time.monotonic()
        known: dict[str, Any] = {} if link.rtt_ms is None else {"rtt_ms": link.rtt_ms}
        message = json.dumps({"type": "ping", "id": number, **known, "last_sequence": reader.last})
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

    def __init__(self, listening: Listening, outgoing: Outgoing, back: Return) -> None:
        self.failure: Exception | None = None
        self.closed: Closed | None = None
        self.link = _Link()
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
        """Whether an error ended the stream; one that may pass, told to who comes back, did not."""
        if self.failure is not None and self._back.returning and codes.meaning(self._code).retryable:
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
        match kind:
            case "welcome":
                return self._welcome(fields)
            case "configured":
                chunk_ms = fields.pop("chunk_ms")
                return Configured(_known(Settings, fields), chunk_ms)
            case "ack":
                acknowledged = _known(Acknowledged, fields)
                self._outgoing.heard(acknowledged.sequence)
                return acknowledged
            case "flow":
                self._outgoing.grant(_known(Flow, fields).credit_ms)
            case "caption":
                return _known(Caption, fields)
            case "words":
                return _known(Words, fields)
            case "latency":
                return _known(Latency, fields)
            case "goaway":
                return _known(GoAway, fields)
            case "pong":
                self.link.pong(_Pong(fields["id"]))
            case "speech":
                self._announced(fields, number)
            case "closed":
                self.closed = Closed(fields["summary"])
                return self.closed
            case "error":
                self._fail(fields)
            case _:
                pass
        return None

    def _welcome(self, fields: dict[str, Any]) -> Welcome:
        self._back.welcomed(fields)
        self._outgoing.grant(fields.pop("credit_ms", None))
        if fields.get("resumed"):
            self._outgoing.resume(int(fields["next_sequence"]), int(fields["configs"]), bool(fields["ended"]))
        return Welcome(fields.pop("session_id"), limits=fields.pop("limits"), offer=fields)

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
