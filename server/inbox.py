"""A bounded queue between the socket and the model: full means that the socket is not read, so the sender is slowed."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """First in, first out, bounded in bytes. An item larger than the bound is taken when nothing else waits."""

    def __init__(self, max_bytes: int, max_items: int = 4096) -> None:
        self.max_bytes, self.max_items = max_bytes, max_items
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()

    async def put(self, item: T, size: int) -> None:
        """Append `item` of `size` bytes; waits while the queue is full."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._items or self._fits(size))
            self._append(item, size)

    async def put_now(self, item: T) -> None:
        """Append what must not wait: at most a few of them in a stream's life."""
        async with self._changed:
            self._append(item, 0)

    async def get(self) -> T:
        """The oldest item; waits for one."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            item, size = self._items.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def _fits(self, size: int) -> bool:
        return self._bytes + size <= self.max_bytes and len(self._items) < self.max_items

    def _append(self, item: T, size: int) -> None:
        self._items.append((item, size))
        self._bytes += size
        self._changed.notify_all()
