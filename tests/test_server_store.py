"""What nodes share: the same promises from the store in memory and from a real one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import PATIENCE_S, free_port, store_server

from streamst.errors import ConfigError, InputError
from streamst.server.store.memory import MemoryStore
from streamst.server.store.sealed import Seal
from streamst.server.store.seam import SessionStore, StoreError
from streamst.server.store.valkey import ValkeyStore, open_store

MINUTE_S = 60.0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_server(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(params=["memory", "valkey"])
def run(request: pytest.FixtureRequest, address: str) -> Callable[[Callable[[SessionStore], Awaitable[None]]], None]:
    """Runs a check on a fresh store."""

    def check(what: Callable[[SessionStore], Awaitable[None]]) -> None:
        async def on_store() -> None:
            store = open_store("memory" if request.param == "memory" else address, PATIENCE_S)
            if isinstance(store, ValkeyStore):
                await store._client.flushdb()
            try:
                await what(store)
            finally:
                await store.close()

        asyncio.run(on_store())

    return check


Run = Callable[[Callable[[SessionStore], Awaitable[None]]], None]


def test_what_is_written_is_read_and_expires(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        assert await store.read("a") is None
        assert await store.claim("a", "n1", MINUTE_S) is None
        assert await store.write("a", "n1", 1, MINUTE_S, head=b"h\0")
        assert await store.write("a", "n1", 1, MINUTE_S, body=b"\xff" * 100_000)
        entry = await store.read("a")
        assert entry is not None
        assert (entry.epoch, entry.owner, entry.head, entry.body) == (1, "n1", b"h\0", b"\xff" * 100_000)
        assert await store.write("a", "n1", 1, 0.001, head=b"")
        await asyncio.sleep(0.05)
        assert await store.read("a") is None

    run(check)


def test_of_two_owners_the_older_one_may_not_write(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        await store.write("a", "n1", 1, MINUTE_S, b"first", b"body")
        claimed = await store.claim("a", "n2", MINUTE_S)
        assert claimed is not None
        assert (claimed.epoch, claimed.owner, claimed.head, claimed.body) == (2, "n2", b"first", b"body")
        assert not await store.write("a", "n1", 1, MINUTE_S, body=b"late")
        await store.remove("a", 1, MINUTE_S)
        assert await store.hold({"a": 1, "gone": 1}, MINUTE_S) == {"a"}
        assert await store.hold({"a": 2}, MINUTE_S) == set()
        assert await store.write("a", "n2", 2, MINUTE_S, body=b"new")
        entry = await store.read("a")
        assert entry is not None
        assert entry.body == b"new"
        await store.remove("a", 2, MINUTE_S)
        assert await store.hold({"a": 1}, MINUTE_S) == {"a"}
        entry = await store.read("a")
        assert entry is not None
        assert (entry.head, entry.body) == (b"", b"")
        assert not await store.write("a", "n1", 1, MINUTE_S, body=b"late")
        await store.write("b", "n1", 1, MINUTE_S, b"first", b"body")
        await store.remove("b", 1, MINUTE_S)
        assert await store.read("b") is None

    run(check)


def test_pieces_come_to_who_claims_in_their_order_and_only_of_the_owner(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        for number in range(12):
            assert await store.write("a", "n1", 1, MINUTE_S, b"h", b"%d" % number, (number, b"piece %d" % number))
        assert await store.write("a", "n1", 1, MINUTE_S, body=b"again", piece=(11, b"longer"))
        assert await store.write("a", "n1", 1, MINUTE_S, body=b"none")
        claimed = await store.claim("a", "n2", MINUTE_S)
        assert claimed is not None
        assert claimed.body == b"none"
        assert claimed.pieces == (*(b"piece %d" % number for number in range(11)), b"longer")
        assert not await store.write("a", "n1", 1, MINUTE_S, piece=(12, b"late"))
        await store.remove("a", 2, MINUTE_S)
        left = await store.claim("a", "n3", MINUTE_S)
        assert left is not None
        assert (left.body, left.pieces) == (b"", ())

    run(check)


def test_of_many_who_claim_at_once_each_has_an_epoch_of_its_own(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        await store.write("a", "n0", 1, MINUTE_S)
        claims = await asyncio.gather(*(store.claim("a", f"n{i}", MINUTE_S) for i in range(20)))
        assert sorted(claim.epoch for claim in claims if claim is not None) == list(range(2, 22))

    run(check)


def test_an_offer_is_taken_once(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        await store.offer("t", b"place", MINUTE_S)
        taken = await asyncio.gather(*(store.take("t") for _ in range(5)))
        assert sorted(taken, key=str) == sorted([b"place", None, None, None, None], key=str)

    run(check)


def test_counters_add_up_and_begin_anew_a_while_after_they_were_begun(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        assert await store.count({}, MINUTE_S) == {}
        assert await store.count({"a": 0, "b": 5}, MINUTE_S) == {"a": 0, "b": 5}
        await asyncio.gather(*(store.count({"a": 2}, MINUTE_S) for _ in range(20)))
        assert await store.count({"a": 0, "b": -1}, MINUTE_S) == {"a": 40, "b": 4}
        assert await store.count({"short": 7}, 0.3) == {"short": 7}
        while await store.count({"short": 0}, MINUTE_S) != {"short": 0}:
            await asyncio.sleep(0.05)

    run(check)


def test_nodes_announce_themselves_and_are_forgotten(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        assert await store.announced() == {}
        for i in range(30):
            await store.announce(f"n{i}", bytes([i]), MINUTE_S)
        await store.announce("n0", None, MINUTE_S)
        await store.announce("n1", b"", 0.001)
        await asyncio.sleep(0.05)
        assert await store.announced() == {f"n{i}": bytes([i]) for i in range(2, 30)}

    run(check)


def test_who_listens_hears_what_is_published_from_then_on(run: Run) -> None:
    async def check(store: SessionStore) -> None:
        heard: list[bytes] = []

        async def listen(channel: AsyncIterator[bytes]) -> None:
            async for value in channel:
                heard.append(value)

        task = asyncio.create_task(listen(store.listen("room")))
        while not heard:  # until the first one is heard nobody knows that somebody listens
            await store.publish("room", b"0")
            await asyncio.sleep(0.01)
        await store.publish("other", b"x")
        for value in (b"1", b"2"):
            await store.publish("room", value)
        async with asyncio.timeout(PATIENCE_S):
            while heard[-1] != b"2":
                await asyncio.sleep(0.01)
        assert [value for value in heard if value != b"0"] == [b"1", b"2"]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(check)


async def fill(store: SessionStore) -> None:
    for i in range(20):
        await store.write(f"big{i}", "n", 1, MINUTE_S, body=bytes(1 << 20))


def test_a_store_that_is_down_full_or_back_and_empty_says_so(tmp_path: Path) -> None:
    port = free_port()

    async def check() -> None:
        store = open_store(f"valkey://:secret-word@127.0.0.1:{port}/0")
        with pytest.raises(StoreError) as down:
            await store.read("a")
        assert "secret-word" not in str(down.value)
        await store.close()
        store = open_store(f"valkey://127.0.0.1:{port}/0", PATIENCE_S)
        with store_server(tmp_path, port, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction"):
            assert await store.write("a", "n", 1, MINUTE_S, body=b"1")
            with pytest.raises(StoreError, match="maxmemory"):
                await fill(store)
        with pytest.raises(StoreError):
            await store.read("a")
        with store_server(tmp_path, port):
            assert await store.read("a") is None
            assert await store.write("a", "n", 1, MINUTE_S, body=b"again")
            await store.close()

    asyncio.run(check())


def test_a_store_that_is_too_slow_is_one_that_does_not_answer(address: str) -> None:
    async def check() -> None:
        pause, store = ValkeyStore(address, PATIENCE_S), ValkeyStore(address, timeout_s=2.0)
        await pause.write("a", "n", 1, MINUTE_S, body=b"1")
        await pause._client.execute_command("CLIENT", "PAUSE", "5000", "ALL")
        with pytest.raises(StoreError):
            await store.read("a")
        assert await pause.read("nobody") is None  # once the pause is over
        entry = await store.read("a")  # and is not mistaken for the answer to another question
        assert entry is not None
        assert entry.body == b"1"
        await store.close()
        await pause.close()

    asyncio.run(check())


@pytest.mark.parametrize("url", ["", "valkey://", "http://127.0.0.1:1/0", "valkey://host:99999999/0", "127.0.0.1:6379"])
def test_an_impossible_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ConfigError, match="valkey://HOST:PORT/DB"):
        open_store(url)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_a_sealed_value_opens_under_its_own_name_and_key_only(value: bytes, name: str) -> None:
    signed, trusting = Seal("a key of sixteen characters"), Seal()
    stored = signed.close(name, value)
    assert signed.open(name, stored) == value
    assert trusting.open(name, trusting.close(name, value)) == value
    for wrong in (trusting, Seal("another key of sixteen")):
        with pytest.raises(InputError, match="another key"):
            wrong.open(name, stored)
    with pytest.raises(InputError, match="damaged"):
        signed.open(name + "x", stored)
    with pytest.raises(InputError, match="damaged"):
        signed.open(name, stored[:-1] if value else stored + b"x")


def test_foreign_and_later_values_and_short_keys_are_told_apart() -> None:
    seal = Seal()
    with pytest.raises(InputError, match="no value of ours"):
        seal.open("a", b"\x80\x04pickled")
    later = bytearray(seal.close("a", b"1"))
    later[3] = 2
    with pytest.raises(InputError, match="version 2; allowed: 1"):
        seal.open("a", bytes(later))
    with pytest.raises(ConfigError, match="at least 16"):
        Seal("short")


def test_the_memory_of_a_process_forgets_by_its_own_clock() -> None:
    now_s = 0.0

    async def check() -> None:
        nonlocal now_s
        store = MemoryStore(lambda: now_s)
        await store.write("a", "n", 1, 10.0)
        await store.offer("o", b"1", 10.0)
        now_s = 9.0
        await store.hold({"a": 1}, 10.0)
        now_s = 15.0
        assert await store.read("a") is not None
        assert await store.take("o") is None

    asyncio.run(check())
