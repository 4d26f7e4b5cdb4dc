"""What keeps a decoder from writing where nobody speaks: it was taught to write, and beats look like syllables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from streamst.models.listen.evidence import SpeechEvidence

if TYPE_CHECKING:
    from streamst.models.whisper.recogniser import WhisperConfig
    from streamst.models.whisper.writing import Token

FASTEST_FRAMES = 4  # of a token that somebody says again and again
LEAST_FRAMES = 15  # that sound, from which an opinion is one


class Voice:
    """Whether somebody speaks at a frame of an utterance, by its states (T, D) and which of its frames sound (T,);
    nobody knows where there is no evidence."""

    def __init__(self, evidence: SpeechEvidence | None, states: Tensor, loud: Tensor, voice: float) -> None:
        self._evidence, self._voice = evidence, voice
        if evidence is not None:
            sounds = loud.cpu().numpy()
            scores = np.where(sounds, states.float().cpu().numpy() @ evidence.weight + evidence.bias, 0.0)
            self._sums, self._counts = (np.concatenate([[0.0], np.cumsum(one)]) for one in (scores, sounds))

    def nobody(self, frame: int) -> bool:
        """Whether what sounds around `frame` is no voice."""
        evidence = self._evidence
        return evidence is not None and self._mean(frame, evidence.config.window) < evidence.config.threshold

    def somebody(self, frame: int) -> bool:
        """Whether it surely is one."""
        return self._evidence is not None and self._mean(frame, self._evidence.config.window) >= self._voice

    def _mean(self, frame: int, window: int) -> float:
        """Of the evidence of the frames that sound within `window` around one; NaN, which is neither more nor less than
        anything, of too few."""
        first = max(0, min(frame - window // 2, len(self._sums) - 1 - window))
        last = min(first + window, len(self._sums) - 1)
        count = self._counts[last] - self._counts[first]
        return (self._sums[last] - self._sums[first]) / count if count >= LEAST_FRAMES else math.nan


def circles(said: Sequence[tuple[int, int]]) -> int:
    """How many tokens at the end of `said`, with their frames, are read once more: up to twelve of them twice running,
    or one three times, faster than anybody speaks. 0 where none are: who says it twice is read on."""
    for size in range(1, 13):
        rounds = [said[len(said) - (n + 1) * size : len(said) - n * size] for n in range(3 if size == 1 else 2)]
        if len(said) < len(rounds) * size or len({tuple(number for number, _ in one) for one in rounds}) > 1:
            continue
        later = sum(one[1] - other[1] for one, other in zip(rounds[0], rounds[-1], strict=True))
        if later < FASTEST_FRAMES * size * size * (len(rounds) - 1):
            return size * (len(rounds) - 1)
    return 0


def is_said(tokens: Sequence[Token], config: WhisperConfig) -> bool:
    """Whether `tokens`, nothing being certain before them, are likely enough to be words of somebody: few of them, and
    a few said again and again, must be likelier. What is repeated counts once: it seems likely by itself."""
    firsts = {t.number: t.log_prob for t in reversed(tokens)}
    least = config.looped if len(tokens) >= 2 * len(firsts) else config.weak if len(tokens) < config.few else -math.inf
    return sum(firsts.values()) >= least * len(firsts)
