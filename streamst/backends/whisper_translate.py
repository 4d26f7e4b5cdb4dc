"""Whisper's own `translate` task: speech of ninety languages in, what was said and its English out; extra `whisper`.

One model is recogniser and writer. It hears two windows of the same audio, one for each task, the English one where
further words have become certain; a word that was said carries the English words, certain ones too, that were read at
its time, and the writer only joins them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening, Write
from streamst.policies.base import Hypothesis, Need

from .parts import Languages
from .whisper import WhisperRecogniser
from .whisper_model import Vocabulary, languages_of
from .window import PAUSE, RATE_HZ, WindowState

ENGLISH = "en"
LONGEST_WAIT = 2 * RATE_HZ  # samples


def translates(folder: Path) -> Languages:
    """What the model in `folder` hears and writes; InputError for one that hears English only, CheckpointError as
    `languages_of`."""
    hears = tuple(one for one in languages_of(folder) if one != ENGLISH)
    if not hears:
        raise InputError(f"{folder} hears English only and cannot translate; allowed: a multilingual Whisper model")
    return Languages(hears, (ENGLISH,))


@dataclass(frozen=True)
class TranslatedWord(HeardWord):
    """english: the words that were read between this word's beginning and the next one's."""

    english: tuple[str, ...] = ()


@dataclass(frozen=True)
class TranslatingState:
    """A stream, heard twice."""

    spoken: WindowState = field(default_factory=WindowState)
    english: WindowState = field(default_factory=WindowState)
    waiting: Tensor = field(default_factory=lambda: torch.zeros(0))  # (samples,) not heard for the English yet


class TranslatingRecogniser:
    """Implements `Recogniser` (models/seam.py); `EnglishWriter` writes what its words carry."""

    def __init__(self, folder: Path, language: str) -> None:
        """Errors as `WhisperRecogniser` and `translates`."""
        translates(folder)
        self._spoken = WhisperRecogniser(folder, language)
        self._english = WhisperRecogniser(folder, language, model=self._spoken.model, translate=True)
        self.language, self.sample_rate_hz = language, self._spoken.sample_rate_hz
        self.provides: frozenset[Need] = self._spoken.provides
        self.segments = self._spoken.segments
        self.chunk_samples = self._spoken.chunk_samples

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> TranslatingState:
        """Nothing heard. Whisper knows no glossary."""
        del glossary
        return TranslatingState()

    def hear_all(self, work: Sequence[Hear]) -> list[TranslatingState]:
        """One speaker after the other."""
        return [self._hear(one) for one in work]

    def _hear(self, work: Hear) -> TranslatingState:
        state: TranslatingState = work.state
        (spoken,) = self._spoken.hear_all([replace(work, state=state.spoken)])
        waiting = torch.cat([state.waiting, torch.from_numpy(np.ascontiguousarray(work.pcm, dtype=np.float32))])
        more = spoken.words[-1:] != state.spoken.words[-1:] or spoken.level.silent >= PAUSE
        if not (more or work.final or len(waiting) > LONGEST_WAIT):
            return TranslatingState(spoken, state.english, waiting)
        (english,) = self._english.hear_all([replace(work, pcm=waiting.numpy(), state=state.english)])
        if not (spoken.words or spoken.given or spoken.guess):  # who doubts that anybody spoke translates nothing
            english = replace(english, words=state.english.words, given=(), guess=())
        return TranslatingState(spoken, english)

    def listening(self, state: TranslatingState) -> Listening:
        """What was said, each word with its English."""
        heard = self._spoken.listening(state.spoken)
        starts = [word.first_frame for word in heard.words]
        shares: list[list[str]] = [[] for _ in starts]
        for word in state.english.words if starts else ():
            shares[max(0, bisect_right(starts, word.first_frame) - 1)].append(word.text)
        words = (
            TranslatedWord(word.text, word.first_frame, word.last_frame, word.pieces, tuple(share))
            for word, share in zip(heard.words, shares, strict=True)
        )
        return replace(heard, words=tuple(words))

    def forget(self, state: TranslatingState, words: int, frame: int, labels: int | None = None) -> TranslatingState:
        """The first `words`, with the English that they carry; else the English of the first `labels` tokens."""
        if labels is None:
            said = self.listening(state).words[:words]
            count = sum(len(word.english) for word in said if isinstance(word, TranslatedWord))
        else:
            sizes = (len(self._spoken.model.vocabulary.spell(word.text)) for word in state.english.words)
            count = sum(total <= labels for total in accumulate(sizes))
        spoken = self._spoken.forget(state.spoken, words, frame)
        return replace(state, spoken=spoken, english=replace(state.english, words=state.english.words[count:]))


class EnglishWriter:
    """Implements `Writer` (models/seam.py): the English that words carry, in Whisper's tokens."""

    targets = (ENGLISH,)
    provides: frozenset[Need] = frozenset({"alignment"})

    def __init__(self, folder: Path, source: str) -> None:
        """Errors as `translates`; UnavailableError where the extra is not installed."""
        self.source = source
        if source not in translates(folder).source:
            raise InputError(f"{folder} does not translate {source!r}; allowed: {', '.join(translates(folder).source)}")
        self._vocabulary = Vocabulary(folder)

    def terms(self, glossary: Glossary) -> None:
        """None; InputError for any term to be written."""
        if any(target for _, target in glossary.terms):
            raise InputError("a writer whisper-translate:DIR knows no glossary; allowed: no glossary")

    def detokenize(self, target: str, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        del target
        return self._vocabulary.text(tokens).strip()

    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        """What is certain beyond the prefix; InputError for words of another recogniser."""
        return [self._write(one) for one in work]

    def _write(self, work: Write) -> Hypothesis:
        tokens: list[int] = []
        alignment: list[int] = []
        ends: list[int] = []
        for word in work.words:
            if not isinstance(word, TranslatedWord):
                raise InputError("a writer whisper-translate:DIR needs the recogniser whisper-translate:DIR")
            for text in word.english:
                tokens += self._vocabulary.spell(text)
                alignment += [max(0, word.last_frame)] * (len(tokens) - len(alignment))
                ends.append(len(tokens))
        said = len(work.prefix)
        ends = [n - said for n in ends if n > said]
        finished = work.final or not work.words
        return Hypothesis(
            tuple(tokens[said:]), alignment=tuple(alignment[said:]), word_ends=tuple(ends), finished=finished
        )
