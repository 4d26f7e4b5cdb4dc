"""What a client says to a server: held until it is safe there, so that neither a dropped connection nor a dead server
loses anything. Safe is what the server has heard or, where it keeps sessions in a store, what is kept there."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

HELD_MS = 150_000.0  # of audio that is kept at most: more than servers wait for a client's return
BURST_SHARE, SPEED_SHARE = 0.8, 0.95  # of what the server allows, to be on the safe side of its clock
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 3.0  # between two attempts to come back
PAUSE_SHARE = 0.25  # of the time that a client has been away: so much longer than needed it may stay away

Kind = Literal["config", "audio", "end"]


@dataclass(frozen=True)
class Item:
    """One message; `number` counts those of its kind from 0."""

    kind: Kind
    number: int
    message: str | bytes
    audio_ms: float = 0.0


class Outgoing:
    """Messages in their order: safe ones are forgotten, others are sent again where a connection or server was lost."""

    def __init__(self, held_ms: float = HELD_MS) -> None:
        self.held_ms = held_ms
        self.credit_ms: float | None = None  # audio that may be on its way; None is no limit
        self._items: deque[Item] = deque()
        self._sent = 0  # of `_items`
        self._heard = 0  # of those that were sent
        self._counts: dict[Kind, int] = {"config": 0, "audio": 0, "end": 0}
        self._audio_ms = 0.0  # in `_items`
        self._on_way_ms = 0.0  # in those that were sent and not heard
        self._changed = asyncio.Event()

    @property
    def next_sequence(self) -> int:
        """The number of the next audio message."""
        return self._counts["audio"]

    async def put(self, kind: Kind, message: str | bytes, audio_ms: float = 0.0) -> None:
        """Append a message; waits while too much audio is kept."""
        while self._audio_ms >= self.held_ms:
            await self._change()
        self._items.append(Item(kind, self._counts[kind], message, audio_ms))
        self._counts[kind] += 1
        self._audio_ms += audio_ms
        self._changed.set()

    async def next(self) -> Item:
        """The first message that was not sent; waits for one, and for credit. `sent` says that it was."""
        while self._sent >= len(self._items) or not self._has_credit(self._items[self._sent]):
            await self._change()
        return self._items[self._sent]

    def sent(self) -> None:
        """The message that `next` gave was handed to a connection."""
        self._on_way_ms += self._items[self._sent].audio_ms
        self._sent += 1

    def heard(self, sequence: int, kept: int | None = None) -> None:
        """The server has heard everything up to and with audio message `sequence`, and `kept` is the last that is safe
        (both modulo 2**32; -1: none is; None: what is heard is safe)."""
        count = self._upto(sequence)
        if count <= self._sent:
            self._on_way_ms -= sum(item.audio_ms for item in islice(self._items, self._heard, max(self._heard, count)))
            self._heard = max(self._heard, count)
        for _ in range(self._heard if kept is None else min(self._heard, self._upto(kept))):
            self._forget_first()
        if self._heard == self._sent:
            self._on_way_ms = 0.0
        self._changed.set()

    def _upto(self, sequence: int) -> int:
        """How many of the messages are those up to and with audio message `sequence`; 0 where it is not among them."""
        return next((i + 1 for i, item in enumerate(self._items) if _is_audio(item, sequence)), 0)

    def resume(self, next_sequence: int, configs: int, ended: bool) -> None:
        """A new connection: the server has got so much of each kind, and is sent the rest."""
        counts: dict[Kind, int] = {"audio": next_sequence, "config": configs, "end": int(ended)}
        got = 0
        for item in self._items:
            behind = (counts[item.kind] - item.number) % (1 << 32)
            if not 0 < behind < 1 << 31:
                break
            got += 1
        self._sent, self._heard = got, min(self._heard, got)
        self._on_way_ms = sum(item.audio_ms for item in islice(self._items, self._heard, got))
        self._changed.set()

    def grant(self, credit_ms: float | None) -> None:
        """So much audio may be on its way."""
        self.credit_ms = credit_ms
        self._changed.set()

    def _has_credit(self, item: Item) -> bool:
        if self.credit_ms is None or item.kind != "audio" or not self._on_way_ms:
            return True
        return self._on_way_ms + item.audio_ms <= self.credit_ms

    def _forget_first(self) -> None:
        item = self._items.popleft()
        self._sent -= 1
        self._heard -= 1
        self._audio_ms -= item.audio_ms
        if not self._items:
            self._audio_ms = 0.0

    async def _change(self) -> None:
        """Wait until something is appended, heard or granted."""
        self._changed.clear()
        await self._changed.wait()


def _is_audio(item: Item, sequence: int) -> bool:
    return item.kind == "audio" and item.number % (1 << 32) == sequence


class Allowance:
    """The server's own limit on how fast audio may come, observed here: a leaky bucket."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.speed = float(limits["speed"]) * SPEED_SHARE
        self.burst_ms = float(limits["burst_ms"]) * BURST_SHARE
        self._level_ms = 0.0
        self._at_s = time.monotonic()

    async def wait(self, audio_ms: float) -> None:
        """Sleep until `audio_ms` more may be sent."""
        if not self.speed:
            return
        now_s = time.monotonic()
        self._level_ms = max(0.0, self._level_ms - (now_s - self._at_s) * 1000 * self.speed) + audio_ms
        self._at_s = now_s
        await asyncio.sleep(max(0.0, self._level_ms - self.burst_ms) / 1000 / self.speed)


class Return:
    """Whether and when a client whose connection dropped tries to come back."""

    def __init__(self) -> None:
        self.token: str | None = None  # None: the server lets nobody come back
        self.park_s = 0.0
        self._since_s: float | None = None  # when the connection dropped (time.monotonic)

    def welcomed(self, fields: dict[str, Any]) -> None:
        """A `welcome` came: the connection stands."""
        self.token = fields.get("resume_token")
        self.park_s = float(fields.get("park_ms", 0.0)) / 1000
        self._since_s = None

    @property
    def returning(self) -> bool:
        """Whether the connection dropped, and no other stands yet."""
        return self._since_s is not None

    async def wait(self) -> bool:
        """Wait for the next attempt, longer each time; False when there is no hope."""
        now_s = time.monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        if self.token is None or now_s - self._since_s >= self.park_s:
            return False
        await asyncio.sleep(pause_s(now_s - self._since_s))
        return True


def pause_s(away_s: float) -> float:
    """How long a client that was away for `away_s` waits for its next attempt; by chance, lest all come at once."""
    return min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, away_s * PAUSE_SHARE)) * random.uniform(0.5, 1.0)
