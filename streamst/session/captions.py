"""What is shown of a segment: one line of each language, with what of it may still change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamst.events import Caption

from .source import SourceWord

LONG_CAPTION_WORDS = 30  # after which a segment without a pause goes on in another caption
SENTENCE_WORDS = 8  # after which it does where a sentence ended
SOURCE, TARGET = 0, 1  # sides


@dataclass(frozen=True)
class Moment:
    """When something is said: audio heard, and computing since the step began [ms]."""

    source_ms: float
    compute_ms: float


@dataclass(frozen=True)
class Shown:
    """A caption: where nobody pauses a segment has several, one after the other."""

    number: int = 0
    committed: tuple[int, ...] = ()  # target tokens
    words: int = 0  # target words
    from_ms: float = 0.0  # source words that end later belong to it
    texts: tuple[tuple[str, str], ...] = (("", ""), ("", ""))  # (stable, unstable) shown last, of each side
    revisions: tuple[int, int] = (0, 0)
    heard: tuple[SourceWord, ...] = ()  # the source words shown last

    def show(
        self, side: int, lang: str, text: tuple[str, str], now: Moment, words: Sequence[SourceWord],
        spans: Sequence[SourceWord] = (), final: bool = False,
    ) -> tuple[Shown, list[Caption]]:  # fmt: skip
        """Show (stable, unstable) text, if it differs from what was shown or is final.

        words: that were heard of the caption; spans: those that are shown.
        """
        if text == self.texts[side] and not final:
            return self, []
        until_ms = now.source_ms
        start_ms, end_ms = (words[0].start_ms, words[-1].end_ms) if words else (until_ms, until_ms)
        stable, unstable = text
        event = Caption(
            source_ms=now.source_ms, compute_ms=now.compute_ms, lang=lang, segment=self.number,
            revision=self.revisions[side], stable=stable, unstable=unstable, start_ms=start_ms,
            end_ms=min(end_ms, until_ms), final=final,
            spans_ms=tuple((word.start_ms, min(word.end_ms, until_ms)) for word in spans),
        )  # fmt: skip
        texts = (text, self.texts[TARGET]) if side == SOURCE else (self.texts[SOURCE], text)
        source, target = self.revisions
        kept = tuple(words) if side == SOURCE else self.heard
        revisions = (source + 1, target) if side == SOURCE else (source, target + 1)
        return replace(self, texts=texts, revisions=revisions, heard=kept), [event]

    def full(self, sentence_ended: bool) -> bool:
        """Whether a segment that goes on should go on in another caption."""
        return (sentence_ended and self.words >= SENTENCE_WORDS) or self.words >= LONG_CAPTION_WORDS

    def next(self, from_ms: float) -> Shown:
        """The next caption of the segment."""
        return Shown(self.number + 1, from_ms=from_ms)


def joined(words: Sequence[SourceWord]) -> str:
    """Their text."""
    return " ".join(word.text for word in words)
