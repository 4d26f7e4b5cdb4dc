"""One speaker: push(pcm) -> events, finish() -> events. Server, command line, evaluator and tests drive this.

What a session asks of the networks it yields as `Work`: `push` and `finish` do each piece at once; an engine drives
`hearing` and `ending` of many sessions and does pieces of the same kind together.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Finished, Speech, Words
from streamst.models.seam import Encode, Hypothesise, Pcm, Speak, Translator, Voice, Work, perform
from streamst.policies.base import Heard, Hypothesis, Policy, Said, missing_needs, rebase, whole_words
from streamst.policies.catalog import POLICIES, make_policy

SNAPSHOT_FORMAT = 1
FASTEST = 1.25  # of speech that has fallen behind

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


@dataclass(frozen=True)
class Segment:
    """What was said of the current segment."""

    number: int = 0
    committed: tuple[int, ...] = ()  # target tokens
    words: int = 0  # target words
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
        lacking = missing_needs(policy, translator.provides)
        if lacking:
            raise ConfigError(
                f"policy {_name(policy)} needs {', '.join(sorted(lacking))}, which this translator does not provide"
            )
        speaks = self.options.speech and not policy.captions_only
        if voice is not None and speaks and voice.language != self.options.target:
            raise InputError(f"the voice speaks {voice.language!r}, not the target {self.options.target!r}")
        self.translator, self.policy = translator, policy
        self.voice = voice if speaks else None
        self.sample_rate_hz = translator.sample_rate_hz
        self.chunk_ms = self.options.chunk_ms
        self._hearing = translator.init_state(self.chunk_ms, self.options.target)
        self._speaking = None if self.voice is None else self.voice.init_state()
        self._segment = Segment()
        self._samples = 0  # heard
        self._spoken_until_ms = 0.0  # when the listener will have heard all speech, in source time
        self._decoder_calls = 0
        self._compute_s = 0.0
        self._finished = False
        self._begun_s = 0.0
        self._events: list[Event] = []

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
        self._begin()
        chunk = round(self.chunk_ms * self.sample_rate_hz / 1000)
        while len(pcm):
            piece, pcm = np.split(pcm, [chunk - self._samples % chunk])
            self._hearing = yield Encode(piece, self._hearing)
            self._samples += len(piece)
            if self._samples % chunk == 0:
                yield from self._react()
        return self._end()

    def ending(self) -> Steps[list[Event]]:
        """`finish` in steps."""
        if self._finished:
            raise InputError("the session is finished already")
        self._begin()
        if self._samples:
            self._hearing = yield Encode(np.zeros(0, np.float32), self._hearing, final=True)
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
            "policy": [_name(self.policy), asdict(self.policy)],  # type: ignore[call-overload]
            "hearing": self.translator.pack_state(self._hearing),
            "speaking": None if self.voice is None else self.voice.pack_state(self._speaking),  # type: ignore[arg-type]
            "segment": _pack_segment(self._segment),
            "counters": [self._samples, self._spoken_until_ms, self._decoder_calls, self._compute_s, self._finished],
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
            name, parameters = saved["policy"]
            options = from_dict(SessionOptions, saved["options"])
            session = cls(translator, make_policy(name, **parameters), voice, options)
            session._hearing = translator.unpack_state(saved["hearing"])
            if session.voice is not None:
                session._speaking = session.voice.unpack_state(saved["speaking"])
            session._segment = _unpack_segment(saved["segment"])
            counters = saved["counters"]
            (
                session._samples,
                session._spoken_until_ms,
                session._decoder_calls,
                session._compute_s,
                session._finished,
            ) = counters
            return session
        except (KeyError, TypeError, ValueError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise InputError(f"not a snapshot of a session: {error}") from error

    @property
    def _source_ms(self) -> float:
        return 1000 * self._samples / self.sample_rate_hz

    def _begin(self) -> None:
        self._begun_s = time.perf_counter()
        self._events = []

    def _end(self) -> list[Event]:
        self._compute_s += time.perf_counter() - self._begun_s
        return self._events

    def _now(self) -> dict[str, float]:
        return {"source_ms": self._source_ms, "compute_ms": 1000 * (time.perf_counter() - self._begun_s)}

    def _react(self) -> Steps[None]:
        """What a chunk that was just encoded leads to."""
        if self.translator.endpoint(self._hearing):
            yield from self._close_segment()
            return
        self._caption_source(final=False)
        heard = self.translator.heard(self._hearing)
        segment = self._segment
        said = Said(segment.words, len(segment.committed), segment.heard, segment.previous, segment.aligned)
        if not heard.source_tokens or not self.policy.wants_decode(heard, said):
            return
        candidate = yield Hypothesise(self._hearing, segment.committed, decoding=self.policy.decoding)
        self._decoder_calls += 1
        decision = self.policy.decide(heard, said, candidate)
        count = whole_words(candidate, decision.commit)
        shown = max(count, min(self.policy.shown(heard, said, candidate), len(candidate.tokens)))
        kept = [*segment.previous, candidate][-self.policy.history :] if self.policy.history else []
        self._segment = replace(segment, heard=heard, previous=tuple(kept))
        yield from self._commit(heard, candidate, count, shown)

    def _close_segment(self) -> Steps[None]:
        """Say everything that is held of the segment, and begin the next."""
        heard = self.translator.heard(self._hearing, final=True)
        if heard.source_tokens:
            self._caption_source(final=True)
            candidate = yield Hypothesise(self._hearing, self._segment.committed, True, self.policy.decoding)
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
            before,
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

    def _speak(self, words: Sequence[str], final: bool) -> Steps[None]:
        if self.voice is None or self._speaking is None:
            return
        behind_s = max(0.0, self._spoken_until_ms - self._source_ms) / 1000
        rate = min(FASTEST, max(1.0, 1.0 + 0.125 * (behind_s - 1.0)))
        pcm, self._speaking = yield Speak(tuple(words), self._speaking, final, rate)
        if len(pcm):
            duration_ms = 1000 * len(pcm) / self.voice.sample_rate_hz
            self._spoken_until_ms = max(self._spoken_until_ms, self._source_ms) + duration_ms
            self._events.append(
                Speech(**self._now(), pcm=pcm, sample_rate_hz=self.voice.sample_rate_hz, text=" ".join(words))
            )

    def _caption_source(self, final: bool) -> None:
        text = self.translator.source_text(self._hearing, final)
        stable, unstable = (" ".join(word.text for word in words) for words in (text.stable, text.unstable))
        self._caption(0, self.translator.source, stable, unstable, final)

    def _caption(self, side: int, lang: str, stable: str, unstable: str, final: bool) -> None:
        """Show text of the segment, if it differs from what was shown or is final. side: 0 source, 1 target."""
        segment = self._segment
        if (stable, unstable) == segment.captions[side] and not final:
            return
        text = self.translator.source_text(self._hearing, final=True).stable
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
            )
        )
        captions, revisions = list(segment.captions), list(segment.revisions)
        captions[side] = (stable, unstable)
        revisions[side] += 1
        self._segment = replace(segment, captions=tuple(captions), revisions=(revisions[0], revisions[1]))


def _aligned_ms(heard: Heard, candidate: Hypothesis, count: int, words: int) -> tuple[float, ...]:
    """Source time that each of the `words` words in the first `count` tokens was read from; () where nobody knows."""
    ends = sorted({*(end for end in candidate.word_ends if end < count), count})
    if len(candidate.alignment) < count or len(ends) != words:
        return ()
    return tuple(heard.start_ms + (candidate.alignment[end - 1] + 1) * heard.frame_ms for end in ends)


def _name(policy: Policy) -> str:
    return next((name for name, cls in POLICIES.items() if cls is type(policy)), type(policy).__name__)


def _pack_segment(segment: Segment) -> dict[str, Any]:
    return asdict(segment)


def _unpack_segment(packed: dict[str, Any]) -> Segment:
    fields = dict(packed)
    fields["previous"] = tuple(from_dict(Hypothesis, hypothesis) for hypothesis in packed["previous"])
    fields["heard"] = None if packed["heard"] is None else from_dict(Heard, packed["heard"])
    return Segment(**fields)
