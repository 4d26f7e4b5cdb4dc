"""Rooms whose door stays shut, and talks that are over."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rooming import heard, link, opened_room, room_socket, spoken, three_times
from serving import PATIENCE_S, get, hear_out, running, talk
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from streamst.audio import Pcm
from streamst.client import room_url
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.pipeline import Pipeline
from streamst.server.wire.native import SUBPROTOCOL, pack_audio


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return three_times()


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=60, address_connections=0, address_rate=0) as address:
        yield address


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("&codec=mp3", 4400, "pcm16, opus, neural"),
        ("&audio=1&codec=opus&bitrate_bps=1", 4400, "output_bitrate_bps"),
        ("&after=99999", 4400, "after: 99999 was never said"),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(server: str, query: str, code: int, words: str) -> None:
    async def scene() -> Any:
        _, room = opened_room(server)
        async with room_socket(server, room, query) as listener:
            return await hear_out(listener)

    said, closed = asyncio.run(scene())
    assert closed == said[-1]["code"] == code
    assert words in said[-1]["message"]


def test_a_guessed_room_and_a_wrong_token_are_refused_alike(server: str) -> None:
    async def scene() -> list[Any]:
        _, room = opened_room(server)
        found: list[Any] = []
        for id, token in (("0123456789ab", room["token"]), (room["id"], "guess"), (room["id"], "ü")):
            async with room_socket(server, {"id": id, "token": "none"}, token=token) as listener:
                found.append(await hear_out(listener))
        return found

    refusals = asyncio.run(scene())
    assert all(closed == 4401 for _, closed in refusals)
    assert {said[-1]["message"] for said, _ in refusals} == {"no room of this name opens with this token"}
    status, _, body = get(f"{server}/v1/rooms/0123456789ab/captions.vtt?token=x")
    assert (status, json.loads(body)["code"]) == (401, 4401)


def test_a_listeners_token_speaks_nowhere(server: str) -> None:
    async def scene() -> tuple[Any, Any]:
        _, room = opened_room(server)
        url = f"{server.replace('http', 'ws', 1)}/v1/stream"
        offered = [Subprotocol(SUBPROTOCOL), Subprotocol(f"token.{room['token']}")]
        async with connect(url, subprotocols=offered, proxy=None) as speaker:
            refused = await hear_out(speaker)
        async with room_socket(server, room) as listener:
            await listener.send(pack_audio("pcm16", 0, 0, bytes(320)))
            return refused, await hear_out(listener)

    (spoke, at_door), (said, inside) = asyncio.run(scene())
    assert at_door == 4401
    assert "for listening in a room" in spoke[-1]["message"]
    assert inside == 1003
    assert "cannot speak" in said[-1]["message"]


def test_after_the_end_the_captions_are_there_and_the_talk_is_over(server: str, speech: Pcm) -> None:
    async def scene() -> dict[str, str]:
        token, room = opened_room(server)
        await spoken(server, speech, token)
        with pytest.raises(ProtocolError, match=r"the talk is over; its captions: /v1/rooms/.*/captions.vtt") as caught:
            await heard(link(server, room))
        assert caught.value.code == 4410
        async with room_socket(server, room, "&after=1") as back:
            said, closed = await hear_out(back)
        assert (said[-1]["type"], closed) == ("closed", 1000)
        return room

    room = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    where = f"{server}/v1/rooms/{room['id']}/captions"
    status, headers, srt = get(f"{where}.srt?lang=en,de", authorization=f"Bearer {room['token']}")
    assert (status, headers["content-type"]) == (200, "application/x-subrip; charset=utf-8")
    assert srt.startswith(b"1\n00:00:")
    status, _, body = get(f"{where}.vtt?lang=fr&token={room['token']}")
    assert (status, json.loads(body)["message"]) == (400, "lang: 'fr'; allowed: en, de")


def test_there_are_as_many_listeners_as_there_may_be(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str) -> list[str]:
        _, room = opened_room(address)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                await (await stack.enter_async_context(room_socket(address, room))).recv()
            with pytest.raises(UnavailableError) as caught:
                await heard(link(address, room))
            full = str(caught.value)
        async with room_socket(address, room) as again:
            return [full, json.loads(await again.recv())["type"]]

    for options, words in (
        ({"room_listeners": 2}, "the room is full: it holds 2 listeners"),
        ({"max_listeners": 2}, "all 2 listeners' places are taken"),
        ({"address_listeners": 2}, "2 listeners are allowed from one address"),
    ):
        with running(tiny_pipeline, **options) as address:
            full, again = asyncio.run(asyncio.wait_for(scene(address), PATIENCE_S))
        assert words in full
        assert again == "welcome"


def test_a_server_may_have_no_rooms(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, max_listeners=0) as address:
        status, _, body = get(f"{address}/v1/sessions", b'{"room": true}')
        said, closed = asyncio.run(talk(address, '{"type":"config","room":true}'))
    assert (status, closed) == (403, 1008)
    assert "rooms are turned off" in json.loads(body)["message"] == said[-1]["message"]


def test_a_room_is_over_when_its_speaker_never_comes(tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamst.server.session import routes

    async def scene(address: str) -> Any:
        _, room = opened_room(address)
        async with room_socket(address, room) as listener:
            return await hear_out(listener)

    monkeypatch.setattr(routes, "BEGIN_S", 0.5)
    with running(tiny_pipeline, reservation_s=3.0) as address:
        said, closed = asyncio.run(asyncio.wait_for(scene(address), PATIENCE_S))
    assert (said[-1]["summary"]["reason"], closed) == ("expired", 1000)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000/listen/ab#t", "ws://127.0.0.1:8000/v1/rooms/ab/stream"),
        ("https://talks.example.org/de/overlay/ab?lang=de#t", "wss://talks.example.org/de/v1/rooms/ab/stream"),
        ("ws://h:1/v1/rooms/ab/stream?token=t", "ws://h:1/v1/rooms/ab/stream"),
    ],
)
def test_a_rooms_link_is_read_as_people_copy_it(url: str, address: str) -> None:
    assert room_url(url) == (address, "t")


@pytest.mark.parametrize(
    "url", ["", "http://h:1/listen/ab", "http://h:1/#t", "ftp://h/listen/ab#t", "http://[::1/listen/a#t"]
)
def test_what_is_no_rooms_link_is_told(url: str) -> None:
    with pytest.raises(InputError, match="is not a room's link; use one like"):
        room_url(url)
