"""The translator and voice seams: what a session asks of the networks, shipped or third-party.

A session asks by `Work`; whoever drives it does the work, alone (`perform`) or together with other sessions' work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamst.codecs import work as codec_work
from streamst.codecs.work import CodecWork, DecodeFrames, EncodeFrames
from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.policies.base import Decoding, Heard, Hypothesis, Need

Pcm = NDArray[np.float32]
ATTENTION = Decoding()
NO_GLOSSARY = Glossary()
SLOWEST, FASTEST = 0.8, 1.25  # rates of speech
SHORTEST_PAUSES = 0.2
LONGEST_WORD = 1000  # characters that a voice is asked to speak
T = TypeVar("T")
L = TypeVar("L")
V = TypeVar("V")


@dataclass(frozen=True)
class HeardWord:
    """A word and where it was heard: frames of the recogniser, from the stream's start, the last one included."""

    text: str
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class Listening:
    """What was heard of a stream, after a chunk: all that a session asks of a recogniser."""

    words: tuple[HeardWord, ...]  # since the last `forget`, oldest first
    certain: int  # how many of them will never change
    frames: int  # heard since the stream's start
    frame_ms: float
    silence_ms: float  # since the last sound of speech


@dataclass(frozen=True)
class Hear:
    """Exactly one whole chunk; the last one of a stream may be shorter, and `final` flushes it."""

    pcm: Pcm
    state: Any
    final: bool = False


class Recogniser(Protocol[L]):
    """Speech in, words with times out. Holds weights, never a session: L is the session's state, never changed in
    place."""

    language: str
    sample_rate_hz: int

    def check_chunk(self, chunk_ms: int) -> None:
        """InputError, which names the allowed chunks, where `chunk_ms` is none."""
        ...

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> L:
        """Nothing heard. The terms of `glossary` pull what is heard towards them, where the recogniser can do that."""
        ...

    def hear_all(self, work: Sequence[Hear]) -> list[L]:
        """The states after one chunk of each speaker, together."""
        ...

    def listening(self, state: L) -> Listening:
        """What was heard."""
        ...

    def forget(self, state: L, frame: int) -> L:
        """Words that end before `frame` of the stream are not asked for again."""
        ...


@dataclass(frozen=True)
class Write:
    """What a writer is asked: a continuation of the committed `prefix`, given the words of a segment.

    Frames count from the segment's start; `frames` of them were heard. terms: of the session's glossary, as
    `Writer.terms` made them.
    """

    words: tuple[HeardWord, ...]
    frames: int
    prefix: tuple[int, ...]
    final: bool
    target: str
    decoding: Decoding = ATTENTION
    terms: Any = None


class Writer(Protocol):
    """Words with times in, hypotheses in the target language out."""

    source: str
    targets: tuple[str, ...]
    provides: frozenset[Need]

    def terms(self, glossary: Glossary) -> Any:
        """`glossary` made ready for `Write`; None for an empty one."""
        ...

    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        """A hypothesis for each, together; nothing for a segment without words."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of target tokens."""
        ...


@dataclass(frozen=True)
class SourceWord:
    """One word of the source transcript with where it was heard [ms from the stream's start]."""

    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True)
class Transcript:
    """The source text of the current segment: `unstable` is the last word, which may still grow."""

    stable: tuple[SourceWord, ...] = ()
    unstable: tuple[SourceWord, ...] = ()


class Translator(Protocol[T]):
    """Speech in, source text and target hypotheses out. Holds weights, never a session: T is the session's state.

    A state belongs to one speaker and is never changed in place; its `segment` restarts at `next_segment`.
    """

    sample_rate_hz: int
    source: str
    targets: tuple[str, ...]
    provides: frozenset[Need]

    def init_state(self, chunk_ms: int, target: str, glossary: Glossary = NO_GLOSSARY) -> T:
        """A fresh state that encodes in chunks of `chunk_ms`; InputError names the allowed chunks and targets.

        The terms of `glossary` pull what is heard and what is said towards them, where the translator can do that.
        """
        ...

    def rechunk(self, state: T, chunk_ms: int) -> T:
        """The same state that encodes in chunks of `chunk_ms` from now on; only where nothing waits for a full chunk.
        InputError names the allowed chunks."""
        ...

    def encode(self, pcm: Pcm, state: T, final: bool = False) -> T:
        """Hear `pcm` (samples,), any number of them; `final` flushes what is buffered."""
        ...

    def heard(self, state: T, final: bool = False) -> Heard:
        """Counts of the current segment."""
        ...

    def source_text(self, state: T, final: bool = False) -> Transcript:
        """The transcript of the current segment."""
        ...

    def hypothesise(
        self, state: T, prefix: Sequence[int], final: bool = False, decoding: Decoding = ATTENTION
    ) -> Hypothesis:
        """Continuation of the committed `prefix` given the current segment, by what the policy asks for."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of target tokens."""
        ...

    def endpoint(self, state: T) -> bool:
        """True when the speaker paused, or the segment has become as long as it may: it should be flushed now."""
        ...

    def next_segment(self, state: T) -> T:
        """Forget the current segment's text and memory; keep what the encoder hears."""
        ...

    def forget(self, state: T, frames: int, tokens: int) -> T:
        """Forget the current segment's first `frames` with the source text heard in them: it begins that much later.

        tokens: how many target tokens were forgotten at its beginning.
        """
        ...

    def pack_state(self, state: T) -> dict[str, Any]:
        """The state as plain values and tensors on the CPU, for a snapshot."""
        ...

    def unpack_state(self, packed: dict[str, Any]) -> T:
        """The inverse of `pack_state`; InputError when it does not fit."""
        ...


class Voice(Protocol[V]):
    """Words in, speech out, word by word. Holds weights, never a session: V is the session's state."""

    sample_rate_hz: int
    language: str

    def init_state(self) -> V:
        """A fresh state: nothing said, nothing held."""
        ...

    def speak(
        self, words: Sequence[str], state: V, *, final: bool, rate: float = 1.0, pauses: float = 1.0,
        hurried: bool = False,
    ) -> tuple[Pcm, V]:  # fmt: skip
        """Audio (samples,) for every word that can be spoken now: all but the last; all where `final`, a phrase's end.

        `words` are new words, in order, punctuation attached. rate 0.8-1.25 divides
        durations, pauses 0.2-1 multiplies the silences between words. `words` may be empty. hurried: the last word has
        waited long enough for the next, and is spoken without it if that can be done.
        """
        ...

    def held(self, state: V) -> tuple[str, ...]:
        """The words that were given and are not spoken yet."""
        ...

    def pack_state(self, state: V) -> dict[str, Any]:
        """The state as plain values and tensors on the CPU, for a snapshot."""
        ...

    def unpack_state(self, packed: dict[str, Any]) -> V:
        """The inverse of `pack_state`; InputError when it does not fit."""
        ...


@dataclass(frozen=True)
class Encode:
    """`Translator.encode`; its result is the next state."""

    pcm: Pcm
    state: Any
    final: bool = False


@dataclass(frozen=True)
class Hypothesise:
    """`Translator.hypothesise`; its result is a `Hypothesis`."""

    state: Any
    prefix: tuple[int, ...]
    final: bool = False
    decoding: Decoding = ATTENTION


@dataclass(frozen=True)
class Speak:
    """`Voice.speak`; its result is (pcm, next state)."""

    words: tuple[str, ...]
    state: Any
    final: bool
    rate: float = 1.0
    pauses: float = 1.0
    hurried: bool = False


Work = Encode | Hypothesise | Speak | CodecWork
KINDS: dict[type, str] = {
    Encode: "encode", Hypothesise: "hypothesise", Speak: "speak", EncodeFrames: "codec-encode",
    DecodeFrames: "codec-decode",
}  # fmt: skip


def perform(work: Work, translator: Translator[Any], voice: Voice[Any] | None) -> Any:
    """Do one piece of work by itself."""
    return perform_all([work], translator, voice)[0]


def perform_all(work: Sequence[Work], translator: Translator[Any], voice: Voice[Any] | None) -> list[Any]:
    """Do pieces of work, all of one kind: together, where translator or voice can (`encode_all`, `hypothesise_all`,
    `speak_all`), else one after the other. Only a session with a voice asks to speak."""
    if isinstance(work[0], CodecWork):
        return codec_work.perform_all([one for one in work if isinstance(one, CodecWork)])
    kind, doer = KINDS[type(work[0])], voice if isinstance(work[0], Speak) else translator
    if doer is None:
        raise InputError("no voice is there to speak")
    together = getattr(doer, f"{kind}_all", None)
    if together is not None:
        return together(work)
    return [_alone(one, doer) for one in work if not isinstance(one, CodecWork)]


def _alone(work: Encode | Hypothesise | Speak, doer: Any) -> Any:
    if isinstance(work, Encode):
        return doer.encode(work.pcm, work.state, work.final)
    if isinstance(work, Hypothesise):
        return doer.hypothesise(work.state, work.prefix, work.final, work.decoding)
    return doer.speak(
        work.words, work.state, final=work.final, rate=work.rate, pauses=work.pauses, hurried=work.hurried
    )


def check_speech(words: Sequence[str], rate: float, pauses: float = 1.0) -> None:
    """InputError for a rate outside 0.8 to 1.25, pauses outside 0.2 to 1, or a word of more than 1000 characters."""
    if not (math.isfinite(rate) and SLOWEST <= rate <= FASTEST):
        raise InputError(f"a rate of {rate} is not usable; allowed: {SLOWEST} to {FASTEST}")
    if not SHORTEST_PAUSES <= pauses <= 1:
        raise InputError(f"pauses times {pauses} are not usable; allowed: {SHORTEST_PAUSES} to 1")
    for word in words:
        if len(word) > LONGEST_WORD:
            raise InputError(f"a word of {len(word)} characters ({word[:20]}…) is not usable; allowed: {LONGEST_WORD}")
