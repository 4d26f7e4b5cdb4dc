"""Whisper models as streaming recognisers; extra `whisper`.

After each chunk the model hears the last seconds again. Words on which two passes agree are certain: from then on they
are given to the decoder, so that they never change (local agreement, Liu et al. 2020; Macháček et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening, Pcm
from streamst.models.segment import SegmentConfig, closes
from streamst.policies.base import Need

from .level import Level, listen
from .whisper_model import FRAME, RATE_HZ, SPACELESS, Pass, WhisperModel

FRAME_MS = 20.0
CHUNKS_MS = (160, 2000)
MOST_WORDS = 60  # of a segment
ENOUGH, MOST = 300, 600  # frames: from the first on the window ends at sentences, beyond the second at any word
SLOWEST = 50  # frames of a word
PAUSE, KEPT = 30, 20  # frames of silence after which everything is certain, and those that stay before the next word
# Of 61 recordings of people none had a probability of no speech above 0.3 or a mean log-probability below -0.9; of nine
# minutes of rain, dishes, dogs and a crying baby all had 0.4 and more, and but for loops -0.9 and less.
NOBODY, DOUBTFUL = 0.6, 0.4  # probability of no speech
UNLIKELY, WEAK, ABSURD = -1.1, -0.7, -2.0  # mean log-probability of words: at first, where doubtful, after others


@dataclass(frozen=True)
class WhisperState:
    """A stream. Frames count from its start."""

    window: Tensor = field(default_factory=lambda: torch.zeros(0))  # (samples,) from frame `start` on
    start: int = 0
    samples: int = 0  # heard
    given: tuple[HeardWord, ...] = ()  # certain words that the window begins with
    words: tuple[HeardWord, ...] = ()  # certain words that nobody has forgotten yet
    guess: tuple[HeardWord, ...] = ()  # what the last pass heard after them
    unheard: bool = False  # whether somebody spoke since the last certain word
    level: Level = field(default_factory=Level)

    @property
    def frames(self) -> int:
        """Heard, the last of them perhaps in part."""
        return -(-self.samples // FRAME)


class WhisperRecogniser:
    """Implements `Recogniser` (models/seam.py)."""

    sample_rate_hz = RATE_HZ
    provides: frozenset[Need] = frozenset()
    segments = SegmentConfig(longest=MOST_WORDS)

    def __init__(self, folder: Path, language: str = "en", translate: bool = False) -> None:
        """translate: it writes what it hears in English. InputError for a language that the model does not hear."""
        self.model, self.language, self._translate = WhisperModel(folder), language, translate
        hears = self.model.languages
        if language not in hears:
            raise InputError(f"{folder} does not hear {language!r}; allowed: {', '.join(hears)}")
        if translate and not self.model.multilingual:
            raise InputError(f"{folder} hears English only and cannot translate; allowed: a multilingual Whisper model")

    def chunk_samples(self, chunk_ms: int) -> int:
        """The samples of a chunk; InputError unless a multiple of 20 ms between 160 and 2000."""
        fewest, most = CHUNKS_MS
        whole = isinstance(chunk_ms, int) and not isinstance(chunk_ms, bool)
        if not whole or not fewest <= chunk_ms <= most or chunk_ms % FRAME_MS:
            raise InputError(f"chunks of {chunk_ms} ms are not possible; allowed: {fewest} to {most}, in steps of 20")
        return chunk_ms * RATE_HZ // 1000

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> WhisperState:
        """Nothing heard. Whisper knows no glossary."""
        del glossary
        return WhisperState()

    def hear_all(self, work: Sequence[Hear]) -> list[WhisperState]:
        """One speaker after the other: windows of different lengths gain nothing together on a CPU."""
        return [self._hear(one.state, one.pcm, one.final) for one in work]

    def listening(self, state: WhisperState) -> Listening:
        """Certain words and the last guess."""
        silence_ms = min(state.level.silent, state.frames) * FRAME_MS
        return Listening(state.words + state.guess, len(state.words), state.frames, FRAME_MS, silence_ms)

    def forget(self, state: WhisperState, words: int, frame: int, labels: int | None = None) -> WhisperState:
        """The first `words`, which end before `frame`: those of the last guess have become certain."""
        del words, labels
        settled = _settle(state, sum(word.last_frame < frame for word in state.guess))
        kept = tuple(word for word in settled.words if word.last_frame >= frame)
        return _cut(replace(settled, words=kept), sum(word.last_frame < frame for word in settled.given))

    def _hear(self, state: WhisperState, pcm: Pcm, final: bool) -> WhisperState:
        level = listen(pcm, state.level, FRAME, RATE_HZ)
        unheard = state.unheard or level.loud
        window = torch.cat([state.window, torch.from_numpy(np.ascontiguousarray(pcm, dtype=np.float32))])
        state = replace(state, window=window, samples=state.samples + len(pcm), level=level, unheard=unheard)
        if not (state.unheard and len(state.window)):
            return _cut(state, len(state.given), quiet=True)
        said = _joined(state.given, self.language, self._translate)
        guess = _heard(self.model.hear(state.window.numpy(), said, self.language, self._translate), state)
        agreed = len(guess) if final or level.silent >= PAUSE else _agreed(state.guess, guess)
        state = _settle(replace(state, guess=guess), agreed)
        if level.silent >= PAUSE:
            state = replace(state, unheard=False)
        return _bounded(state)


def _heard(found: Pass, state: WhisperState) -> tuple[HeardWord, ...]:
    """The words of a pass in frames of the stream; none where it is likely that nobody said them."""
    least = ABSURD if state.given else WEAK if found.no_speech > DOUBTFUL else UNLIKELY
    if found.log_prob < least or (found.no_speech > NOBODY and not state.given):
        return ()
    free = state.given[-1].last_frame + 1 if state.given else state.start
    words = []
    for word in found.words:
        first, last = state.start + word.first_frame, min(state.start + word.last_frame, state.frames - 1)
        if last - first >= SLOWEST:  # silence counts to a word: at first before it, then behind it
            first, last = (first, first + SLOWEST - 1) if words or state.given else (last - SLOWEST + 1, last)
        first = max(free, first)
        words.append(HeardWord(word.text, first, max(first, last)))
        free = words[-1].last_frame + 1
    return tuple(words)


def _agreed(before: Sequence[HeardWord], now: Sequence[HeardWord]) -> int:
    """How many words two passes begin with alike."""
    alike = [a.text == b.text for a, b in zip(before, now, strict=False)]
    return alike.index(False) if False in alike else len(alike)


def _settle(state: WhisperState, count: int) -> WhisperState:
    """The first `count` guessed words are certain from now on."""
    sure, guess = state.guess[:count], state.guess[count:]
    return replace(state, given=state.given + sure, words=state.words + sure, guess=guess)


def _bounded(state: WhisperState) -> WhisperState:
    """The window cut where it has become long: after a sentence, else after a certain word, else anywhere."""
    length = len(state.window) // FRAME
    if length > ENOUGH:
        followed = state.given + state.guess[:1]
        ends = [n for n in range(1, len(followed)) if closes(followed[n - 1].text)]
        if ends:
            return _cut(state, ends[-1])
    if length <= MOST:
        return state
    if not state.given:
        state = _settle(state, len(state.guess) - 1) if len(state.guess) > 1 else state
    return _cut(state, len(state.given)) if state.given else _from(state, state.frames - ENOUGH)


def _cut(state: WhisperState, count: int, quiet: bool = False) -> WhisperState:
    """The window from behind its first `count` given words on; quiet: nothing more was said in it."""
    if quiet:
        state = replace(state, guess=())
        return _from(replace(state, given=()), state.frames - KEPT)
    if not count:
        return state
    end = state.given[count - 1].last_frame + 1
    following = (*state.given[count:], *state.guess)
    at = (end + max(end, following[0].first_frame)) // 2 if following else end
    return _from(replace(state, given=state.given[count:]), at)


def _from(state: WhisperState, frame: int) -> WhisperState:
    """The window from `frame` on, where it begins earlier."""
    first = max(state.start, frame)
    return replace(state, window=state.window[(first - state.start) * FRAME :].clone(), start=first)


def _joined(words: Sequence[HeardWord], language: str, translate: bool) -> str:
    space = "" if language in SPACELESS and not translate else " "
    return space.join(word.text for word in words)
