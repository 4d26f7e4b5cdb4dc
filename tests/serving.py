"""What the tests of the service share: a server that runs in a thread, and what was said in a form to compare."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from streamst.audio import Pcm
from streamst.client import stream
from streamst.events import Caption, Event, Speech, Words
from streamst.pipeline import Pipeline
from streamst.server.app import prepare
from streamst.server.operator.options import ServerOptions
from streamst.server.session.link import Farewell, Lost
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Message, Settings

PATIENCE_S = 120.0
CALM: dict[str, Any] = {
    "refuse_when_busy": False,
    "relieve_when_busy": False,
    "store_timeout_s": 30.0,
}  # on any machine


@contextlib.contextmanager
def running(pipeline: Pipeline, **options: Any) -> Iterator[str]:
    """A server with these options; yields its address."""
    server, listener, address = prepare(pipeline, ServerOptions(port=0, **{**CALM, **options}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive()


@contextlib.contextmanager
def stopping(pipeline: Pipeline, **options: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """As `running`, and what stops it as SIGTERM does and waits until it has."""
    server, listener, address = prepare(pipeline, ServerOptions(port=0, **{**CALM, **options}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def stop() -> None:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()

    try:
        yield address, stop
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive()


def pieces(pcm: Pcm, samples: int = 1600) -> list[Pcm]:
    return [pcm[at : at + samples] for at in range(0, len(pcm), samples)]


async def translated(address: str, pcm: Pcm, settings: Settings | None = None, **options: Any) -> list[Any]:
    """All events of a stream."""
    return [event async for event in stream(address, pieces(pcm), settings, **options)]


def alone(pipeline: Pipeline, pcm: Pcm, latency: str = "medium") -> list[Event]:
    """What a session on this computer says, without any server."""
    session = pipeline.session(latency=latency)
    return [*[event for piece in pieces(pcm) for event in session.push(piece)], *session.finish()]


def words_of(events: list[Any]) -> list[tuple[float, int, tuple[str, ...]]]:
    return [(event.source_ms, event.segment, event.words) for event in events if isinstance(event, Words)]


def captions_of(events: list[Any]) -> list[tuple[str, int, int, str, str]]:
    return [(e.lang, e.segment, e.revision, e.stable, e.unstable) for e in events if isinstance(e, Caption)]


def heard_of(events: list[Any]) -> Pcm:
    return np.concatenate([np.zeros(0, np.float32), *[event.pcm for event in events if isinstance(event, Speech)]])


def ws(address: str) -> str:
    return address.replace("http", "ws", 1) + "/v1/stream"


def opened(address: str, *, subprotocols: tuple[str, ...] = (SUBPROTOCOL,), **options: Any) -> connect:
    return connect(ws(address), subprotocols=[Subprotocol(name) for name in subprotocols], proxy=None, **options)


async def hear_out(socket: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """All JSON messages until the close, and the close code."""
    said: list[dict[str, Any]] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await socket.recv()
                if isinstance(message, str):
                    said.append(json.loads(message))
    return said, socket.close_code


def told(said: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in said if message["type"] == kind]


async def talk(address: str, *messages: str | bytes) -> tuple[list[dict[str, Any]], int | None]:
    """Connect, send, and hear the server out."""
    async with opened(address) as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await socket.send(message)
        return await hear_out(socket)


def audio(sequence: int = 0, samples: int = 1600) -> bytes:
    return pack_audio("pcm16", sequence, 0, bytes(2 * samples))


END = '{"type":"end"}'


def get(url: str, data: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET, or of a POST of `data`."""
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=PATIENCE_S) as response:
            return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def health(address: str) -> dict[str, Any]:
    return json.loads(get(f"{address}/healthz")[2])


def wait_until_empty(address: str) -> None:
    """Wait until every place is free again."""
    deadline = time.monotonic() + PATIENCE_S
    while health(address)["sessions"]:
        assert time.monotonic() < deadline, "a place was never freed"
        time.sleep(0.02)


class MemoryLink:
    """A `Link` without a network: what a client sends is said to it, and what it gets is kept."""

    def __init__(self, *messages: Message, peer: str | None = None, owner: str | None = None) -> None:
        self.peer, self.owner = peer, owner
        self.sent: list[Message] = []  # to the client
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.stuck = False  # the client takes nothing
        self._coming: asyncio.Queue[Message | Lost] = asyncio.Queue()
        self._sent = asyncio.Condition()
        self.say(*messages)

    def say(self, *messages: Message) -> None:
        """The client sends these."""
        for message in messages:
            self._coming.put_nowait(message)

    def lose(self, code: int | None = None) -> None:
        """The client is gone."""
        self._coming.put_nowait(Lost(code))

    async def said(self, count: int) -> None:
        """Wait until so many messages came to the client."""
        async with self._sent:
            await self._sent.wait_for(lambda: len(self.sent) >= count)

    async def receive(self) -> Message:
        message = await self._coming.get()
        if isinstance(message, Lost):
            raise message
        return message

    async def send(self, message: Message) -> None:
        while self.stuck:
            await asyncio.sleep(3600)
        if self.closed is not None:
            raise Lost
        async with self._sent:
            self.sent.append(message)
            self._sent.notify_all()

    async def close(self, code: int, reason: str) -> None:
        if self.closed is not None:
            raise Lost
        self.closed = (code, reason)

    def abort(self) -> None:
        self.aborted = True

    def on_refusal(self, farewell: Farewell) -> None:
        self.farewell = farewell
