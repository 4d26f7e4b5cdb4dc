"""hold-n: say all but the last n tokens of the hypothesis. Liu et al., Interspeech 2020; CMU at IWSLT 2024."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Heard, Hypothesis, Policy, Said, whole_words
from .knobs import check, knob


@dataclass(frozen=True)
class HoldN(Policy):
    """The end of a hypothesis is what more audio changes; n tokens of it are held. Usual n: 4 to 6, published 1 to
    12."""

    n: int = knob(5, 1, 1000, "tokens held back")

    choose_when: ClassVar[str] = "the translator gives nothing but text and a second decode would come too late"

    def __post_init__(self) -> None:
        check(self, "hold-n")

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        return Decision(whole_words(candidate, len(candidate.tokens) - self.n))
