"""How busy a device is, and what gives way first: wider chunks, then a cheaper policy, then new sessions are refused.

Two signs: what the streams that are heard now take of the device's time if all come in real time
(`room/costs.py`); and how far they are behind. Who sends a file faster than it can be heard is behind what was
sent, but not behind real time: that is no pressure. The level rises one step at a time and falls more slowly, so that
it does not swing; where nobody is heard any more there is no pressure.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from streamst.engine import Batch

from .costs import Costs

RELAXED, WIDER_CHUNKS, CHEAPER_POLICY, NO_MORE = range(4)  # levels
MEMORY_S = 5.0  # after which how far streams were behind counts a seventh
BUSY, CALM = 0.78, 0.62  # shares of the device's time (sockets need some) above and below which the level changes
BEHIND_S, CLOSE_S = 0.6, 0.2  # likewise, how far streams are behind
RISE_S, FALL_S = 2.0, 8.0  # how long that must last
EXPECTED = 2  # streams of one client that count before anything is heard of them
FRESH_S = 4.0  # after which a stream that is not heard costs nothing
RELIEF_CHUNK_MS = 640  # of sessions that asked for shorter ones, from the first level on
RELIEF_POLICY = "wait-k:k=7"  # of all sessions, from the second on: it decodes once a word


@dataclass
class Pressure:
    """What one engine is under. Tell it every batch and all audio heard; ask `level` before every chunk. Any thread
    may: the engine's works while the server's asks."""

    now: Callable[[], float]
    _costs: Costs = field(default_factory=Costs)
    _behind_s: float = 0.0  # lately
    _streams: dict[Hashable, float] = field(default_factory=dict)  # when each was heard last
    _silent: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict)  # unheard: whose, since when
    _seen_s: float | None = None
    _level: int = RELAXED
    _since_s: float | None = None  # when a reason to change the level began
    _rising: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def worked(self, batch: Batch) -> None:
        """The networks did this."""
        with self._lock:
            self._costs.worked(batch)

    def began(self, stream: Hashable, client: Hashable = None) -> None:
        """A stream was opened and will soon be heard: few of one client are taken at their word."""
        with self._lock:
            self._silent[stream] = (stream if client is None else client, self.now())

    def heard(self, stream: Hashable, audio_s: float, behind_s: float) -> None:
        """Audio of a stream was heard, `behind_s` later than it could have been (see `behind`)."""
        with self._lock:
            self._fade()
            self._silent.pop(stream, None)
            self._streams[stream] = self.now()
            self._costs.heard(audio_s)
            self._behind_s = max(self._behind_s, behind_s)

    def ended(self, stream: Hashable) -> None:
        """The stream is over."""
        with self._lock:
            self._streams.pop(stream, None)
            self._silent.pop(stream, None)

    @property
    def level(self) -> int:
        """RELAXED to NO_MORE."""
        with self._lock:
            self._fade()
            self._judge()
            return self._level

    @property
    def demand(self) -> float:
        """Share of the device's time that the streams take in real time; above 1 they cannot all be heard in time."""
        with self._lock:
            return self._costs.demand(self._count())

    @property
    def room(self) -> bool:
        """Whether another stream can be served; it is expected to be like the others. A first one always can, however
        slow the machine: who would be served by refusing it?"""
        with self._lock:
            level, count = self.level, self._count()
            return not count or (level < NO_MORE and self._costs.demand(count + 1) <= BUSY)

    def _count(self) -> int:
        now_s = self.now()
        expected = Counter(client for client, since_s in self._silent.values() if now_s - since_s < FRESH_S)
        heard = sum(now_s - heard_s < FRESH_S for heard_s in self._streams.values())
        return heard + sum(min(count, EXPECTED) for count in expected.values())

    def _fade(self) -> None:
        now_s = self.now()
        if self._seen_s is not None:
            self._behind_s *= math.exp(-2 * (now_s - self._seen_s) / MEMORY_S)
        self._seen_s = now_s

    def _judge(self) -> None:
        if not self._count():  # nobody is left whom the last rush could still make wait
            self._level, self._since_s, self._behind_s = RELAXED, None, 0.0
            return
        tight = self.demand > BUSY or self._behind_s > BEHIND_S
        calm = self.demand < CALM and self._behind_s < CLOSE_S
        if not ((tight and self._level < NO_MORE) or (calm and self._level > RELAXED)):
            self._since_s = None
            return
        now_s = self.now()
        if self._since_s is None or self._rising != tight:
            self._since_s, self._rising = now_s, tight
        if now_s - self._since_s >= (RISE_S if tight else FALL_S):
            self._level += 1 if tight else -1
            self._since_s = None


def behind(now_s: float, arrived_s: float, first_s: float, heard_s: float) -> float:
    """How late audio is heard [s]: since it arrived at `arrived_s`, but no later than in a stream in real time that
    began at `first_s`, of which `heard_s` were heard before."""
    return max(0.0, min(now_s - arrived_s, now_s - first_s - heard_s))
