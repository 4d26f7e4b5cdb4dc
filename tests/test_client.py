"""The websocket client against a real server on a real port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from streamst.audio import Pcm
from streamst.client import ServerEvent, stream, stream_url
from streamst.client.connect import connect
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.events import Finished
from streamst.pipeline import Pipeline
from streamst.server.app import prepare
from streamst.server.operator.options import ServerOptions
from streamst.server.transport import PoliteServer
from streamst.server.wire.seam import Acknowledged, Closed, Settings, Welcome
from streamst.tls import self_signed

PATIENCE_S = 120.0
PIECE = np.zeros(1600, np.float32)


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


@contextlib.contextmanager
def running(pipeline: Pipeline, **options: Any) -> Iterator[tuple[str, PoliteServer]]:
    server, listener, address = prepare(
        pipeline, ServerOptions(port=0, refuse_when_busy=False, relieve_when_busy=False, **options)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address, server
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def address(pipeline: Pipeline) -> Iterator[str]:
    with running(pipeline) as (address, _):
        yield address


def collect(address: str, chunks: Any, settings: Settings | None = None, **options: Any) -> list[ServerEvent]:
    async def listen() -> list[ServerEvent]:
        return [event async for event in stream(address, chunks, settings, **options)]

    return asyncio.run(listen())


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ws://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/stream"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/v1/stream"),
        ("https://talks.example.org", "wss://talks.example.org/v1/stream"),
        ("wss://talks.example.org/de/v1/stream", "wss://talks.example.org/de/v1/stream"),
    ],
)
def test_an_address_may_be_given_as_people_copy_it(given: str, meant: str) -> None:
    assert stream_url(given) == meant


@pytest.mark.parametrize(
    "wrong", ["", "127.0.0.1:8000", "ftp://127.0.0.1", "ws://", "ws://127.0.0.1:99999", "ws://127.0.0.1:x", "ws://[::1"]
)
def test_what_is_no_address_is_said_so(wrong: str) -> None:
    with pytest.raises(InputError, match="is not a server's address; use ws://HOST:PORT"):
        stream_url(wrong)


def test_events_come_in_order_from_welcome_to_finished(address: str) -> None:
    events = collect(address, [PIECE] * 5)
    assert isinstance(events[0], Welcome)
    assert isinstance(events[-2], Closed)
    assert isinstance(events[-1], Finished)
    assert events[-1].samples == 8000
    assert [event.sequence for event in events if isinstance(event, Acknowledged)] == [0, 1, 2, 3, 4]


def test_who_stops_listening_leaves_nothing_behind(address: str) -> None:
    complaints: list[dict[str, Any]] = []

    async def listen() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async for event in stream(address, [PIECE] * 5):
            if isinstance(event, Welcome):
                raise InputError("the file cannot be written")

    with pytest.raises(InputError, match="cannot be written"):
        asyncio.run(listen())
    gc.collect()
    assert not complaints


def test_audio_may_come_from_an_asynchronous_source(address: str) -> None:
    async def microphone() -> AsyncIterator[Pcm]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield PIECE

    assert isinstance(collect(address, microphone())[-1], Finished)


def test_no_audio_at_all_is_a_short_stream(address: str) -> None:
    last = collect(address, [])[-1]
    assert isinstance(last, Finished)
    assert last.samples == 0


def test_in_real_time_no_piece_is_sent_before_it_could_have_been_spoken(address: str) -> None:
    async def listen() -> list[float]:
        began_s = time.monotonic()
        return [
            time.monotonic() - began_s - (event.sequence + 1) * 0.1
            async for event in stream(address, [np.zeros(8000, np.float32)], realtime=True)
            if isinstance(event, Acknowledged)
        ]

    early_s = asyncio.run(listen())
    assert len(early_s) == 5
    assert min(early_s) >= 0


def test_a_file_is_sent_no_faster_than_the_server_allows(pipeline: Pipeline) -> None:
    with running(pipeline, burst_s=5.0, speed_limit=4.0) as (address, _):
        last = collect(address, [np.zeros(16_000 * 16, np.float32)])[-1]
    assert isinstance(last, Finished)
    assert last.samples == 16_000 * 16


def test_a_source_that_breaks_off_is_told_after_what_it_gave_was_heard(address: str) -> None:
    def damaged() -> Iterator[Pcm]:
        yield PIECE
        yield PIECE
        raise InputError("talk.wav is truncated")

    seen: list[ServerEvent] = []

    async def listen() -> None:
        async for event in stream(address, damaged()):
            seen.append(event)

    with pytest.raises(InputError, match=r"talk\.wav is truncated"):
        asyncio.run(listen())
    assert isinstance(seen[-1], Closed)
    assert seen[-1].summary.samples == 3200


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        (np.zeros(1600, np.int16), r"int16 of shape \(1600,\)"),
        (np.zeros((800, 2), np.float32), r"float32 of shape \(800, 2\)"),
        (np.float32(0), r"float32 of shape \(\)"),
        (b"\0" * 320, "use float32"),
        (np.full(4, np.nan, np.float32), "4 values that are not numbers"),
    ],
)
def test_audio_that_would_be_noise_is_refused(address: str, chunk: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        collect(address, [PIECE, chunk])


def test_where_nobody_listens_is_said_with_the_address() -> None:
    with pytest.raises(UnavailableError, match=r"no StreamST server answers at ws://127\.0\.0\.1:9/v1/stream"):
        collect("ws://127.0.0.1:9", [PIECE])


def test_another_service_at_the_address_is_no_server_of_ours(address: str) -> None:
    with pytest.raises(UnavailableError, match="refuses"):
        collect(f"{address}/healthz", [PIECE])


def test_a_mistake_is_told_with_its_code_and_what_is_allowed(address: str) -> None:
    with pytest.raises(ProtocolError, match=r"'tlh'.*de") as caught:
        collect(address, [PIECE], Settings(target="tlh"))
    assert caught.value.code == 4400


def test_neural_settings_need_a_codec() -> None:
    with pytest.raises(InputError, match="give it as `codec`"):
        collect("ws://127.0.0.1:9", [PIECE], Settings(codec="neural"))


def test_a_server_that_dies_is_told_as_a_dropped_connection(pipeline: Pipeline) -> None:
    with running(pipeline) as (address, server):

        def endless() -> Iterator[Pcm]:
            for i in range(1000):
                server.should_exit = i > 3
                yield PIECE

        with pytest.raises(UnavailableError, match="dropped before the stream's end"):
            collect(address, endless(), realtime=True)


def test_leaving_in_the_midst_frees_the_place(pipeline: Pipeline) -> None:
    async def leave(address: str) -> None:
        events = stream(address, [PIECE] * 100, realtime=True)
        async for event in events:
            if isinstance(event, Acknowledged):
                break
        await events.aclose()  # pyright: ignore[reportAttributeAccessIssue]  # it is a generator

    with running(pipeline, max_sessions=1) as (address, _):
        for _ in range(3):
            asyncio.run(leave(address))
        assert isinstance(collect(address, [PIECE])[-1], Finished)


def test_a_self_signed_server_is_trusted_where_its_certificate_is(pipeline: Pipeline) -> None:
    import ssl

    with (
        self_signed("127.0.0.1") as (certificate, key),
        running(pipeline, tls_cert=certificate, tls_key=key) as (address, _),
    ):
        assert address.startswith("https://")
        trusting = ssl.create_default_context(cafile=certificate)
        assert isinstance(collect(address, [PIECE], tls=trusting)[-1], Finished)
        with pytest.raises(UnavailableError, match=r"is not trusted: self-signed certificate; --insecure"):
            collect(address, [PIECE])


def test_with_tls_browsers_are_told_to_come_back_with_it_and_without_they_are_not(pipeline: Pipeline) -> None:
    import ssl

    def told(url: str, trusted: ssl.SSLContext | None = None) -> str | None:
        direct = [urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=trusted)] if trusted else [])]
        with urllib.request.build_opener(*direct).open(f"{url}/healthz", timeout=60) as response:
            return response.headers["strict-transport-security"]

    with (
        self_signed("127.0.0.1") as (certificate, key),
        running(pipeline, tls_cert=certificate, tls_key=key) as (address, _),
    ):
        assert told(address, ssl.create_default_context(cafile=certificate)) == "max-age=31536000"
    with running(pipeline) as (address, _):
        assert told(address) is None


def test_a_redirect_to_another_host_is_not_followed_with_a_key(caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []

    async def go(offered: list[str]) -> None:
        def taken(connection: ServerConnection, request: Request) -> Response:
            shown.extend(request.headers.get_all("sec-websocket-protocol"))
            return connection.respond(403, "no")

        async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=taken) as elsewhere:
            there = f"ws://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/v1/stream"

            def lead(connection: ServerConnection, _: Request) -> Response:
                response = connection.respond(302, "there")
                response.headers["Location"] = there
                return response

            async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=lead) as first:
                address = f"ws://127.0.0.1:{first.sockets[0].getsockname()[1]}/v1/stream"
                with pytest.raises(UnavailableError, match=r"which the key is not meant for|refuses"):
                    await connect(address, offered, None)

    asyncio.run(go(["streamst.v1", "token.secret-of-mine"]))
    assert not shown
    asyncio.run(go(["streamst.v1"]))
    assert shown == ["streamst.v1"]
    assert not caplog.messages, "within one machine nobody listens"


@pytest.mark.parametrize("side", ["codec", "output_codec"])
def test_a_codec_that_no_server_speaks_is_refused_with_those_that_are(address: str, side: str) -> None:
    fields: dict[str, Any] = {side: "encodec"}
    with pytest.raises(InputError, match="'encodec' does not travel to a server; allowed: pcm16, opus, neural"):
        collect(address, [PIECE], Settings(**fields))
