"""Clients below the protocol: who is silent, half there, slow, or sends what no library would. On a real port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.types import Message
from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamst.pipeline import Pipeline
from streamst.server import transport
from streamst.server.app import create_app, prepare
from streamst.server.operator import crowd
from streamst.server.operator.options import ServerOptions
from streamst.server.room.worker import Worker
from streamst.server.wire import bodies
from streamst.server.wire.native import pack_audio

PATIENCE_S = 60.0
CALM: dict[str, Any] = {"refuse_when_busy": False, "relieve_when_busy": False}  # whatever else this machine does
TEXT, BINARY, CLOSE, FINAL, COMPRESSED = 0x1, 0x2, 0x8, 0x80, 0x40
PIECE_S = 0.1
END = '{"type":"end"}'


@contextlib.contextmanager
def running(pipeline: Pipeline, **options: Any) -> Iterator[int]:
    """A server with these options; yields its port."""
    made = ServerOptions(port=0, **CALM, **options)
    server, listener, address = prepare(pipeline, made)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield int(address.rpartition(":")[2])
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.02)


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def request(port: int, head: str, body: bytes = b"") -> bytes:
    """All that is answered until the server closes."""
    with dial(port) as client:
        client.sendall(f"{head} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n".encode() + body)
        return drained(client)


def drained(client: socket.socket) -> bytes:
    """Everything that still comes; a reset connection is closed, too."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65_536):
            heard += part
    return heard


def sessions(port: int) -> int:
    return json.loads(request(port, "GET /healthz", b"\r\n").partition(b"\r\n\r\n")[2])["sessions"]


def frame(payload: bytes, opcode: int, flags: int = FINAL) -> bytes:
    """A masked frame of less than 64 KiB; the mask is zero, which is as good as any."""
    assert len(payload) < 1 << 16
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([flags | opcode]) + size + bytes(4) + payload


def piece(number: int) -> bytes:
    """An audio message of `PIECE_S`."""
    samples = round(PIECE_S * 16_000)
    return pack_audio("pcm16", number, number * samples, bytes(2 * samples))


@contextlib.contextmanager
def upgraded(port: int, path: str = "/v1/stream") -> Iterator[socket.socket]:
    """A websocket that answers nothing by itself, its handshake done."""
    with dial(port) as client:
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert client.recv(12) == b"HTTP/1.1 101"
        yield client


def test_a_client_that_answers_no_ping_gives_its_place_back(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, ping_s=0.3) as port, upgraded(port) as client:
        client.sendall(frame(piece(0), BINARY))
        assert b'"type":"welcome"' in drained(client)  # until it is closed there
        until(lambda: sessions(port) == 0)


def test_who_speaks_is_there_though_no_ping_is_answered(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, ping_s=3.0) as port, upgraded(port) as client:
        for number in range(70):
            client.sendall(frame(piece(number), BINARY))
            time.sleep(PIECE_S)
        client.sendall(frame(END.encode(), TEXT))
        heard = drained(client)
    assert b'"type":"closed"' in heard
    assert frame((1000).to_bytes(2, "big"), CLOSE)[0] == heard[-4]
    assert heard[-2:] == (1000).to_bytes(2, "big")


def test_who_is_not_read_because_it_hurries_is_there(tiny_pipeline: Pipeline) -> None:
    """The answers to pings wait behind audio that is read later, as is promised to clients of other services."""
    with running(tiny_pipeline, ping_s=0.2, burst_s=0.0) as port:
        address = f"ws://127.0.0.1:{port}/v1/listen?encoding=linear16&sample_rate=16000"
        said = []
        with connect(address, ping_interval=None, proxy=None) as client, contextlib.suppress(ConnectionClosed):
            for _ in range(3):
                client.send(bytes(32_000))
            client.send('{"type":"CloseStream"}')
            while True:
                said.append(json.loads(client.recv(PATIENCE_S)))
    assert said[-1]["type"] == "Metadata"
    assert said[-1]["duration"] == 3.0


def test_who_connects_and_asks_for_nothing_is_shown_the_door(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "REQUEST_S", 0.3)
    with running(tiny_pipeline) as port:
        with dial(port) as silent, dial(port) as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
            assert drained(silent) == b""
            assert drained(slow) == b""
        monkeypatch.setattr(transport, "REQUEST_S", 3.0)
        with upgraded(port) as client:
            time.sleep(3.5)
            client.sendall(frame(END.encode(), TEXT))
            assert b'"type":"closed"' in drained(client)


def test_a_flood_of_connections_leaves_those_that_are_there_alone(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "MOST_CONNECTIONS", 4)
    with running(tiny_pipeline) as port, upgraded(port) as client:
        with contextlib.ExitStack() as flood:
            last = [flood.enter_context(dial(port)) for _ in range(10)][-1]
            assert drained(last) == b""
            client.sendall(frame(END.encode(), TEXT))
            assert b'"type":"closed"' in drained(client)
        until(lambda: request(port, "GET /healthz", b"\r\n").startswith(b"HTTP/1.1 200"))


def test_a_body_that_never_comes_is_not_waited_for(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    with running(tiny_pipeline) as port:
        for path in ("/v1/sessions", "/v1/realtime/translations/client_secrets"):
            answer = request(port, f"POST {path}", b"Content-Length: 100\r\n\r\n{")
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"the body did not come within 0.3 s" in answer
        with dial(port) as client:
            client.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert sessions(port) == 0
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "sent",
    [
        frame(os.urandom(100), BINARY, FINAL | COMPRESSED),  # compression that was not agreed on: perhaps a bomb
        frame(b"", 0x3),
        frame(b"", 0x0),
        b"\x82\x05hello",  # not masked
        b"\x82\xff" + b"\xff" * 8,
        frame(bytes(126), 0x9),  # a ping that is too long
    ],
    ids=["compressed", "unknown opcode", "continued from nothing", "unmasked", "endless", "long ping"],
)
def test_frames_that_no_library_would_send_end_the_connection_and_free_the_place(
    tiny_pipeline: Pipeline, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tiny_pipeline) as port, upgraded(port) as client:
        client.sendall(sent)
        heard = drained(client)
        until(lambda: sessions(port) == 0)
    assert heard[-4] & 0xF == CLOSE or b'"code":1002' in heard or b'"code":1009' in heard
    assert not [record for record in caplog.records if record.exc_info]


def test_a_message_in_a_hundred_fragments_is_one_message(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline) as port, upgraded(port) as client:
        message = b'{"type":"ping","id":"' + b"x" * 60 + b'"}'
        parts = [message[n : n + 1] for n in range(len(message))]
        flags = [(TEXT if n == 0 else 0, FINAL if n == len(parts) - 1 else 0) for n in range(len(parts))]
        for part, (opcode, final) in zip(parts, flags, strict=True):
            client.sendall(frame(part, opcode, final))
        client.sendall(frame(END.encode(), TEXT))
        assert b'"id":"' + b"x" * 60 in drained(client)


def test_a_busy_server_grants_less_credit_and_more_again_when_it_has_time(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand = [0.5]
    monkeypatch.setattr(Worker, "demand", property(lambda _: demand[0]))
    granted: list[float] = []
    with (
        running(tiny_pipeline, credit_s=8.0) as port,
        connect(f"ws://127.0.0.1:{port}/v1/stream", proxy=None) as client,
    ):
        granted.append(json.loads(client.recv(PATIENCE_S))["credit_ms"])
        for wanted in (4.0, 100.0, 0.9):
            demand[0] = wanted
            message = json.loads(client.recv(PATIENCE_S))
            assert message["type"] == "flow"
            granted.append(message["credit_ms"])
        client.send(END)
    assert granted == [8000, 2000, 1000, 8000]


@pytest.mark.parametrize("gone_after", ["websocket.connect", "websocket.accept", "websocket.send"])
def test_a_client_that_goes_away_while_it_is_refused_is_no_failure(tiny_pipeline: Pipeline, gone_after: str) -> None:
    app = create_app(tiny_pipeline)
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        if gone_after == "websocket.connect" or gone_after in sent:
            raise ClientDisconnected
        sent.append(message["type"])

    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer guessed")]
    scope = {
        "type": "websocket", "path": "/v1/stream", "headers": headers, "subprotocols": ["streamst.v1"],
        "query_string": b"", "client": ("127.0.0.1", 9), "scheme": "ws", "root_path": "", "state": {},
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert not len(app.state.service.sessions)
    app.state.service.workers.close()
