"""StreamAtt: AlignAtt for a stream without end, and what of its history may be forgotten. Papi et al., ACL 2024."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .alignatt import AlignAtt
from .base import Committed, Droppable, Heard, frames_of
from .knobs import check, knob


@dataclass(frozen=True)
class StreamAtt(AlignAtt):
    """AlignAtt's decision; after each commit `droppable` selects the history that the next decode keeps.

    Text: the newest `keep_words` words, or everything since the last sentence end, in both cases at most `keep_tokens`.
    A language written without spaces must count its characters as words (`word_ends` after each), or nothing is ever
    dropped. Audio: all before the earliest frame that a kept token was read from, and never more than `keep_ms`.
    """

    text: str = knob("words", choices=("words", "sentence"), help="keep a number of words, or the sentence begun")
    keep_words: int = knob(20, 1, 1000, "committed words kept (10 to 20 published)")
    keep_tokens: int = knob(128, 1, 4096, "committed tokens kept at most")
    keep_ms: int = knob(30_000, 1000, 600_000, "audio kept at most [ms]")

    choose_when: ClassVar[str] = "alignatt's reasons, and the talk has no end or few pauses"

    def __post_init__(self) -> None:
        check(self, "streamatt")

    def droppable(self, heard: Heard, committed: Committed, source_word_starts: Sequence[int] = ()) -> Droppable:
        """What may be forgotten after a commit; a pure function.

        source_word_starts: ascending frames; where given, audio is cut at the start of a source word and not inside it.
        Nothing committed, nothing dropped, but for audio beyond `keep_ms`; the tokens read from that go too.
        """
        alignment, total = committed.alignment, len(committed.alignment)
        oldest = max(heard.frames - frames_of(self.keep_ms, heard.frame_ms), 0)
        first = self._first_kept(committed)
        while first < total and max(alignment[first : _next_end(committed.word_ends, first, total)]) < oldest:
            first = _next_end(committed.word_ends, first, total)
        kept = alignment[first:]
        cut = min(kept, default=oldest)
        if source_word_starts and cut > 0:
            index = bisect.bisect_right(source_word_starts, cut) - 1
            cut = source_word_starts[index] if index >= 0 else 0
        return Droppable(first, max(cut, oldest))

    def _first_kept(self, committed: Committed) -> int:
        """Index of the first kept token: 0 or a word end; the last word is always kept."""
        total = len(committed.alignment)
        ends = [end for end in committed.word_ends if end < total]
        if self.text == "words":
            first = ends[-self.keep_words] if len(ends) >= self.keep_words else 0
        else:
            first = max((end for end in committed.sentence_ends if end < total), default=0)
        if total - first > self.keep_tokens:
            first = min(_next_end(ends, total - self.keep_tokens - 1, total), max(ends, default=0))
        return first


def _next_end(ends: Sequence[int], after: int, total: int) -> int:
    """The first of `ends` beyond `after`, or `total`."""
    index = bisect.bisect_right(ends, after)
    return ends[index] if index < len(ends) else total
