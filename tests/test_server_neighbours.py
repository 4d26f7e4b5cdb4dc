"""What one client does costs no other one its place, its session or its time: on a real port, with low limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from serving import END, PATIENCE_S, audio, get, health, hear_out, opened, running, wait_until_empty
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamst.pipeline import Pipeline
from streamst.server.session import sessions

HERE, THERE = "127.0.0.1", "127.0.0.2"


@asynccontextmanager
async def from_(place: str, address: str, token: str | None = None) -> AsyncIterator[ClientConnection]:
    names = ("streamst.v1", *([] if token is None else [f"token.{token}"]))
    async with opened(address, subprotocols=names, local_addr=(place, 0)) as socket:
        yield socket


async def take(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            message = await socket.recv()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                return json.loads(message)


async def parked(place: str, address: str) -> dict[str, Any]:
    """The welcome of a session that heard something and whose connection dropped."""
    async with from_(place, address) as socket:
        welcome = await take(socket, "welcome")
        await socket.send(audio())
        await take(socket, "ack")
        before = health(address)["sessions"]
        socket.transport.abort()
    async with asyncio.timeout(PATIENCE_S):
        while health(address)["sessions"] >= before:
            await asyncio.sleep(0.02)
    return welcome


async def resumed(place: str, address: str, welcome: dict[str, Any]) -> int | None:
    async with from_(place, address, welcome["resume_token"]) as socket:
        with suppress(ConnectionClosed):
            await socket.send(json.dumps({"type": "hello", "last_sequence": 0}))
            await socket.send(END)
        return (await hear_out(socket))[1]


def gauge(address: str, name: str) -> float:
    lines = get(f"{address}/metrics")[2].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_a_session_that_heard_nothing_is_not_kept_for_its_clients_return(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str) -> int | None:
        async with from_(HERE, address) as socket:
            welcome = await take(socket, "welcome")
            socket.transport.abort()
        while health(address)["sessions"]:
            await asyncio.sleep(0.02)
        assert gauge(address, "streamst_sessions_parked") == 0
        return await resumed(HERE, address, welcome)

    with running(tiny_pipeline) as address:
        assert asyncio.run(scene(address)) in (4401, 4410)


def test_who_parks_many_sessions_crowds_out_only_its_own(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str) -> list[int | None]:
        mine = await parked(THERE, address)
        others = [await parked(HERE, address) for _ in range(4)]
        return [await resumed(THERE, address, mine), *[await resumed(HERE, address, one) for one in others]]

    with running(tiny_pipeline, max_parked=3) as address:
        mine, *others = asyncio.run(scene(address))
    assert mine == 1000
    assert others == [4410, 4410, 1000, 1000]


def test_places_kept_for_an_address_count_for_it_as_its_sessions_do(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, address_sessions=2) as address:
        answers = [get(f"{address}/v1/sessions", b"{}")[0] for _ in range(4)]
        assert answers == [201, 201, 429, 429]

        async def scene() -> list[dict[str, Any]]:
            async with from_(HERE, address) as socket:
                return (await hear_out(socket))[0]

        (error,) = asyncio.run(scene())
        assert error["code"] == 4429
        assert "2 sessions at once are allowed from one address" in error["message"]


def test_a_return_counts_for_the_share_of_an_address_too(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str) -> tuple[int | None, int | None, int | None]:
        first = await parked(HERE, address)
        async with from_(HERE, address) as socket:
            await take(socket, "welcome")
            refused = await resumed(HERE, address, first)
            await socket.send(END)
            done = (await hear_out(socket))[1]
        return refused, done, await resumed(HERE, address, first)

    with running(tiny_pipeline, address_sessions=1) as address:
        assert asyncio.run(scene(address)) == (4429, 1000, 1000)


def test_when_all_places_are_taken_the_silent_give_way_and_who_speaks_stays(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENT_S", 0.3)

    async def scene(address: str) -> tuple[Any, ...]:
        async with AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(from_(HERE, address)) for _ in range(2)]
            speaking = await stack.enter_async_context(from_(HERE, address))
            await speaking.send(audio())
            await take(speaking, "ack")
            await asyncio.sleep(0.5)
            new = await stack.enter_async_context(from_(THERE, address))
            await take(new, "welcome")
            ended = await asyncio.wait_for(
                asyncio.wait(
                    [asyncio.create_task(hear_out(one)) for one in silent], return_when=asyncio.FIRST_COMPLETED
                ),
                PATIENCE_S,
            )
            said, code = next(iter(ended[0])).result()
            for one in ended[1]:
                one.cancel()
            await speaking.send(END)
            await new.send(END)
            return said[-1], code, (await hear_out(speaking))[1], (await hear_out(new))[1]

    with running(tiny_pipeline, max_sessions=3) as address:
        error, code, spoke, came = asyncio.run(scene(address))
    assert (error["code"], code) == (1013, 1013)
    assert "nothing was heard here" in error["message"]
    assert (spoke, came) == (1000, 1000)


def test_who_only_says_that_it_is_there_holds_a_place_for_a_while_only(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str) -> None:
        url = address.replace("http", "ws", 1) + "/v1/listen?encoding=linear16&sample_rate=16000"
        async with asyncio.timeout(PATIENCE_S), connect(url, proxy=None) as socket:
            while socket.close_code is None:
                try:
                    await socket.send('{"type":"KeepAlive"}')
                except ConnectionClosed:
                    break
                await asyncio.sleep(0.1)
        assert socket.close_code == 1011

    with running(tiny_pipeline, idle_s=0.5, silence_s=1.0) as address:
        asyncio.run(scene(address))
        wait_until_empty(address)


def test_clients_that_come_and_go_without_a_word_do_not_make_the_machine_busy(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(12):
                held = await stack.enter_async_context(from_(HERE, address))
                await take(held, "welcome")
            for _ in range(12):
                async with from_(HERE, address) as socket:
                    await take(socket, "welcome")
                    socket.transport.abort()
            assert get(f"{address}/readyz")[0] == 200
            new = await stack.enter_async_context(from_(THERE, address))
            await take(new, "welcome")

    with running(tiny_pipeline, refuse_when_busy=True) as address:
        asyncio.run(scene(address))
