"""Sessions that outlive their connections: whatever is cut and whenever, nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import PATIENCE_S, captions_of, heard_of, pieces, running, words_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.client.audio import Exchange
from streamst.errors import UnavailableError
from streamst.events import Event, Finished
from streamst.pipeline import Pipeline
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Acknowledged, Settings, Welcome

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
END = '{"type":"end"}'


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """Some seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 6]))


@pytest.fixture(scope="module")
def server(pipeline: Pipeline) -> Iterator[str]:
    with running(pipeline) as address:
        yield address


def messages(pcm: Pcm, samples: int = 1600, first: int = 0) -> list[bytes]:
    """Audio messages as a client sends them."""
    return [
        pack_audio("pcm16", first + i, i * samples, to_pcm16(piece)) for i, piece in enumerate(pieces(pcm, samples))
    ]


def alone(pipeline: Pipeline, pcm: Pcm) -> list[Event]:
    """What a session on this computer says, without any server."""
    session = pipeline.session(latency="medium")
    return [*[event for piece in pieces(pcm) for event in session.push(piece)], *session.finish()]


def opened(address: str, *tokens: str) -> connect:
    names = [SUBPROTOCOL, *(f"token.{token}" for token in tokens)]
    place = address.replace("http", "ws", 1) + "/v1/stream"
    return connect(place, subprotocols=[Subprotocol(name) for name in names], proxy=None)


async def take(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind; others are let go."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = await socket.recv()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                return json.loads(message)


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


async def begun(socket: ClientConnection) -> dict[str, Any]:
    """The welcome of a session that has heard a moment of silence, and so is waited for."""
    welcome = await take(socket, "welcome")
    await socket.send(pack_audio("pcm16", 0, 0, bytes(3200)))
    await take(socket, "ack")
    return welcome


def hello(welcome: dict[str, Any], last_sequence: int = 0) -> str:
    token = welcome["resume_token"]
    return json.dumps({"type": "hello", "resume_token": token, "last_sequence": last_sequence})


def health(address: str) -> dict[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}/healthz", timeout=PATIENCE_S) as response:
        return json.loads(response.read())


def metric(address: str, name: str) -> float:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}/metrics", timeout=PATIENCE_S) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


class CuttingProxy:
    """Passes bytes on between a client and a server, and cuts each connection after some of them, without a word."""

    def __init__(self, address: str, seed: int, cuts: int, most_bytes: int) -> None:
        self.host, port = address.removeprefix("http://").split(":")
        self.port = int(port)
        self.random = random.Random(seed)
        self.cuts_left, self.most_bytes, self.cuts = cuts, most_bytes, 0

    async def __aenter__(self) -> CuttingProxy:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        left = self.random.randint(1, self.most_bytes) if self.cuts_left > 0 else None
        self.cuts_left -= 1

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal left
            while data := await source.read(4096):
                if left is not None:
                    sink.write(data[: max(0, left)])
                    left -= len(data)
                    if left <= 0:
                        self.cuts += 1
                        return
                else:
                    sink.write(data)
                await sink.drain()

        ways = [asyncio.create_task(pump(reader, there_writer)), asyncio.create_task(pump(there_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (writer, there_writer):
                side.transport.abort()


async def through_cuts(address: str, pcm: Pcm, seed: int, cuts: int, most_bytes: int) -> tuple[list[Any], int]:
    """All events of a stream whose connection is cut so many times, and how often it was."""
    async with CuttingProxy(address, seed, cuts, most_bytes) as proxy:
        events = [event async for event in stream(proxy.address, pieces(pcm), Settings())]
        return events, proxy.cuts


# --- the whole way: a client, a network that fails, a server


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_that_is_cut_many_times_says_what_it_says_uncut(
    server: str, pipeline: Pipeline, speech: Pcm, seed: int
) -> None:
    events, cuts = asyncio.run(through_cuts(server, speech, seed, cuts=20, most_bytes=60_000))
    local = alone(pipeline, speech)
    assert cuts >= 3
    assert words_of(local)
    assert words_of(events) == words_of(local)
    assert captions_of(events) == captions_of(local)
    np.testing.assert_allclose(heard_of(events), np.clip(heard_of(local), -1, 1), atol=1 / 32_000)
    acknowledged = [event.sequence for event in events if isinstance(event, Acknowledged)]
    assert acknowledged == list(range(len(pieces(speech))))
    assert len({event.session_id for event in events if isinstance(event, Welcome)}) == 1
    assert isinstance(events[-1], Finished)
    assert events[-1].samples == len(speech)


def test_a_client_whose_session_is_gone_says_so(pipeline: Pipeline, speech: Pcm) -> None:
    async def listen(address: str) -> None:
        async with CuttingProxy(address, 1, cuts=10, most_bytes=30_000) as proxy:
            async for _ in stream(proxy.address, pieces(speech), realtime=True):
                pass

    with (
        running(pipeline, park_s=0.0) as address,
        pytest.raises(UnavailableError, match="dropped"),
    ):
        asyncio.run(listen(address))


def test_the_client_keeps_to_its_credit(pipeline: Pipeline) -> None:
    async def most_on_way(address: str) -> float:
        sent_ms, most = 0.0, 0.0
        exchange = Exchange()
        async for event in stream(address, [np.zeros(16_000 * 8, np.float32)], exchange=exchange):
            if isinstance(event, Acknowledged):
                sent_ms = exchange.up.payload_bytes / 32
                most = max(most, sent_ms - event.samples / 16)
        return most

    with running(pipeline, credit_s=0.5) as address:
        assert asyncio.run(most_on_way(address)) <= 600  # the message that was just acknowledged makes room for one


# --- the protocol, by hand


def test_what_was_not_got_is_said_again_and_nothing_else(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    sent = messages(speech)

    async def twice() -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], int, int | None]:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            for message in sent[:25]:
                await socket.send(message)
            last = (await take(socket, "words"))["n"]
            socket.transport.abort()
        async with opened(server, first["resume_token"]) as socket:
            await socket.send(hello(first, last))
            again = await take(socket, "welcome")
            for message in sent[again["next_sequence"] :]:
                await socket.send(message)
            await socket.send(END)
            said, code = await hear_out(socket)
            return first, again, said, last, code

    first, again, said, last, code = asyncio.run(twice())
    assert code == 1000
    assert (first["resumed"], again["resumed"]) == (False, True)
    assert again["session_id"] == first["session_id"]
    assert again["resume_token"] != first["resume_token"]
    assert again["samples"] == 1600 * again["next_sequence"]
    numbers = [message["n"] for message in said if "n" in message]
    assert numbers == list(range(last + 1, last + 1 + len(numbers)))
    texts = [word for _, _, words in words_of(alone(pipeline, speech)) for word in words]
    after = [word for message in said if message["type"] == "words" for word in message["words"]]
    assert after == texts[len(texts) - len(after) :]
    assert said[-1]["summary"]["samples"] == len(speech)
    assert said[-1]["summary"]["resumed"] == 1


def test_audio_that_comes_twice_is_heard_once(server: str, speech: Pcm) -> None:
    sent = messages(speech[:16_000])

    async def repeat(recut: bool) -> dict[str, Any]:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            for message in sent[:6]:
                await socket.send(message)
            await take(socket, "ack")
            socket.transport.abort()
        async with opened(server) as socket:  # the token in the first message, too
            await socket.send(hello(first))
            again = await take(socket, "welcome")
            while not again["resumed"]:
                again = await take(socket, "welcome")
            if recut:  # in pieces of another size, from a little before what came
                begin = max(0, again["samples"] - 700)
                for i, at in enumerate(range(begin, 16_000, 1000)):
                    payload = to_pcm16(speech[at : min(at + 1000, 16_000)])
                    await socket.send(pack_audio("pcm16", again["next_sequence"] + i, at, payload))
            else:
                for message in sent:
                    await socket.send(message)
            await socket.send(END)
            return (await hear_out(socket))[0][-1]["summary"]

    for recut in (False, True):
        assert asyncio.run(repeat(recut))["samples"] == 16_000


def test_a_gap_in_the_audio_of_who_comes_back_is_refused(server: str, speech: Pcm) -> None:
    async def gap() -> int | None:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            await socket.send(messages(speech)[0])
            await take(socket, "ack")
            socket.transport.abort()
        async with opened(server, first["resume_token"]) as socket:
            await socket.send(hello(first))
            await socket.send(messages(speech)[5])
            return (await hear_out(socket))[1]

    assert asyncio.run(gap()) == 4400


def test_the_last_word_can_be_fetched_by_who_missed_it(server: str) -> None:
    async def miss() -> tuple[list[dict[str, Any]], int | None]:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            await socket.send(messages(np.zeros(3200, np.float32))[0])
            await socket.send(END)
            closed = await take(socket, "closed")
            socket.transport.abort()
        async with opened(server, first["resume_token"]) as socket:
            await socket.send(hello(first, closed["n"] - 1))
            return await hear_out(socket)

    said, code = asyncio.run(miss())
    assert code == 1000
    assert [message["type"] for message in said] == ["welcome", "closed"]
    assert said[0]["ended"]


def test_a_newer_connection_takes_over_from_a_half_open_one(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    sent = messages(speech)

    async def both() -> tuple[list[dict[str, Any]], int | None, list[dict[str, Any]], int | None]:
        async with opened(server) as old:
            first = await take(old, "welcome")
            for message in sent[:5]:
                await old.send(message)
            await take(old, "ack")
            async with opened(server, first["resume_token"]) as new:
                await new.send(hello(first))
                again = await take(new, "welcome")
                old_said, old_code = await hear_out(old)
                for message in sent[again["next_sequence"] :]:
                    await new.send(message)
                await new.send(END)
                new_said, new_code = await hear_out(new)
                return old_said, old_code, new_said, new_code

    old_said, old_code, new_said, new_code = asyncio.run(both())
    assert old_code == 4409
    assert (old_said[-1]["type"], old_said[-1]["name"]) == ("error", "superseded")
    assert new_code == 1000
    words = [tuple(message["words"]) for message in new_said if message["type"] == "words"]
    assert words == [words for _, _, words in words_of(alone(pipeline, speech))]


def test_who_never_saw_the_new_token_comes_back_with_the_old_one_but_not_later(server: str) -> None:
    async def come_back(token: dict[str, Any], *, stay: bool) -> tuple[dict[str, Any], int | None]:
        async with opened(server, token["resume_token"]) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(hello(token))
            said = json.loads(await socket.recv())
            if stay and said["type"] == "welcome":
                await socket.send('{"type":"ping","id":1}')
                await take(socket, "pong")
            socket.transport.abort()
            return said, socket.close_code

    async def several() -> list[str]:
        async with opened(server) as socket:
            first = await begun(socket)
            socket.transport.abort()
        kinds = []
        for stay in (False, False, True, False):  # as if the welcome was lost twice, and came the third time
            said, _ = await come_back(first, stay=stay)
            kinds.append(said["type"])
        return kinds

    assert asyncio.run(several()) == ["welcome", "welcome", "welcome", "error"]


@pytest.mark.parametrize("in_handshake", [True, False])
def test_a_token_that_is_none_opens_nobodys_session(server: str, in_handshake: bool) -> None:
    async def guess() -> tuple[list[dict[str, Any]], int | None]:
        async with opened(server, *(["guessed"] if in_handshake else [])) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(hello({"resume_token": "guessed"}))
            return await hear_out(socket)

    said, code = asyncio.run(guess())
    assert code == 4401
    assert said[-1]["code"] == 4401


def test_who_comes_back_too_late_is_told_so(pipeline: Pipeline) -> None:
    async def late(address: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address) as socket:
            first = await begun(socket)
            socket.transport.abort()
        while True:  # until the session is over, which nobody tells
            async with opened(address, first["resume_token"]) as socket:
                await asyncio.sleep(0.3)
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(hello(first))
                said, code = await hear_out(socket)
                if code is not None and code != 1006:
                    return said, code

    with running(pipeline, park_s=0.1) as address:
        said, code = asyncio.run(late(address))
    assert code == 4410
    assert said[-1]["name"] == "resume_expired"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (END, 4400),  # anything but hello
        ('{"type":"hello","last_sequence":99}', 4400),  # an answer that was never given
        ('{"type":"hello","last_sequence":-1}', 4400),
        ("nonsense", 1007),
        (b"\1", 1007),
    ],
)
def test_who_comes_back_must_say_hello_properly(server: str, first: str | bytes, code: int) -> None:
    async def mumble() -> int | None:
        async with opened(server) as socket:
            welcome = await begun(socket)
            socket.transport.abort()
        async with opened(server, welcome["resume_token"]) as socket:
            await socket.send(first)
            return (await hear_out(socket))[1]

    assert asyncio.run(mumble()) == code


def test_a_token_in_the_midst_of_a_stream_is_refused(server: str) -> None:
    async def late() -> int | None:
        async with opened(server) as socket:
            welcome = await take(socket, "welcome")
            await socket.send('{"type":"config"}')
            await socket.send(hello(welcome))
            return (await hear_out(socket))[1]

    assert asyncio.run(late()) == 4400


# --- places


def test_a_parked_session_takes_no_place(pipeline: Pipeline) -> None:
    async def come_back(address: str) -> tuple[int | None, int | None]:
        async with opened(address) as socket:
            first = await begun(socket)
            socket.transport.abort()
        deadline = time.monotonic() + PATIENCE_S
        while health(address)["sessions"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert metric(address, "streamst_sessions_parked") == 1
        async with opened(address) as other:
            await take(other, "welcome")
            async with opened(address, first["resume_token"]) as socket:
                await socket.send(hello(first))
                await take(socket, "welcome")
                assert metric(address, "streamst_sessions_parked") == 0
                await socket.send(END)
                code = (await hear_out(socket))[1]
            await other.send(END)
            return code, (await hear_out(other))[1]

    with running(pipeline, max_sessions=1) as address:
        assert asyncio.run(come_back(address)) == (1000, 1000)


def test_when_too_many_are_parked_the_oldest_is_over(pipeline: Pipeline) -> None:
    async def park(address: str) -> list[int | None]:
        welcomes = []
        for _ in range(3):
            async with opened(address) as socket:
                welcomes.append(await begun(socket))
                socket.transport.abort()
            while health(address)["sessions"]:
                await asyncio.sleep(0.02)
        codes = []
        for welcome in welcomes:
            async with opened(address, welcome["resume_token"]) as socket:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(hello(welcome))
                    await socket.send(END)
                codes.append((await hear_out(socket))[1])
        return codes

    with running(pipeline, max_parked=2) as address:
        assert asyncio.run(park(address)) == [4410, 1000, 1000]


def test_who_leaves_in_good_order_is_not_waited_for(server: str) -> None:
    async def leave() -> int | None:
        async with opened(server) as socket:
            welcome = await take(socket, "welcome")
        while health(server)["sessions"]:
            await asyncio.sleep(0.02)
        async with opened(server, welcome["resume_token"]) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(hello(welcome))
            return (await hear_out(socket))[1]

    assert asyncio.run(leave()) == 4410


# --- reports, and who may come in


def get(address: str, path: str, token: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and body of a GET."""
    request = urllib.request.Request(address + path)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=PATIENCE_S) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_the_report_of_a_session_is_for_who_has_its_token(server: str, speech: Pcm) -> None:
    async def one() -> tuple[dict[str, Any], dict[str, Any]]:
        async with opened(server) as socket:
            welcome = await take(socket, "welcome")
            for message in messages(speech):
                await socket.send(message)
            await socket.send(END)
            return welcome, (await hear_out(socket))[0][-1]["summary"]

    welcome, summary = asyncio.run(one())
    path = f"/v1/sessions/{welcome['session_id']}/report"
    status, report = get(server, path, welcome["resume_token"])
    assert status == 200
    assert report["reason"] == "done"
    assert report["words"] == summary["words"] > 0
    assert report["first_word_ms"] > 0
    assert report["lag_ms"]["p50"] <= report["lag_ms"]["p95"] <= report["lag_ms"]["p99"]
    assert report["dropped_ms"] == 0
    for token in (None, "guessed"):
        assert get(server, path, token)[0] == 401
    assert get(server, "/v1/sessions/unknown/report", welcome["resume_token"])[0] == 401


def test_a_server_with_keys_serves_who_shows_one(pipeline: Pipeline, tmp_path: Path) -> None:
    key = "a secret of some length".replace(" ", "-")
    path = tmp_path / "keys.toml"
    path.write_text(f'[[keys]]\nname = "talks"\nkey = "{key}"\nmax_sessions = 1\n')

    async def knock(address: str, *tokens: str) -> int | None:
        async with opened(address, *tokens) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(END)
            return (await hear_out(socket))[1]

    async def second(address: str) -> int | None:
        async with opened(address, key) as first:
            await take(first, "welcome")
            return await knock(address, key)

    with running(pipeline, api_keys=str(path)) as address:
        assert asyncio.run(knock(address)) == 4401
        assert asyncio.run(knock(address, "guessed")) == 4401
        assert asyncio.run(knock(address, key)) == 1000
        assert asyncio.run(second(address)) == 4429


def test_a_flood_of_connections_from_one_address_is_refused_at_the_door(pipeline: Pipeline) -> None:
    async def flood(address: str) -> list[int]:
        answers = []
        for _ in range(6):
            try:
                async with opened(address) as socket:
                    await take(socket, "welcome")
                    answers.append(101)
            except InvalidStatus as error:
                answers.append(error.response.status_code)
        return answers

    with running(pipeline, address_rate=4) as address:
        assert asyncio.run(flood(address)) == [101] * 4 + [429] * 2
        assert get(address, "/healthz")[0] == 200
