"""Consensus: local agreement that forgives. After CP of Dugan et al., Learning When to Speak, 2023."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Heard, Hypothesis, Need, Policy, Said
from .knobs import check, knob


def prefix_distances(a: Sequence[int], b: Sequence[int]) -> list[list[int]]:
    """Levenshtein distances of all prefixes: entry [i][j] is the number of edits from a[:i] to b[:j]."""
    table = [list(range(len(b) + 1))]
    for i, x in enumerate(a, start=1):
        above, row = table[-1], [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y)))
        table.append(row)
    return table


def word_spans(hypothesis: Hypothesis) -> list[tuple[int, int]]:
    """Begin and end of the complete words of `hypothesis`, in tokens."""
    return list(zip((0, *hypothesis.word_ends), hypothesis.word_ends, strict=False))


@dataclass(frozen=True)
class Consensus(Policy):
    """Commit up to the last word that an earlier decode has too, where everything up to there is alike to at least
    `gamma`: 1 - edits / tokens of the longer. With `passes` above 2, in each of the last passes - 1 decodes.

    A disagreement is forgiven only once a later word agrees again, so no word goes out that only the newest decode
    has at its end. gamma 1 is local agreement.
    """

    gamma: float = knob(0.75, 0.0, 1.0, "likeness that suffices; larger is later")
    passes: int = knob(2, 2, 100, "decodes in a row that must be alike")

    choose_when: ClassVar[str] = "local agreement waits too long because hypotheses waver in small words"

    def __post_init__(self) -> None:
        check(self, "consensus")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"previous"})

    @property
    def history(self) -> int:
        return self.passes - 1

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        if len(said.previous) < self.history:
            return Decision(0)
        common = set(candidate.word_ends)
        for earlier in said.previous[-self.history :]:
            common &= self._alike(candidate, earlier)
        return Decision(max(common, default=0))

    def _alike(self, candidate: Hypothesis, earlier: Hypothesis) -> set[int]:
        """Word ends of `candidate` that `earlier` confirms."""
        distances = prefix_distances(candidate.tokens, earlier.tokens)
        return {
            end
            for begin, end in word_spans(candidate)
            for other_begin, other_end in word_spans(earlier)
            if candidate.tokens[begin:end] == earlier.tokens[other_begin:other_end]
            and 1 - distances[end][other_end] / max(end, other_end) >= self.gamma
        }
