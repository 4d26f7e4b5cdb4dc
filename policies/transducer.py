"""Transducer: the network itself reads (blank) and writes (label). Graves, 2012."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from .base import Decision, Decoding, Heard, Hypothesis, Need, Policy, Said, frames_of, whole_words
from .knobs import check, knob


def settled(candidate: Hypothesis, heard: Heard, hold_ms: int) -> int:
    """How many tokens of `candidate` lead up to the first that was emitted in the newest `hold_ms` (all where 0)."""
    if hold_ms == 0:
        return len(candidate.tokens)
    newest = heard.frames - frames_of(hold_ms, heard.frame_ms)
    fresh = (i for i, frame in enumerate(candidate.alignment) if frame >= newest)
    return min(next(fresh, len(candidate.alignment)), len(candidate.tokens))


@dataclass(frozen=True)
class Transducer(Policy):
    """Commit the labels that the lattice has emitted, in whole words.

    Greedy labels never change: `hold_ms` 0. A beam still revises its newest labels, which `hold_ms` keeps back.
    `alignment` is the frame at which each label was emitted. The delay is the chunk plus the delay of emission, which
    `blank_penalty` moves and training sets.
    """

    blank_penalty: float = knob(0.0, -10.0, 10.0, "subtracted from the log-probability of blank; larger is earlier")
    hold_ms: int = knob(0, 0, 60_000, "labels emitted within this time wait, for beam search [ms]")

    mode: ClassVar[Literal["transducer", "taed"]] = "transducer"
    choose_when: ClassVar[str] = "the model has a transducer: for captions, and languages in like order"

    def __post_init__(self) -> None:
        check(self, "transducer")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({self.mode, "alignment"}) if self.hold_ms else frozenset({self.mode})

    @property
    def decoding(self) -> Decoding:
        return Decoding(mode=self.mode, blank_penalty=self.blank_penalty)

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        return heard.final or heard.frames > (said.heard.frames if said.heard else 0)

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        return Decision(whole_words(candidate, settled(candidate, heard, self.hold_ms)))
