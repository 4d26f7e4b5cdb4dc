"""A text that comes in pieces, read aloud by a voice word by word."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

import numpy as np

from streamst.audio import Pcm
from streamst.languages.german.spoken import leans
from streamst.models.seam import Speak, Voice, Work

V = TypeVar("V")
Speaking = Generator[Work, Any, Pcm]  # asks a voice for work, is sent the results, returns (samples,)


class Aloud(Generic[V]):
    """One text. A word is spoken once the next one has begun, or nothing follows: only then is it whole.

    `speaking` and `ending` are for an engine, `push` and `finish` do the same at once.
    """

    def __init__(self, voice: Voice[V], rate: float = 1.0) -> None:
        """rate: 0.8-1.25 divides durations."""
        self._voice, self._rate = voice, rate
        self._state: V = voice.init_state()
        self._held = ""  # the last word, which may go on

    def speaking(self, text: str) -> Speaking:
        """The audio (samples,) that `text` completes."""
        *words, self._held = _split(self._held + text)
        pieces = []
        for word in words:
            pieces.append((yield from self._word(word, word.endswith((".", "!", "?")) and not leans(word))))
        return _joined(pieces)

    def ending(self) -> Speaking:
        """The audio of the rest."""
        word, self._held = self._held.strip(), ""
        if not word:
            return np.zeros(0, np.float32)
        return (yield from self._word(word, True))

    def push(self, text: str) -> Pcm:
        """See `speaking`."""
        return self._alone(self.speaking(text))

    def finish(self) -> Pcm:
        """See `ending`."""
        return self._alone(self.ending())

    def _word(self, word: str, final: bool) -> Speaking:
        pcm, self._state = yield Speak((word,), self._state, final, self._rate)
        return pcm

    def _alone(self, steps: Speaking) -> Pcm:
        result: Any = None
        while True:
            try:
                work = steps.send(result)
            except StopIteration as stop:
                return stop.value
            assert isinstance(work, Speak)
            (result,) = self._voice.speak_all([work])


def _split(text: str) -> list[str]:
    """Whole words, and last the one that may go on: with the space after it, if that has come."""
    words = text.split()
    if not words:
        return [""]
    return [*words[:-1], words[-1] + (" " if text[-1].isspace() else "")]


def _joined(pieces: list[Pcm]) -> Pcm:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
