"""What stands in for lost samples: the last pitch period repeated, fading into silence.

The idea of ITU-T G.711 Appendix I (1999): the period is where the last samples resemble those before them most; what
comes back after a loss fades in over what would have gone on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamst.codecs.base import Pcm
from streamst.errors import InputError

HISTORY_MS, SHORTEST_MS, LONGEST_MS, COMPARED_MS = 60, 2.5, 16.0, 20
FADE_MS = 120  # concealment is silent after so long
RETURN_MS = 5  # the crossfade back


@dataclass(frozen=True)
class ConcealerKept:
    """A `Concealer` between two packets."""

    history: Pcm
    cycle: Pcm | None
    lost: int


class Concealer:
    """One stream's memory of what it said last."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._of_ms = sample_rate_hz / 1000
        self._history = np.zeros(round(HISTORY_MS * self._of_ms), np.float32)
        self._cycle: Pcm | None = None
        self._lost = 0

    def keep(self) -> ConcealerKept:
        """What `go_on` takes."""
        return ConcealerKept(self._history, self._cycle, self._lost)

    def go_on(self, kept: ConcealerKept) -> None:
        """Be where another one of the same rate was; InputError for what none of them keeps."""
        cycle = kept.cycle
        if kept.history.shape != self._history.shape or kept.lost < 0 or (cycle is not None and not cycle.size > 0):
            raise InputError(f"no concealment remembers {len(kept.history)} samples, {kept.lost} being lost")
        self._history, self._cycle, self._lost = kept.history, cycle, kept.lost

    def heard(self, pcm: Pcm) -> Pcm:
        """`pcm` (samples,) as it goes to the listener: after a loss its first samples are crossfaded."""
        if len(pcm) and self._cycle is not None:
            size = min(round(RETURN_MS * self._of_ms), len(pcm))
            rising = (np.arange(size, dtype=np.float32) + 0.5) / size
            going_on = self._going_on(size)
            pcm = pcm.copy()
            pcm[:size] = pcm[:size] * rising + going_on * (1 - rising)
            self._cycle, self._lost = None, 0
        self._history = np.concatenate([self._history, pcm])[-len(self._history) :]
        return pcm

    def conceal(self, samples: int) -> Pcm:
        """`samples` in place of lost ones."""
        if self._cycle is None:
            self._cycle = self._last_period()
        out = self._going_on(samples)
        self._lost += samples
        return out

    def _going_on(self, samples: int) -> Pcm:
        assert self._cycle is not None
        place = self._lost + np.arange(samples)
        level = np.clip(1 - place / (FADE_MS * self._of_ms), 0, 1)
        return (self._cycle[place % len(self._cycle)] * level).astype(np.float32)

    def _last_period(self) -> Pcm:
        shortest, longest = round(SHORTEST_MS * self._of_ms), round(LONGEST_MS * self._of_ms)
        size = round(COMPARED_MS * self._of_ms)
        recent = self._history[-size:].astype(np.float64)
        before = self._history[-size - longest : -shortest].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(before, size)
        likeness = windows @ recent / np.sqrt((windows**2).sum(-1) + 1e-6)
        period = longest - int(np.argmax(likeness))
        return self._history[-period:].copy()
