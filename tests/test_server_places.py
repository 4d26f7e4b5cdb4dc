"""The service on a real port: places, limits, and who may connect."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from serving import (
    END,
    PATIENCE_S,
    alone,
    audio,
    get,
    hear_out,
    opened,
    pieces,
    running,
    talk,
    told,
    translated,
    wait_until_empty,
    words_of,
    ws,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamst.audio import Pcm, from_pcm16, to_pcm16
from streamst.errors import UnavailableError
from streamst.events import Event, Finished
from streamst.pipeline import Pipeline
from streamst.server.room.live import LiveStream
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Answer
from streamst.session import Steps


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=4) as address:
        yield address


def test_a_client_that_vanishes_frees_its_place(tiny_pipeline: Pipeline, speech: Pcm) -> None:
    async def vanish(address: str) -> None:
        async with opened(address) as socket:
            await socket.send(pack_audio("pcm16", 0, 0, to_pcm16(speech)))
            await socket.recv()
            socket.transport.abort()

    with running(tiny_pipeline, max_sessions=1) as address:
        asyncio.run(vanish(address))
        wait_until_empty(address)
        assert words_of(asyncio.run(translated(address, speech))) == words_of(alone(tiny_pipeline, speech))


def test_a_full_server_says_so_on_the_socket_and_on_post(tiny_pipeline: Pipeline, speech: Pcm) -> None:
    async def second(address: str) -> tuple[list[dict[str, Any]], int | None, tuple[int, dict[str, str], bytes]]:
        async with opened(address) as first:
            await first.recv()
            said, code = await talk(address)
            posted = await asyncio.to_thread(get, f"{address}/v1/sessions", b"{}")
            with pytest.raises(UnavailableError, match="all 1 places are taken"):
                await translated(address, speech)
            return said, code, posted

    with running(tiny_pipeline, max_sessions=1) as address:
        said, code, (status, headers, body) = asyncio.run(second(address))
        assert code == 1013
        (error,) = said
        assert (error["code"], error["retryable"]) == (1013, True)
        assert error["retry_after_ms"] > 0
        assert status == 503
        assert int(headers["retry-after"]) > 0
        assert json.loads(body)["code"] == 1013
        wait_until_empty(address)
        assert get(f"{address}/v1/sessions", b"{}")[0] == 201


def test_a_reserved_place_waits_for_its_token_with_its_settings(tiny_pipeline: Pipeline) -> None:
    async def claim(address: str, token: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address, subprotocols=(SUBPROTOCOL, f"token.{token}")) as socket:
            assert socket.subprotocol == SUBPROTOCOL
            with contextlib.suppress(ConnectionClosed):
                await socket.send(END)
            return await hear_out(socket)

    with running(tiny_pipeline, max_sessions=1) as address:
        status, _, body = get(f"{address}/v1/sessions", b'{"latency":"low","output":["captions"]}')
        assert status == 201
        kept = json.loads(body)
        assert asyncio.run(talk(address))[1] == 1013
        said, code = asyncio.run(claim(address, kept["token"]))
        assert code == 1000
        assert said[0]["session_id"] == kept["session_id"]
        assert (said[1]["latency"], said[1]["output"]) == ("low", ["captions"])
        assert asyncio.run(claim(address, kept["token"]))[1] == 4401


def test_audio_faster_than_allowed_is_refused(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, burst_s=3.0, speed_limit=1.0) as address:
        said, code = asyncio.run(talk(address, *[audio(i, 16_000) for i in range(60)]))
        assert code == 4413
        assert "faster than allowed" in told(said, "error")[0]["message"]
        assert isinstance(asyncio.run(translated(address, np.zeros(96_000, np.float32)))[-1], Finished)


def test_without_a_speed_limit_a_file_comes_as_fast_as_the_model_hears(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, speed_limit=0.0, queue_bytes=16_000) as address:
        events = asyncio.run(translated(address, np.zeros(16_000 * 8, np.float32)))
        assert events[-1].samples == 16_000 * 8


def test_an_idle_client_is_flushed_and_closed(tiny_pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech))]
    with running(tiny_pipeline, idle_s=3.0) as address:
        said, code = asyncio.run(talk(address, *payloads))
    assert code == 4408
    assert [message["type"] for message in said[-2:]] == ["closed", "error"]
    expected = [word for _, _, words in words_of(alone(tiny_pipeline, speech)) for word in words]
    assert [word for message in told(said, "words") for word in message["words"]] == expected


def test_who_waits_to_be_heard_is_not_idle(tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    step = LiveStream.step
    asked = threading.Event()

    def slow(live: LiveStream) -> Steps[list[Answer]]:
        asked.wait(PATIENCE_S)
        return (yield from step(live))

    async def wait(address: str) -> int | None:
        async with opened(address) as socket:
            await socket.send(audio())
            await asyncio.sleep(3.5)  # longer than may be idle
            with contextlib.suppress(ConnectionClosed):
                await socket.send(END)
            asked.set()
            return (await hear_out(socket))[1]

    monkeypatch.setattr(LiveStream, "step", slow)
    with running(tiny_pipeline, idle_s=3.0) as address:
        assert asyncio.run(wait(address)) == 1000


def test_a_session_ends_at_its_longest_duration(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, max_duration_s=2.0) as address:
        said, code = asyncio.run(talk(address, *[audio(i, 16_000) for i in range(3)]))
    assert code == 1001
    assert "a session may last 2 s" in told(said, "error")[0]["message"]
    assert told(said, "closed")


def test_a_client_that_never_reads_is_dropped_and_others_go_on(tiny_pipeline: Pipeline, speech: Pcm) -> None:
    def deaf(address: str) -> socket.socket:
        host, port = address.removeprefix("http://").split(":")
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(
            f"GET /v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        return client

    ping = b'{"type":"ping","id":"' + b"x" * 60 + b'"}'
    frame = bytes([0x81, 0x80 | len(ping), 0, 0, 0, 0]) + ping  # a text frame with the mask 0
    with running(tiny_pipeline, send_timeout_s=1.0) as address:
        client = deaf(address)
        client.settimeout(PATIENCE_S)
        with client, contextlib.suppress(OSError):
            while True:  # until the server, whose answers find no room, stops reading and then gives up
                client.sendall(frame * 100)
        wait_until_empty(address)
        assert words_of(asyncio.run(translated(address, speech))) == words_of(alone(tiny_pipeline, speech))


def test_a_failure_in_one_session_is_its_own(
    tiny_pipeline: Pipeline, speech: Pcm, caplog: pytest.LogCaptureFixture
) -> None:
    class Explosive(Pipeline):
        """The pipeline, but a full-scale click breaks a session from within."""

        def session(self, *arguments: Any, **options: Any) -> Any:
            session = super().session(*arguments, **options)
            hear = session.hearing

            def hearing(pcm: Pcm) -> Steps[list[Event]]:
                if len(pcm) and pcm.max() > 0.999:
                    raise RuntimeError("broken from within")
                return hear(pcm)

            session.hearing = hearing
            return session

    explosive = Explosive(
        **{field.name: getattr(tiny_pipeline, field.name) for field in dataclasses.fields(tiny_pipeline)}
    )
    click = pack_audio("pcm16", 0, 0, to_pcm16(np.ones(1600, np.float32)))

    async def both(address: str) -> tuple[tuple[list[dict[str, Any]], int | None], list[Any]]:
        return await asyncio.gather(talk(address, click), translated(address, 0.5 * speech))

    with running(explosive) as address:
        (said, code), events = asyncio.run(both(address))
    assert code == 1011
    assert told(said, "error")[0]["message"] == "the server failed; the session cannot go on"
    assert words_of(events) == words_of(alone(tiny_pipeline, from_pcm16(to_pcm16(0.5 * speech))))
    assert "broken from within" in caplog.text


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:1"])
def test_a_page_from_elsewhere_is_refused_at_the_handshake(
    server: str, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def knock() -> InvalidStatus:
        with pytest.raises(InvalidStatus) as caught:
            async with opened(server, origin=origin):
                pass
        return caught.value

    response = asyncio.run(knock()).response
    assert response.status_code == 403
    assert response.body is not None
    assert json.loads(response.body)["code"] == 1008
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == []


def test_our_own_page_and_an_allowed_one_connect(tiny_pipeline: Pipeline) -> None:
    async def welcome(address: str, origin: str) -> str:
        async with opened(address, origin=origin) as socket:
            return json.loads(await socket.recv())["type"]

    with running(tiny_pipeline, allowed_origins=("https://talks.example.org",)) as address:
        for origin in (address, "https://talks.example.org"):
            assert asyncio.run(welcome(address, origin)) == "welcome"


def test_another_subprotocol_is_refused_and_none_is_taken_as_ours(server: str) -> None:
    async def knock() -> None:
        async with connect(ws(server), proxy=None) as socket:
            assert socket.subprotocol is None
            assert json.loads(await socket.recv())["type"] == "welcome"
        with pytest.raises(InvalidStatus, match="400"):
            async with opened(server, subprotocols=("graphql-ws",)):
                pass

    asyncio.run(knock())


@pytest.mark.parametrize("path", ["/../README.md", "/%2e%2e/README.md", "/..%2fREADME.md", "//etc/passwd"])
def test_nothing_outside_the_page_is_served(server: str, path: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := client.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 404")
