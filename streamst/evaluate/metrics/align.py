"""Which reference segment does each unit of a long hypothesis belong to? Two aligners, both monotone.

aswer  minimum edit distance (Matusov et al. 2005, "Evaluating machine translation output with automatic sentence
       segmentation"): the result is one of the alignments with the least word errors.
soft   largest total similarity of aligned words, Jaccard index of their character sets (the SoftSegmenter of Polak et
       al. 2025, "Better Late Than Never"), in a band around the diagonal.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PUNCTUATION = frozenset(".!?,;:-()。！？，；：—ー（）")
BAND_UNITS = 4096
BLOCK_ROWS = 256


def aswer(references: Sequence[Sequence[str]], hypothesis: Sequence[str], *, case_sensitive: bool = False) -> list[int]:
    """The segment (index into `references`) of every hypothesis unit, by minimum edit distance; it never decreases.

    A unit that no reference word answers to stays in the segment being read: a surplus unit at a border belongs to
    the segment before it. Among equal alignments the one that skips reference words latest, then hypothesis units
    latest, as mweralign 1.4.1 does (except that it gives the first unit to the first segment even where that costs).
    Exact for any length, by rows of bits (Myers 1999, Hyyrö 2003): time grows with the product of the lengths (a tenth
    of a second for an hour of speech), memory with one of them (every 256th row is kept, and the rows between are
    computed again on the way back).
    """
    words, owners = _flatten(references)
    if not words:
        return [0] * len(hypothesis)
    spoken, units = (list(text) if case_sensitive else [w.lower() for w in text] for text in (words, hypothesis))
    rows = _EditRows(units)
    kept = [rows.start]
    for block in range(0, len(spoken) - BLOCK_ROWS, BLOCK_ROWS):
        kept.append(rows.after(kept[-1], spoken[block : block + BLOCK_ROWS])[-1])
    i, j = len(spoken), len(units)
    segments = [owners[0]] * j
    while i and j:
        first = (i - 1) // BLOCK_ROWS * BLOCK_ROWS
        block = rows.after(kept[first // BLOCK_ROWS], spoken[first:i])
        while i > first and j:
            row = block[i - 1 - first]
            up = row.up >> (j - 1) & 1
            if not up:
                j -= 1
                segments[j] = owners[i - 1]
            if up or not row.left >> j & 1:
                i -= 1
    return segments


def soft(
    references: Sequence[Sequence[str]],
    hypothesis: Sequence[str],
    *,
    exact: bool = False,
    band_units: int = BAND_UNITS,
) -> list[int]:
    """The segment of every hypothesis unit, by character-set similarity; it never decreases.

    exact: units match or do not (characters of zh and ja) instead of by similarity.
    band_units: half width of the band around the diagonal that is searched, doubled while the best path in it touches
        an edge. Texts of up to this many units are searched completely; an hour of speech has about 9,000.

    Punctuation aligns only to punctuation. Ties: match before skipping a reference unit before skipping a hypothesis
    unit. Of a run of unaligned units, the first that is more similar to the next reference unit than to the previous
    one, and all after it, go to the next one's segment, the others to the previous one's.
    """
    words, owners = _flatten(references)
    if not words:
        return [0] * len(hypothesis)
    if not hypothesis:
        return []
    likeness = _Likeness([_fold(w) for w in words], [_fold(w) for w in hypothesis], exact)
    partners = _soft_partners(likeness, band_units)
    return [owners[i] for i in _adopt(partners, likeness)]


def _flatten(references: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    words = [word for segment in references for word in segment]
    owners = [index for index, segment in enumerate(references) for _ in segment]
    return words, owners


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).lower()


def _number(words: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """A text as numbers of its distinct words, and those words."""
    types: dict[str, int] = {}
    ids = [types.setdefault(word, len(types)) for word in words]
    return np.array(ids, dtype=np.int64), list(types)


class _EditRow(NamedTuple):
    """A row of the edit distances, as numbers whose bit j is of column j + 1: whether the distance is one more than in
    the column before (`left`), one less (`less`), one more than in the row above (`up`)."""

    left: int
    less: int
    up: int


class _EditRows:
    """Rows of the edit distances between a text and a hypothesis, a unit of the text at a time."""

    def __init__(self, hypothesis: Sequence[str]) -> None:
        self._all = (1 << len(hypothesis)) - 1
        self._places: dict[str, int] = {}  # bits where a unit stands
        for j, unit in enumerate(hypothesis):
            self._places[unit] = self._places.get(unit, 0) | 1 << j
        self.start = _EditRow(self._all, 0, 0)

    def after(self, row: _EditRow, text: Sequence[str]) -> list[_EditRow]:
        """The rows of the units of `text`, which follow `row`."""
        left, less, every = row.left, row.less, self._all
        found = []
        for unit in text:
            here = self._places.get(unit, 0)
            level = (((here & left) + left) ^ left) | here | less  # as in the row above and the column before
            up = (less | ~(level | left)) & every
            before = up << 1 | 1
            left, less = ((level & left) << 1 | ~(level | before)) & every, before & level & every
            found.append(_EditRow(left, less, up))
        return found


class _Likeness:
    """How alike units of two texts are: 0..1, -inf between punctuation and anything else. The table of all types would
    be the largest thing of a talk: a few rows of it are there at a time."""

    def __init__(self, reference: Sequence[str], hypothesis: Sequence[str], exact: bool) -> None:
        self.reference, reference_types = _number(reference)  # (N,), (M,) types
        self.hypothesis, hypothesis_types = _number(hypothesis)
        if exact:
            marks = {unit: k for k, unit in enumerate(sorted({*reference, *hypothesis}))}
            features = [[[marks[unit]] for unit in types] for types in (reference_types, hypothesis_types)]
        else:
            marks = {c: k for k, c in enumerate(sorted({c for unit in (*reference, *hypothesis) for c in unit}))}
            features = [[[marks[c] for c in unit] for unit in types] for types in (reference_types, hypothesis_types)]
        self._sets = [_sets(types, len(marks)) for types in features]
        self._sizes = [found.sum(axis=1, dtype=np.float64) for found in self._sets]
        kinds = (reference_types, hypothesis_types)
        self._marks = [np.array([unit in PUNCTUATION for unit in types]) for types in kinds]

    def rows(self, types: NDArray[np.int64]) -> NDArray[np.float64]:
        """(types, hypothesis types) of some reference types."""
        table = (self._sets[0][types] @ self._sets[1].T).astype(np.float64)  # in common: exact in float32
        table /= self._sizes[0][types][:, None] + self._sizes[1] - table
        table[self._marks[0][types][:, None] != self._marks[1]] = -np.inf
        return table

    def pair(self, reference: int, hypothesis: int) -> float:
        """Of reference unit and hypothesis unit, by their places."""
        types = self.reference[reference], self.hypothesis[hypothesis]
        if self._marks[0][types[0]] != self._marks[1][types[1]]:
            return -math.inf
        common = float(self._sets[0][types[0]] @ self._sets[1][types[1]])
        return common / (float(self._sizes[0][types[0]] + self._sizes[1][types[1]]) - common)


def _sets(types: Sequence[Sequence[int]], size: int) -> NDArray[np.float32]:
    """(types, size) 1 at what a type has."""
    has = np.zeros((len(types), size), dtype=np.float32)
    for row, own in enumerate(types):
        has[row, own] = 1.0
    return has


def _soft_partners(likeness: _Likeness, band_units: int) -> list[int]:
    """For each hypothesis unit the reference unit it is aligned to (>= 0), or -1 - (reference units before it)."""
    n, m = len(likeness.reference), len(likeness.hypothesis)
    half = max(band_units, m // n + 1)  # wide enough for the bands of successive rows to overlap
    while True:
        centres = np.arange(n + 1) * m // n
        first = np.maximum(0, np.minimum(centres - half, m))
        last = np.minimum(m, centres + half)  # row i of the matrix holds columns first[i] .. last[i]
        moves = _soft_moves(likeness, first, last)
        partners, touched = _trace(moves, first, last, m)
        if not touched:
            return partners
        half *= 2


Moves = list[tuple[bytes, bytes]]  # bits of a row's columns: a best path comes diagonally, from above


def _soft_moves(likeness: _Likeness, first: NDArray[np.int64], last: NDArray[np.int64]) -> Moves:
    """Row i (from 1) of the result: the last move of a best path to columns first[i] .. last[i]."""
    reference, hypothesis = likeness.reference, likeness.hypothesis
    above = np.full(len(hypothesis) + 1, -np.inf)
    above[: last[0] + 1] = 0.0
    none = bytes(len(hypothesis) // 8 + 1)
    rows: Moves = [(none, none)]
    for block in range(0, len(reference), BLOCK_ROWS):
        types, places = np.unique(reference[block : block + BLOCK_ROWS], return_inverse=True)
        similar = likeness.rows(types)
        for i, place in enumerate(places, start=block + 1):
            lo, hi = int(first[i]), int(last[i])
            match = np.full(hi - lo + 1, -np.inf)
            start = max(lo, 1)
            np.add(above[start - 1 : hi], similar[place].take(hypothesis[start - 1 : hi]), out=match[start - lo :])
            best = np.maximum(match, above[lo : hi + 1])
            row = np.maximum.accumulate(best)
            diagonal = (match == row) & (match > -np.inf)  # before from above, before from the left
            rows.append((_bits(diagonal), _bits(best == row)))
            above[:lo] = -np.inf
            above[lo : hi + 1] = row
    return rows


def _bits(flags: NDArray[np.bool_]) -> bytes:
    return np.packbits(flags, bitorder="little").tobytes()


def _trace(moves: Moves, first: NDArray[np.int64], last: NDArray[np.int64], m: int) -> tuple[list[int], bool]:
    """The alignment of the best path, and whether the path ran along an edge that hides columns."""
    i, j = len(moves) - 1, m
    partners = [-1] * m
    touched = False
    while j:
        lo, hi = int(first[i]), int(last[i])
        touched |= (j == lo > 0) or (j == hi < m)
        place, bit = divmod(j - lo, 8)
        diagonal, up = (row[place] >> bit & 1 for row in moves[i]) if i else (0, 0)
        if up and not diagonal:
            i -= 1
            continue
        j -= 1
        partners[j] = -1 - i
        if diagonal:
            i -= 1
            partners[j] = i
    return partners, touched


def _adopt(partners: list[int], likeness: _Likeness) -> list[int]:
    """The reference unit of every hypothesis unit, unaligned ones included."""
    adopted: list[int] = []
    run, ahead = 0, False  # the current run of unaligned units, and whether one of it went to the next reference unit
    for unit, partner in enumerate(partners):
        if partner >= 0:
            run = 0
            adopted.append(partner)
            continue
        if partner != run:
            run, ahead = partner, False
        following = -1 - partner
        if not ahead and following < len(likeness.reference):
            nearer = following and likeness.pair(following, unit) <= likeness.pair(following - 1, unit)
            ahead = not nearer
        adopted.append(following if ahead else following - 1)
    return adopted
