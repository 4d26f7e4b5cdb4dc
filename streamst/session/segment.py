"""What was said of the current segment, and how that changes: pure functions on plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from streamst.policies.base import Committed, Heard, Hypothesis, Said, rebase

from .captions import Shown

SENTENCE_ENDS = (".", "!", "?", ":", ";", "。", "！", "？")


@dataclass(frozen=True)
class Segment:
    """Where nobody pauses a segment forgets its beginning: `prefix` is what the writer goes on from."""

    start: int = 0  # frame of the stream
    caption: Shown = field(default_factory=Shown)
    prefix: tuple[int, ...] = ()  # target tokens that are kept
    alignment: tuple[int, ...] = ()  # the source frame each of them was read from, counted from `start`
    word_ends: tuple[int, ...] = ()  # n for which the first n of them end with a complete word
    sentence_ends: tuple[int, ...] = ()  # n for which the first n of them end a sentence
    forgot: bool = False  # whether the beginning was forgotten
    previous: tuple[Hypothesis, ...] = ()  # newest last, continuing what was committed
    heard: Heard | None = None  # at the last decode
    aligned: int = -1  # source frame of the last committed token

    def said(self) -> Said:
        """For a policy."""
        return Said(len(self.word_ends), len(self.prefix), self.heard, self.previous, self.aligned)

    def committed(self) -> Committed:
        """For a policy that forgets."""
        return Committed(self.alignment, self.word_ends, self.sentence_ends)

    @property
    def at_sentence_end(self) -> bool:
        """Whether what was committed ends with a sentence."""
        return self.sentence_ends[-1:] == (len(self.prefix),)

    def decoded(self, heard: Heard, candidate: Hypothesis, keep: int) -> Segment:
        """After a decode; keep: how many hypotheses are remembered."""
        return replace(self, heard=heard, previous=(*self.previous, candidate)[-keep:] if keep else ())

    def committing(
        self, heard: Heard, candidate: Hypothesis, count: int, text: Callable[[Sequence[int]], str]
    ) -> Segment:
        """With the first `count` tokens of `candidate` committed."""
        tokens = candidate.tokens[:count]
        rebased = (rebase(one, tokens) for one in self.previous)
        known = candidate.alignment[:count]
        alignment = known if len(known) == count else (max(heard.frames - 1, 0),) * count
        begin, ends = len(self.prefix), ends_of(candidate, count)
        starts = [0, *ends[:-1]]
        sentences = [
            end for start, end in zip(starts, ends, strict=False) if text(tokens[start:end]).endswith(SENTENCE_ENDS)
        ]
        return replace(
            self,
            prefix=(*self.prefix, *tokens),
            alignment=(*self.alignment, *alignment),
            word_ends=(*self.word_ends, *(begin + end for end in ends)),
            sentence_ends=(*self.sentence_ends, *(begin + end for end in sentences)),
            previous=tuple(one for one in rebased if one is not None),
            aligned=known[-1] if count and len(known) == count else self.aligned,
        )

    def without(self, tokens: int, frames: int, heard: Heard) -> Segment:
        """Without the first `tokens` of what the writer goes on from, and the first `frames`; heard: of the rest."""
        return replace(
            self,
            start=self.start + frames,
            prefix=self.prefix[tokens:],
            alignment=tuple(max(frame - frames, 0) for frame in self.alignment[tokens:]),
            word_ends=tuple(end - tokens for end in self.word_ends if end > tokens),
            sentence_ends=tuple(end - tokens for end in self.sentence_ends if end > tokens),
            previous=tuple(_later(hypothesis, frames) for hypothesis in self.previous),
            aligned=max(self.aligned - frames, -1),
            heard=heard if self.heard else None,
            forgot=self.forgot or tokens > 0,
        )


def ends_of(candidate: Hypothesis, count: int) -> list[int]:
    """Where words end in the first `count` tokens; the last of these ends one."""
    return sorted({*(end for end in candidate.word_ends if end < count), *([count] if count else [])})


def aligned_ms(heard: Heard, candidate: Hypothesis, count: int, words: int) -> tuple[float, ...]:
    """Source time that each of the `words` words in the first `count` tokens was read from; () where nobody knows."""
    ends = ends_of(candidate, count)
    if len(candidate.alignment) < count or len(ends) != words:
        return ()
    return tuple(heard.start_ms + (candidate.alignment[end - 1] + 1) * heard.frame_ms for end in ends)


def _later(hypothesis: Hypothesis, frames: int) -> Hypothesis:
    """`hypothesis` as counted from `frames` later on."""
    alignment = tuple(max(frame - frames, 0) for frame in hypothesis.alignment)
    return replace(hypothesis, alignment=alignment, attention=tuple(row[frames:] for row in hypothesis.attention))
