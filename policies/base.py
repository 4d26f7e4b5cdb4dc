"""The policy seam: a pure function of what was heard and said, READ (commit 0) or WRITE n tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

Need = Literal[
    "alignment",
    "attention",
    "source-ctc",
    "target-ctc",
    "previous",
    "log-probs",
    "write-probability",
    "transducer",
    "taed",
]
SESSION_PROVIDES: frozenset[Need] = frozenset({"previous"})  # kept by the session itself, whatever the translator


@dataclass(frozen=True)
class Heard:
    """What is known of the source, counted from the start of the current segment."""

    frames: int  # encoder frames
    frame_ms: float  # duration of one encoder frame [ms]
    source_words: int = 0  # complete words in the collapsed source CTC; at `final` the last word counts too
    source_tokens: int = 0  # tokens in the collapsed source CTC
    target_tokens: int = 0  # tokens in the collapsed target CTC (0 where the translator has none)
    final: bool = False  # the segment, or the stream, has ended: nothing more will be heard of it
    start_ms: float = 0.0  # where the segment begins [ms from the stream's start]


@dataclass(frozen=True)
class Hypothesis:
    """The decoder's continuation of what is committed: every field is about these tokens only."""

    tokens: tuple[int, ...]  # without end-of-sentence
    log_probs: tuple[float, ...] = ()  # one a token
    alignment: tuple[int, ...] = ()  # source frame a token was read from, counted from the segment start
    attention: tuple[tuple[float, ...], ...] = ()  # tokens x frames, rows sum to 1
    word_ends: tuple[int, ...] = ()  # n for which tokens[:n] ends with a complete word, ascending
    finished: bool = False  # the decoder ended the sentence after these tokens
    write_probs: tuple[tuple[float, ...], ...] = ()  # tokens x (layers * heads): trained probability of WRITE, 0..1


@dataclass(frozen=True)
class Said:
    """What was committed in the current segment."""

    words: int = 0
    tokens: int = 0
    heard: Heard | None = None  # what was heard at the last decode, None before the first
    previous: tuple[Hypothesis, ...] = ()  # earlier hypotheses, newest last, re-based to continue the committed tokens
    aligned: int = -1  # source frame that the last committed token was read from, -1 where nobody knows


@dataclass(frozen=True)
class Decision:
    """Commit this many tokens of the candidate; 0 is READ."""

    commit: int


@dataclass(frozen=True)
class Decoding:
    """How the translator should decode for a policy; one that knows attention decoding only ignores the rest."""

    mode: Literal["attention", "transducer", "taed", "target-ctc"] = "attention"
    blank_penalty: float = 0.0  # subtracted from the log-probability of blank (transducers): above 0 is earlier
    bias: float = 0.0  # pull towards the hypothesis shown last, 0 none .. 1 copy
    attention: bool = False  # whether the policy reads `Hypothesis.attention`, which is large
    writes: bool = False  # whether the policy reads `Hypothesis.write_probs`, which cost another pass
    shown: tuple[int, ...] = ()  # what was shown last after the committed tokens; the session fills it in


@dataclass(frozen=True)
class Committed:
    """The committed tokens of the current segment that are still kept as the decoder's prefix, oldest first."""

    alignment: tuple[int, ...]  # source frame each token was read from
    word_ends: tuple[int, ...]  # n for which the first n tokens end with a complete word, ascending
    sentence_ends: tuple[int, ...] = ()  # n for which the first n tokens end a sentence (. ! ? : ; 。), ascending


@dataclass(frozen=True)
class Droppable:
    """How much of the oldest history may be forgotten now."""

    tokens: int  # committed target tokens
    frames: int  # source frames: everything before this frame, counted like `Committed.alignment`


class Policy(Protocol):
    """A frozen dataclass of validated parameters; who subclasses this has the usual answers for all but `decide`."""

    choose_when: ClassVar[str] = ""  # completes "choose it when ..." in help texts

    @property
    def needs(self) -> frozenset[Need]:
        """What the session must compute for `decide`."""
        return frozenset()

    @property
    def history(self) -> int:
        """How many previous hypotheses `decide` looks at."""
        return 0

    @property
    def decoding(self) -> Decoding:
        """How the candidate should be decoded."""
        return Decoding()

    @property
    def captions_only(self) -> bool:
        """True where what is shown may be taken back: never to be spoken before it is committed."""
        return False

    def wants_decode(self, heard: Heard, said: Said) -> bool:
        """False when `decide` would READ whatever the candidate says, or when nothing was heard since the last decode
        that could change the candidate (a second pass over the same input agrees with the first and proves nothing)."""
        return heard.final or news(heard, said.heard)

    def decide(self, heard: Heard, said: Said, candidate: Hypothesis) -> Decision:
        """How much of `candidate` to commit now, in whole words. At `heard.final` the session commits everything
        without asking, and so does every policy here when it is asked."""
        ...

    def shown(self, heard: Heard, said: Said, candidate: Hypothesis) -> int:
        """How many tokens of `candidate` a caption may show, the uncommitted ones as unstable text."""
        return len(candidate.tokens)

    def droppable(self, heard: Heard, committed: Committed, source_word_starts: Sequence[int] = ()) -> Droppable:
        """What may be forgotten after a commit, in mid-segment: nothing. A segment's end forgets it."""
        return Droppable(0, 0)


def missing_needs(policy: Policy, provides: frozenset[Need]) -> frozenset[Need]:
    """What `policy` needs but neither the session nor a translator that `provides` these has; empty when it fits."""
    return policy.needs - provides - SESSION_PROVIDES


def news(heard: Heard, since: Heard | None) -> bool:
    """True when the source grew, or was heard anew, since the decode at `since` (None: never decoded): by source tokens
    where the translator has a source CTC, whose silence then costs no decode, else by frames."""
    if since is None:
        return heard.frames > 0
    return heard.source_tokens != since.source_tokens if heard.source_tokens else heard.frames > since.frames


def still_following(shown: Sequence[int], so_far: Sequence[int]) -> int | None:
    """The token of the hypothesis shown last that continues `so_far`; None once the new one has left it or outgrown
    it."""
    n = len(so_far)
    return shown[n] if n < len(shown) and tuple(shown[:n]) == tuple(so_far) else None


def frames_of(duration_ms: float, frame_ms: float) -> int:
    """The number of whole frames that cover `duration_ms`."""
    return math.ceil(duration_ms / frame_ms - 1e-9)


def rebase(previous: Hypothesis, committed: Sequence[int]) -> Hypothesis | None:
    """`previous` without the tokens `committed` since it was decoded; None where it does not begin with them."""
    n = len(committed)
    if previous.tokens[:n] != tuple(committed):
        return None
    return Hypothesis(
        tokens=previous.tokens[n:],
        log_probs=previous.log_probs[n:],
        alignment=previous.alignment[n:],
        attention=previous.attention[n:],
        word_ends=tuple(end - n for end in previous.word_ends if end > n),
        finished=previous.finished,
        write_probs=previous.write_probs[n:],
    )


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
