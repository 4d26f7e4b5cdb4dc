"""Local agreement LA-n: say what n decodes in a row agree on. Liu, Spanakis, Niehues, Interspeech 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Heard, Hypothesis, Need, Policy, Said, common_prefix
from .knobs import check, knob


@dataclass(frozen=True)
class LocalAgreement(Policy):
    """Commit the longest run of whole words that begins the newest n hypotheses alike; the first n - 1 decodes say
    nothing.

    A word counts where it is complete in every one of them: "Haus" followed by a new word and "Haustür" share a token
    and no word. A decode of unchanged input would agree with the one before it and prove nothing, so none is wanted
    (see `news`).
    """

    n: int = knob(2, 2, 100, "decodes in a row that must agree")

    choose_when: ClassVar[str] = "the translator gives nothing but text, or quality matters more than a chunk of delay"

    def __post_init__(self) -> None:
        check(self, "local-agreement")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"previous"})

    @property
    def history(self) -> int:
        return self.n - 1

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        if len(said.previous) < self.history:
            return Decision(0)
        hypotheses = (*said.previous[-self.history :], candidate)
        agreed = common_prefix([h.tokens for h in hypotheses])
        complete = set(candidate.word_ends).intersection(*(h.word_ends for h in hypotheses))
        return Decision(max((end for end in complete if end <= agreed), default=0))
