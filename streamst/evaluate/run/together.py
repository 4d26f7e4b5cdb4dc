"""Several recordings at once on the simulated clock: what their sessions ask of the networks is done together.

A session's step runs until it needs a network (`Session.hearing`); alike work of all recordings then goes through the
network in one batch, as in a server. Each recording has a clock of its own, which runs while its session works, and is
charged for batched work what that work costs alone, which is measured by pieces that are done alone now and then. What
our recognisers hear, and when in the audio, does not depend on the company on a CPU; of others that is not known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamst.audio import Pcm
from streamst.errors import InputError
from streamst.evaluate.log.manifest import Clip
from streamst.evaluate.log.runlog import Line
from streamst.models.seam import KINDS, Models, Work, perform_all
from streamst.session import Session, Steps

from .drive import Labels, Tape, pieces, step

TOGETHER = 16  # recordings at once
SAMPLED = 16  # of so many batches of a kind, one has a piece that is done alone; more at the beginning

Now = Callable[[], float]
Begin = Callable[[Clip], tuple[Session[Any, Any], Iterable[Pcm], int]]  # session, audio, samples of a piece


class Stopwatch:
    """Seconds that one recording has taken: its own, while it runs, and what it is charged."""

    def __init__(self, now: Now) -> None:
        self._now, self._spent_s = now, 0.0
        self._since: float | None = None

    def now(self) -> float:
        """Seconds so far."""
        return self._spent_s + (0.0 if self._since is None else self._now() - self._since)

    def go(self, charged_s: float) -> None:
        """Run on, after what was done for `charged_s`."""
        self._spent_s += charged_s
        self._since = self._now()

    def halt(self) -> None:
        """Others have their turn."""
        self._spent_s, self._since = self.now(), None


@dataclass
class Price:
    """What work of one kind costs alone, by pieces that were done so, and what in batches of each size."""

    batches: int = 0
    alone_s: list[float] = field(default_factory=list[float])
    shares_s: dict[int, list[float]] = field(default_factory=dict[int, list[float]])  # of a piece, by size

    def sample(self) -> bool:
        """Whether a piece of the next batch is to be done alone: of the 1st, 2nd, 4th, 8th and each 16th."""
        self.batches += 1
        return self.batches & (self.batches - 1) == 0 or self.batches % SAMPLED == 0

    def charge(self, size: int, share_s: float) -> float:
        """For each piece of a batch of `size` whose share of it was `share_s`: as much more or less than a piece alone
        as it was than others in batches of that size."""
        shares = self.shares_s.setdefault(size, [])
        shares.append(share_s)
        usual_s = sum(shares) / len(shares)
        if not self.alone_s or usual_s <= 0:
            return share_s
        return share_s / usual_s * sum(self.alone_s) / len(self.alone_s)


class Desk:
    """Does work, and says for how many seconds each piece is charged."""

    def __init__(self, models: Models[Any, Any], now: Now = time.perf_counter) -> None:
        self._models, self._now = models, now
        self._prices: dict[type, Price] = {}

    def perform(self, work: Sequence[Work]) -> list[tuple[Any, float]]:
        """(result, seconds) of each piece of work, all of one kind."""
        price = self._prices.setdefault(type(work[0]), Price())
        lone = 0 if len(work) == 1 else price.batches % len(work) if price.sample() else -1
        if lone < 0:
            return self._together(work, price)
        alone, alone_s = self._timed([work[lone]])
        price.alone_s.append(alone_s)
        rest = self._together([*work[:lone], *work[lone + 1 :]], price)
        return [*rest[:lone], (alone[0], alone_s), *rest[lone:]]

    def _together(self, work: Sequence[Work], price: Price) -> list[tuple[Any, float]]:
        if not work:
            return []
        results, seconds = self._timed(work)
        charged_s = price.charge(len(work), seconds / len(work))
        return [(result, charged_s) for result in results]

    def _timed(self, work: Sequence[Work]) -> tuple[list[Any], float]:
        begun_s = self._now()
        results = perform_all(work, self._models)
        return results, self._now() - begun_s


@dataclass
class _Player:
    """A recording that is being played."""

    clip: Clip
    steps: Steps[list[Line]]
    watch: Stopwatch
    work: Work | None = None  # what it waits for
    lines: list[Line] = field(default_factory=list)

    def go(self, result: Any, charged_s: float) -> bool:
        """On to the next piece of work; False at the end, when its lines are there."""
        self.watch.go(charged_s)
        try:
            self.work = self.steps.send(result)
        except StopIteration as stop:
            self.lines = stop.value
            return False
        except InputError as error:
            raise InputError(f"manifest line {self.clip.line}: {error}") from error
        self.watch.halt()
        return True


def play_together(
    clips: Iterable[Clip], begin: Begin, desk: Desk, labels: Labels, out: Path, count: int = TOGETHER,
    now: Now = time.perf_counter,
) -> Iterator[tuple[Clip, list[Line]]]:  # fmt: skip
    """The lines of each clip, as they are done; `count` are played at once. InputError names the line of the clip."""
    waiting = iter(clips)
    playing: list[_Player] = []
    while True:
        while len(playing) < count and (clip := next(waiting, None)) is not None:
            watch = Stopwatch(now)
            player = _Player(clip, _steps(clip, begin, watch, labels, out), watch)
            if player.go(None, 0.0):
                playing.append(player)
            else:
                yield clip, player.lines
        if not playing:
            return
        group = _alike(playing)
        found = desk.perform([player.work for player in group if player.work is not None])
        for player, (result, charged_s) in zip(group, found, strict=True):
            if not player.go(result, charged_s):
                playing.remove(player)
                yield player.clip, player.lines


def _alike(playing: Sequence[_Player]) -> list[_Player]:
    """Those who wait for the kind of work that most wait for."""
    kinds: dict[str, list[_Player]] = {}
    for player in playing:
        kinds.setdefault(KINDS[type(player.work)], []).append(player)
    return max(kinds.values(), key=len)


def _steps(clip: Clip, begin: Begin, watch: Stopwatch, labels: Labels, out: Path) -> Steps[list[Line]]:
    """One recording from its begin to its end, in steps."""
    session, blocks, size = begin(clip)
    session.clock = watch.now
    rate, heard = session.sample_rate_hz, 0
    with Tape(clip, labels, rate, out) as tape:
        for piece in pieces(blocks, size):
            heard += len(piece)
            start_s = watch.now()
            events = yield from session.hearing(piece)
            tape.add(step("push", 1000.0 * heard / rate, 1000 * start_s, 1000 * watch.now()), events)
        start_s = watch.now()
        events = yield from session.ending()
        tape.add(step("finish", 1000.0 * heard / rate, 1000 * start_s, 1000 * watch.now()), events)
    return tape.lines()
