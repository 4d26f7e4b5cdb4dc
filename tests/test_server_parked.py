"""Sessions that wait for their clients: the places they take, their reports, and who may come in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from returning import begun, hello, messages, opened, take
from serving import PATIENCE_S, hear_out, running
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.pipeline import Pipeline

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


def health(address: str) -> dict[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}/healthz", timeout=PATIENCE_S) as response:
        return json.loads(response.read())


def metric(address: str, name: str) -> float:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}/metrics", timeout=PATIENCE_S) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


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
