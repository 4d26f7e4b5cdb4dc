"""Terms of a glossary in the frames of a source CTC: word spotting beside greedy decoding (Andrusenko et al.,
arXiv:2406.07096).

A hypothesis walks the tree of the terms frame by frame and pays, in nats, what its labels are less probable than the
best ones. A term that was said as greedy decoding hears it costs nothing. One that greedy decoding misheard replaces
what was heard in its frames, if it costs no more than `Spotter.budget` a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamst.models.glossary import Glossary
from streamst.text import Tokenizer

from .lexicon import BLANK

WIDTH = 100  # hypotheses kept
STEP = 2.0  # budgets that one label may cost: the rest are not looked at

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Hypothesis:
    """A term, or its beginning: cost [nats] and the frames in which its tokens began."""

    cost: float
    frames: tuple[int, ...]


Key = tuple[int, bool]  # node of the tree, and whether the last label was blank


@dataclass(frozen=True)
class SpotState:
    """What one stream's search has come to."""

    alive: tuple[tuple[Key, Hypothesis], ...] = ()
    last: int = BLANK  # the best label of the last frame
    quiet: int = 0  # frames since a label other than blank was best
    done: tuple[tuple[int, int], ...] = ()  # (node, first frame) of what is alive and was reported

    @property
    def since(self) -> int | None:
        """The frame since which a term may be being said, None where none is: what was heard since may be replaced."""
        begun = [hypothesis.frames[0] for (node, _), hypothesis in self.alive if node]
        return min(begun, default=None)


NOTHING_SPOTTED = SpotState()


@dataclass(frozen=True)
class Spotted:
    """A term that was said: its number, the frames in which its tokens began, and the last frame that it covers."""

    term: int
    frames: tuple[int, ...]
    last: int
    cost: float


class TermTree:
    """The source tokens of a glossary's terms as a tree."""

    def __init__(self, glossary: Glossary, source: Tokenizer) -> None:
        self.sources = [tuple(source.encode(term)) for term, _ in glossary.terms]
        self.children: list[dict[int, int]] = [{}]  # of a node, by label
        self.label = [-1]  # of a node
        self.depth = [0]
        self.ends = [-1]  # the term that ends in a node, or -1
        for number, tokens in enumerate(self.sources):
            node = 0
            for token in tokens:
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                    self.label.append(token)
                    self.depth.append(self.depth[node] + 1)
                    self.ends.append(-1)
                node = self.children[node][token]
            if node:
                self.ends[node] = number


class Spotter:
    """Finds terms; stateless.

    word_starts: for every label, whether it begins a word. pause: frames of silence that end a word. budget: what a
    token of a term may cost [nats].
    """

    def __init__(self, terms: TermTree, word_starts: Sequence[bool], pause: int = 3, budget: float = 2.5) -> None:
        self.terms, self.word_starts, self.pause, self.budget = terms, word_starts, pause, budget

    def step(self, log_probs: Floats, state: SpotState, offset: int) -> tuple[list[Spotted], SpotState]:
        """Hear frames (T, labels), the first of which is number `offset` of the stream."""
        alive, last, quiet, done = dict(state.alive), state.last, state.quiet, set(state.done)
        found: list[Spotted] = []
        for frame, row in enumerate(log_probs, offset):
            best = int(row.argmax())
            top = float(row[best])
            quiet = quiet + 1 if best == BLANK else 0
            if (best not in (BLANK, last) and self.word_starts[best]) or quiet == self.pause:
                found += self._complete(alive, done, frame - 1)
            last = best
            alive = self._frame(row, top, alive, frame)
        known = {(node, one.frames[0]) for (node, _), one in alive.items()}
        return found, SpotState(tuple(alive.items()), last, quiet, tuple(sorted(done & known)))

    def _frame(self, row: Floats, top: float, alive: dict[Key, Hypothesis], frame: int) -> dict[Key, Hypothesis]:
        children, depth, budget = self.terms.children, self.terms.depth, self.budget
        grown: dict[Key, Hypothesis] = {}

        def enter(key: Key, cost: float, frames: tuple[int, ...]) -> None:
            if cost <= budget * depth[key[0]] and (key not in grown or cost < grown[key].cost):
                grown[key] = Hypothesis(cost, frames)

        blank = top - float(row[BLANK])
        near = np.flatnonzero(row >= top - STEP * budget)
        costs = {int(label): top - float(row[label]) for label in near}
        for (node, quiet), one in alive.items():
            token = self.terms.label[node]
            enter((node, True), one.cost + blank, one.frames)
            if not quiet:
                enter((node, False), one.cost + top - float(row[token]), one.frames)
            below = children[node]
            for label in below if len(below) < len(costs) else costs:
                if label in costs and label in below and (quiet or label != token):
                    enter((below[label], False), one.cost + costs[label], (*one.frames, frame))
        for label, cost in costs.items():
            if label in children[0]:
                enter((children[0][label], False), cost, (frame,))
        if len(grown) > WIDTH:
            cheap = sorted(grown.items(), key=lambda item: item[1].cost - budget * depth[item[0][0]])
            return dict(cheap[:WIDTH])
        return grown

    def _complete(self, alive: dict[Key, Hypothesis], done: set[tuple[int, int]], last: int) -> list[Spotted]:
        """The term that a word's end at frame `last` completes: the longest, then the cheapest. None goes on beyond
        this end but in a longer term."""
        ended = [
            ((-len(one.frames), one.cost), Spotted(self.terms.ends[node], one.frames, last, one.cost), key)
            for key, one in alive.items()
            if self.terms.ends[node := key[0]] >= 0 and (node, one.frames[0]) not in done
        ]
        for _, spotted, key in ended:
            done.add((key[0], spotted.frames[0]))
            if not self.terms.children[key[0]]:
                del alive[key]
        return [min(ended, key=lambda one: one[0])[1]] if ended else []
