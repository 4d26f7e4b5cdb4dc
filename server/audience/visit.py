"""The asyncio shell around one listener: reads, writes, and drops who takes nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import lru_cache

from streamst.errors import ProtocolError
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.session.connection import say_and_close
from streamst.server.session.link import Lost, WebSocketLink, framed
from streamst.server.wire import codes
from streamst.server.wire.native import NativeProtocol
from streamst.server.wire.seam import Message, Ping, Pong

from .member import Member
from .room import Room
from .wire import Leave, ListenerProtocol, Wish, listening

MOVED = "the room goes on at another node"
WAITING_ANSWERS = 64  # more messages are not read meanwhile
_framed = lru_cache(64)(framed)  # what goes to all listeners of a room is made once


class Visit:
    """One listener's connection, from its welcome to its close."""

    def __init__(
        self, link: WebSocketLink, room: Room, member: Member, options: ServerOptions, metrics: Metrics
    ) -> None:
        self._link, self._room, self._member = link, room, member
        self._options, self._metrics = options, metrics
        self._protocol = ListenerProtocol(options.max_text_bytes)
        self._native = NativeProtocol(options.max_text_bytes)
        self._direct: deque[Message] = deque()
        self._taken = asyncio.Event()
        self._began_s = time.perf_counter()
        self._news = asyncio.Event()
        self._idle = False  # all was sent, and the writing task waits for news
        self._jumps = 0  # that were counted
        member.on_news = self._hurry

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

    @property
    def moved(self) -> bool:
        """Whether the room goes on elsewhere."""
        return self._room.moved

    def _hurry(self) -> None:
        """There is news: write it straight to the network where nothing is in the way, else wake who sends."""
        link, member = self._link, self._member
        while self._idle and not self._direct and link.writable:
            messages = member.next()
            if messages is None:
                if self._room.over or self._room.moved:
                    break
                return
            link.write(_framed(messages))
            self._sent(messages)
        self._news.set()

    async def _write(self) -> None:
        """Send what there is; returns when everything was said."""
        member, room = self._member, self._room
        while True:
            messages = (self._direct.popleft(),) if self._direct else member.next()
            self._taken.set()
            if messages is None:
                if room.moved or (room.over and member.number >= room.tape.newest):
                    return
                self._news.clear()
                self._idle = True
                await self._news.wait()
                self._idle = False
                continue
            async with asyncio.timeout(self._options.send_timeout_s):
                for message in messages:
                    await self._link.send(message)
            self._sent(messages)

    def _sent(self, messages: tuple[Message, ...]) -> None:
        member, metrics = self._member, self._metrics
        metrics.bytes_out.inc(sum(map(len, messages)))
        if member.lag_s is not None:
            metrics.listener_lag_s.observe(member.lag_s)
        if member.jumps > self._jumps:
            metrics.jumps.inc(member.jumps - self._jumps)
            self._jumps = member.jumps


async def attend(link: WebSocketLink, visit: Visit, first: tuple[Message, ...], options: ServerOptions) -> None:
    """Serve a listener until its end, whichever it is, and close."""
    try:
        try:
            await visit.run(*first)
            if visit.moved:
                await link.close(codes.GOING_AWAY, MOVED)
                return
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
