"""A back-off trigram model of words in sorted arrays: scores of many (context, word) pairs in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOATS = ("unigram", "unigram_backoff", "bigram", "bigram_backoff", "trigram")
KEYS = ("bigram_keys", "trigram_keys")
UNKNOWN, BEGIN, END = 0, 1, 2  # word ids before the vocabulary's own
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NGram:
    """Natural logarithms of probabilities and of back-off weights; keys are sorted."""

    words: int  # ids below this
    unigram: Floats  # (words,)
    unigram_backoff: Floats  # (words,)
    bigram_keys: Ints  # first * words + second
    bigram: Floats
    bigram_backoff: Floats
    trigram_keys: Ints  # (first * words + second) * words + third
    trigram: Floats

    def score(self, first: Ints, second: Ints, word: Ints) -> Floats:
        """ln P(word | first second), elementwise."""
        context = first * self.words + second
        pair = second * self.words + word
        at, known = _find(self.bigram_keys, pair)
        lower = np.where(known, self.bigram[at], self.unigram_backoff[second] + self.unigram[word])
        at, known = _find(self.bigram_keys, context)
        lower = lower + np.where(known, self.bigram_backoff[at], np.float32(0))
        if not len(self.trigram):  # few texts, in which none came often enough to be kept
            return lower.astype(np.float32)
        at, known = _find(self.trigram_keys, context * self.words + word)
        return np.where(known, self.trigram[at], lower).astype(np.float32)

    def shorten(self, first: Ints, second: Ints) -> Ints:
        """`first` where the model knows the pair as a context, else UNKNOWN: equal futures get equal contexts."""
        return np.where(_find(self.bigram_keys, first * self.words + second)[1], first, UNKNOWN)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For a file: keys as differences, which pack well."""
        floats = {name: getattr(self, name).astype(np.float16) for name in FLOATS}
        keys = {name: np.diff(getattr(self, name), prepend=0) for name in KEYS}
        return {"vocabulary": np.array(self.words), **floats, **keys}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> NGram:
        """The inverse of `arrays`."""
        unigram, unigram_backoff, bigram, bigram_backoff, trigram = (arrays[name].astype(np.float32) for name in FLOATS)
        bigram_keys, trigram_keys = (np.cumsum(arrays[name].astype(np.int64)) for name in KEYS)
        return cls(
            int(arrays["vocabulary"]), unigram, unigram_backoff, bigram_keys, bigram, bigram_backoff, trigram_keys,
            trigram,
        )  # fmt: skip


def _find(keys: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    if not len(keys):
        return np.zeros_like(wanted), np.zeros(wanted.shape, bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def estimate(
    sentences: Iterable[Sequence[int]],
    words: int,
    keep: int = 2,
    discount: float = 0.75,
    prior: NDArray[np.float64] | None = None,
) -> NGram:
    """Interpolated Kneser-Ney (Chen and Goodman 1999, section 2.7) with one discount, in back-off form.

    sentences: word ids from 3 up. keep: trigrams seen less often are left out (their mass goes to the back-off).
    prior: (words,) probabilities that the unigrams' discounted mass follows, else all words alike.
    """
    grams: list[Ints] = []
    for sentence in sentences:
        padded = np.array([BEGIN, BEGIN, *sentence, END], np.int64)
        grams.append(np.stack([padded[:-2], padded[1:-1], padded[2:]], 1))
    seen = np.concatenate(grams)
    three, counts3 = np.unique((seen[:, 0] * words + seen[:, 1]) * words + seen[:, 2], return_counts=True)
    # Lower orders count in how many different contexts a word follows.
    two, counts2 = np.unique(np.concatenate([three % (words * words), _begins(seen, words)]), return_counts=True)
    counts1 = np.bincount(two % words, minlength=words).astype(np.float64)
    p1, left1 = _discounted(counts1, np.zeros(words, np.int64), 1, discount)
    unigram = p1 + left1[0] * (1 / words if prior is None else prior)
    p2, left2 = _discounted(counts2.astype(np.float64), two // words, words, discount)
    bigram = p2 + left2[two // words] * unigram[two % words]
    kept = counts3 >= keep
    context3 = three // words
    index, known = _find(two, context3)
    assert known.all()
    p3, left3 = _discounted(counts3.astype(np.float64), index, len(two), discount, kept)
    lower = bigram[_find(two, three % (words * words))[0]]
    trigram = (p3 + left3[index] * lower)[kept]
    return NGram(
        words, _ln(unigram), _ln(left2), two, _ln(bigram), _ln(left3), three[kept], _ln(trigram)
    )  # fmt: skip


def _begins(seen: Ints, words: int) -> Ints:
    """Bigram keys (BEGIN, word) and (BEGIN, BEGIN), once each: they have no context of their own to count."""
    firsts = np.unique(seen[seen[:, 1] == BEGIN][:, 2])
    return np.concatenate([BEGIN * words + firsts, [BEGIN * words + BEGIN]])


def _discounted(
    counts: NDArray[np.float64], context: Ints, contexts: int, discount: float, kept: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(count - discount) / total of its context, and the mass that each context leaves to the lower order (1 where the
    context was never seen)."""
    total = np.bincount(context, counts, contexts)
    probability = np.maximum(counts - discount, 0) / np.maximum(total[context], 1e-12)
    used = np.bincount(context, probability if kept is None else probability * kept, contexts)
    return probability, np.where(total > 0, np.maximum(1 - used, 1e-6), 1.0)


def _ln(values: NDArray[np.float64]) -> Floats:
    return np.log(np.maximum(values, 1e-12)).astype(np.float32)
