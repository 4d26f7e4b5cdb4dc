"""A thousand nodes in virtual time: places used, refusals, and how long talks are silent when their node goes.

python tests/benchmarks/cluster.py [--nodes 1000] [--sessions 7000] [--places 8] [--minutes 20] [--crash-every-h 24]
    [--plot cluster.png]

Nodes choose by the server's own table (`server/session/table.py`), which knows what each told at its last beat; clients
pause between attempts as ours do. Taken as measured: places of a node (README), the ear's share of real time and what a
restore takes (`kept.py`: the utterance is heard again); a crashed or renewed node is back after 30 s. In the middle
third all nodes are renewed, five at a time. Also with clients that are sent anywhere (a load balancer that knows
nothing), for comparison.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamst.server.session.table import BEAT_S, Table, Told
from streamst.server.store.sealed import Seal

TALK_S = 1200.0  # mean, exponential
RTF, RESTORE_S, SNAPSHOT_S = 0.088, 0.162, 5.0
BACK_S = 30.0  # until a node that went is there again
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 3.0
GIVEN_UP_S = 60.0
RENEWED_AT_ONCE = 5


@dataclass
class Node:
    """One node: its places, and who holds them."""

    table: Table
    places: int
    up: bool = True
    held: set[int] = field(default_factory=set)

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        return self.places - len(self.held) if self.up else 0


class Cluster:
    """All nodes and talks."""

    def __init__(self, asked: argparse.Namespace, informed: bool) -> None:
        self.chance = random.Random(7)
        self.informed = informed
        self.nodes = [Node(Table(str(n), Seal(), self.chance), asked.places) for n in range(asked.nodes)]
        self.asked, self.now_s = asked, 0.0
        self.events: list[tuple[float, int, str, tuple[int, ...]]] = []
        self.order = itertools.count()
        self.talks: dict[int, int] = {}  # where each is
        self.began = self.refused = self.turned_away = self.moved = self.lost = 0
        self.gaps_s: list[float] = []
        self.used: list[float] = []
        self.told_s: list[float] = []  # when `used` was
        self.refused_s: list[float] = []  # when somebody was refused

    def at(self, after_s: float, what: str, *about: int) -> None:
        """Something happens later."""
        heapq.heappush(self.events, (self.now_s + after_s, next(self.order), what, about))

    def run(self) -> dict[str, object]:
        """Until the end; what came of it."""
        end_s = 60.0 * self.asked.minutes
        rate = self.asked.sessions / TALK_S
        for number in range(self.asked.sessions):  # as in the midst of a day
            self.at(self.chance.uniform(0, 60), "talk", number)
        numbers = itertools.count(self.asked.sessions)
        self.at(60, "arrivals")
        self.at(0, "beat")
        self.at(60, "crash")
        for turn, first in enumerate(range(0, len(self.nodes), RENEWED_AT_ONCE)):
            each_s = end_s / 3 / (len(self.nodes) / RENEWED_AT_ONCE)
            self.at(end_s / 3 + turn * each_s, "renew", first)
        while self.events and self.events[0][0] < end_s:
            self.now_s, _, what, about = heapq.heappop(self.events)
            if what == "arrivals":
                self.at(self.chance.expovariate(rate), "arrivals")
                self.begin(next(numbers))
            else:
                getattr(self, what)(*about)
        gaps = sorted(self.gaps_s) or [0.0]
        share = {name: round(gaps[min(len(gaps) - 1, int(len(gaps) * at))], 2) for name, at in QUANTILES}
        return {
            "talks": self.began, "refused": self.refused, "named_a_full_node": self.turned_away, "moved": self.moved,
            "moved_and_lost": self.lost, "silent_s": share, "places_used": round(sum(self.used) / len(self.used), 3),
        }  # fmt: skip

    def beat(self) -> None:
        """Everybody tells, everybody reads."""
        told = {n: Told(f"ws://{n}", node.free) for n, node in enumerate(self.nodes) if node.up}
        known = {str(n): one for n, one in told.items()}
        for node in self.nodes:
            node.table.know(known)
        self.used.append(len(self.talks) / sum(node.places for node in self.nodes))
        self.told_s.append(self.now_s)
        self.at(BEAT_S, "beat")

    def talk(self, number: int) -> None:
        """One of the talks that fill the day."""
        self.begin(number)

    def begin(self, number: int) -> None:
        """A client asks any node that is up for a place."""
        self.began += 1
        here = self.anywhere()
        node, there = self.nodes[here], here
        if self.informed:
            url = node.table.roomier(node.free)
            there = here if url is None else int(url.rpartition("/")[2])
        if self.nodes[there].free < 1:
            self.turned_away += there != here
            self.refused += there == here
            self.refused_s += [self.now_s] * (there == here)
            return
        self.enter(number, there)
        self.at(self.chance.expovariate(1 / TALK_S), "end", number)

    def enter(self, number: int, where: int) -> None:
        """A talk holds a place."""
        self.nodes[where].held.add(number)
        self.talks[number] = where

    def end(self, number: int) -> None:
        """A talk is over, wherever it is."""
        where = self.talks.pop(number, None)
        if where is not None:
            self.nodes[where].held.discard(number)

    def anywhere(self) -> int:
        """A node that is up."""
        while True:
            found = self.chance.randrange(len(self.nodes))
            if self.nodes[found].up:
                return found

    def crash(self) -> None:
        """One node dies without a word, what it heard since the last snapshot is heard again."""
        self.go(self.anywhere(), kept=False)
        self.at(self.chance.expovariate(len(self.nodes) / (3600 * self.asked.crash_every_h)), "crash")

    def renew(self, first: int) -> None:
        """Some nodes hand over what they have, and are back a little later."""
        for where in range(first, min(first + RENEWED_AT_ONCE, len(self.nodes))):
            self.go(where, kept=True)

    def go(self, where: int, kept: bool) -> None:
        """A node is gone for a while."""
        node = self.nodes[where]
        if not node.up:
            return
        node.up = False
        self.at(BACK_S, "back", where)
        for number in sorted(node.held):
            again_s = 0.0 if kept else self.chance.uniform(0, SNAPSHOT_S)
            self.moved += 1
            self.move(number, again_s)
        node.held.clear()

    def back(self, where: int) -> None:
        """It is there again."""
        self.nodes[where].up = True

    def move(self, number: int, again_s: float) -> None:
        """A client goes from node to node until one has room."""
        silent_s = 0.0
        for pause_s in pauses(self.chance):
            silent_s += pause_s
            where = self.chance.randrange(len(self.nodes))
            if self.nodes[where].free > 0:
                self.enter(number, where)
                self.gaps_s.append(silent_s + RESTORE_S + again_s * RTF)
                return
            if silent_s > GIVEN_UP_S:
                self.lost += 1
                self.talks.pop(number, None)
                return


def pauses(chance: random.Random) -> Iterator[float]:
    """As `streamst/client/outgoing.py` makes them."""
    for attempt in itertools.count():
        yield min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 9)) * chance.uniform(0.5, 1.0)


QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))


def main() -> None:
    """Run both ways and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=7000)
    parser.add_argument("--places", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--crash-every-h", type=float, default=24.0)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    ways = {"by the table": Cluster(asked, True), "anywhere": Cluster(asked, False)}
    print(json.dumps({name: way.run() for name, way in ways.items()}, indent=1))
    if asked.plot is not None:
        draw(ways, asked.plot)


def draw(ways: dict[str, Cluster], path: Path) -> None:
    """Places used and refusals in time, and how many of the moved talks were silent for how long."""
    from matplotlib.figure import Figure

    figure = Figure((11, 3.4), layout="constrained")
    used, refused, silent = figure.subplots(1, 3)
    for name, way in ways.items():
        used.plot([at_s / 60 for at_s in way.told_s], [100 * share for share in way.used], label=name)
        refused.step([at_s / 60 for at_s in way.refused_s], range(1, len(way.refused_s) + 1), where="post", label=name)
        gaps_s = sorted(way.gaps_s)
        silent.plot(gaps_s, [100 * (n + 1) / len(gaps_s) for n in range(len(gaps_s))], label=name)
    first = next(iter(ways.values()))
    renewed = [first.asked.minutes / 3, 2 * first.asked.minutes / 3]
    for axes, what in ((used, "places used [%]"), (refused, "talks refused so far")):
        axes.axvspan(*renewed, alpha=0.12, color="grey", label="all nodes are renewed")
        axes.set(xlabel="minutes", ylabel=what, xlim=(0, first.asked.minutes))
    used.set_ylim(0, 100)
    refused.set_ylim(bottom=0)
    silent.set(xlabel="silent for at most [s]", ylabel="of the moved talks [%]", xscale="log", ylim=(0, 100.5))
    used.legend(fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
