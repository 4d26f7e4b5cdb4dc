"""One speaker: push(pcm) -> events, finish() -> events. Server, command line, evaluator and tests drive this.

What a session asks of the networks it yields as `Work`: `push` and `finish` do each piece at once; an engine drives
`hearing` and `ending` of many sessions and does pieces of the same kind together.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Finished, Speech, Words
from streamst.models.glossary import make_glossary
from streamst.models.seam import (
    FASTEST,
    SHORTEST_PAUSES,
    Encode,
    Hypothesise,
    Pcm,
    Speak,
    Transcript,
    Translator,
    Voice,
    Work,
    perform,
)
from streamst.policies.base import (
    Committed,
    Heard,
    Hypothesis,
    Policy,
    Said,
    frames_of,
    missing_needs,
    rebase,
    whole_words,
)
from streamst.policies.catalog import POLICIES, make_policy

SNAPSHOT_FORMAT = 3
WORD_WAIT_MS = 250.0  # that a word waits for the next before it is spoken without it
LOUDEST = 32_768.0  # of samples, beyond which the networks' numbers overflow sooner or later
LONG_QUIET_MS = 30_000.0  # of a silence before a segment's first word that are kept
LONG_CAPTION_WORDS = 30  # after which a segment without a pause goes on in another caption
SENTENCE_WORDS = 8  # after which it does where a sentence ended
SENTENCE_ENDS = (".", "!", "?", ":", ";", "。", "！", "？")

# Fields of Session that are plain values.
_COUNTERS = (
    "_samples", "_of_chunk", "_utters", "_unsaid", "_waits_from_ms", "_spoken_until_ms", "_decoder_calls",
    "_compute_s", "_finished",
)  # fmt: skip

T = TypeVar("T")
V = TypeVar("V")
R = TypeVar("R")
Steps = Generator[Work, Any, R]  # yields what the networks should do, is sent the results, returns an R


@dataclass(frozen=True)
class SessionOptions:
    """What a session is asked to do."""

    target: str = "de"
    chunk_ms: int = 320  # audio that the encoder takes at a time
    speech: bool = True  # speak the translation, where there is a voice
    glossary: tuple[tuple[str, str], ...] = ()  # (source term, target term); see models/glossary.py


@dataclass(frozen=True)
class Segment:
    """What was said of the current segment.

    Where nobody pauses a segment has several captions, one after the other, and forgets its beginning: `committed` is
    the current caption's, `prefix` what the decoder goes on from.
    """

    number: int = 0  # of the caption
    committed: tuple[int, ...] = ()  # target tokens of the caption
    words: int = 0  # target words of the caption
    prefix: tuple[int, ...] = ()  # target tokens that are kept
    alignment: tuple[int, ...] = ()  # the source frame each of them was read from
    word_ends: tuple[int, ...] = ()  # n for which the first n of them end with a complete word
    sentence_ends: tuple[int, ...] = ()  # n for which the first n of them end a sentence
    forgot: bool = False  # whether the beginning was forgotten
    from_ms: float = 0.0  # source words that end later belong to the caption
    previous: tuple[Hypothesis, ...] = ()  # newest last, continuing `committed`
    heard: Heard | None = None  # at the last decode
    aligned: int = -1  # source frame of the last committed token
    captions: tuple[tuple[str, str], ...] = (("", ""), ("", ""))  # (stable, unstable) shown last: source, target
    revisions: tuple[int, int] = (0, 0)


class Session(Generic[T, V]):
    """Translates one stream of speech. Not for two threads at once; any number of sessions share the networks."""

    def __init__(
        self,
        translator: Translator[T],
        policy: Policy,
        voice: Voice[V] | None = None,
        options: SessionOptions | None = None,
    ) -> None:
        """Raises InputError for a target, chunk or voice that is not possible, ConfigError for a policy that needs what
        the translator lacks."""
        self.options = options or SessionOptions()
        _check_needs(policy, translator)
        if voice is not None and self.options.speech and voice.language != self.options.target:
            raise InputError(f"the voice speaks {voice.language!r}, not the target {self.options.target!r}")
        self.translator, self.policy = translator, policy
        self.voice = voice if self.options.speech else None
        self.sample_rate_hz = translator.sample_rate_hz
        self.chunk_ms = self.options.chunk_ms
        glossary = make_glossary(self.options.glossary)
        self._hearing = translator.init_state(self.chunk_ms, self.options.target, glossary)
        self._speaking = None if self.voice is None else self.voice.init_state()
        self._segment = Segment()
        self._next_policy: Policy | None = None  # from the next chunk or segment on
        self._next_chunk_ms: int | None = None  # from the next chunk on
        self._samples = 0  # heard
        self._of_chunk = 0  # heard of the current chunk [samples]
        self._utters = False  # whether the voice was given words of the segment
        self._unsaid: list[str] = []  # words that the voice was given and has not said
        self._waits_from_ms = 0.0  # when the last of them came, in source time
        self._spoken_until_ms = 0.0  # when the listener will have heard all speech, in source time
        self._decoder_calls = 0
        self._compute_s = 0.0
        self._finished = False
        self.clock: Callable[[], float] = time.perf_counter  # what `compute_ms` is read off [s]
        self._begun_s = 0.0
        self._events: list[Event] = []

    def reconfigure(self, policy: Policy | None = None, chunk_ms: int | None = None) -> None:
        """Go on with another policy, another chunk size, or both, from the next chunk on; nothing said is lost.

        A policy that decodes in another way (such as `transducer` after `wait-k`) takes over with the next segment,
        since its words would not continue those of this one. Raises ConfigError for a policy that needs what the
        translator lacks, InputError for an impossible chunk and for a finished session; then nothing changes.
        """
        if self._finished:
            raise InputError("the session is finished; open another one")
        if policy is not None:
            _check_needs(policy, self.translator)
        if chunk_ms is not None:
            self.translator.rechunk(self._hearing, chunk_ms)
        self._next_policy = policy or self._next_policy
        self._next_chunk_ms = chunk_ms or self._next_chunk_ms
        self._adopt()

    def _adopt(self) -> None:
        """Take over what `reconfigure` wished, as far as now is the time."""
        if self._of_chunk:
            return
        if self._next_chunk_ms is not None:
            self._hearing = self.translator.rechunk(self._hearing, self._next_chunk_ms)
            self.chunk_ms, self._next_chunk_ms = self._next_chunk_ms, None
        wanted = self._next_policy
        if wanted is not None and (not self._segment.prefix or wanted.decoding.mode == self.policy.decoding.mode):
            self.policy, self._next_policy = wanted, None

    def push(self, pcm: Pcm) -> list[Event]:
        """Hear (samples,) float32 at `sample_rate_hz`, any number of them, and say what can be said."""
        return self._alone(self.hearing(pcm))

    def finish(self) -> list[Event]:
        """Hear the end: say everything that is held, then `Finished`."""
        return self._alone(self.ending())

    def _alone(self, steps: Steps[list[Event]]) -> list[Event]:
        result: Any = None
        while True:
            try:
                work = steps.send(result)
            except StopIteration as stop:
                return stop.value
            result = perform(work, self.translator, self.voice)

    def hearing(self, pcm: Pcm) -> Steps[list[Event]]:
        """`push` in steps. A session is at one step at a time."""
        if self._finished:
            raise InputError("the session is finished; open another one")
        pcm = np.asarray(pcm, dtype=np.float32)
        if pcm.ndim != 1:
            raise InputError(f"audio of shape {pcm.shape} is not mono (samples,)")
        if not np.isfinite(pcm).all():
            raise InputError(f"audio holds {int((~np.isfinite(pcm)).sum())} values that are not numbers")
        loudest = float(np.abs(pcm).max(initial=0.0))
        if loudest > LOUDEST:
            raise InputError(f"audio holds a value of {loudest:g}; -1 to 1 is usual, at most {LOUDEST:g} is allowed")
        self._begin()
        while len(pcm):
            chunk = round(self.chunk_ms * self.sample_rate_hz / 1000)
            piece, pcm = np.split(pcm, [chunk - self._of_chunk])
            self._hearing = yield Encode(piece, self._hearing)
            self._samples += len(piece)
            self._of_chunk = (self._of_chunk + len(piece)) % chunk
            if not self._of_chunk:
                yield from self._react()
                yield from self._hurry()
                self._adopt()
        return self._end()

    def ending(self) -> Steps[list[Event]]:
        """`finish` in steps."""
        if self._finished:
            raise InputError("the session is finished already")
        self._begin()
        if self._samples:
            self._hearing = yield Encode(np.zeros(0, np.float32), self._hearing, final=True)
            yield from self._close_ended()
            yield from self._close_segment()
        self._finished = True
        events = self._end()
        closing = Finished(
            source_ms=self._source_ms, compute_ms=events[-1].compute_ms if events else 0.0, samples=self._samples,
            segments=self._segment.number, decoder_calls=self._decoder_calls, compute_s=self._compute_s,
        )  # fmt: skip
        return [*events, closing]

    def snapshot(self) -> bytes:
        """Everything needed to go on elsewhere, between two calls."""
        saved: dict[str, Any] = {
            "format": SNAPSHOT_FORMAT,
            "options": asdict(self.options),
            "policies": [_pack_policy(policy) for policy in (self.policy, self._next_policy) if policy is not None],
            "chunks_ms": [self.chunk_ms, self._next_chunk_ms],
            "hearing": self.translator.pack_state(self._hearing),
            "speaking": None if self.voice is None else self.voice.pack_state(self._speaking),  # type: ignore[arg-type]
            "segment": _pack_segment(self._segment),
            "counters": {name: getattr(self, name) for name in _COUNTERS},
        }
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        return buffer.getvalue()

    @classmethod
    def restore(cls, data: bytes, translator: Translator[T], voice: Voice[V] | None = None) -> Session[T, V]:
        """The session that `snapshot` saw; InputError when `data` is none, or of other networks."""
        try:
            saved = torch.load(io.BytesIO(data), weights_only=True)
            if saved["format"] != SNAPSHOT_FORMAT:
                raise InputError(f"snapshot format {saved['format']!r} is not {SNAPSHOT_FORMAT}")
            policy, *following = saved["policies"]
            options = from_dict(SessionOptions, saved["options"])
            session = cls(translator, _unpack_policy(policy), voice, options)
            session._next_policy = _unpack_policy(following[0]) if following else None
            session.chunk_ms, session._next_chunk_ms = saved["chunks_ms"]
            session._hearing = translator.unpack_state(saved["hearing"])
            if session.voice is not None:
                session._speaking = session.voice.unpack_state(saved["speaking"])
            session._segment = _unpack_segment(saved["segment"])
            for name in _COUNTERS:
                setattr(session, name, saved["counters"][name])
            return session
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, OSError,
                pickle.UnpicklingError) as error:  # fmt: skip
            raise InputError(f"not a snapshot of a session: {str(error) or 'it ends too soon'}") from error

    @property
    def _source_ms(self) -> float:
        return 1000 * self._samples / self.sample_rate_hz

    def _begin(self) -> None:
        self._begun_s = self.clock()
        self._events = []

    def _end(self) -> list[Event]:
        self._compute_s += self.clock() - self._begun_s
        return self._events

    def _now(self) -> dict[str, float]:
        return {"source_ms": self._source_ms, "compute_ms": 1000 * (self.clock() - self._begun_s)}

    def _react(self) -> Steps[None]:
        """What a chunk that was just encoded leads to."""
        if (yield from self._close_ended()):
            return
        self._caption_source(final=False)
        heard = self.translator.heard(self._hearing)
        segment = self._segment
        said = Said(len(segment.word_ends), len(segment.prefix), segment.heard, segment.previous, segment.aligned)
        if not self._worth(heard):
            self._wait(heard)
            return
        if not self.policy.wants_decode(heard, said):
            return
        candidate = yield self._decode()
        self._decoder_calls += 1
        decision = self.policy.decide(heard, said, candidate)
        count = whole_words(candidate, decision.commit)
        if not self.policy.history and candidate.finished and count == len(candidate.tokens):
            # While somebody speaks, one decode's end of the sentence is a guess, and after it nothing can go on.
            count = whole_words(candidate, count - 1)
        shown = max(count, min(self.policy.shown(heard, said, candidate), len(candidate.tokens)))
        keep = max(self.policy.history, 1 if self.policy.decoding.bias else 0)
        kept = [*segment.previous, candidate][-keep:] if keep else []
        self._segment = replace(segment, heard=heard, previous=tuple(kept))
        yield from self._commit(heard, candidate, count, shown)
        self._forget(heard)

    def _worth(self, heard: Heard) -> bool:
        """False where no word was heard: nothing is said on noise. Who has no source CTC cannot tell."""
        return bool(heard.source_tokens if "source-ctc" in self.translator.provides else heard.frames)

    def _decode(self, final: bool = False) -> Hypothesise:
        decoding = self.policy.decoding
        if decoding.bias and self._segment.previous:
            decoding = replace(decoding, shown=self._segment.previous[-1].tokens)
        return Hypothesise(self._hearing, self._segment.prefix, final, decoding)

    def _close_ended(self) -> Steps[bool]:
        """Close all segments that have ended; whether nothing was heard of another yet."""
        while self.translator.endpoint(self._hearing):
            number = self._segment.number
            yield from self._close_segment()
            if self._segment.number == number or not self._worth(self.translator.heard(self._hearing)):
                return True
        return False

    def _close_segment(self) -> Steps[None]:
        """Say everything that is held of the segment, and begin the next."""
        heard = self.translator.heard(self._hearing, final=True)
        if self._worth(heard):
            self._caption_source(final=True)
            candidate = yield self._decode(final=True)
            self._decoder_calls += 1
            yield from self._commit(heard, candidate, len(candidate.tokens), len(candidate.tokens))
            self._segment = Segment(self._segment.number + 1)
            self._hearing = self.translator.next_segment(self._hearing)

    def _commit(self, heard: Heard, candidate: Hypothesis, count: int, shown: int) -> Steps[None]:
        """Commit `count` tokens of `candidate`, show `shown`, and speak the new words."""
        before, final = self._segment, heard.final
        committed = (*before.committed, *candidate.tokens[:count])
        words = self.translator.detokenize(committed).split()
        fresh = tuple(words[before.words :])
        rebased = (rebase(h, candidate.tokens[:count]) for h in before.previous)
        aligned = candidate.alignment[count - 1] if count and len(candidate.alignment) >= count else before.aligned
        self._segment = replace(
            _continued(before, heard, candidate, count, self.translator),
            committed=committed,
            words=len(words),
            previous=tuple(h for h in rebased if h is not None),
            aligned=aligned,
        )
        stable = " ".join(words)
        whole = self.translator.detokenize((*committed, *candidate.tokens[count:shown]))
        self._caption(1, self.options.target, stable, whole[len(stable) :].strip(), final)
        if fresh:
            aligned_ms = tuple(min(at, self._source_ms) for at in _aligned_ms(heard, candidate, count, len(fresh)))
            target = self.options.target
            self._events.append(
                Words(**self._now(), lang=target, segment=before.number, words=fresh, aligned_ms=aligned_ms)
            )
        if fresh or final:
            yield from self._speak(fresh, final)

    def _forget(self, heard: Heard) -> None:
        """Forget what the policy says is no longer needed of a segment that goes on and on."""
        segment = self._segment
        starts = [round((w.start_ms - heard.start_ms) / heard.frame_ms) for w in self._source_text(final=True).stable]
        committed = Committed(segment.alignment, segment.word_ends, segment.sentence_ends)
        drop = self.policy.droppable(heard, committed, [start for start in starts if start >= 0])
        if not drop.tokens and not drop.frames:
            return
        self._drop(drop.tokens, drop.frames)
        ended = segment.sentence_ends[-1:] == (len(segment.prefix),) and segment.words >= SENTENCE_WORDS
        full = ended or segment.words >= LONG_CAPTION_WORDS
        # Nothing kept is nothing to go on from: what comes may begin in mid-word, and must not join the word before.
        if self._segment.forgot and (full or not self._segment.prefix):
            self._turn_caption()

    def _wait(self, heard: Heard) -> None:
        """Forget the beginning of a long silence: a policy counts, and looks at, what a segment has heard."""
        quiet = frames_of(LONG_QUIET_MS, heard.frame_ms)
        if heard.frames > 2 * quiet:
            self._drop(0, heard.frames - quiet)

    def _drop(self, n: int, frames: int) -> None:
        """Forget the first `n` tokens of what the decoder goes on from, and the first `frames` of the segment."""
        segment = self._segment
        self._hearing = self.translator.forget(self._hearing, frames, n)
        self._segment = replace(
            segment,
            prefix=segment.prefix[n:],
            alignment=tuple(max(frame - frames, 0) for frame in segment.alignment[n:]),
            word_ends=tuple(end - n for end in segment.word_ends if end > n),
            sentence_ends=tuple(end - n for end in segment.sentence_ends if end > n),
            previous=tuple(_later(hypothesis, frames) for hypothesis in segment.previous),
            aligned=max(segment.aligned - frames, -1),
            heard=self.translator.heard(self._hearing) if segment.heard else None,
            forgot=segment.forgot or n > 0,
        )

    def _turn_caption(self) -> None:
        """Close the caption in the middle of the segment: what comes goes into another one."""
        segment = self._segment
        heard = self._source_text(final=False).stable
        for side, lang in enumerate((self.translator.source, self.options.target)):
            stable = self._segment.captions[side][0]
            shown = () if side else heard[: len(stable.split())]
            self._caption(side, lang, stable, "", True, tuple((word.start_ms, word.end_ms) for word in shown))
        fresh = Segment()
        self._segment = replace(
            self._segment,
            number=segment.number + 1,
            committed=(),
            words=0,
            captions=fresh.captions,
            revisions=fresh.revisions,
            from_ms=heard[-1].end_ms if heard else segment.from_ms,
        )

    def _hurry(self) -> Steps[None]:
        """Say the word that waits for the next, when it has waited long enough and the listener has nothing to hear."""
        waited_ms = self._source_ms - self._waits_from_ms
        dry = self._spoken_until_ms < self._source_ms + self.chunk_ms
        if self._unsaid and self._utters and dry and waited_ms >= WORD_WAIT_MS:
            yield from self._speak((), False, hurried=True)

    def _speak(self, words: Sequence[str], final: bool, hurried: bool = False) -> Steps[None]:
        words = () if self.policy.captions_only else words
        if self.voice is None or self._speaking is None or not (words or self._utters):
            return
        self._utters = not final
        if words:
            self._waits_from_ms = self._source_ms
        rate, pauses = pace(max(0.0, self._spoken_until_ms - self._source_ms) / 1000)
        pcm, self._speaking = yield Speak(tuple(words), self._speaking, final, rate, pauses, hurried)
        given = [*self._unsaid, *words]
        said = given[: max(0, len(given) - len(self.voice.held(self._speaking)))]
        self._unsaid = given[len(said) :]
        if len(pcm):
            duration_ms = 1000 * len(pcm) / self.voice.sample_rate_hz
            self._spoken_until_ms = max(self._spoken_until_ms, self._source_ms) + duration_ms
            self._events.append(
                Speech(**self._now(), pcm=pcm, sample_rate_hz=self.voice.sample_rate_hz, text=" ".join(said), rate=rate)
            )

    def _caption_source(self, final: bool) -> None:
        text = self._source_text(final)
        stable, unstable = (" ".join(word.text for word in words) for words in (text.stable, text.unstable))
        spans = tuple((word.start_ms, word.end_ms) for word in (*text.stable, *text.unstable))
        self._caption(0, self.translator.source, stable, unstable, final, spans)

    def _source_text(self, final: bool) -> Transcript:
        """What was heard of the current caption."""
        text, after = self.translator.source_text(self._hearing, final), self._segment.from_ms
        if not after:
            return text
        stable, unstable = (
            tuple(word for word in words if word.end_ms > after) for words in (text.stable, text.unstable)
        )
        return Transcript(stable, unstable)

    def _caption(
        self, side: int, lang: str, stable: str, unstable: str, final: bool, spans: tuple[tuple[float, float], ...] = ()
    ) -> None:
        """Show text of the segment, if it differs from what was shown or is final. side: 0 source, 1 target."""
        segment = self._segment
        if (stable, unstable) == segment.captions[side] and not final:
            return
        text = self._source_text(final=True).stable
        span = (text[0].start_ms, text[-1].end_ms) if text else (self._source_ms, self._source_ms)
        self._events.append(
            Caption(
                **self._now(),
                lang=lang,
                segment=segment.number,
                revision=segment.revisions[side],
                stable=stable,
                unstable=unstable,
                start_ms=span[0],
                end_ms=min(span[1], self._source_ms),
                final=final,
                spans_ms=tuple((start, min(end, self._source_ms)) for start, end in spans),
            )
        )
        captions, revisions = list(segment.captions), list(segment.revisions)
        captions[side] = (stable, unstable)
        revisions[side] += 1
        self._segment = replace(segment, captions=tuple(captions), revisions=(revisions[0], revisions[1]))


def pace(behind_s: float) -> tuple[float, float]:
    """(rate, pauses) of speech for a listener who has `behind_s` of it still to hear: silences shrink first, then the
    rate rises."""
    pauses = min(1.0, max(SHORTEST_PAUSES, 1.0 - 0.8 * (behind_s - 0.5)))
    return min(FASTEST, max(1.0, 1.0 + 0.125 * (behind_s - 1.5))), pauses


def _aligned_ms(heard: Heard, candidate: Hypothesis, count: int, words: int) -> tuple[float, ...]:
    """Source time that each of the `words` words in the first `count` tokens was read from; () where nobody knows."""
    ends = sorted({*(end for end in candidate.word_ends if end < count), count})
    if len(candidate.alignment) < count or len(ends) != words:
        return ()
    return tuple(heard.start_ms + (candidate.alignment[end - 1] + 1) * heard.frame_ms for end in ends)


def _continued(
    segment: Segment, heard: Heard, candidate: Hypothesis, count: int, translator: Translator[Any]
) -> Segment:
    """`segment` with the first `count` tokens of `candidate` in what the decoder goes on from."""
    begin = len(segment.prefix)
    known = candidate.alignment[:count]
    alignment = known if len(known) == count else (max(heard.frames - 1, 0),) * count
    ends = sorted({end for end in candidate.word_ends if end < count} | ({count} if count else set()))
    sentences, start = [], 0
    for end in ends:
        if translator.detokenize(candidate.tokens[start:end]).endswith(SENTENCE_ENDS):
            sentences.append(begin + end)
        start = end
    return replace(
        segment,
        prefix=(*segment.prefix, *candidate.tokens[:count]),
        alignment=(*segment.alignment, *alignment),
        word_ends=(*segment.word_ends, *(begin + end for end in ends)),
        sentence_ends=(*segment.sentence_ends, *sentences),
    )


def _later(hypothesis: Hypothesis, frames: int) -> Hypothesis:
    """`hypothesis` as counted from `frames` later on."""
    alignment = tuple(max(frame - frames, 0) for frame in hypothesis.alignment)
    return replace(hypothesis, alignment=alignment, attention=tuple(row[frames:] for row in hypothesis.attention))


def _check_needs(policy: Policy, translator: Translator[Any]) -> None:
    lacking = missing_needs(policy, translator.provides)
    if lacking:
        raise ConfigError(
            f"policy {_name(policy)} needs {', '.join(sorted(lacking))}, which this translator does not provide"
        )


def _pack_policy(policy: Policy) -> list[Any]:
    return [_name(policy), asdict(policy)]  # type: ignore[call-overload]


def _unpack_policy(packed: list[Any]) -> Policy:
    name, parameters = packed
    return make_policy(name, **parameters)


def _name(policy: Policy) -> str:
    return next((name for name, cls in POLICIES.items() if cls is type(policy)), type(policy).__name__)


def _pack_segment(segment: Segment) -> dict[str, Any]:
    return asdict(segment)


def _unpack_segment(packed: dict[str, Any]) -> Segment:
    fields = dict(packed)
    fields["previous"] = tuple(from_dict(Hypothesis, hypothesis) for hypothesis in packed["previous"])
    fields["heard"] = None if packed["heard"] is None else from_dict(Heard, packed["heard"])
    return Segment(**fields)
