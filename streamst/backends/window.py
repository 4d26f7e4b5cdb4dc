"""Models that hear whole windows made into streaming recognisers: a bounded window, words by local agreement.

After each chunk the model hears the last seconds again. Words on which two passes agree are certain and never change
(local agreement, Liu et al. 2020; Macháček et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening, Pcm
from streamst.models.segment import SegmentConfig, closes
from streamst.policies.base import Need

from .level import Level, listen

RATE_HZ, FRAME = 16_000, 320  # a frame is 20 ms
FRAME_MS = 20.0
CHUNKS_MS = (160, 2000)
MOST_WORDS = 60  # of a segment
PAUSE, KEPT = 30, 20  # frames of silence after which everything is certain, and those that stay before the next word


@dataclass(frozen=True)
class Bounds:
    """Frames of a window: after `enough` it ends at sentences, beyond `most` at any word."""

    enough: int = 300
    most: int = 600


@dataclass(frozen=True)
class WindowState:
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


T = TypeVar("T")
# (words of the pass before, words of this one, frames heard) -> how many words they begin with alike
Agreed = Callable[[Sequence[HeardWord], Sequence[HeardWord], int], int]
Guess = Callable[[WindowState], tuple[HeardWord, ...]]  # the words after those given, in frames of the stream


class WindowRecogniser:
    """Implements `Recogniser` (models/seam.py) with a function from a window to words."""

    sample_rate_hz = RATE_HZ
    provides: frozenset[Need] = frozenset()
    segments = SegmentConfig(longest=MOST_WORDS)

    def __init__(self, guess: Guess, language: str, bounds: Bounds, agreed: Agreed | None = None) -> None:
        """agreed: None where those words are alike that are the same text."""
        self._guess, self.language, self.bounds, self._agreed = guess, language, bounds, agreed or _agreed

    def chunk_samples(self, chunk_ms: int) -> int:
        """The samples of a chunk; InputError unless a multiple of 20 ms between 160 and 2000."""
        return check_chunk(chunk_ms)

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> WindowState:
        """Nothing heard. Such a model knows no glossary."""
        del glossary
        return WindowState()

    def hear_all(self, work: Sequence[Hear]) -> list[WindowState]:
        """One speaker after the other: windows of different lengths gain nothing together on a CPU."""
        return [self._hear(one.state, one.pcm, one.final) for one in work]

    def listening(self, state: WindowState) -> Listening:
        """Certain words and the last guess."""
        silence_ms = min(state.level.silent, state.frames) * FRAME_MS
        return Listening(state.words + state.guess, len(state.words), state.frames, FRAME_MS, silence_ms)

    def forget(self, state: WindowState, words: int, frame: int, labels: int | None = None) -> WindowState:
        """The first `words`, and any that end before `frame`: those of the last guess have become certain."""
        del labels
        heard = state.words + state.guess
        count = max(words, sum(word.last_frame < frame for word in heard))
        settled = _settle(state, count - len(state.words)) if count > len(state.words) else state
        over = sum(word.last_frame < frame or word in heard[:count] for word in settled.given)
        return _cut(replace(settled, words=settled.words[count:]), over)

    def _hear(self, state: WindowState, pcm: Pcm, final: bool) -> WindowState:
        level = listen(pcm, state.level, FRAME, RATE_HZ)
        unheard = state.unheard or level.loud
        window = torch.cat([state.window, torch.from_numpy(np.ascontiguousarray(pcm, dtype=np.float32))])
        state = replace(state, window=window, samples=state.samples + len(pcm), level=level, unheard=unheard)
        if not (state.unheard and len(state.window)):
            return _cut(state, len(state.given), quiet=True)
        guess = self._guess(state)
        agreed = len(guess) if final or level.silent >= PAUSE else self._agreed(state.guess, guess, state.frames)
        state = _settle(replace(state, guess=guess), agreed)
        if level.silent >= PAUSE:
            state = replace(state, unheard=False)
        return _bounded(state, self.bounds)


def check_chunk(chunk_ms: int) -> int:
    """The samples of a chunk; InputError unless a multiple of 20 ms between 160 and 2000."""
    fewest, most = CHUNKS_MS
    whole = isinstance(chunk_ms, int) and not isinstance(chunk_ms, bool)
    if not whole or not fewest <= chunk_ms <= most or chunk_ms % FRAME_MS:
        raise InputError(f"chunks of {chunk_ms} ms are not possible; allowed: {fewest} to {most}, in steps of 20")
    return chunk_ms * RATE_HZ // 1000


def _agreed(before: Sequence[HeardWord], now: Sequence[HeardWord], frames: int) -> int:
    """How many words two passes begin with alike."""
    del frames
    alike = [a.text == b.text for a, b in zip(before, now, strict=False)]
    return alike.index(False) if False in alike else len(alike)


def _settle(state: WindowState, count: int) -> WindowState:
    """The first `count` guessed words are certain from now on."""
    sure, guess = state.guess[:count], state.guess[count:]
    return replace(state, given=state.given + sure, words=state.words + sure, guess=guess)


def _bounded(state: WindowState, bounds: Bounds) -> WindowState:
    """The window cut where it has become long: after a sentence, else after a certain word, else anywhere."""
    length = len(state.window) // FRAME
    if length > bounds.enough:
        followed = state.given + state.guess[:1]
        ends = [n for n in range(1, len(followed)) if closes(followed[n - 1].text)]
        if ends:
            return _cut(state, ends[-1])
    if length <= bounds.most:
        return state
    if not state.given:
        state = _settle(state, len(state.guess) - 1) if len(state.guess) > 1 else state
    return _cut(state, len(state.given)) if state.given else _from(state, state.frames - bounds.enough)


def _cut(state: WindowState, count: int, quiet: bool = False) -> WindowState:
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


def _from(state: WindowState, frame: int) -> WindowState:
    """The window from `frame` on, where it begins earlier."""
    first = max(state.start, frame)
    return replace(state, window=state.window[(first - state.start) * FRAME :].clone(), start=first)


def without_loop(tokens: Sequence[T]) -> list[T]:
    """`tokens` up to where the same one to twenty of them begin to come three times in a row."""
    for start in range(len(tokens)):
        for size in range(1, min(20, (len(tokens) - start) // 3) + 1):
            once = tokens[start : start + size]
            if once == tokens[start + size : start + 2 * size] == tokens[start + 2 * size : start + 3 * size]:
                return list(tokens[: start + size])
    return list(tokens)
