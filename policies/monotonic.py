"""Monotonic attention: a trained read/write head decides token by token. EMMA, Ma et al., 2023 (SeamlessStreaming)."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Decoding, Heard, Hypothesis, Need, Policy, Said, whole_words
from .knobs import check, knob


@dataclass(frozen=True)
class Monotonic(Policy):
    """Commit until the first token whose probability of WRITE is not above `threshold`.

    The probability is the least over the layers and heads of the trained head (or their mean, or median). Nothing
    before `start_ms` of a segment; at most `run_tokens` at once, which ends loops. Published: threshold 0.5 and 50
    tokens, after 1920 ms, which a short sentence does not last.
    """

    threshold: float = knob(0.5, 0.0, 1.0, "probability of WRITE that a token must exceed; larger is later")
    combine: str = knob("min", choices=("min", "mean", "median"), help="one probability from all layers and heads")
    start_ms: int = knob(640, 0, 60_000, "audio heard before the first word of a segment [ms]")
    run_tokens: int = knob(50, 1, 1000, "tokens said at once at most")

    choose_when: ClassVar[str] = "the model was trained with a read/write head, as the shipped one was"

    def __post_init__(self) -> None:
        check(self, "monotonic")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"write-probability"})

    @property
    def decoding(self) -> Decoding:
        return Decoding(writes=True)

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        if heard.final:
            return True
        return self._started(heard) and heard.frames > (said.heard.frames if said.heard else 0)

    def _started(self, heard: Heard) -> bool:
        return heard.frames * heard.frame_ms >= self.start_ms

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        if not self._started(heard):
            return Decision(0)
        combine = {"min": min, "mean": statistics.fmean, "median": statistics.median}[self.combine]
        commit = 0
        for heads in candidate.write_probs[: min(len(candidate.tokens), self.run_tokens)]:
            if not heads or combine(heads) <= self.threshold:
                break
            commit += 1
        return Decision(whole_words(candidate, commit))
