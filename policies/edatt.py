"""EDAtt: say a token unless it attends to the newest audio. Papi, Negri, Turchi, ACL 2023."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Decoding, Heard, Hypothesis, Need, Policy, Said, frames_of, news, whole_words
from .knobs import check, knob


def newest_mass(row: tuple[float, ...], window_frames: int, sink_frames: int) -> float:
    """The share of the attention `row` (frames,) that lies on its newest `window_frames`, once the last `sink_frames`
    columns, which collect mass without meaning, are dropped and the rest is made to sum to 1. A row with nothing
    outside the dropped columns looks at the newest audio only: 1."""
    kept = row[: max(len(row) - sink_frames, 0)]
    total = sum(kept)
    if total <= 0.0:
        return 1.0
    return sum(kept[max(len(kept) - window_frames, 0) :]) / total


@dataclass(frozen=True)
class EDAtt(Policy):
    """Commit until the first token whose attention on the last `window_ms` of audio reaches `alpha`.

    The paper sums over 2 frames of 40 ms with alpha 0.6 to 0.03 (small is later), one decoder layer averaged over
    heads, chunks of 800 to 1000 ms. Its rows are L2-normalised in public code, which makes the sum no share; here
    they sum to 1.
    """

    alpha: float = knob(0.1, 0.0, 1.0, "attention share on the newest audio at which a token waits; smaller is later")
    window_ms: int = knob(80, 20, 2000, "the newest audio [ms]")
    sink_frames: int = knob(1, 0, 8, "newest attention columns to ignore; 0 for a memory of tokens")

    choose_when: ClassVar[str] = "the translator exports attention without clear peaks"

    def __post_init__(self) -> None:
        check(self, "edatt")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"attention"})

    @property
    def decoding(self) -> Decoding:
        return Decoding(attention=True)

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        if heard.final or said.heard is None or news(heard, said.heard):
            return heard.final or heard.frames > 0
        return heard.frames - said.heard.frames >= frames_of(self.window_ms, heard.frame_ms)

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        window = frames_of(self.window_ms, heard.frame_ms)
        commit = 0
        for row in candidate.attention[: len(candidate.tokens)]:
            if newest_mass(row, window, self.sink_frames) >= self.alpha:
                break
            commit += 1
        return Decision(whole_words(candidate, commit))
