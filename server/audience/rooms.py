"""The rooms of a server: who finds one, how many may listen, and how long captions are kept after the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from streamst.codecs.base import Codec
from streamst.errors import ProtocolError
from streamst.server.operator.crowd import share_of
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.wire import codes
from streamst.server.wire.seam import Offer

from .kept import RoomKept
from .room import Room, Setting

UNKNOWN = "no room of this name opens with this token"  # whichever of them is wrong
OVER = "the talk is over"
TOLD_S = 0.02  # between two looks whether all listeners were told everything


class Rooms:
    """`Audiences` of one server."""

    def __init__(
        self,
        options: ServerOptions,
        metrics: Metrics,
        offer: Callable[[], Offer],
        codec: Callable[[], Codec | None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._metrics, self._now = options, metrics, now
        self._threads = ThreadPoolExecutor(1, "rooms")
        self._setting = Setting(options, metrics, offer, codec, self._threads)
        self._rooms: dict[str, Room] = {}  # by their ids, the oldest first
        self._of_session: dict[str, Room] = {}  # that are not over
        self._listeners: Counter[str] = Counter()  # by address
        self.on_open: Callable[[Room], asyncio.Task[None] | None] = lambda _: None  # tells other nodes of a room
        self._telling: dict[str, asyncio.Task[None]] = {}  # by ids of rooms
        metrics.rooms.set_function(lambda: len(self._of_session))
        metrics.listeners.set_function(self._listeners.total)

    def open(self, session_id: str, kept: RoomKept | None = None) -> Room:
        """See `Audiences`."""
        known = self.of(session_id)
        if known is not None:
            return known
        if not self._options.max_listeners:
            raise ProtocolError("config.room: rooms are turned off on this server (max_listeners)", codes.POLICY)
        self._forget()
        room = Room(self._setting, self._now, kept)
        before = self._rooms.pop(room.id, None)  # of another node until now
        if kept is not None:
            room.want_again((*kept.wanted, *(before.wanted if before is not None else ())))
        if before is not None:
            before.move()
        room.on_end = lambda: self._ended(session_id, room)
        self._rooms[room.id] = self._of_session[session_id] = room
        telling = self.on_open(room)
        if telling is not None:
            self._telling[room.id] = telling
            telling.add_done_callback(lambda _: self._telling.pop(room.id, None))
        return room

    async def told(self, session_id: str) -> None:
        """See `Audiences`."""
        room = self.of(session_id)
        telling = None if room is None else self._telling.get(room.id)
        if telling is not None:
            await asyncio.wait([telling], timeout=self._options.store_timeout_s)

    def reopen(self, session_id: str, kept: bytes) -> Room:
        """See `Audiences`."""
        return self.open(session_id, RoomKept.unpacked(kept))

    def mirror(self, kept: RoomKept) -> Room:
        """A room of another node, for listeners here."""
        room = Room(self._setting, self._now, kept)
        room.ours = False
        room.on_end = self._forget
        self._rooms[room.id] = room
        return room

    def get(self, room_id: str) -> Room | None:
        """The room, whoever asks."""
        return self._rooms.get(room_id)

    def drop(self, room: Room) -> None:
        """Forget a room of another node that nobody listens to."""
        if self._rooms.get(room.id) is room:
            del self._rooms[room.id]

    @property
    def ours(self) -> list[Room]:
        """Rooms of this node's sessions, those included that are over."""
        return [room for room in self._rooms.values() if room.ours]

    def of(self, session_id: str) -> Room | None:
        """See `Audiences`."""
        return self._of_session.get(session_id)

    def expire(self, session_id: str, after_s: float) -> None:
        """See `Audiences`."""

        def check() -> None:
            room = self.of(session_id)
            if room is not None and not room.begun:
                room.end("expired")

        asyncio.get_running_loop().call_later(after_s, check)

    def find(self, room_id: str, token: str | None) -> Room:
        """The room, be it over; ProtocolError 4401 for who has not its token, be there such a room or not."""
        self._forget()
        room = self._rooms.get(room_id)
        if room is None or not room.opens(token):
            raise ProtocolError(UNKNOWN, codes.UNAUTHORISED)
        return room

    def knows(self, token: str) -> bool:
        """Whether `token` opens a room, for listening."""
        return any([room.opens(token) for room in self._rooms.values()])

    def enter(self, room_id: str, token: str | None, address: str | None, returning: bool) -> Room:
        """Let a listener in, whom `leave` lets out; ProtocolError 4401, 4410 after the end, 4429 and 1013 when full.

        returning: it was here before, and may fetch what it missed after the end, too.
        """
        room = self.find(room_id, token)
        if room.over and not returning:
            where = f"; its captions: /v1/rooms/{room_id}/captions.vtt"
            raise ProtocolError(OVER + where, codes.EXPIRED)
        options, share = self._options, share_of(address or "")
        if options.address_listeners and self._listeners[share] >= options.address_listeners:
            raise ProtocolError(f"{options.address_listeners} listeners are allowed from one address", codes.QUOTA)
        if len(room.members) >= options.room_listeners:
            raise ProtocolError(f"the room is full: it holds {options.room_listeners} listeners", codes.OVERLOADED)
        if self._listeners.total() >= options.max_listeners:
            raise ProtocolError(f"all {options.max_listeners} listeners' places are taken", codes.OVERLOADED)
        self._listeners[share] += 1
        return room

    def leave(self, address: str | None) -> None:
        """A listener who entered is gone."""
        share = share_of(address or "")
        self._listeners[share] -= 1
        if self._listeners[share] <= 0:
            del self._listeners[share]

    async def drain(self, timeout_s: float) -> None:
        """Once the sessions of this node are over: wait until all who listened were told the rest, or `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(room.members for room in self.ours):
                    await asyncio.sleep(TOLD_S)

    def close(self) -> None:
        """The server ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, session_id: str, room: Room) -> None:
        if self._of_session.get(session_id) is room:
            del self._of_session[session_id]
        if room.moved:
            self.drop(room)
        self._forget()

    def _forget(self) -> None:
        """Forget rooms whose time after the end is over, and the oldest of too many."""
        now_s, kept_s = self._now(), self._options.room_kept_s
        over = [(name, room.over_s) for name, room in self._rooms.items() if room.over_s is not None]
        too_many = len(over) - self._options.max_sessions
        for place, (name, since_s) in enumerate(over):
            if place < too_many or (now_s - since_s >= kept_s and not self._rooms[name].members):
                del self._rooms[name]
