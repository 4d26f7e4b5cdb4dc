"""A store in this process: for tests, and for several applications in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from .seam import Entry

WAITING = 1000  # values that wait for one listener; older ones are forgotten


class MemoryStore:
    """A `SessionStore`. Forgets what expired when it is looked at."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: dict[str, tuple[Entry, float]] = {}  # and until when
        self._offers: dict[str, tuple[bytes, float]] = {}
        self._nodes: dict[str, tuple[bytes, float]] = {}
        self._counters: dict[str, tuple[int, float]] = {}
        self._listeners: dict[str, list[asyncio.Queue[bytes]]] = {}

    async def read(self, name: str) -> Entry | None:
        """See `SessionStore`."""
        entry, until_s = self._entries.get(name, (None, 0.0))
        if until_s <= self._now():
            self._entries.pop(name, None)
            return None
        return entry

    async def claim(self, name: str, owner: str, ttl_s: float) -> Entry | None:
        """See `SessionStore`."""
        entry = await self.read(name)
        if entry is None:
            return None
        claimed = replace(entry, epoch=entry.epoch + 1, owner=owner)
        self._entries[name] = (claimed, self._now() + ttl_s)
        return claimed

    async def write(
        self,
        name: str,
        owner: str,
        epoch: int,
        ttl_s: float,
        head: bytes | None = None,
        body: bytes | None = None,
        piece: tuple[int, bytes] | None = None,
    ) -> bool:
        """See `SessionStore`."""
        known = await self.read(name) or Entry(epoch, owner, b"", b"")
        if known.epoch > epoch:
            return False
        pieces = known.pieces if piece is None else (*known.pieces[: piece[0]], piece[1])
        entry = Entry(epoch, owner, known.head if head is None else head, known.body if body is None else body, pieces)
        self._entries[name] = (entry, self._now() + ttl_s)
        return True

    async def hold(self, epochs: Mapping[str, int], ttl_s: float) -> set[str]:
        """See `SessionStore`."""
        lost: set[str] = set()
        for name, epoch in epochs.items():
            entry = await self.read(name)
            if entry is not None and entry.epoch > epoch:
                lost.add(name)
            elif entry is not None:
                self._entries[name] = (entry, self._now() + ttl_s)
        return lost

    async def remove(self, name: str, epoch: int, ttl_s: float) -> None:
        """See `SessionStore`."""
        entry = await self.read(name)
        if entry is not None and entry.epoch <= epoch:
            del self._entries[name]
            if epoch > 1:
                self._entries[name] = (Entry(epoch, entry.owner, b"", b""), self._now() + ttl_s)

    async def offer(self, name: str, value: bytes, ttl_s: float) -> None:
        """See `SessionStore`."""
        self._offers[name] = (value, self._now() + ttl_s)

    async def take(self, name: str) -> bytes | None:
        """See `SessionStore`."""
        value, until_s = self._offers.pop(name, (None, 0.0))
        return value if until_s > self._now() else None

    async def announce(self, node: str, value: bytes | None, ttl_s: float) -> None:
        """See `SessionStore`."""
        self._nodes.pop(node, None)
        if value is not None:
            self._nodes[node] = (value, self._now() + ttl_s)

    async def announced(self) -> dict[str, bytes]:
        """See `SessionStore`."""
        now_s = self._now()
        self._nodes = {node: told for node, told in self._nodes.items() if told[1] > now_s}
        return {node: value for node, (value, _) in self._nodes.items()}

    async def count(self, amounts: Mapping[str, int], ttl_s: float) -> dict[str, int]:
        """See `SessionStore`."""
        now_s = self._now()
        for name, amount in amounts.items():
            total, until_s = self._counters.get(name, (0, 0.0))
            total, until_s = (total, until_s) if until_s > now_s else (0, now_s + ttl_s)
            self._counters[name] = (total + amount, until_s if total + amount else 0.0)
        return {name: self._counters[name][0] for name in amounts}

    async def publish(self, channel: str, value: bytes) -> None:
        """See `SessionStore`."""
        for queue in self._listeners.get(channel, []):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(value)

    async def listen(self, channel: str) -> AsyncIterator[bytes]:
        """See `SessionStore`."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        listeners = self._listeners.setdefault(channel, [])
        listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            listeners.remove(queue)

    async def close(self) -> None:
        """See `SessionStore`."""
