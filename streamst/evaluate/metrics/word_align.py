"""Which source word does each target word answer to? A lexical model with a diagonal prior, learned from the log.

The model of Dyer et al. 2013 ("A Simple, Fast, and Effective Reparameterization of IBM Model 2") with its two
parameters fixed: of target word j of m, source word i of n is the origin with a probability proportional to
exp(-TENSION |i/n - j/m|) t(target | source), or none is, with NOWHERE; words that read alike are ALIKE times likelier.
The lexical table t is learned by EM from all pairs together; with few pairs the diagonal decides, with many the words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 5
TENSION = 4.0
NOWHERE = 0.08
SMOOTHING = 0.01
ALIKE = 20.0  # names, numbers
MOST_CELLS = 1_000_000  # source words x target words of one pair

Pair = tuple[Sequence[str], Sequence[str]]  # source words, target words


@dataclass(frozen=True)
class _Cells:
    """Every (target word, possible origin) of all pairs; the origin before the first source word is none."""

    entry: NDArray[np.int64]  # of the lexical table
    prior: NDArray[np.float64]
    target: NDArray[np.int64]  # number of the target word, over all pairs
    source_of: NDArray[np.int64]  # (entries,) source type
    alike: NDArray[np.bool_]  # (entries,) both words are the same


def align_words(pairs: Sequence[Pair], others: Sequence[Pair] = ()) -> list[tuple[int | None, ...]]:
    """For each pair the index of the source word of every target word; None where it has none.

    others: more sentences and translations to learn words from. A pair without source words, or of more than a million
    cells, aligns nothing.
    """
    used = [i for i, (source, target) in enumerate(pairs) if source and target and _fits(source, target)]
    chosen = [pairs[i] for i in used] + [(s, t) for s, t in others if s and t and _fits(s, t)]
    found: list[tuple[int | None, ...]] = [(None,) * len(target) for _, target in pairs]
    if not used:
        return found
    cells = _cells(chosen)
    share = _learned(cells)
    at = 0
    for i in used:
        source, target = pairs[i]
        table = share[at : at + (len(source) + 1) * len(target)].reshape(len(target), len(source) + 1)
        at += table.size
        best = table.argmax(axis=1)
        found[i] = tuple(int(k) - 1 if k else None for k in best)
    return found


def _fits(source: Sequence[str], target: Sequence[str]) -> bool:
    return len(source) * len(target) <= MOST_CELLS


def _cells(pairs: Sequence[Pair]) -> _Cells:
    sources: dict[str, int] = {"": 0}
    targets: dict[str, int] = {}
    keys, priors, owners = [], [], []
    before = 0
    for source, target in pairs:
        s = np.array([0, *(sources.setdefault(_fold(word), len(sources)) for word in source)])
        t = np.array([targets.setdefault(_fold(word), len(targets)) for word in target])
        n, m = len(source), len(target)
        apart = np.abs((np.arange(1, n + 1) / n)[None, :] - (np.arange(1, m + 1) / m)[:, None])
        near = np.exp(-TENSION * apart)
        near *= (1 - NOWHERE) / near.sum(axis=1, keepdims=True)
        priors.append(np.hstack([np.full((m, 1), NOWHERE), near]).ravel())
        keys.append((t[:, None] * (1 << 32) + s[None, :]).ravel())
        owners.append(np.repeat(np.arange(before, before + m), n + 1))
        before += m
    entries, entry = np.unique(np.concatenate(keys), return_inverse=True)
    source_of, target_of = entries & 0xFFFFFFFF, entries >> 32
    same = np.array([sources.get(word, -1) for word in targets])  # the source type that reads alike
    return _Cells(entry, np.concatenate(priors), np.concatenate(owners), source_of, same[target_of] == source_of)


def _learned(cells: _Cells) -> NDArray[np.float64]:
    """(cells,) how likely each origin is after the last round."""
    prior = cells.prior * np.where(cells.alike, ALIKE, 1.0)[cells.entry]
    lexicon = np.ones(len(cells.source_of))
    share = cells.prior
    partners = np.bincount(cells.source_of)
    for _ in range(ROUNDS):
        weight = prior * lexicon[cells.entry]
        share = weight / np.bincount(cells.target, weight)[cells.target]
        counts = np.bincount(cells.entry, share, len(cells.source_of))
        totals = np.bincount(cells.source_of, counts)
        lexicon = (counts + SMOOTHING) / (totals + SMOOTHING * partners)[cells.source_of]
    return share


def _fold(word: str) -> str:
    """Lower case without the marks around it."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(c for c in folded if c.isalnum()) or folded
