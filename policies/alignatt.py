"""AlignAtt: say a token once the audio that it was read from is old enough. Papi, Turchi, Negri, Interspeech 2023."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .base import Decision, Decoding, Heard, Hypothesis, Need, Policy, Said, frames_of, news, whole_words
from .knobs import check, knob

MIN_ROWS = 4  # standardising a column over fewer tokens tells nothing: over 2 every entry is +1 or -1, over 1 it is 0


def aligned_frames(attention: Sequence[Sequence[float]], normalise: str = "drop-last") -> tuple[int, ...]:
    """The source frame that each token was read from: the peak of its row in `attention` (tokens x frames).

    The newest frame often collects mass from every token. "drop-last" ignores that column; "z-score" standardises each
    column over the tokens, which removes such sinks wherever they are (under MIN_ROWS tokens: as "drop-last").
    """
    rows = [list(row) for row in attention]
    if normalise == "z-score" and len(rows) >= MIN_ROWS:
        columns = [_standardised(column) for column in zip(*rows, strict=True)]
        rows = [list(row) for row in zip(*columns, strict=True)]
    else:
        rows = [row[:-1] if len(row) > 1 else row for row in rows]
    return tuple(max(range(len(row)), key=row.__getitem__) if row else 0 for row in rows)


def _standardised(column: Sequence[float]) -> list[float]:
    mean = sum(column) / len(column)
    spread = math.sqrt(sum((x - mean) ** 2 for x in column) / len(column))
    return [(x - mean) / spread if spread > 1e-9 else 0.0 for x in column]


@dataclass(frozen=True)
class AlignAtt(Policy):
    """Commit until the first token that was read from the newest `hold_ms` of audio.

    The paper holds f = 2 to 14 frames of 40 ms (80 to 560 ms) with chunks of 1 s. A token that jumps back further than
    `rewind_ms` behind the one before it is held too, with all that follow: that is how loops begin (SimulStreaming).
    """

    hold_ms: int = knob(240, 20, 60_000, "a token read from audio newer than this waits [ms]; larger is later")
    normalise: str = knob(
        "translator",
        choices=("translator", "drop-last", "z-score"),
        help="the translator's own alignment, or the peak of its attention without the last column, or standardised",
    )
    rewind_ms: int = knob(4000, 100, 60_000, "a jump back further than this is taken for a loop [ms]")

    choose_when: ClassVar[str] = "the translator exports alignments: the best quality for its delay in most comparisons"

    def __post_init__(self) -> None:
        check(self, "alignatt")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"alignment"}) if self.normalise == "translator" else frozenset({"attention"})

    @property
    def decoding(self) -> Decoding:
        return Decoding(attention=self.normalise != "translator")

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        """On news; and without news, as in a pause, once what the last decode held has become old enough."""
        if heard.final or said.heard is None or news(heard, said.heard):
            return heard.final or heard.frames > 0
        return heard.frames - said.heard.frames >= frames_of(self.hold_ms, heard.frame_ms)

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        if heard.final:
            return Decision(len(candidate.tokens))
        alignment = candidate.alignment
        if self.normalise != "translator":
            alignment = aligned_frames(candidate.attention, self.normalise)
        newest = heard.frames - frames_of(self.hold_ms, heard.frame_ms)
        rewind = self.rewind_ms / heard.frame_ms
        commit, before = 0, said.aligned
        for frame in alignment[: len(candidate.tokens)]:
            if frame >= newest or frame < before - rewind:
                break
            commit, before = commit + 1, frame
        return Decision(whole_words(candidate, commit))
