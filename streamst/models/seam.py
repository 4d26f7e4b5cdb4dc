"""What a session asks of its parts: a recogniser, a writer, a voice, shipped or third-party.

Between the ear and the pen go words with times. A session asks by `Work`; whoever drives it does the work, alone or
together with other sessions' work (`perform_all`). A part holds weights, never a session: a state is a frozen dataclass
of tensors, arrays, plain values and tuples of these, which `nn/packing.py` can write down, and is never changed in
place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from streamst.audio import Pcm
from streamst.codecs import work as codec_work
from streamst.codecs.work import CodecWork, DecodeFrames, EncodeFrames
from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.models.segment import SegmentConfig
from streamst.models.words import HeardWord, Listening
from streamst.policies.base import Decoding, Hypothesis, Need

ATTENTION = Decoding()
NO_GLOSSARY = Glossary()
SLOWEST, FASTEST = 0.8, 1.25  # rates of speech
SHORTEST_PAUSES = 0.2
LONGEST_WORD = 1000  # characters that a voice is asked to speak
WORDS: frozenset[Need] = frozenset({"source-ctc"})  # what every recogniser gives: a count of what was heard
READ_MODES = ("transducer", "target-ctc")  # of decoding: labels that a recogniser's own heads read off its frames
L = TypeVar("L")
V = TypeVar("V")


@dataclass(frozen=True)
class Hear:
    """Exactly one whole chunk; the last one of a stream may be shorter or empty, and `final` flushes it.

    chunk_samples: of a whole chunk, for who adds silence at the end and cuts it likewise.
    """

    pcm: Pcm
    state: Any
    final: bool = False
    chunk_samples: int = 0


@dataclass(frozen=True)
class Read:
    """What the recogniser's own heads are asked: the target labels that they read off the segment's frames after those
    of `prefix` (modes `transducer` and `target-ctc`)."""

    state: Any
    prefix: tuple[int, ...]
    final: bool
    decoding: Decoding
    start: int  # frame of the stream at which the segment begins: alignments count from it
    until: int  # frame of the stream from which labels are the next segment's


@dataclass(frozen=True)
class Write:
    """What a writer is asked: a continuation of the committed `prefix`, given the words of a segment.

    Frames of the words count from the segment's start; `frames` of them were heard. terms: of the session's glossary,
    as `Writer.terms` made them.
    """

    words: tuple[HeardWord, ...]
    frames: int
    prefix: tuple[int, ...]
    final: bool
    target: str
    decoding: Decoding = ATTENTION
    terms: Any = None


@dataclass(frozen=True)
class Speak:
    """What a voice is asked: audio for every word that can be spoken now: all but the last; all where `final`, a
    phrase's end.

    `words` are new words, in order, punctuation attached; there may be none. rate 0.8-1.25 divides durations, pauses
    0.2-1 multiplies the silences between words. hurried: the last word has waited long enough for the next, and is
    spoken without it if that can be done.
    """

    words: tuple[str, ...]
    state: Any
    final: bool
    rate: float = 1.0
    pauses: float = 1.0
    hurried: bool = False


Work = Hear | Read | Write | Speak | CodecWork


class Recogniser(Protocol[L]):
    """Speech in, words with times out."""

    @property
    def language(self) -> str:
        """What is spoken: "en"."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Of what it hears."""
        ...

    @property
    def provides(self) -> frozenset[Need]:
        """What policies get beyond words; with `transducer` or `target-ctc` it is a `Reader` too."""
        ...

    @property
    def segments(self) -> SegmentConfig:
        """Where a segment of what it hears ends."""
        ...

    def chunk_samples(self, chunk_ms: int) -> int:
        """The samples of a chunk; InputError, which names the allowed chunks, where `chunk_ms` is none."""
        ...

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> L:
        """Nothing heard. The terms of `glossary` pull what is heard towards them, where the recogniser can do that."""
        ...

    def hear_all(self, work: Sequence[Hear]) -> list[L]:
        """The states after a chunk of each speaker, together."""
        ...

    def listening(self, state: L) -> Listening:
        """What was heard."""
        ...

    def forget(self, state: L, words: int, frame: int, labels: int | None = None) -> L:
        """The first `words` of what was heard are not asked for again, nor is anything before `frame` of the stream.

        labels: how many of the target labels that its heads read are forgotten; None for those before `frame`.
        """
        ...


class Reader(Protocol):
    """A recogniser whose own heads read target labels off its frames."""

    def read_all(self, work: Sequence[Read]) -> list[Hypothesis]:
        """The labels of each speaker."""
        ...


class Writer(Protocol):
    """Words with times in, hypotheses in the target language out."""

    @property
    def source(self) -> str:
        """The language that it reads."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages that it writes."""
        ...

    @property
    def provides(self) -> frozenset[Need]:
        """What policies get of its hypotheses."""
        ...

    def terms(self, glossary: Glossary) -> Any:
        """`glossary` made ready for `Write`, None for an empty one; InputError for a term that cannot be written."""
        ...

    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        """A continuation for each, together; nothing, and finished, for a segment without words.

        A mode of decoding that it does not know is attention decoding, which every policy can use.
        """
        ...

    def detokenize(self, target: str, tokens: Sequence[int]) -> str:
        """The text of tokens of the language `target`."""
        ...


class Voice(Protocol[V]):
    """Words in, speech out, word by word."""

    @property
    def language(self) -> str:
        """What it speaks."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Of what it says."""
        ...

    def init_state(self) -> V:
        """Nothing said, nothing held."""
        ...

    def speak_all(self, work: Sequence[Speak]) -> list[tuple[Pcm, V]]:
        """Audio (samples,) and the state after it for each, together. Errors as `check_speech`."""
        ...

    def held(self, state: V) -> tuple[str, ...]:
        """The words that were given and are not spoken yet."""
        ...


@dataclass(frozen=True)
class Models(Generic[L, V]):
    """The parts that a session works with; InputError for two that share no language."""

    recogniser: Recogniser[L]
    writer: Writer
    voice: Voice[V] | None = None

    def __post_init__(self) -> None:
        check_languages(self.recogniser.language, self.writer.source, self.writer.targets, self.voice)

    @property
    def provides(self) -> frozenset[Need]:
        """What a policy gets."""
        return self.recogniser.provides | self.writer.provides | WORDS


def check_languages(spoken: str, source: str, targets: Sequence[str], voice: Voice[Any] | None) -> None:
    """InputError for a recogniser of a language that the writer does not read, and a voice of one that nobody
    writes."""
    if spoken != source:
        raise InputError(f"the recogniser hears {spoken!r}, the writer reads {source!r}: they share no language")
    if voice is not None and voice.language not in targets:
        raise InputError(f"the voice speaks {voice.language!r}, the writer writes {', '.join(targets)}")


# What each kind of work is called by those who count and schedule it.
KINDS: dict[type, str] = {
    Hear: "encode", Read: "read", Write: "hypothesise", Speak: "speak", EncodeFrames: "codec-encode",
    DecodeFrames: "codec-decode",
}  # fmt: skip
# Who does it: of these parts, the method that takes pieces of one kind together.
DOERS: dict[type, Callable[[Any], Callable[[Any], list[Any]]]] = {
    Hear: lambda models: models.recogniser.hear_all,
    Read: lambda models: models.recogniser.read_all,
    Write: lambda models: models.writer.write_all,
    Speak: lambda models: models.voice.speak_all,
    EncodeFrames: lambda _: codec_work.perform_all,
    DecodeFrames: lambda _: codec_work.perform_all,
}


def perform_all(work: Sequence[Work], models: Models[Any, Any]) -> list[Any]:
    """Do pieces of work, all of one kind, together. Only a session with a voice asks to speak."""
    return DOERS[type(work[0])](models)(work)


def check_speech(words: Sequence[str], rate: float, pauses: float = 1.0) -> None:
    """InputError for a rate outside 0.8 to 1.25, pauses outside 0.2 to 1, or a word of more than 1000 characters."""
    if not (math.isfinite(rate) and SLOWEST <= rate <= FASTEST):
        raise InputError(f"a rate of {rate} is not usable; allowed: {SLOWEST} to {FASTEST}")
    if not SHORTEST_PAUSES <= pauses <= 1:
        raise InputError(f"pauses times {pauses} are not usable; allowed: {SHORTEST_PAUSES} to 1")
    for word in words:
        if len(word) > LONGEST_WORD:
            raise InputError(f"a word of {len(word)} characters ({word[:20]}…) is not usable; allowed: {LONGEST_WORD}")
