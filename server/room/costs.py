"""What streams cost a device that works in batches: some time for each batch, whatever is in it, and some for each
piece of work, both estimated from the batches seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from streamst.engine import Batch

MEMORY_S = 100.0  # of audio heard, after which what was seen counts a third
KNOWN_AFTER_S = 2.0  # of audio heard; before that `UNKNOWN_COST` is taken for a second of it
UNKNOWN_COST = 0.08
CYCLE_S = 0.15  # how long work can wait for company without anybody noticing: at most one batch of a kind in that time
FORGOTTEN = 1e-6  # pieces of work, of a kind that has not been seen for long
SHARED = 0.6  # of what a batch of one piece costs, a batch of many costs once: so much is taken while sizes are alike,
ALIKE = 0.2  # pieces squared: their variance, from which on the batches tell


@dataclass
class _Kind:
    """Fading sums over the batches of one kind."""

    batches: float = 0.0
    pieces: float = 0.0
    squares: float = 0.0
    seconds: float = 0.0
    products: float = 0.0  # pieces times seconds

    def add(self, pieces: int, seconds: float) -> None:
        self.batches += 1
        self.pieces += pieces
        self.squares += pieces * pieces
        self.seconds += seconds
        self.products += pieces * seconds

    def fade(self, kept: float) -> None:
        self.batches *= kept
        self.pieces *= kept
        self.squares *= kept
        self.seconds *= kept
        self.products *= kept

    def line(self) -> tuple[float, float]:
        """Seconds of a batch, and of each piece in it: least squares, drawn towards what is usual (`SHARED`)."""
        size, took = self.pieces / self.batches, self.seconds / self.batches
        variance = self.squares / self.batches - size * size
        covariance = self.products / self.batches - size * took
        usual = (1 - SHARED) * took / (SHARED + (1 - SHARED) * size)
        each = (covariance + ALIKE * usual) / (variance + ALIKE)
        each = min(max(each, 0.0), took / size)
        return took - each * size, each


@dataclass
class Costs:
    """Tell it every batch and all audio heard; ask what a number of streams takes."""

    _kinds: dict[str, _Kind] = field(default_factory=dict)
    _audio_s: float = 0.0

    def worked(self, batch: Batch) -> None:
        """The networks did this."""
        self._kinds.setdefault(batch.kind, _Kind()).add(len(batch.waited_s), batch.seconds)

    def heard(self, audio_s: float) -> None:
        """So much audio was heard, of any stream."""
        kept = math.exp(-audio_s / MEMORY_S)
        self._audio_s = (self._audio_s + audio_s) * kept
        for kind in self._kinds.values():
            kind.fade(kept)
        self._kinds = {name: kind for name, kind in self._kinds.items() if kind.pieces > FORGOTTEN}

    def demand(self, streams: int) -> float:
        """Share of the device's time that so many streams like those heard take in real time, in batches as large as
        `CYCLE_S` allows."""
        if self._audio_s < KNOWN_AFTER_S:
            return streams * UNKNOWN_COST
        share = 0.0
        for kind in self._kinds.values():
            batch_s, piece_s = kind.line()
            rate = streams * kind.pieces / self._audio_s  # pieces a second
            share += rate * piece_s + min(rate, 1 / CYCLE_S) * batch_s
        return share
