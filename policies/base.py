"""The policy seam: a pure function of what was heard and said, READ (commit 0) or WRITE n tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Need = Literal["alignment", "attention", "source-ctc", "target-ctc", "previous"]


@dataclass(frozen=True)
class Heard:
    """What is known of the source, counted from the start of the current segment."""

    frames: int  # encoder frames
    frame_ms: float  # duration of one encoder frame [ms]
    source_words: int = 0  # complete words in the collapsed source CTC; at `final` the last word counts too
    source_tokens: int = 0  # tokens in the collapsed source CTC
    target_tokens: int = 0  # tokens in the collapsed target CTC (0 where the translator has none)
    final: bool = False  # the segment, or the stream, has ended: nothing more will be heard of it


@dataclass(frozen=True)
class Hypothesis:
    """The decoder's continuation of what is committed: every field is about these tokens only."""

    tokens: tuple[int, ...]  # without end-of-sentence
    log_probs: tuple[float, ...] = ()  # one a token
    alignment: tuple[int, ...] = ()  # source frame a token was read from, counted from the segment start
    attention: tuple[tuple[float, ...], ...] = ()  # tokens x frames, rows sum to 1
    word_ends: tuple[int, ...] = ()  # n for which tokens[:n] ends with a complete word, ascending
    finished: bool = False  # the decoder ended the sentence after these tokens


@dataclass(frozen=True)
class Said:
    """What was committed in the current segment."""

    words: int = 0
    tokens: int = 0
    heard: Heard | None = None  # what was heard at the last decode, None before the first
    previous: tuple[Hypothesis, ...] = ()  # earlier hypotheses, newest last, re-based to continue the committed tokens


@dataclass(frozen=True)
class Decision:
    """Commit this many tokens of the candidate; 0 is READ."""

    commit: int


class Policy(Protocol):
    """A frozen dataclass of validated parameters."""

    @property
    def needs(self) -> frozenset[Need]:
        """What the session must compute for `decide`."""
        ...

    @property
    def history(self) -> int:
        """How many previous hypotheses `decide` looks at."""
        ...

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        """False when `decide` would READ whatever the candidate says."""
        ...

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        """How much of `candidate` to commit now. At `heard.final` the session commits everything without asking."""
        ...


def whole_words(candidate: Hypothesis, commit: int) -> int:
    """`commit` cut back so that only complete words are said: the last word of a hypothesis is complete only where the
    decoder ended the sentence, any other where the next token begins a new word."""
    return max((end for end in candidate.word_ends if end <= commit), default=0)


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest prefix that all `sequences` share (0 for none)."""
    length = 0
    for column in zip(*sequences, strict=False):
        if any(token != column[0] for token in column):
            break
        length += 1
    return length
