"""What was heard of the current segment: made once after each chunk, asked by policy, captions and writer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from streamst.models.segment import SegmentConfig, ended, first_sentence
from streamst.models.words import HeardWord, Listening
from streamst.policies.base import Heard


@dataclass(frozen=True)
class SourceWord:
    """A word with where it was heard [ms from the stream's start]; it ends where the next begins, or before."""

    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True)
class Source:
    """The words of the segment that begins at frame `start` of the stream."""

    heard: Listening
    start: int
    words: tuple[HeardWord, ...]
    shown: tuple[SourceWord, ...]  # the same words
    stable: int  # how many of them will not change
    ended: int  # how many of the words heard are the segment's, now that it has ended; 0 where it goes on
    read: int  # how many of them a writer gets: none after what may be the end of a sentence

    @property
    def until(self) -> int:
        """The frame of the stream at which the segment's words end: the next one's begin there."""
        words = self.heard.words
        return words[self.ended].first_frame if 0 < self.ended < len(words) else self.heard.frames

    def counts(self, final: bool = False) -> Heard:
        """For a policy."""
        return Heard(
            self.heard.frames - self.start,
            self.heard.frame_ms,
            source_words=len(self.words) if final else self.stable,
            source_tokens=sum(word.pieces for word in self.words),
            target_tokens=self.heard.labels,
            final=final,
            start_ms=self.start * self.heard.frame_ms,
        )

    def counted_from_start(self, final: bool = False) -> tuple[HeardWord, ...]:
        """The words with frames counted from the segment's start, for a writer; all of them where `final`."""
        return tuple(
            replace(word, first_frame=word.first_frame - self.start, last_frame=word.last_frame - self.start)
            for word in self.words[: None if final else self.read]
        )

    def after(self, from_ms: float) -> tuple[tuple[SourceWord, ...], int]:
        """The words that end later than `from_ms`, and how many of them will not change."""
        if not from_ms:
            return self.shown, self.stable
        later = [place for place, word in enumerate(self.shown) if word.end_ms > from_ms]
        return tuple(self.shown[place] for place in later), sum(place < self.stable for place in later)

    def ending_before(self, frame: int) -> int:
        """How many words, from the first, are certain and end before `frame` of the stream."""
        certain = self.words[: self.heard.certain]
        return next((n for n, word in enumerate(certain) if word.last_frame >= frame), len(certain))


def source_of(heard: Listening, start: int, config: SegmentConfig) -> Source:
    """What was heard, of the segment that begins at frame `start`."""
    count = ended(heard, config)
    words = heard.words[: count or None]
    # A sentence's end that is not certain yet may become the segment's: what follows would be written twice.
    read = count or first_sentence(words, config.fewest_words) or len(words)
    # Two words may share a frame: the first ends where the second begins.
    limits = [*(word.first_frame for word in words[1:]), heard.frames][: len(words)]
    shown = tuple(
        SourceWord(
            word.text, word.first_frame * heard.frame_ms,
            max(word.first_frame, min(word.last_frame + 1, limit)) * heard.frame_ms,
        )
        for word, limit in zip(words, limits, strict=True)
    )  # fmt: skip
    return Source(heard, start, words, shown, min(heard.certain, len(words)), count, read)
