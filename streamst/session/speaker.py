"""How what was committed is spoken: how fast, what waits, and when a word need not wait for the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamst.models.seam import FASTEST, SHORTEST_PAUSES

WORD_WAIT_MS = 250.0  # that a word waits for the next before it is spoken without it


@dataclass(frozen=True)
class Speaking:
    """What a voice was given and the listener has heard; times are of the source."""

    utters: bool = False  # whether the voice was given words of the segment
    unsaid: tuple[str, ...] = ()  # words that the voice was given and has not said
    waits_from_ms: float = 0.0  # when the last of them came
    until_ms: float = 0.0  # when the listener will have heard all speech

    def hurries(self, now_ms: float, chunk_ms: float) -> bool:
        """Whether a word has waited long enough for the next, and the listener has nothing to hear."""
        dry = self.until_ms < now_ms + chunk_ms
        return bool(self.unsaid) and self.utters and dry and now_ms - self.waits_from_ms >= WORD_WAIT_MS

    def asked(self, words: Sequence[str], final: bool, now_ms: float) -> Speaking:
        """The voice is given `words`, after which the segment is over where `final`."""
        return replace(self, utters=not final, waits_from_ms=now_ms if words else self.waits_from_ms)

    def said(self, words: Sequence[str], held: int, duration_ms: float, now_ms: float) -> tuple[Speaking, str]:
        """It was given `words`, holds `held` and spoke for `duration_ms`; also the text that it said."""
        given = [*self.unsaid, *words]
        count = max(0, len(given) - held)
        until_ms = max(self.until_ms, now_ms) + duration_ms if duration_ms else self.until_ms
        return replace(self, unsaid=tuple(given[count:]), until_ms=until_ms), " ".join(given[:count])


def pace(behind_s: float) -> tuple[float, float]:
    """(rate, pauses) of speech for a listener who has `behind_s` of it still to hear: silences shrink first, then the
    rate rises."""
    pauses = min(1.0, max(SHORTEST_PAUSES, 1.0 - 0.8 * (behind_s - 0.5)))
    return min(FASTEST, max(1.0, 1.0 + 0.125 * (behind_s - 1.5))), pauses
