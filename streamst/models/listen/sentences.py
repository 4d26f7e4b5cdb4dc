"""Where a sentence ends in words without punctuation: a language model's opinion and the pause (the hidden events of
Stolcke and Shriberg, 1996).

A translator that learned from single sentences needs them one by one, also from a speaker who never pauses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ngram import BEGIN, END, NGram
from .search import Word

SHORTEST = 2  # words of a sentence that ends without the long pause that ends any


@dataclass(frozen=True)
class SentenceConfig:
    """Evidence is in nats: how much likelier the words are with a sentence's end between them than without."""

    threshold: float = 1.0  # that an end needs once two words after it are known
    one_word: float = 2.0  # that it needs on top while one is
    pause: float = 6.0  # what a second of silence counts
    breath_ms: float = 160.0  # silence that counts nothing


class SentenceEnds:
    """Stateless; `frame_ms`: duration of a frame of the words' times."""

    def __init__(self, model: NGram, config: SentenceConfig, frame_ms: float) -> None:
        self.model, self.config, self.frame_ms = model, config, frame_ms

    def first(self, words: Sequence[Word], silence_ms: float = 0.0) -> int:
        """How many of `words`, which begin a sentence, are its words; 0 where no end is known yet.

        silence_ms: since the last word, 0 where somebody is speaking.
        """
        if len(words) < SHORTEST:
            return 0
        numbers = np.array([BEGIN, *(word.number for word in words)], np.int64)
        last = np.arange(SHORTEST, len(numbers))  # places of the words that may be the last of the sentence
        before, here = numbers[last - 1], numbers[last]
        begin = np.full_like(last, BEGIN)
        evidence = self.model.score(before, here, np.full_like(last, END))
        inner = evidence[:-1]  # of those after which a word is known
        after = numbers[last[:-1] + 1]
        inner += self.model.score(begin[:-1], begin[:-1], after) - self.model.score(before[:-1], here[:-1], after)
        two = numbers[last[:-2] + 2]
        evidence[:-2] += self.model.score(begin[:-2], after[:-1], two) - self.model.score(here[:-2], after[:-1], two)
        evidence[-1] -= np.log(-np.expm1(min(float(evidence[-1]), -1e-6)))  # the odds of an end
        gaps = [
            (b.first - a.last) * self.frame_ms for a, b in zip(words[SHORTEST - 1 :], words[SHORTEST:], strict=False)
        ]
        silence = np.array([*gaps, silence_ms]) - self.config.breath_ms
        evidence += self.config.pause * np.maximum(silence, 0) / 1000
        needed = np.full(len(last), self.config.threshold)
        needed[-2:-1] += self.config.one_word
        if not silence_ms:
            needed[-1] = np.inf
        ended = np.flatnonzero(evidence > needed)
        return int(last[ended[0]]) if len(ended) else 0
