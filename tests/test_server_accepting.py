"""Connections are let in a handful a turn of the event loop, and counted before anything is built for them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator

import pytest

from streamst.server.accepting import ADMITTED_A_TURN, Acceptor, Leave
from streamst.server.operator.crowd import Crowd

WAITING = 5 * ADMITTED_A_TURN


class Seen(asyncio.Protocol):
    """A connection that was let in."""

    def __init__(self, leave: Leave) -> None:
        self._leave = leave

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=2 * WAITING) as made:
        yield made


@contextlib.contextmanager
def waiting(listener: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that nobody has accepted yet."""
    with contextlib.ExitStack() as held:
        yield [held.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until_gone(crowd: Crowd) -> None:
    async with asyncio.timeout(60):
        while len(crowd):
            await asyncio.sleep(0.01)


def test_between_two_handfuls_the_loop_does_what_else_is_due(listener: socket.socket) -> None:
    async def scene() -> list[int]:
        crowd = Crowd()
        acceptor = Acceptor(listener, crowd, Seen)
        counts = [len(crowd)]
        while len(crowd) < WAITING:
            await turns(1)
            counts.append(len(crowd))
        acceptor.close()
        clients_end()
        await until_gone(crowd)
        return counts

    with waiting(listener, WAITING) as clients:

        def clients_end() -> None:
            for client in clients:
                client.close()

        counts = asyncio.run(scene())
    steps = [after - before for before, after in itertools.pairwise(counts)]
    assert max(steps) == ADMITTED_A_TURN
    assert sum(steps) == WAITING


def test_who_is_one_too_many_is_closed_and_nothing_built(listener: socket.socket) -> None:
    built = []

    def door(leave: Leave) -> Seen:
        built.append(leave)
        return Seen(leave)

    async def scene() -> None:
        crowd = Crowd(of_address=3)
        acceptor = Acceptor(listener, crowd, door)
        for client in clients[3:]:
            assert await asyncio.to_thread(client.recv, 1) == b""
        acceptor.close()
        for client in clients:
            client.close()
        await until_gone(crowd)

    with waiting(listener, WAITING) as clients:
        asyncio.run(scene())
    assert len(built) == 3


def test_a_place_that_is_left_is_free_for_who_comes_in_the_same_turn(listener: socket.socket) -> None:
    async def scene() -> None:
        crowd = Crowd(of_address=3)
        acceptor = Acceptor(listener, crowd, Seen)
        with waiting(listener, 3):
            await asyncio.sleep(0.05)
            assert len(crowd) == 3
        with waiting(listener, 3):  # the three before have left and nobody has looked yet
            await turns(10)
            assert len(crowd) == 3
        await until_gone(crowd)
        acceptor.close()

    asyncio.run(scene())
