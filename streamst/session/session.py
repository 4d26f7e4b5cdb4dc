"""The loop of a session: audio in, whole chunks to the recogniser, decisions of the policy, events out.

What a session asks of its parts it yields as `Work`: `push` and `finish` do each piece at once; an engine drives
`hearing` and `ending` of many sessions and does pieces of the same kind together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np

from streamst.audio import Pcm
from streamst.errors import ConfigError, InputError
from streamst.events import Event, Finished, Speech, Words
from streamst.models.glossary import make_glossary
from streamst.models.seam import READ_MODES, Hear, Models, Read, Speak, Work, Write, perform_all
from streamst.policies.base import Heard, Hypothesis, Policy, frames_of, missing_needs, whole_words
from streamst.policies.catalog import name_of

from .captions import SOURCE, TARGET, Moment, Shown, joined
from .options import SessionOptions
from .progress import Progress
from .segment import Segment, aligned_ms
from .snapshot import pack, unpack
from .source import Source, SourceWord, source_of
from .speaker import pace

LOUDEST = 32_768.0  # of samples, beyond which the networks' numbers overflow sooner or later
LONG_QUIET_MS = 30_000.0  # of a silence before a segment's first word that are kept

L = TypeVar("L")
V = TypeVar("V")
R = TypeVar("R")
Steps = Generator[Work, Any, R]  # yields what the parts should do, is sent the results, returns an R


class Session(Generic[L, V]):
    """Translates one stream of speech. Not for two threads at once; any number of sessions share the models."""

    def __init__(self, models: Models[L, V], policy: Policy, options: SessionOptions | None = None) -> None:
        """Raises InputError for a target, chunk or voice that is not possible, ConfigError for a policy that needs what
        the models lack."""
        self.options = options = options or SessionOptions()
        _check_needs(policy, models)
        if options.target not in models.writer.targets:
            raise InputError(
                f"target language {options.target!r} is not available; allowed: {', '.join(models.writer.targets)}"
            )
        voice = models.voice if options.speech else None
        if voice is not None and voice.language != options.target:
            raise InputError(f"the voice speaks {voice.language!r}, not the target {options.target!r}")
        self.models, self.voice, self.policy = models, voice, policy
        self.sample_rate_hz = models.recogniser.sample_rate_hz
        self._chunk = models.recogniser.chunk_samples(options.chunk_ms)
        glossary = make_glossary(options.glossary)
        self._terms = models.writer.terms(glossary)
        ear = models.recogniser.init_state(glossary)
        self._at = Progress(ear, None if voice is None else voice.init_state(), options.chunk_ms)
        self._next_policy: Policy | None = None  # from the next chunk or segment on
        self._source = self._look()
        self.clock: Callable[[], float] = time.perf_counter  # what `compute_ms` is read off [s]
        self._begun_s = 0.0
        self._events: list[Event] = []

    @property
    def chunk_ms(self) -> int:
        """Audio that is heard at a time."""
        return self._at.chunk_ms

    def reconfigure(self, policy: Policy | None = None, chunk_ms: int | None = None) -> None:
        """Go on with another policy, another chunk size, or both, from the next chunk on; nothing said is lost.

        A policy that decodes in another way (such as `transducer` after `wait-k`) takes over with the next segment,
        since its words would not continue those of this one. Raises ConfigError for a policy that needs what the
        models lack, InputError for an impossible chunk and for a finished session; then nothing changes.
        """
        if self._at.finished:
            raise InputError("the session is finished; open another one")
        if policy is not None:
            _check_needs(policy, self.models)
        if chunk_ms is not None:
            self.models.recogniser.chunk_samples(chunk_ms)
        self._next_policy = policy or self._next_policy
        self._at = replace(self._at, next_chunk_ms=chunk_ms or self._at.next_chunk_ms)
        self._adopt()

    def _adopt(self) -> None:
        """Take over what `reconfigure` wished, as far as now is the time."""
        if len(self._at.waiting):
            return
        chunk_ms = self._at.next_chunk_ms
        if chunk_ms is not None:
            self._chunk = self.models.recogniser.chunk_samples(chunk_ms)
            self._at = replace(self._at, chunk_ms=chunk_ms, next_chunk_ms=None)
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
            (result,) = perform_all([work], self.models)

    def hearing(self, pcm: Pcm) -> Steps[list[Event]]:
        """`push` in steps: one piece of work for each whole chunk. A session is at one step at a time."""
        if self._at.finished:
            raise InputError("the session is finished; open another one")
        pcm = _checked(pcm)
        self._begin()
        while len(pcm):
            piece, pcm = np.split(pcm, [self._chunk - len(self._at.waiting)])
            waiting = np.concatenate([self._at.waiting, piece])
            if len(waiting) < self._chunk:
                self._at = replace(self._at, waiting=waiting, samples=self._at.samples + len(piece))
                break
            ear = yield Hear(waiting, self._at.ear, chunk_samples=self._chunk)
            self._at = replace(self._at, ear=ear, waiting=waiting[:0].copy(), samples=self._at.samples + len(piece))
            self._source = self._look()
            yield from self._react()
            yield from self._hurry()
            self._adopt()
        return self._end()

    def ending(self) -> Steps[list[Event]]:
        """`finish` in steps."""
        if self._at.finished:
            raise InputError("the session is finished already")
        self._begin()
        if self._at.samples:
            ear = yield Hear(self._at.waiting, self._at.ear, True, self._chunk)
            self._at = replace(self._at, ear=ear, waiting=self._at.waiting[:0].copy())
            self._source = self._look()
            yield from self._close_ended()
            yield from self._close_segment()
        self._at = replace(self._at, finished=True)
        events = self._end()
        closing = Finished(
            source_ms=self._source_ms, compute_ms=events[-1].compute_ms if events else 0.0, samples=self._at.samples,
            segments=self._segment.caption.number, decoder_calls=self._at.decoder_calls, compute_s=self._at.compute_s,
        )  # fmt: skip
        return [*events, closing]

    def snapshot(self) -> bytes:
        """Everything needed to go on elsewhere, between two calls."""
        return pack(self.options, self.policy, self._next_policy, self._at)

    @classmethod
    def restore(cls, data: bytes, models: Models[L, V]) -> Session[L, V]:
        """The session that `snapshot` saw; InputError when `data` is none, or of other models."""
        try:
            options, policy, following, progress = unpack(data, lambda o, p: cls(models, p, o)._at)
            session = cls(models, policy, options)
            if following is not None:
                _check_needs(following, models)
            session._next_policy = following
            session._chunk = models.recogniser.chunk_samples(progress.chunk_ms)
            if progress.next_chunk_ms is not None:
                models.recogniser.chunk_samples(progress.next_chunk_ms)
            if len(progress.waiting) >= session._chunk:
                raise InputError(f"{len(progress.waiting)} samples wait for a chunk of {session._chunk}")
            session._at = progress
            session._source = session._look()
        except (InputError, ConfigError) as error:
            raise InputError(f"not a snapshot of a session: {error}") from error
        return session

    @property
    def _segment(self) -> Segment:
        return self._at.segment

    def _set(self, segment: Segment) -> None:
        self._at = replace(self._at, segment=segment)

    @property
    def _source_ms(self) -> float:
        return 1000 * self._at.samples / self.sample_rate_hz

    def _begin(self) -> None:
        self._begun_s = self.clock()
        self._events = []

    def _end(self) -> list[Event]:
        self._at = replace(self._at, compute_s=self._at.compute_s + self.clock() - self._begun_s)
        return self._events

    def _now(self) -> Moment:
        return Moment(self._source_ms, 1000 * (self.clock() - self._begun_s))

    def _look(self) -> Source:
        """What was heard of the segment: once after each chunk, and where the segment changes."""
        recogniser = self.models.recogniser
        return source_of(recogniser.listening(self._at.ear), self._segment.start, recogniser.segments)

    def _react(self) -> Steps[None]:
        """What a chunk that was just heard leads to."""
        if (yield from self._close_ended()):
            return
        self._caption_source(final=False)
        heard, policy = self._source.counts(), self.policy
        said = self._segment.said()
        if not heard.source_tokens:  # nothing is said on noise
            yield from self._wait(heard)
            return
        if not policy.wants_decode(heard, said):
            return
        candidate = yield from self._decode()
        decision = policy.decide(heard, said, candidate)
        count = whole_words(candidate, decision.commit)
        if not policy.history and candidate.finished and count == len(candidate.tokens):
            # While somebody speaks, one decode's end of the sentence is a guess, and after it nothing can go on.
            count = whole_words(candidate, count - 1)
        shown = max(count, min(policy.shown(heard, said, candidate), len(candidate.tokens)))
        keep = max(policy.history, 1 if policy.decoding.bias else 0)
        self._set(self._segment.decoded(heard, candidate, keep))
        yield from self._commit(heard, candidate, count, shown)
        self._forget(heard)

    def _decode(self, final: bool = False) -> Steps[Hypothesis]:
        """A continuation of what was committed: the writer's, or labels that the recogniser's own heads read."""
        segment, decoding, source = self._segment, self.policy.decoding, self._source
        if decoding.bias and segment.previous:
            decoding = replace(decoding, shown=segment.previous[-1].tokens)
        self._at = replace(self._at, decoder_calls=self._at.decoder_calls + 1)
        if decoding.mode in READ_MODES and decoding.mode in self.models.recogniser.provides:
            return (yield Read(self._at.ear, segment.prefix, final, decoding, segment.start, source.until))
        frames = source.heard.frames - segment.start
        words = source.counted_from_start(final)
        return (yield Write(words, frames, segment.prefix, final, self.options.target, decoding, self._terms))

    def _close_ended(self) -> Steps[bool]:
        """Close all segments that have ended; whether nothing was heard of another yet."""
        while self._source.ended:
            words = self._source.words
            yield from self._close_segment()
            if not self._source.words or self._source.words == words:  # a recogniser may forget nothing
                return True
        return False

    def _close_segment(self) -> Steps[None]:
        """Say everything that is held of the segment, and begin the next."""
        heard = self._source.counts(final=True)
        if not heard.source_tokens and not self._segment.caption.committed:
            return
        self._caption_source(final=True)
        candidate = (yield from self._decode(final=True)) if heard.source_tokens else Hypothesis(())
        yield from self._commit(heard, candidate, len(candidate.tokens), len(candidate.tokens))
        source = self._source
        ear = self.models.recogniser.forget(self._at.ear, len(source.words), source.until)
        segment = Segment(source.until, Shown(self._segment.caption.number + 1))
        self._at = replace(self._at, ear=ear, segment=segment)
        self._source = self._look()

    def _commit(self, heard: Heard, candidate: Hypothesis, count: int, shown: int) -> Steps[None]:
        """Commit `count` tokens of `candidate`, show `shown`, and speak the new words."""
        before, caption, final = self._segment, self._segment.caption, heard.final
        committed = (*caption.committed, *candidate.tokens[:count])
        words = self._text(committed).split()
        fresh = tuple(words[caption.words :])
        segment = before.committing(heard, candidate, count, self._text)
        self._set(replace(segment, caption=replace(caption, committed=committed, words=len(words))))
        stable = " ".join(words)
        whole = self._text((*committed, *candidate.tokens[count:shown]))
        self._caption(TARGET, (stable, whole[len(stable) :].strip()), final=final)
        if fresh:
            at_ms = aligned_ms(heard, candidate, count, len(fresh))
            now, target = self._now(), self.options.target
            self._events.append(
                Words(
                    source_ms=now.source_ms, compute_ms=now.compute_ms, lang=target, segment=caption.number,
                    words=fresh, aligned_ms=tuple(min(at, now.source_ms) for at in at_ms),
                )
            )  # fmt: skip
        if fresh or final:
            yield from self._speak(fresh, final)

    def _text(self, tokens: Sequence[int]) -> str:
        return self.models.writer.detokenize(self.options.target, tokens)

    def _forget(self, heard: Heard) -> None:
        """Forget what the policy says is no longer needed of a segment that goes on and on."""
        segment, caption = self._segment, self._segment.caption
        shown, _ = self._source.after(caption.from_ms)
        words = self._source.words[len(self._source.words) - len(shown) :]
        starts = [word.first_frame - segment.start for word in words]
        drop = self.policy.droppable(heard, segment.committed(), [start for start in starts if start >= 0])
        if not drop.tokens and not drop.frames:
            return
        self._drop(drop.tokens, drop.frames)
        full = caption.full(segment.at_sentence_end)
        # Nothing kept is nothing to go on from: what comes may begin in mid-word, and must not join the word before.
        if self._segment.forgot and (full or not self._segment.prefix):
            self._turn_caption()

    def _wait(self, heard: Heard) -> Steps[None]:
        """Forget the beginning of a long silence, which policies count; what was committed before it ends with it."""
        quiet = frames_of(LONG_QUIET_MS, heard.frame_ms)
        if heard.frames > 2 * quiet and self._segment.caption.committed:
            yield from self._close_segment()
        elif heard.frames > 2 * quiet:
            self._drop(0, heard.frames - quiet)

    def _drop(self, tokens: int, frames: int) -> None:
        """Forget the first `tokens` of what the writer goes on from, and the first `frames` of the segment."""
        segment = self._segment
        start = segment.start + frames
        words = self._source.ending_before(start)
        ear = self.models.recogniser.forget(self._at.ear, words, start, tokens)
        self._at = replace(self._at, ear=ear, segment=replace(segment, start=start))
        self._source = self._look()
        self._set(segment.without(tokens, frames, self._source.counts()))

    def _turn_caption(self) -> None:
        """Close the caption in the middle of the segment: what comes goes into another one."""
        caption = self._segment.caption
        words, stable = self._source.after(caption.from_ms)
        heard, text = words[:stable], caption.texts[SOURCE][0]
        self._caption(SOURCE, (text, ""), heard[: len(text.split())], final=True)
        self._caption(TARGET, (self._segment.caption.texts[TARGET][0], ""), final=True)
        from_ms = heard[-1].end_ms if heard else caption.from_ms
        self._set(replace(self._segment, caption=self._segment.caption.next(from_ms)))

    def _hurry(self) -> Steps[None]:
        """Say the word that waits for the next, when it has waited long enough and the listener has nothing to hear."""
        if self._at.speaking.hurries(self._source_ms, self.chunk_ms):
            yield from self._speak((), False, hurried=True)

    def _speak(self, words: Sequence[str], final: bool, hurried: bool = False) -> Steps[None]:
        words = () if self.policy.captions_only else words
        voice, speaking, now_ms = self.voice, self._at.speaking, self._source_ms
        if voice is None or not (words or speaking.utters):
            return
        rate, pauses = pace(max(0.0, speaking.until_ms - now_ms) / 1000)
        pcm, state = yield Speak(tuple(words), self._at.voice, final, rate, pauses, hurried)
        rate_hz, held = voice.sample_rate_hz, len(voice.held(state))
        speaking, text = speaking.asked(words, final, now_ms).said(words, held, 1000 * len(pcm) / rate_hz, now_ms)
        self._at = replace(self._at, voice=state, speaking=speaking)
        if len(pcm):
            now = self._now()
            self._events.append(
                Speech(
                    source_ms=now.source_ms, compute_ms=now.compute_ms, pcm=pcm, sample_rate_hz=rate_hz, text=text,
                    rate=rate,
                )
            )  # fmt: skip

    def _caption_source(self, final: bool) -> None:
        caption = self._segment.caption
        words, stable = self._source.after(caption.from_ms)
        if not words and caption.committed:  # what was committed keeps the words that it was read from
            words, stable = caption.heard, len(caption.heard)
        stable = len(words) if final else stable
        self._caption(SOURCE, (joined(words[:stable]), joined(words[stable:])), words, final)

    def _caption(self, side: int, text: tuple[str, str], spans: Sequence[SourceWord] = (), final: bool = False) -> None:
        """Show text of the segment; spans: the words of it."""
        lang = self.options.target if side else self.models.recogniser.language
        caption = self._segment.caption
        words = self._source.after(caption.from_ms)[0] or (caption.heard if caption.committed else ())
        caption, events = caption.show(side, lang, text, self._now(), words, spans, final)
        self._events += events
        self._set(replace(self._segment, caption=caption))


def _checked(pcm: Pcm) -> Pcm:
    """Mono audio of numbers; InputError for anything else."""
    pcm = np.asarray(pcm, dtype=np.float32)
    if pcm.ndim != 1:
        raise InputError(f"audio of shape {pcm.shape} is not mono (samples,)")
    if not np.isfinite(pcm).all():
        raise InputError(f"audio holds {int((~np.isfinite(pcm)).sum())} values that are not numbers")
    loudest = float(np.abs(pcm).max(initial=0.0))
    if loudest > LOUDEST:
        raise InputError(f"audio holds a value of {loudest:g}; -1 to 1 is usual, at most {LOUDEST:g} is allowed")
    return pcm


def _check_needs(policy: Policy, models: Models[Any, Any]) -> None:
    lacking = missing_needs(policy, models.provides)
    if lacking:
        raise ConfigError(
            f"policy {name_of(policy)} needs {', '.join(sorted(lacking))}, which these models do not provide"
        )
