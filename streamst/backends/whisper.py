"""Whisper models as streaming recognisers; extra `whisper`.

Certain words are given to the decoder, so that it goes on after them.
"""

from __future__ import annotations

from pathlib import Path

from streamst.errors import InputError
from streamst.models.seam import HeardWord

from .whisper_model import SPACELESS, Pass, WhisperModel
from .window import Bounds, WindowRecogniser, WindowState

SLOWEST = 50  # frames of a word
# Of 61 recordings of people none had a probability of no speech above 0.3 or a mean log-probability below -0.9; of nine
# minutes of rain, dishes, dogs and a crying baby all had 0.4 and more, and but for loops -0.9 and less.
NOBODY, DOUBTFUL = 0.6, 0.4  # probability of no speech
UNLIKELY, WEAK, ABSURD = -1.1, -0.7, -2.0  # mean log-probability of words: at first, where doubtful, after others


class WhisperRecogniser(WindowRecogniser):
    """Implements `Recogniser` (models/seam.py)."""

    def __init__(
        self, folder: Path, language: str = "en", translate: bool = False, model: WhisperModel | None = None
    ) -> None:
        """translate: its words are English. model: of the folder, where it is loaded already. InputError for a language
        that the model does not hear."""
        self.model = model or WhisperModel(folder)
        hears = self.model.languages
        if language not in hears:
            raise InputError(f"{folder} does not hear {language!r}; allowed: {', '.join(hears)}")
        if translate and not self.model.multilingual:
            raise InputError(f"{folder} hears English only and cannot translate; allowed: a multilingual Whisper model")
        super().__init__(self._heard, language, Bounds())
        self._translate = translate

    def _heard(self, state: WindowState) -> tuple[HeardWord, ...]:
        space = "" if self.language in SPACELESS and not self._translate else " "
        said = space.join(word.text for word in state.given)
        found = self.model.hear(state.window.numpy(), said, self.language, self._translate)
        return _believed(found, state, ABSURD if self._translate else UNLIKELY)


def _believed(found: Pass, state: WindowState, unlikely: float) -> tuple[HeardWord, ...]:
    """The words of a pass in frames of the stream; none where it is likely that nobody said them."""
    least = ABSURD if state.given else WEAK if found.no_speech > DOUBTFUL else unlikely
    if found.log_prob < least or (found.no_speech > NOBODY and not state.given):
        return ()
    free = state.given[-1].last_frame + 1 if state.given else state.start
    words = []
    for word in found.words:
        first, last = state.start + word.first_frame, min(state.start + word.last_frame, state.frames - 1)
        if last - first >= SLOWEST:  # silence counts to a word: at first before it, then behind it
            first, last = (first, first + SLOWEST - 1) if words or state.given else (last - SLOWEST + 1, last)
        first = min(max(free, first), state.frames - 1)
        words.append(HeardWord(word.text, first, max(first, last)))
        free = words[-1].last_frame + 1
    return tuple(words)
