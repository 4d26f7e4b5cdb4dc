"""Several nodes: who has room, places that any of them gives, limits that count on all; and one that is killed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killable import Nodes, killable
from returning import opened
from serving import CALM, PATIENCE_S, get, heard_of, pieces, running, words_of
from stores import free_port, store_server

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import conversation, stream
from streamst.errors import InputError
from streamst.events import Speech, Words
from streamst.pipeline import Pipeline
from streamst.server.session.table import BEAT_S, Table, Told, folded
from streamst.server.store.sealed import Seal
from streamst.server.wire.seam import Settings

HOUR_S = 3600.0
SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_server(tmp_path_factory.mktemp("store")) as address:
        yield address


def told(*tables: tuple[str, Told]) -> dict[str, bytes]:
    return {name: Table(name, Seal()).packed(one) for name, one in tables}


def test_a_node_with_more_room_is_named_and_its_places_are_counted_down() -> None:
    table = Table("me", Seal(), random.Random(1))
    assert table.roomier(0) is None
    others = told(
        ("me", Told("ws://me", 99)), ("a", Told("ws://a", 3)), ("b", Told("ws://b", 2)), ("c", Told(None, 50)),
        ("full", Told("ws://full", 0)),
    )  # fmt: skip
    assert table.read(others) == []
    assert table.roomier(3) is None
    assert table.roomier(2) == "ws://a"
    assert table.roomier(2) is None
    assert Counter(table.roomier(0) for _ in range(6)) == {"ws://a": 2, "ws://b": 2, None: 2}


def test_many_who_ask_at_once_are_spread_over_the_nodes_by_their_room() -> None:
    others = {str(n): Told(f"ws://{n}", 10 + 10 * (n % 2)) for n in range(20)}
    named: Counter[str | None] = Counter()
    for asked in range(300):  # each at a node that knows nothing of the others' asking
        table = Table("me", Seal(), random.Random(asked))
        table.know(others)
        named[table.roomier(0)] += 1
    assert all(named[told.url] <= 2.5 * told.free for told in others.values())
    roomy = sum(named[told.url] for told in others.values() if told.free == 20)
    assert 0.55 < roomy / 300 < 0.8


def test_sessions_of_keys_and_addresses_add_up_over_nodes_and_nobody_is_told_an_address() -> None:
    table, address = Table("me", Seal()), "192.0.2.7"
    a = Told("ws://a", 1, None, {"talks": 2}, {folded(address): 3})
    values = told(("a", a), ("b", Told("ws://b", 1, 12.5, {"talks": 1}, {folded(address): 1})))
    assert address.encode() not in b"".join(values.values())
    table.read(values)
    assert (table.of_key("talks"), table.of_key("other"), table.of_address(address)) == (3, 0, 4)
    table.read({})
    assert (table.of_key("talks"), table.of_address(address)) == (0, 0)


def test_what_cannot_be_read_of_a_node_is_left_out_and_told() -> None:
    table = Table("me", Seal())
    strange = Seal().close("node/odd", b'{"url": 7}')
    wrong = table.read({"junk": b"\x80\x04", "odd": strange, **told(("a", Told("ws://a", 1)))})
    assert len(wrong) == 2
    assert len(table) == 1
    with pytest.raises(InputError):
        Seal().open("node/other", strange)


def place(address: str) -> dict[str, str]:
    status, _, body = get(f"{address}/v1/sessions", b"{}")
    assert status == 201
    return json.loads(body)


async def serves(address: str, token: str) -> int | str:
    """The session that a token opens, or the code of the refusal."""
    async with opened(address, token) as socket:
        first = json.loads(await socket.recv())
        return first["session_id"] if first["type"] == "welcome" else first["code"]


def test_a_place_is_given_by_any_node_and_once(tiny_pipeline: Pipeline, store: str) -> None:
    with running(tiny_pipeline, store=store) as one, running(tiny_pipeline, store=store) as other:
        offered = place(one)
        assert offered["url"] == "/v1/stream"
        assert asyncio.run(serves(other, offered["token"])) == offered["session_id"]
        assert asyncio.run(serves(other, offered["token"])) == 4401
        offered = place(one)
        assert asyncio.run(serves(one, offered["token"])) == offered["session_id"]
        assert asyncio.run(serves(other, offered["token"])) == 4401
        assert asyncio.run(serves(other, "place.guessed")) == 4401


def test_a_full_node_names_one_that_has_room(tiny_pipeline: Pipeline, store: str) -> None:
    async def await_url(address: str, url: str) -> dict[str, str]:
        async with asyncio.timeout(60):
            while (offered := await asyncio.to_thread(place, address))["url"] != f"{url}/v1/stream":
                await asyncio.sleep(0.2)
            return offered

    with (
        running(tiny_pipeline, store=store, node_url="ws://big.example", max_sessions=40) as big,
        running(tiny_pipeline, store=store, node_url="ws://small.example", max_sessions=1) as small,
    ):
        offered = asyncio.run(await_url(small, "ws://big.example"))
        assert asyncio.run(serves(big, offered["token"])) == offered["session_id"]


def test_minutes_and_sessions_of_a_key_count_on_all_nodes(
    tiny_pipeline: Pipeline, store: str, speech: Pcm, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    limits = {"minutes": "minutes_per_day = 0.05", "rate": "sessions_per_minute = 4"}
    for name, limit in limits.items():
        with keys.open("a") as file:
            file.write(f'[[keys]]\nname = "{name}"\nkey = "{name:-<16}"\n{limit}\n')

    def ask(url: str, key: str) -> tuple[int, str]:
        status, _, body = get(f"{url}/v1/sessions", b"{}", Authorization=f"Bearer {key:-<16}")
        return status, json.loads(body).get("message", "")

    async def talk(url: str) -> None:
        async for _ in stream(url, pieces(speech[: 16_000 * 4]), Settings(), token=f"{'minutes':-<16}"):
            pass

    def refusal(url: str, key: str) -> tuple[int, str]:
        """How often a place was given before it was refused, and why."""
        for given in range(12):
            status, message = ask(url, key)
            if status == 429:
                return given, message
            assert status == 201
            time.sleep(2 * BEAT_S)
        raise AssertionError("never refused")

    many: dict[str, Any] = {"store": store, "api_keys": str(keys), "max_sessions": 40}
    with running(tiny_pipeline, **many) as one, running(tiny_pipeline, **many) as other:
        asyncio.run(talk(one))
        assert refusal(other, "minutes")[1].startswith("this key's 0.05 minutes a day are used up")
        assert [ask(one, "rate")[0] for _ in range(3)] == [201] * 3
        given, message = refusal(other, "rate")
        assert message.startswith("4 sessions a minute")
        assert given < 4  # more than there were here


@pytest.fixture(scope="module")
def nodes(tiny_model: Path, store: str) -> Iterator[Nodes]:
    with killable(str(tiny_model), store=store, snapshot_s=0.5, **CALM) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 7]))


@pytest.fixture(scope="module")
def alone(tiny_pipeline: Pipeline, speech: Pcm) -> list[Any]:
    """The uninterrupted talk."""
    session = tiny_pipeline.session(latency="medium")
    return [*session.push(speech), *session.finish()]


async def talk(urls: list[str], speech: Pcm, disturb: Callable[[int], Awaitable[bool]]) -> list[Any]:
    """What is heard of a talk; `disturb` is called after every word and told how many events there were."""
    said: list[Any] = []
    async for event in stream(urls, pieces(speech), Settings(latency="medium"), realtime=True):
        said.append(event)
        if isinstance(event, Words | Speech):
            await disturb(len(said))
    return said


def assert_same(said: list[Any], alone: list[Any]) -> None:
    assert [words for _, _, words in words_of(said)] == [words for _, _, words in words_of(alone)]
    assert len(heard_of(said)) == len(heard_of(alone))


def test_a_node_that_is_killed_again_and_again_loses_no_word_and_doubles_none_whatever_the_clocks_say(
    nodes: Nodes, speech: Pcm, alone: list[Any]
) -> None:
    kills = 0

    async def kill(events: int) -> bool:
        nonlocal kills
        if kills == 3 or events < 12 * (kills + 1):
            return False
        port = await asyncio.to_thread(nodes.holder)
        assert port is not None
        nodes.kill(port)
        kills += 1
        await asyncio.to_thread(nodes.start, port, kills * HOUR_S)
        return True

    ports = [free_port() for _ in range(2)]
    said = asyncio.run(talk([nodes.start(port) for port in ports], speech, kill))
    for port in ports:
        nodes.kill(port)
    assert kills == 3
    assert_same(said, alone)


def test_a_node_that_hangs_is_left_and_when_it_wakes_it_stops(
    nodes: Nodes, speech: Pcm, alone: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "STALE_S", 2.0)
    ports = [free_port() for _ in range(2)]
    urls = [nodes.start(port) for port in ports]
    hung: list[int] = []

    async def hang(events: int) -> bool:
        if hung or events < 12:
            return False
        hung.append(ports[0])
        nodes.send(ports[0], signal.SIGSTOP)
        return True

    said = asyncio.run(talk(urls, speech, hang))
    nodes.send(ports[0], signal.SIGCONT)
    address = urls[0].replace("ws", "http", 1)
    deadline = time.monotonic() + PATIENCE_S
    while b"streamst_sessions_parked 0.0" not in get(f"{address}/metrics")[2]:
        assert time.monotonic() < deadline, "a session that another node finished was not given up"
        time.sleep(0.1)
    assert hung
    assert_same(said, alone)
