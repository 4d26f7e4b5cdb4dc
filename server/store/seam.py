"""The seam between a node and what all nodes share: sessions that outlive their node, offers, the table of nodes, news.

A session's entry belongs to one owner. Whoever claims it raises its epoch, and what an older epoch writes from then on
is refused: of two nodes that both think they own a session, the older one learns that it does not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from streamst.errors import UnavailableError


class StoreError(UnavailableError):
    """The store does not answer in time, is full, or refuses."""


@dataclass(frozen=True)
class Entry:
    """What is stored of a session."""

    epoch: int  # one more with every owner, from 1
    owner: str  # name of a node
    head: bytes  # small: who may come back
    body: bytes  # the session itself; empty before it was kept for the first time
    pieces: tuple[bytes, ...] = ()  # what was written beside it, in order; for who claims it


class SessionStore(Protocol):
    """Lives on an event loop. Everything expires; every call raises StoreError where there is no answer in time."""

    async def read(self, name: str) -> Entry | None:
        """The entry of a session."""
        ...

    async def claim(self, name: str, owner: str, ttl_s: float) -> Entry | None:
        """The entry, now of `owner` and in its next epoch; None where there is none."""
        ...

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
        """Write head, body, and the piece of that number from 0, at once, what is None staying; False where another
        owner has claimed the entry."""
        ...

    async def hold(self, epochs: Mapping[str, int], ttl_s: float) -> set[str]:
        """Let entries live on; the names of those that another owner has claimed."""
        ...

    async def remove(self, name: str, epoch: int, ttl_s: float) -> None:
        """Forget an entry, unless another owner has claimed it; where it had owners before, `hold` tells them so for
        `ttl_s`, and nothing but its epoch is left."""
        ...

    async def offer(self, name: str, value: bytes, ttl_s: float) -> None:
        """Leave a value that is good once."""
        ...

    async def take(self, name: str) -> bytes | None:
        """The value that was offered, for the first who takes it."""
        ...

    async def announce(self, node: str, value: bytes | None, ttl_s: float) -> None:
        """What others should know of a node; None: it is gone."""
        ...

    async def announced(self) -> dict[str, bytes]:
        """All nodes that announced themselves and have not expired."""
        ...

    async def count(self, amounts: Mapping[str, int], ttl_s: float) -> dict[str, int]:
        """Add to counters, 0 to ask only; what each has come to since somebody first added to it, at most `ttl_s`
        ago."""
        ...

    async def publish(self, channel: str, value: bytes) -> None:
        """Tell all that listen now; who does not misses it."""
        ...

    def listen(self, channel: str) -> AsyncIterator[bytes]:
        """What is published from the first step on."""
        ...

    async def close(self) -> None:
        """Nothing more is asked."""
        ...
