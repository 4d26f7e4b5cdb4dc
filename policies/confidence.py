"""Confidence: say words while the decoder is sure of them. After CAP of Dugan et al., Learning When to Speak, 2023."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Heard, Hypothesis, Need, Policy, Said
from .knobs import check, knob


@dataclass(frozen=True)
class Confidence(Policy):
    """Commit whole words until the first whose probability is not above `tau`.

    A word's probability is that of its least sure token, or the geometric mean of its tokens. (The paper takes one
    minus the probability of "no speech", which says little about the words.)
    """

    tau: float = knob(0.6, 0.0, 1.0, "probability that a word must exceed; larger is later")
    word: str = knob("min", choices=("min", "mean"), help="a word's probability from that of its tokens")

    choose_when: ClassVar[str] = "the decoder is well calibrated and easy passages should go through fast"

    def __post_init__(self) -> None:
        check(self, "confidence")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"log-probs"})

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        commit = 0
        for end in candidate.word_ends:
            pieces = candidate.log_probs[commit:end]
            if len(pieces) < end - commit or not pieces:
                break
            sure = min(pieces) if self.word == "min" else sum(pieces) / len(pieces)
            if math.exp(sure) <= self.tau:
                break
            commit = end
        return Decision(commit)
