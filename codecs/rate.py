"""Which bit rate to send at, from how much waits to be sent: a pure rule, one decision after another.

A queue longer than `lower_above_ms` means that the network is slower than the stream: one rate down, and further down
while the queue stays long, but not before the last change could show. One that stays below `raise_below_ms` for
`calm_ms` means that there may be room: one rate up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from streamst.errors import ConfigError, InputError

LATE_MS = 1_000.0  # an answer that is missing for so long counts as a slow one


@dataclass(frozen=True)
class RateRule:
    """Thresholds of the rule."""

    lower_above_ms: float = 400.0
    raise_below_ms: float = 100.0
    calm_ms: float = 4_000.0  # of a short queue before the rate rises
    settle_ms: float = 600.0  # after a change down before the next

    def __post_init__(self) -> None:
        if not 0 <= self.raise_below_ms < self.lower_above_ms:
            raise ConfigError(
                f"raise_below_ms {self.raise_below_ms:g} must lie between 0 and lower_above_ms {self.lower_above_ms:g}"
            )


@dataclass(frozen=True)
class Rate:
    """The rate in use, and since when the queue has been short and the rate unchanged."""

    bitrate_bps: int
    calm_ms: float = 0.0
    unchanged_ms: float = float("inf")


def adapted(
    rate: Rate, queue_ms: float, elapsed_ms: float, allowed_bps: Sequence[int], rule: RateRule | None = None
) -> Rate:
    """The rate from now on.

    queue_ms: audio that waits to be sent. elapsed_ms: since the last decision. allowed_bps: rising, the highest being
    what the client chose. InputError when the rate in use is not among them.
    """
    rule = rule or RateRule()
    if rate.bitrate_bps not in allowed_bps:
        raise InputError(f"a rate of {rate.bitrate_bps} bit/s; allowed: {', '.join(map(str, allowed_bps))}")
    place = list(allowed_bps).index(rate.bitrate_bps)
    unchanged_ms = rate.unchanged_ms + elapsed_ms
    calm_ms = rate.calm_ms + elapsed_ms if queue_ms < rule.raise_below_ms else 0.0
    if queue_ms > rule.lower_above_ms and place > 0 and unchanged_ms >= rule.settle_ms:
        return Rate(allowed_bps[place - 1], 0.0, 0.0)
    if calm_ms >= rule.calm_ms and place + 1 < len(allowed_bps):
        return Rate(allowed_bps[place + 1], 0.0, 0.0)
    return replace(rate, calm_ms=calm_ms, unchanged_ms=unchanged_ms)


class RoundTrips:
    """How long questions to the other side take: what exceeds the shortest time is the queue that they stood in.

    One slow answer alone does not count: a computer that was busy for a moment is not a slow network.
    """

    def __init__(self) -> None:
        self.shortest_ms: float | None = None
        self._last_ms: list[float] = []

    def add(self, round_trip_ms: float) -> None:
        """A question was answered after so long."""
        self.shortest_ms = round_trip_ms if self.shortest_ms is None else min(self.shortest_ms, round_trip_ms)
        self._last_ms = [*self._last_ms[-1:], round_trip_ms]

    def queue_ms(self, open_ms: float = 0.0) -> float:
        """The queue now. open_ms: how long the answer to the last question has been missing."""
        if self.shortest_ms is None:
            return 0.0
        found = [min(self._last_ms), open_ms if open_ms > LATE_MS else 0.0]
        return max(0.0, max(found) - self.shortest_ms)


@runtime_checkable
class Adjustable(Protocol):
    """An encoder whose rate can be set while it runs."""

    bitrate_bps: int


class RateFollower:
    """Sets one encoder's rate by the rule; the rate that it has at first is the highest."""

    def __init__(self, encoder: object, allowed_bps: Sequence[int], rule: RateRule | None = None) -> None:
        assert isinstance(encoder, Adjustable)
        self._encoder, self._rule = encoder, rule
        self._allowed = sorted(rate for rate in allowed_bps if rate <= encoder.bitrate_bps)
        self._rate = Rate(encoder.bitrate_bps)
        self._last_s: float | None = None

    @property
    def bitrate_bps(self) -> int:
        """The rate in use."""
        return self._rate.bitrate_bps

    def go_on(self) -> None:
        """From the rate that the encoder has now."""
        self._rate = Rate(self._encoder.bitrate_bps)

    def follow(self, queue_ms: float, now_s: float) -> None:
        """Decide anew: `queue_ms` of audio waits to be sent at the time `now_s`, which only grows."""
        elapsed_ms = 0.0 if self._last_s is None else (now_s - self._last_s) * 1000
        self._last_s = now_s
        self._rate = adapted(self._rate, queue_ms, elapsed_ms, self._allowed, self._rule)
        if self._encoder.bitrate_bps != self._rate.bitrate_bps:
            self._encoder.bitrate_bps = self._rate.bitrate_bps
