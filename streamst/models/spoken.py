"""A recogniser and a writer as one translator: what goes from one to the other is words with times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from streamst.errors import InputError
from streamst.models.glossary import Glossary, make_glossary
from streamst.models.seam import (
    ATTENTION,
    NO_GLOSSARY,
    Encode,
    Hear,
    HeardWord,
    Hypothesise,
    Listening,
    Pcm,
    Recogniser,
    SourceWord,
    Transcript,
    Write,
    Writer,
)
from streamst.models.segment import SegmentConfig, ended
from streamst.nn.packing import pack, unpack
from streamst.policies.base import Decoding, Heard, Hypothesis

L = TypeVar("L")


@dataclass(frozen=True)
class Spoken(Generic[L]):
    """What one speaker's stream has come to."""

    ear: L
    pending: Tensor  # (samples,) not yet a chunk
    chunk_samples: int
    target: str
    glossary: tuple[tuple[str, str], ...]
    start: int = 0  # frame of the stream at which the segment begins


class WordsTranslator(Generic[L]):
    """Implements `Translator` (models/seam.py) with any recogniser and any writer that share a language."""

    def __init__(self, recogniser: Recogniser[L], writer: Writer, segments: SegmentConfig | None = None) -> None:
        if recogniser.language != writer.source:
            raise InputError(f"the recogniser hears {recogniser.language!r}, the writer reads {writer.source!r}")
        self.recogniser, self.writer, self.segments = recogniser, writer, segments or SegmentConfig()
        self.sample_rate_hz, self.source, self.targets = recogniser.sample_rate_hz, writer.source, writer.targets
        self.provides = writer.provides
        self._terms = lru_cache(maxsize=8)(writer.terms)  # sessions of one customer bring the same

    def init_state(self, chunk_ms: int, target: str, glossary: Glossary = NO_GLOSSARY) -> Spoken[L]:
        """A fresh state; InputError names the allowed chunks and targets."""
        if target not in self.targets:
            raise InputError(f"target language {target!r} is not available; allowed: {', '.join(self.targets)}")
        self._terms(glossary)
        ear = self.recogniser.init_state(glossary)
        return Spoken(ear, torch.zeros(0), self._samples(chunk_ms), target, glossary.terms)

    def rechunk(self, state: Spoken[L], chunk_ms: int) -> Spoken[L]:
        """The same state that encodes in chunks of `chunk_ms` from now on; InputError names the allowed chunks."""
        return replace(state, chunk_samples=self._samples(chunk_ms))

    def _samples(self, chunk_ms: int) -> int:
        self.recogniser.check_chunk(chunk_ms)
        return chunk_ms * self.sample_rate_hz // 1000

    def encode(self, pcm: Pcm, state: Spoken[L], final: bool = False) -> Spoken[L]:
        """Hear `pcm` (samples,), any number of them; `final` flushes what is buffered."""
        return self.encode_all([Encode(pcm, state, final)])[0]

    def encode_all(self, work: Sequence[Encode]) -> list[Spoken[L]]:
        """`encode` for several speakers: their chunks go through the recogniser together."""
        states: list[Spoken[L]] = [one.state for one in work]
        waiting = [
            torch.cat([one.state.pending, torch.from_numpy(np.ascontiguousarray(one.pcm, dtype=np.float32))])
            for one in work
        ]
        done = [False] * len(work)
        while True:
            rows = []
            for row, one in enumerate(work):
                whole = len(waiting[row]) >= states[row].chunk_samples
                if whole or (one.final and not done[row]):
                    rows.append(row)
            if not rows:
                return [replace(s, pending=rest.clone()) for s, rest in zip(states, waiting, strict=True)]
            heard = []
            for row in rows:
                size = states[row].chunk_samples
                piece, waiting[row] = waiting[row][:size], waiting[row][size:]
                done[row] = work[row].final and not len(waiting[row])
                heard.append(Hear(piece.numpy(), states[row].ear, done[row]))
            for row, ear in zip(rows, self.recogniser.hear_all(heard), strict=True):
                states[row] = replace(states[row], ear=ear)

    def _segment(self, state: Spoken[L]) -> tuple[Listening, tuple[HeardWord, ...], int, int]:
        """What was heard: the segment's words, how many are certain, and how many are its own where it has ended."""
        heard = self.recogniser.listening(state.ear)
        before = sum(word.last_frame < state.start for word in heard.words)
        words, certain = heard.words[before:], max(0, heard.certain - before)
        return heard, words, certain, ended(words, certain, heard.silence_ms, self.segments)

    def heard(self, state: Spoken[L], final: bool = False) -> Heard:
        """Counts of the current segment; a source token is a word."""
        heard, words, certain, count = self._segment(state)
        words = words[: count or None]
        stable = len(words) if final or count else certain
        return Heard(
            max(0, heard.frames - state.start), heard.frame_ms, source_words=stable, source_tokens=len(words),
            final=final, start_ms=state.start * heard.frame_ms,
        )  # fmt: skip

    def source_text(self, state: Spoken[L], final: bool = False) -> Transcript:
        """The transcript of the current segment."""
        heard, words, certain, count = self._segment(state)
        words = words[: count or None]
        spelled = tuple(
            SourceWord(word.text, word.first_frame * heard.frame_ms, (word.last_frame + 1) * heard.frame_ms)
            for word in words
        )
        stable = len(spelled) if final or count else min(certain, len(spelled))
        return Transcript(spelled[:stable], spelled[stable:])

    def hypothesise(
        self, state: Spoken[L], prefix: Sequence[int], final: bool = False, decoding: Decoding = ATTENTION
    ) -> Hypothesis:
        """A continuation of `prefix`."""
        return self.hypothesise_all([Hypothesise(state, tuple(prefix), final, decoding)])[0]

    def hypothesise_all(self, work: Sequence[Hypothesise]) -> list[Hypothesis]:
        """`hypothesise` for several speakers, together."""
        return self.writer.write_all([self._write(one) for one in work])

    def _write(self, work: Hypothesise) -> Write:
        state: Spoken[L] = work.state
        heard, words, _, count = self._segment(state)
        inside = tuple(
            HeardWord(word.text, max(0, word.first_frame - state.start), max(0, word.last_frame - state.start))
            for word in words[: count or None]
        )
        terms = self._terms(Glossary(state.glossary)) if state.glossary else None
        frames = max(0, heard.frames - state.start)
        return Write(inside, frames, work.prefix, work.final, state.target, work.decoding, terms)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of target tokens."""
        return self.writer.detokenize(tokens)

    def endpoint(self, state: Spoken[L]) -> bool:
        """True when the segment has ended."""
        return self._segment(state)[3] > 0

    def next_segment(self, state: Spoken[L]) -> Spoken[L]:
        """Forget the segment's words; those after its end begin the next."""
        _, words, _, count = self._segment(state)
        inside = words[: count or None]
        return self._from(state, inside[-1].last_frame + 1 if inside else state.start)

    def forget(self, state: Spoken[L], frames: int, tokens: int) -> Spoken[L]:
        """Forget the segment's first `frames`, and the words that end in them."""
        return self._from(state, state.start + frames)

    def _from(self, state: Spoken[L], start: int) -> Spoken[L]:
        return replace(state, ear=self.recogniser.forget(state.ear, start), start=start)

    def pack_state(self, state: Spoken[L]) -> dict[str, Any]:
        """Plain values and tensors on the CPU."""
        return pack(state)

    def unpack_state(self, packed: dict[str, Any]) -> Spoken[L]:
        """The inverse of `pack_state`; InputError when it does not fit this translator."""
        try:
            chunk_ms = 1000 * packed["chunk_samples"] // self.sample_rate_hz
            pairs = tuple((str(source), str(target)) for source, target in packed["glossary"])
            fresh = self.init_state(chunk_ms, packed["target"], make_glossary(pairs) if pairs else NO_GLOSSARY)
            ear = unpack(type(fresh.ear), packed["ear"], fresh.ear)
            pending, start = unpack(Tensor, packed["pending"], fresh.pending), unpack(int, packed["start"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a state of this translator: {error!r}") from error
        return replace(fresh, ear=ear, pending=pending, start=start)
