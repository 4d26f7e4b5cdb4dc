"""Rooms whose listeners are on other nodes than their speaker.

The store knows of each room which node has it and a digest of its token. A node that is asked for a room it has not
listens to the room's channel, asks that node to tell (`Tell`), learns what was said so far, and serves its own
listeners from a tape of its own, with the numbers of the speaker's. A node tells as long as somebody asks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress

from streamst.errors import InputError, ProtocolError
from streamst.server.session.durable import Durable
from streamst.server.session.reports import among, digest
from streamst.server.store.seam import StoreError
from streamst.server.wire import codes

from .kept import News, RoomKept
from .room import Room
from .rooms import UNKNOWN, Rooms

log = logging.getLogger("streamst.server")

ASK_S = 5.0  # between two questions; it tells for as long as three of them
HURRY_S = 0.3  # the same, before the first answer
ANSWER_S = 5.0  # that a listener waits for a room of another node
ALONE_S = 30.0  # that a room of another node is followed without listeners
RETRY_S = 1.0  # after the store did not answer
MOST_WAITING = 1000  # news that wait for the store; the oldest are left out
OF_ROOM, OF_NEWS, OF_ASK = "room.", "news/", "ask."


class Relay:
    """The rooms of one node among those of others."""

    def __init__(self, rooms: Rooms, durable: Durable) -> None:
        self._rooms, self._durable, self._store, self._seal = rooms, durable, durable.store, durable.seal
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MOST_WAITING)
        self._asked: dict[str, float] = {}  # rooms of this node, and until when others want to hear of them
        self._following: dict[str, asyncio.Task[None]] = {}  # rooms of others
        self._known: dict[str, asyncio.Event] = {}  # of those, set once it is known what was said
        self._tasks = set[asyncio.Task[None]]()
        rooms.on_open = self._opened

    async def live(self) -> None:
        """Answer and tell, for ever."""
        work = [self._answer(), self._tell(), self._beat()]
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in [*tasks, *self._tasks, *self._following.values()]:
                task.cancel()
            await asyncio.gather(*tasks, *self._tasks, *self._following.values(), return_exceptions=True)

    async def find(self, room_id: str, token: str | None) -> None:
        """Have the room here, where another node has it; ProtocolError 4401 for who does not know its token, 1013 where
        that node or the store does not answer."""
        if self._rooms.get(room_id) is not None:
            return
        try:
            entry = await self._store.read(OF_ROOM + room_id)
            known = b"" if entry is None else self._seal.open(OF_ROOM + room_id, entry.head)
        except StoreError as error:
            raise ProtocolError("the store of rooms does not answer; try again", codes.OVERLOADED, RETRY_S) from error
        except InputError as error:
            raise ProtocolError(UNKNOWN, codes.UNAUTHORISED) from error
        if entry is None or not among(token or "", (known,)):
            raise ProtocolError(UNKNOWN, codes.UNAUTHORISED)
        if room_id not in self._following:
            self._known[room_id] = asyncio.Event()
            task = asyncio.create_task(self._follow(room_id, self._known[room_id]), name=f"follow {room_id}")
            self._following[room_id] = task
            task.add_done_callback(lambda _: self._following.pop(room_id, None))
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._known[room_id].wait()
        except TimeoutError as error:
            reason = "the node that has the room does not answer; try again"
            raise ProtocolError(reason, codes.OVERLOADED, RETRY_S) from error

    # --- rooms of this node

    def _opened(self, room: Room) -> asyncio.Task[None]:
        room.on_put = lambda news: self._said(room, news)
        task = asyncio.get_running_loop().create_task(self._write(room))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _write(self, room: Room) -> None:
        """Tell the store who has the room, and the node that had it that it has it no more."""
        name = OF_ROOM + room.id
        with suppress(StoreError):
            before = await self._store.read(name)
            head = self._seal.close(name, digest(room.token))
            await self._store.write(name, self._durable.node, 1, self._durable.ttl_s, head)
            if before is not None and before.owner != self._durable.node:
                await self._ask(before.owner, room.id, "move")

    def _said(self, room: Room, news: News) -> None:
        if self._asked.get(room.id, 0.0) > time.monotonic():
            self._send(room.id, news)

    def _send(self, room_id: str, news: News) -> None:
        if self._outgoing.full():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait((room_id, self._seal.close(OF_NEWS + room_id, news.packed())))

    async def _tell(self) -> None:
        while True:
            channel, value = await self._outgoing.get()
            with suppress(StoreError):
                await self._store.publish(channel, value)

    async def _answer(self) -> None:
        """Hear what other nodes ask."""
        channel = OF_ASK + self._durable.node
        while True:
            with suppress(StoreError):
                async for value in self._store.listen(channel):
                    with suppress(InputError, ValueError, KeyError):
                        asked = json.loads(self._seal.open(channel, value))
                        self._asked_for(asked["room"], asked["do"])
            await asyncio.sleep(RETRY_S)

    def _asked_for(self, room_id: str, do: str) -> None:
        room = self._rooms.get(room_id)
        if room is None or not room.ours:
            return
        if do == "move":
            room.move()
            return
        self._asked[room_id] = time.monotonic() + 3 * ASK_S
        kept = room.kept(put_down=True)
        self._send(room_id, News(kept.newest, 0.0, room=kept))

    async def _beat(self) -> None:
        """Let the store remember this node's rooms."""
        while True:
            await asyncio.sleep(ASK_S)
            now_s = time.monotonic()
            self._asked = {room: until_s for room, until_s in self._asked.items() if until_s > now_s}
            with suppress(StoreError):
                held = {OF_ROOM + room.id: 1 for room in self._rooms.ours}
                await self._store.hold(held, self._durable.ttl_s)

    # --- rooms of others

    async def _ask(self, node: str, room_id: str, do: str) -> None:
        channel = OF_ASK + node
        question = json.dumps({"room": room_id, "do": do}).encode()
        await self._store.publish(channel, self._seal.close(channel, question))

    async def _follow(self, room_id: str, known: asyncio.Event) -> None:
        asking = asyncio.create_task(self._keep_asking(room_id, known))
        hearing = asyncio.create_task(self._hear(room_id, known))
        try:
            await asyncio.wait([asking, hearing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asking, hearing):
                task.cancel()
            await asyncio.gather(asking, hearing, return_exceptions=True)

    async def _keep_asking(self, room_id: str, known: asyncio.Event) -> None:
        """Ask whoever has the room, until it is over or nobody here listens any more."""
        alone_s = began_s = time.monotonic()
        while True:
            room = self._rooms.get(room_id)
            if room is None and (known.is_set() or time.monotonic() - began_s > ANSWER_S):
                return
            if room is not None and (room.over or room.ours):
                return
            if room is not None and room.members:
                alone_s = time.monotonic()
            if room is not None and time.monotonic() - alone_s > ALONE_S:
                self._rooms.drop(room)
                return
            with suppress(StoreError):
                entry = await self._store.read(OF_ROOM + room_id)
                if entry is not None:
                    await self._ask(entry.owner, room_id, "tell")
            await asyncio.sleep(ASK_S if known.is_set() else HURRY_S)

    async def _hear(self, room_id: str, known: asyncio.Event) -> None:
        while True:
            with suppress(StoreError):
                async for value in self._store.listen(room_id):
                    try:
                        news = News.unpacked(self._seal.open(OF_NEWS + room_id, value))
                    except InputError as error:
                        log.warning("room %s: %s", room_id, error)
                        continue
                    await self._heard(room_id, news, known)
            await asyncio.sleep(RETRY_S)

    async def _heard(self, room_id: str, news: News, known: asyncio.Event) -> None:
        room = self._rooms.get(room_id)
        if news.room is not None:
            await self._learn(room, news.room)
            known.set()
        elif room is not None and not room.ours:
            await room.put(news, time.monotonic())

    async def _learn(self, room: Room | None, kept: RoomKept) -> None:
        if room is None:
            self._rooms.mirror(kept)
        elif not room.ours:
            room.catch_up(kept)
            await room.ring()
