"""wait-k: stay k words behind the speaker. Ma et al., STACL, ACL 2019; adaptive words from CTC as in Ren et al.,
2020."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Heard, Hypothesis, Need, Policy, Said, news
from .knobs import check, knob


@dataclass(frozen=True)
class WaitK(Policy):
    """Target word t (from 1) may be said once k + (t - 1) / ratio source words were heard: with ratio 1 this is g(t)
    = k + t - 1 of Ma et al. (eq. 5), with another ratio their catch-up (section 4).

    What counts is what was said (`Said.words`), not what was allowed: a hypothesis that ends early leaves its unused
    words to the next decode. (A counter advanced by the allowance, as in public code, drifts ahead of the speaker.)
    """

    k: int = knob(3, 1, 1000, "complete source words heard before the first target word")
    boundaries: str = knob(
        "ctc", choices=("ctc", "fixed"), help="count words of the source CTC, or one word every step_ms"
    )
    step_ms: int = knob(320, 20, 10_000, "with fixed boundaries: duration taken for one source word [ms]")
    ratio: float = knob(1.0, 0.5, 2.0, "target words a source word")

    choose_when: ClassVar[str] = "the delay must be even and predictable, or decoding must cost least"

    def __post_init__(self) -> None:
        check(self, "wait-k")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"source-ctc"}) if self.boundaries == "ctc" else frozenset()

    def words_heard(self, heard: Heard) -> int:
        """Complete source words, counted or estimated from the clock."""
        if self.boundaries == "ctc":
            return heard.source_words
        return math.floor(heard.frames * heard.frame_ms / self.step_ms + 1e-9)

    def words_allowed(self, heard: Heard) -> int:
        """Target words that may have been said in all since the segment began."""
        ahead = self.words_heard(heard) - self.k
        return math.floor(ahead * self.ratio + 1e-9) + 1 if ahead >= 0 else 0

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        if heard.final:
            return True
        allowed = self.words_allowed(heard)
        if allowed <= said.words:
            return False
        return said.heard is None or allowed > self.words_allowed(said.heard) or news(heard, said.heard)

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        words = min(self.words_allowed(heard) - said.words, len(candidate.word_ends))
        return Decision(candidate.word_ends[words - 1] if words > 0 else 0)
