"""How busy a device is, and what gives way first: wider chunks, then a cheaper policy, then new sessions are refused.

Two signs, both decaying with time: the share of time in which the networks worked, and how long work waited for its
turn. The level rises one step at a time and falls more slowly, so that it does not swing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from streamst.engine import Batch

RELAXED, WIDER_CHUNKS, CHEAPER_POLICY, NO_MORE = range(4)  # levels
MEMORY_S = 3.0  # after which what was seen counts a third
BUSY, CALM = 0.92, 0.75  # shares of time above which the level rises, below which it falls
WAIT_S, SHORT_WAIT_S = 0.3, 0.1  # waiting likewise
LEAST_SHARE, UNKNOWN_SHARE = 0.02, 0.2  # of a device's time that a stream is expected to take
RISE_S, FALL_S = 2.0, 8.0  # how long that must last
RELIEF_CHUNK_MS = 640  # of sessions that asked for shorter ones, from the first level on
RELIEF_POLICY = "wait-k:k=7"  # of all sessions, from the second on: it decodes once a word


@dataclass
class Pressure:
    """What one engine is under; `note` every batch, ask `level` before every chunk."""

    now: Callable[[], float]
    _busy: float = 0.0  # share of time
    _wait_s: float = 0.0
    _seen_s: float | None = None
    _level: int = RELAXED
    _since_s: float | None = None  # when a reason to change the level began
    _rising: bool = False

    def note(self, batch: Batch) -> None:
        """Count work that was just done."""
        self._fade()
        self._busy += batch.seconds / MEMORY_S
        longest_s = max(batch.waited_s, default=0.0)
        self._wait_s += (longest_s - self._wait_s) * min(1.0, batch.seconds / MEMORY_S * 4)
        self._judge()

    @property
    def utilisation(self) -> float:
        """Share of the last seconds in which the networks worked, 0 to about 1."""
        self._fade()
        return min(1.0, self._busy)

    @property
    def level(self) -> int:
        """RELAXED to NO_MORE."""
        self._fade()
        self._judge()
        return self._level

    def fits(self, streams: int, fresh: int) -> bool:
        """Whether another stream can be served beside `streams`.

        fresh: how many of them began so lately that what they cost is not seen yet; it is expected to be what the
        others cost on average.
        """
        if self.level == NO_MORE:
            return False
        known = streams - fresh
        share = max(LEAST_SHARE, self.utilisation / known) if known > 0 else UNKNOWN_SHARE
        return self.utilisation + (fresh + 1) * share <= BUSY

    def _fade(self) -> None:
        now_s = self.now()
        if self._seen_s is not None:
            kept = math.exp(-(now_s - self._seen_s) / MEMORY_S)
            self._busy *= kept
            self._wait_s *= kept
        self._seen_s = now_s

    def _judge(self) -> None:
        tight = self._busy > BUSY or self._wait_s > WAIT_S
        calm = self._busy < CALM and self._wait_s < SHORT_WAIT_S
        wanted = (tight and self._level < NO_MORE) or (calm and self._level > RELAXED)
        if not wanted:
            self._since_s = None
            return
        now_s = self.now()
        if self._since_s is None or self._rising != tight:
            self._since_s, self._rising = now_s, tight
        if now_s - self._since_s >= (RISE_S if tight else FALL_S):
            self._level += 1 if tight else -1
            self._since_s = None
