"""The asyncio shell around one listener: reads, writes, and drops who takes nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from streamst.errors import ProtocolError
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.session.connection import say_and_close
from streamst.server.session.link import Link, Lost
from streamst.server.wire import codes
from streamst.server.wire.native import NativeProtocol
from streamst.server.wire.seam import Message, Ping, Pong

from .member import Member
from .room import Room
from .wire import Leave, ListenerProtocol, Wish, listening

WAITING_ANSWERS = 64  # more messages are not read meanwhile


class Visit:
    """One listener's connection, from its welcome to its close."""

    def __init__(self, link: Link, room: Room, member: Member, options: ServerOptions, metrics: Metrics) -> None:
        self._link, self._room, self._member = link, room, member
        self._options, self._metrics = options, metrics
        self._protocol = ListenerProtocol(options.max_text_bytes)
        self._native = NativeProtocol(options.max_text_bytes)
        self._direct: deque[Message] = deque()
        self._taken = asyncio.Event()
        self._began_s = time.perf_counter()
        self._news = asyncio.Event()
        member.on_news = self._news.set

    async def run(self, *first: Message) -> None:
        """Say `first`, then everything until the end or until the listener goes."""
        self._direct.extend(first)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read(self) -> None:
        while True:
            while len(self._direct) >= WAITING_ANSWERS:
                self._taken.clear()
                await self._taken.wait()
            for said in self._protocol.receive(await self._link.receive()):
                match said:
                    case Leave():
                        return
                    case Ping():
                        pong = Pong(said.id, (time.perf_counter() - self._began_s) * 1000)
                        self._direct.extend(self._native.render(pong, 0.0))
                    case Wish():
                        self._room.want(said)
                        self._member.wish = said
                        self._direct.append(listening(said))
            self._news.set()

    async def _write(self) -> None:
        """Send what there is; returns when everything was said."""
        member, room, metrics = self._member, self._room, self._metrics
        jumps = 0
        while True:
            messages = [self._direct.popleft()] if self._direct else member.next()
            self._taken.set()
            if messages is None:
                if room.over and member.number >= room.tape.newest:
                    return
                self._news.clear()
                await self._news.wait()
                continue
            size = 0
            async with asyncio.timeout(self._options.send_timeout_s):
                for message in messages:
                    size += len(message)
                    await self._link.send(message)
            metrics.bytes_out.inc(size)
            if member.lag_s is not None:
                metrics.listener_lag_s.observe(member.lag_s)
            if member.jumps > jumps:
                metrics.jumps.inc(member.jumps - jumps)
                jumps = member.jumps


async def attend(link: Link, visit: Visit, first: tuple[Message, ...], options: ServerOptions) -> None:
    """Serve a listener until its end, whichever it is, and close."""
    try:
        try:
            await visit.run(*first)
            code, reason = codes.DONE, ""
        except TimeoutError:
            link.abort()
            return
        except ProtocolError as error:
            code, reason = error.code, str(error)
        async with asyncio.timeout(options.send_timeout_s):
            await say_and_close(link, NativeProtocol(), code, reason)
    except (Lost, TimeoutError):
        return
