"""Rooms whose listeners are on other nodes than their speaker; the store is a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killable import killable
from rooming import LOW, heard, late_comer, link, opened_room, room_socket, spoken, text_of, three_times
from serving import CALM, PATIENCE_S, captions_of, get, hear_out, heard_of, pieces, running
from stores import free_port, store_server

from streamst.audio import Pcm
from streamst.client import stream
from streamst.events import Speech
from streamst.pipeline import Pipeline
from streamst.server.wire.seam import Closed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_server(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return three_times()


@pytest.fixture(scope="module")
def nodes(tiny_pipeline: Pipeline, store: str) -> Iterator[tuple[str, str]]:
    with running(tiny_pipeline, store=store) as one, running(tiny_pipeline, store=store) as other:
        yield one, other


def vtt(address: str, room: dict[str, str]) -> tuple[int, bytes]:
    status, _, body = get(f"{address}/v1/rooms/{room['id']}/captions.vtt?lang=en,de&token={room['token']}")
    return status, body


def test_who_listens_at_another_node_gets_what_the_speaker_gets_and_the_end(
    nodes: tuple[str, str], speech: Pcm
) -> None:
    async def scene() -> tuple[list[Any], list[Any], list[Any], dict[str, str]]:
        token, room = opened_room(nodes[0])
        there = [asyncio.Event(), asyncio.Event()]
        listeners = [
            asyncio.create_task(heard(link(node, room), inside, audio=True))
            for node, inside in zip(nodes, there, strict=True)
        ]
        await asyncio.gather(*(inside.wait() for inside in there))
        said = await spoken(nodes[0], speech, token)
        near, far = await asyncio.gather(*listeners)
        return said, near, far, room

    speaker, near, far, room = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert captions_of(far) == captions_of(near) == captions_of(speaker) != []
    assert np.array_equal(heard_of(far), heard_of(speaker))
    assert isinstance(far[-2], Closed)
    assert vtt(nodes[1], room) == vtt(nodes[0], room)
    assert len(vtt(nodes[0], room)[1]) > 100


def test_who_comes_late_to_another_node_reads_the_last_minute_and_finds_the_rest_as_a_file(
    nodes: tuple[str, str], speech: Pcm
) -> None:
    async def scene() -> tuple[list[Any], list[Any], tuple[int, bytes]]:
        token, room = opened_room(nodes[0])
        said, got = await late_comer(nodes[0], speech, token, link(nodes[1], room))
        return said, got, await asyncio.to_thread(vtt, nodes[1], room)

    speaker, late, (status, captions) = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert text_of(late) == text_of(speaker) != []
    assert text_of(late, "en") == text_of(speaker, "en")
    assert 0 < len(heard_of(late)) < len(heard_of(speaker))
    assert status == 200
    assert all(word.encode() in captions for word in " ".join(text_of(speaker)).split())


def test_a_room_and_its_place_are_good_on_any_node_and_early_listeners_are_led_there(
    nodes: tuple[str, str], speech: Pcm
) -> None:
    async def scene() -> tuple[list[Any], list[Any]]:
        token, room = opened_room(nodes[0])
        there = asyncio.Event()
        early = asyncio.create_task(heard(link(nodes[0], room), there))
        await there.wait()
        there.clear()

        async def blocks() -> AsyncIterator[Pcm]:
            for at, piece in enumerate(pieces(speech)):
                if at == 1:
                    await there.wait()  # the listener is welcomed where the speaker is
                yield piece

        said = [event async for event in stream(nodes[1], blocks(), LOW, token=token)]
        return said, await early

    speaker, early = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert captions_of(early) == captions_of(speaker) != []


def test_a_guessed_token_opens_no_room_of_another_node(nodes: tuple[str, str]) -> None:
    async def refused(room: dict[str, str], token: str | None) -> int | None:
        async with room_socket(nodes[1], room, token=token) as socket:
            return (await hear_out(socket))[1]

    _, room = opened_room(nodes[0])
    assert asyncio.run(refused(room, "guessed")) == 4401
    assert asyncio.run(refused({**room, "id": "000000000000"}, None)) == 4401
    status, _, body = get(f"{nodes[1]}/v1/rooms/{room['id']}/captions.vtt?token=guessed")
    assert (status, json.loads(body)["code"]) == (401, 4401)


def test_a_room_outlives_the_node_of_its_speaker(tiny_model: Path, store: str, speech: Pcm) -> None:
    with killable(str(tiny_model), store=store, snapshot_s=0.5, **CALM) as nodes:
        ports = [free_port() for _ in range(2)]
        urls = [nodes.start(port) for port in ports]
        other = urls[1].replace("ws", "http", 1)
        killed: list[int] = []

        async def scene() -> tuple[list[Any], list[Any]]:
            token, room = opened_room(urls[0].replace("ws", "http", 1))
            there = asyncio.Event()
            listener = asyncio.create_task(heard(link(other, room), there, audio=True))
            await there.wait()
            said: list[Any] = []
            async for event in stream(urls, pieces(speech), LOW, realtime=True, token=token):
                said.append(event)
                if isinstance(event, Speech) and len(said) >= 12 and not killed:
                    killed.append(ports[0])
                    nodes.kill(ports[0])
            return said, await listener

        speaker, listener = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert killed
    assert captions_of(listener) == captions_of(speaker) != []
    assert np.array_equal(heard_of(listener), heard_of(speaker))
