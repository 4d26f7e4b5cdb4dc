"""Which word translates which, by how often they meet in sentence pairs (IBM Model 1, Brown et al. 1993)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streamst.models.write.word_table import WORD, key
from streamst.text import Tokenizer
from streamst.train.pairs import Pair

LONGEST = 60  # words of a sentence that count
OFTEN = 300  # pairs: who meets a word oftener knows it
LEAST = 0.15  # share of a translation that is worth keeping
ROUNDS = 6


def word_table(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[str]:
    """Lines for `WordTable`: of each English word that has two tokens or more the likeliest translation.

    Memory: some 30 bytes for each two words that meet in a pair.
    """
    english, german = _Numbers(), _Numbers()
    read = [(english.of(map(key, WORD.findall(p.english))), german.of(WORD.findall(p.german))) for p in pairs]
    read = [(e, g) for e, g in read if len(e) and len(g)]
    if not read:
        return []
    met = np.bincount(np.concatenate([np.unique(e) for e, _ in read]), minlength=len(english))
    source, target, shares = _shares(read, len(english), len(german))
    best: dict[int, tuple[float, int]] = {}
    for word, translation, share in zip(source.tolist(), target.tolist(), shares.tolist(), strict=True):
        if share >= LEAST and share > best.get(word, (0.0, 0))[0]:
            best[word] = share, translation
    names, lines = list(english), []
    translations = list(german)
    for word, (share, translation) in best.items():
        if word < len(names) and met[word] <= OFTEN and len(tokenizer.encode(names[word])) > 1:
            lines.append(f"{names[word]}\t{translations[translation]}\t{share:.2f}")
    return sorted(lines)


class _Numbers(dict[str, int]):
    """Words, numbered as they come."""

    def of(self, words: Iterable[str]) -> NDArray[np.int64]:
        found = [self.setdefault(word, len(self)) for word in words]
        return np.array(found[:LONGEST], np.int64)


def _shares(
    read: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], none: int, targets: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Source words, target words and p(target | source) of all that meet; the source word `none` meets everybody."""
    keys = [(np.append(e, none) * targets + g[:, None]).ravel() for e, g in read]
    widths = np.repeat([len(e) + 1 for e, _ in read], [len(g) for _, g in read])
    owner = np.repeat(np.arange(len(widths), dtype=np.int32), widths)  # the target word of each meeting
    known, place = np.unique(np.concatenate(keys), return_inverse=True)
    place, source = place.astype(np.int32), known // targets
    shares = np.ones(len(known))
    for _ in range(ROUNDS):
        each = shares[place]
        each /= np.bincount(owner, each)[owner]
        counts = np.bincount(place, each, len(known))
        shares = counts / np.bincount(source, counts)[source]
    return source, known % targets, shares
