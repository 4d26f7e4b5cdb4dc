"""Re-translation: captions at once, taken back where they were wrong. Arivazhagan et al., ICASSP and IWSLT 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Decoding, Heard, Hypothesis, Need, Policy, Said, whole_words
from .knobs import check, knob


@dataclass(frozen=True)
class Retranslate(Policy):
    """Commit nothing before the end; show each new hypothesis without its last `mask` tokens in place of the one
    before.

    Masking and `beta` (a pull towards what was shown) trade a little delay and correctness for less flicker, measured
    as normalised erasure; below 0.2 is calm. Speech cannot be taken back, so this policy never feeds a voice.
    """

    mask: int = knob(3, 0, 1000, "tokens at the end that are not shown; larger is later and calmer")
    beta: float = knob(0.0, 0.0, 1.0, "pull towards the text shown last, 0 none to 1 never change")
    draft: bool = knob(False, help="show the target CTC's draft, which costs no decoder, instead of decoding")

    choose_when: ClassVar[str] = "captions only, and readers accept text that changes"

    def __post_init__(self) -> None:
        check(self, "retranslate")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"target-ctc"}) if self.draft else frozenset()

    @property
    def decoding(self) -> Decoding:
        return Decoding(mode="target-ctc" if self.draft else "attention", bias=self.beta)

    @property
    def captions_only(self) -> bool:
        return True

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        return Decision(len(candidate.tokens) if heard.final else 0)

    def shown(self, heard: Heard, said: Said, candidate: Hypothesis) -> int:
        if heard.final:
            return len(candidate.tokens)
        return whole_words(candidate, max(len(candidate.tokens) - self.mask, 0))
