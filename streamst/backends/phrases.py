"""Any speech synthesis that speaks whole texts, behind the voice seam: phrase by phrase, as soon as one is complete.

Such a voice cannot say a word before it knows the phrase. A phrase ends at punctuation, at the end of what is said, or
where it has become long. Nothing that was spoken is ever spoken again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamst import watermark
from streamst.audio import Pcm
from streamst.models.seam import Speak, check_speech

QUIET = 1e-3  # amplitude of silence
PHRASE_WORDS = 6  # after which a phrase is spoken though nothing ended it
ENDS = (".", ",", "!", "?", ":", ";", "…", "。", "，", "！", "？")

Synthesise = Callable[[str, float], Pcm]  # (text, rate) -> samples


@dataclass(frozen=True)
class PhraseState:
    """The words that wait for their phrase to end."""

    held: tuple[str, ...]
    mark: watermark.MarkState


class PhraseVoice:
    """Implements `Voice` (models/seam.py) with a function from text to speech."""

    def __init__(
        self, synthesise: Synthesise, sample_rate_hz: int, language: str, phrase_words: int = PHRASE_WORDS,
        marked: bool = True,
    ) -> None:  # fmt: skip
        """marked: whether what it says carries the watermark of synthetic speech."""
        self._synthesise, self.sample_rate_hz, self.language = synthesise, sample_rate_hz, language
        self.phrase_words, self.marked = phrase_words, marked

    def init_state(self) -> PhraseState:
        """Nothing said, nothing held."""
        return PhraseState((), watermark.init_state(self.sample_rate_hz))

    def speak_all(self, work: Sequence[Speak]) -> list[tuple[Pcm, PhraseState]]:
        """Audio (samples,) of the phrases that are complete; all where `final`. Errors as `check_speech`.

        pauses: of the silence after a phrase; those within it are the synthesis' own. Such a voice cannot be hurried.
        """
        return [self._speak(one) for one in work]

    def _speak(self, work: Speak) -> tuple[Pcm, PhraseState]:
        check_speech(work.words, work.rate, work.pauses)
        state: PhraseState = work.state
        held = list(state.held)
        pieces = [np.zeros(0, np.float32)]
        for word in work.words:
            held.append(word)
            if word.endswith(ENDS) or len(held) >= self.phrase_words:
                pieces.append(self._said(held, work.rate, work.pauses))
                held = []
        if work.final:
            pieces.append(self._said(held, work.rate, work.pauses))
            held = []
        pcm, mark = np.concatenate(pieces), state.mark
        if self.marked:
            pcm, mark = watermark.mark(pcm, mark, work.final)
        return pcm, PhraseState(tuple(held), mark)

    def held(self, state: PhraseState) -> tuple[str, ...]:
        """The words of the phrase that is not complete yet."""
        return state.held

    def _said(self, words: Sequence[str], rate: float, pauses: float) -> Pcm:
        text = " ".join(words)
        if not any(character.isalnum() for character in text):
            return np.zeros(0, np.float32)
        pcm = self._synthesise(text, rate)
        loud = np.flatnonzero(np.abs(pcm) > QUIET)
        silent = len(pcm) - (int(loud[-1]) + 1 if len(loud) else 0)
        return pcm[: len(pcm) - round(silent * (1 - pauses))]
