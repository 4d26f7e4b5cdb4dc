"""Connections as they come: counted before anything is built for them, and few in a turn of the event loop.

`asyncio` accepts as many in one turn as may wait, and makes a transport and a protocol for each before anybody can
turn it away: who opens thousands at once then stops everybody's sound. Here a connection that is one too many of its
address costs one `close`, and between two handfuls the loop does what else is due.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from streamst.server.operator.crowd import Crowd

log = logging.getLogger("streamst.server")

ADMITTED_A_TURN = 8  # connections that something is built for, of a turn of the loop
REFUSED_A_TURN = 32  # that are only closed
RETRY_S = 1.0  # after the system had no descriptor left
TLS_S = 10.0  # how long a connection may take to agree on TLS

Leave = Callable[[], None]
Accepted = tuple[socket.socket, str]  # and its address


class Acceptor:
    """Lets connections of `listener` in, as many as `crowd` allows."""

    def __init__(
        self,
        listener: socket.socket,
        crowd: Crowd,
        door: Callable[[Leave], asyncio.Protocol],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """door: makes the protocol of a connection, which calls what it is given once the connection is lost. context:
        for TLS."""
        self._listener, self._crowd, self._door, self._context = listener, crowd, door, context
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._agreeing = set[asyncio.Task[None]]()
        listener.setblocking(False)
        self._start()

    def close(self) -> None:
        """Let nobody else in."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listener)
        for task in self._agreeing:
            task.cancel()

    def _start(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        admitted, crowded = 0, list[Accepted]()
        while admitted < ADMITTED_A_TURN and len(crowded) < REFUSED_A_TURN:
            try:
                client, place = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                log.error("no connection can be accepted for %g s: %s", RETRY_S, error.strerror or error)
                self._loop.remove_reader(self._listener)
                self._retry = self._loop.call_later(RETRY_S, self._start)
                break
            accepted = client, str(place[0])
            if self._enter(*accepted):
                admitted += 1
            else:
                crowded.append(accepted)
        if crowded:  # those whose end came in this turn too have left two turns later
            self._loop.call_soon(self._loop.call_soon, self._turn_away, crowded)

    def _turn_away(self, crowded: list[Accepted]) -> None:
        for client, address in crowded:
            if not self._enter(client, address):
                client.close()

    def _enter(self, client: socket.socket, address: str) -> bool:
        if not self._crowd.enter(address):
            return False
        leave = _once(partial(self._crowd.leave, address))
        task = self._loop.create_task(self._admit(client, leave))
        self._agreeing.add(task)
        task.add_done_callback(partial(self._admitted, client, leave))
        return True

    async def _admit(self, client: socket.socket, leave: Leave) -> None:
        client.setblocking(False)
        limit_s = None if self._context is None else TLS_S
        with suppress(OSError):  # it went away, spoke no TLS, or was too slow
            await self._loop.connect_accepted_socket(
                partial(self._door, leave), client, ssl=self._context, ssl_handshake_timeout=limit_s
            )
            return
        leave()

    def _admitted(self, client: socket.socket, leave: Leave, task: asyncio.Task[None]) -> None:
        self._agreeing.discard(task)
        if task.cancelled():
            client.close()
            leave()
        elif (error := task.exception()) is not None:
            client.close()
            leave()
            log.error("a connection could not be taken", exc_info=error)


def _once(leave: Leave) -> Leave:
    """Calls `leave` at the first call only."""
    left = [leave]

    def once() -> None:
        if left:
            left.pop()()

    return once
