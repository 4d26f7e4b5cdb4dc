"""A stream to a server and back: what is said, what is heard, and how it goes on when a connection drops."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streamst.audio import Pcm
from streamst.codecs.base import Codec
from streamst.errors import InputError, UnavailableError
from streamst.events import Finished
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Closed, Settings, Welcome

from .audio import Exchange, Listening, Sending
from .connect import connect, stream_url
from .outgoing import Allowance, Outgoing, Return
from .reader import Link, Reader, ServerEvent, finished

PING_S = 2.0
STALE_S = 10.0  # without an answer to a ping, after which one of several servers is given up
OPEN_S, OPEN_ONE_OF_MANY_S = 10.0, 3.0  # that a connection may take to be made
MOVED = (1001, 1012)  # close codes of a server that goes, and has not said its last word: another one goes on


def stream(
    url: str | Sequence[str],
    pcm_chunks: Iterable[Pcm] | AsyncIterable[Pcm],
    settings: Settings | None = None,
    *,
    realtime: bool = False,
    codec: Codec | None = None,
    tls: ssl.SSLContext | None = None,
    token: str | None = None,
    bitrate_bps: int | None = None,
    exchange: Exchange | None = None,
) -> AsyncGenerator[ServerEvent]:
    """Send audio, (samples,) float32 pieces at `settings.sample_rate_hz`, and yield what the server says until its end.

    url: of a server, or of several that share a store: where one is lost the next one goes on.
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
    exchange = exchange or Exchange()
    live = realtime or isinstance(pcm_chunks, AsyncIterable)
    sending = Sending(settings, codec, bitrate_bps, live, exchange)
    source = Source(pcm_chunks, settings, realtime, sending, exchange)
    addresses = [stream_url(one) for one in ([url] if isinstance(url, str) else url)]
    if not addresses:
        raise InputError("no server's address was given; use ws://HOST:PORT or wss://HOST:PORT")
    return Conversation(addresses, source, Listening(settings, codec, exchange), tls, token).events()


@dataclass(frozen=True)
class Source:
    """What is sent."""

    pcm_chunks: Iterable[Pcm] | AsyncIterable[Pcm]
    settings: Settings
    realtime: bool
    sending: Sending
    exchange: Exchange


class Conversation:
    """One session with a server, over as many connections as it takes."""

    def __init__(
        self, addresses: list[str], source: Source, listening: Listening, tls: ssl.SSLContext | None, token: str | None
    ) -> None:
        self._addresses, self._source, self._listening, self._tls, self._token = (
            addresses,
            source,
            listening,
            tls,
            token,
        )
        self._turn = 0  # whose of the servers it is
        self._exchange = source.exchange
        self._exchange.up.tls = self._exchange.down.tls = addresses[0].startswith("wss")
        self._outgoing, self._back = Outgoing(), Return()
        self._reader = Reader(listening, self._outgoing, self._back)
        self._producer: asyncio.Task[None] | None = None
        self._allowance: Allowance | None = None

    async def events(self) -> AsyncGenerator[ServerEvent]:
        """See `stream`."""
        reader, back = self._reader, self._back
        try:
            while True:
                closing, on_purpose = "no answer", False
                beside: list[asyncio.Task[None]] = []
                try:
                    async with await self._connect() as socket:
                        async for message in _messages(socket, reader.hello()):
                            for event in self._read(message, socket, beside):
                                yield event
                        on_purpose = socket.protocol.close_rcvd is not None and socket.close_code not in MOVED
                        closing = f"code {socket.close_code}"
                except UnavailableError:
                    if back.token is None and self._turn >= len(self._addresses) - 1:
                        raise
                    if back.token is None:
                        self._turn += 1
                        continue
                finally:
                    await _cancel(beside)
                if reader.closed is not None or reader.settled():
                    break
                if on_purpose or not await back.wait():
                    raise UnavailableError(
                        f"the connection to {self._address} dropped before the stream's end ({closing})"
                    )
                self._exchange.reconnects += 1
                self._turn += 1
            yield self._finished()
        finally:
            await _cancel([self._producer] if self._producer is not None else [])

    @property
    def _address(self) -> str:
        return self._addresses[self._turn % len(self._addresses)]

    async def _connect(self) -> ClientConnection:
        known = self._back.token or self._token
        offered = [SUBPROTOCOL, *([f"token.{known}"] if known else [])]
        wait_s = OPEN_S if len(self._addresses) == 1 else OPEN_ONE_OF_MANY_S
        return await connect(self._address, offered, self._tls, wait_s)

    def _read(
        self, message: str | bytes, socket: ClientConnection, beside: list[asyncio.Task[None]]
    ) -> list[ServerEvent]:
        """The events of a message; after the welcome, what goes on beside the reading is begun."""
        self._exchange.down.add(message)
        event = self._reader.read(message)
        if isinstance(event, Welcome):
            beside += self._welcomed(event, socket)
        rest = self._listening.rest() if isinstance(event, Closed) else None
        return [one for one in (rest, event) if one is not None]

    def _finished(self) -> Finished:
        """The last event; raises what ended the stream instead of the server's `Closed`, or what the source raised."""
        if self._reader.failure is not None:
            raise self._reader.failure
        if self._producer is not None and self._producer.done() and not self._producer.cancelled():
            self._producer.result()
        assert self._reader.closed is not None
        return finished(self._reader.closed)

    def _welcomed(self, welcome: Welcome, socket: ClientConnection) -> list[asyncio.Task[None]]:
        """Begin what goes on beside the reading of this connection."""
        self._allowance = self._allowance or Allowance(welcome.limits)
        if self._producer is None:
            self._producer = asyncio.create_task(_speak(self._source, self._outgoing))
        link = self._reader.link = Link()
        send = _send(socket, self._outgoing, self._allowance, self._source.sending, self._exchange, link)
        ping = _ping(socket, self._exchange, self._reader, STALE_S if len(self._addresses) > 1 else None)
        return [asyncio.create_task(_guarded(socket, work, self._reader)) for work in (send, ping)]


async def _messages(socket: ClientConnection, hello: str | None) -> AsyncIterator[str | bytes]:
    """What comes after `hello`, until the connection ends, however it does."""
    with contextlib.suppress(ConnectionClosed):
        if hello is not None:
            await socket.send(hello)
        async for message in socket:
            yield message


async def _guarded(socket: ClientConnection, work: Coroutine[Any, Any, None], reader: Reader) -> None:
    """Do what goes on beside the reading; an error of it ends the stream."""
    try:
        await work
    except ConnectionClosed:
        return  # the reading side tells why
    except Exception as error:  # noqa: BLE001  (raised where the events are read)
        reader.failure = error
        await socket.close()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _speak(source: Source, outgoing: Outgoing) -> None:
    """Config, audio and end, for whichever connection sends them; an error of the source passes on after the end."""
    settings, sending = source.settings, source.sending
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
        async for chunk in _each(source.pcm_chunks):
            chunk = _checked(chunk)
            for at in range(0, len(chunk), size):
                piece = chunk[at : at + size]
                samples += len(piece)
                source.exchange.audio_ms = samples * 1000 / rate
                if source.realtime:
                    await asyncio.sleep(max(0.0, began_s + samples / rate - time.monotonic()))
                await put(sending.encode(piece))
    except Exception as error:  # noqa: BLE001  (raised below)
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
    link: Link,
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


async def _ping(socket: ClientConnection, exchange: Exchange, reader: Reader, stale_s: float | None) -> None:
    number, link = 0, reader.link
    while True:
        if stale_s is not None and time.monotonic() - min(link.sent_s.values(), default=math.inf) > stale_s:
            socket.transport.abort()  # it hangs, though its machine may live
            return
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
