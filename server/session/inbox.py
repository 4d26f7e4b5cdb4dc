"""A bounded queue between the socket and the model: full means that the socket is not read, so the sender is slowed."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamst.server.wire.native import Mark
from streamst.server.wire.seam import Audio, Configure

from .ending import Ending

T = TypeVar("T")


@dataclass(frozen=True)
class Arrived:
    """An audio message and when it came (time.perf_counter)."""

    audio: Audio
    at_s: float
    mark: Mark | None = None  # how much has come with it, of a client that may come back


@dataclass(frozen=True)
class Changed:
    """Other settings, and how much has come with them."""

    configure: Configure
    mark: Mark | None = None


@dataclass(frozen=True)
class Leave:
    """Hear nothing more here: be kept, for another node."""


Waiting = Arrived | Changed | Ending | Leave  # what the inbox holds; an Ending flushes the stream first


class Inbox(Generic[T]):
    """First in, first out. Who puts waits for `room` first, so that what was read is never lost on its way in."""

    def __init__(self, max_bytes: int, max_items: int = 4096) -> None:
        self.max_bytes, self.max_items = max_bytes, max_items
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether nothing more should be put."""
        return self._bytes >= self.max_bytes or len(self._items) >= self.max_items

    async def room(self) -> None:
        """Wait until the queue is not full: one item of any size may then be put, be it beyond the bound."""
        while self.full:
            self._emptied.clear()
            await self._emptied.wait()

    def put(self, item: T, size: int = 0) -> None:
        """Append `item` of `size` bytes, at once."""
        self._items.append((item, size))
        self._bytes += size
        self._filled.set()

    def put_first(self, item: T) -> None:
        """The next to be got, whatever waits."""
        self._items.appendleft((item, 0))
        self._filled.set()

    async def get(self) -> T:
        """The oldest item; waits for one."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item, size = self._items.popleft()
        self._bytes -= size
        self._emptied.set()
        return item
