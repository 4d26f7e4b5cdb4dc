"""CTC-guided: two counters on the encoder say when to translate and how far. StreamSpeech, Zhang et al., ACL 2024."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Heard, Hypothesis, Need, Policy, Said, whole_words
from .knobs import check, knob


@dataclass(frozen=True)
class CtcGuided(Policy):
    """Decode once the source CTC and the target CTC have both grown by `stride` tokens since the last decode, and say
    at most as many tokens in all as the target CTC has counted, less `lag`.

    Decodes happen on growth only, so the counts at the last decode are their running maximum and a count that shrinks
    (an encoder that re-reads) takes nothing back. Whole words always: public code says half words at chunks of 320
    ms.
    """

    stride: int = knob(1, 1, 100, "tokens by which both counts must grow before the next decode")
    lag: int = knob(1, 0, 1000, "tokens that stay unsaid behind the count of the target CTC; larger is later")

    choose_when: ClassVar[str] = "the computer is slow: it decodes least, and the counts cost nothing"

    def __post_init__(self) -> None:
        check(self, "ctc-guided")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"source-ctc", "target-ctc"})

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        if heard.final:
            return True
        source, target = (said.heard.source_tokens, said.heard.target_tokens) if said.heard else (0, 0)
        grown = min(heard.source_tokens - source, heard.target_tokens - target) >= self.stride
        return grown and self.tokens_allowed(heard) > said.tokens

    def tokens_allowed(self, heard: Heard) -> int:
        """Target tokens that may have been said in all since the segment began."""
        return max(heard.target_tokens - self.lag, 0)

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        return Decision(whole_words(candidate, max(self.tokens_allowed(heard) - said.tokens, 0)))
