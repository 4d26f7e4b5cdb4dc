"""Which reference segment does each unit of a long hypothesis belong to? Two aligners, both monotone, both in numpy.

aswer  minimum edit distance (Matusov et al. 2005, "Evaluating machine translation output with automatic sentence
       segmentation"): the result is one of the alignments with the least word errors.
soft   largest total similarity of aligned words, Jaccard index of their character sets (the SoftSegmenter of Polak et
       al. 2025, "Better Late Than Never"), in a band around the diagonal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIAGONAL, UP, LEFT = 0, 1, 2  # both words; a reference word alone; a hypothesis word alone
PUNCTUATION = frozenset(".!?,;:-()。！？，；：—ー（）")
BAND_UNITS = 4096
BLOCK_ROWS = 256


def aswer(references: Sequence[Sequence[str]], hypothesis: Sequence[str], *, case_sensitive: bool = False) -> list[int]:
    """The segment (index into `references`) of every hypothesis unit, by minimum edit distance; it never decreases.

    A unit that no reference word answers to stays in the segment being read: a surplus unit at a border belongs to
    the segment before it. Among equal alignments the one that skips reference words latest, then hypothesis units
    latest, as mweralign 1.4.1 does (except that it gives the first unit to the first segment even where that costs).
    Exact for any length: time grows with the product of the lengths (a second for an hour of speech), memory with one
    of them (every 256th row is kept, and the rows between are computed again on the way back).
    """
    words, owners = _flatten(references)
    if not words:
        return [0] * len(hypothesis)
    ids, _ = _number([w if case_sensitive else w.lower() for w in (*words, *hypothesis)])
    reference_ids, hypothesis_ids = ids[: len(words)], ids[len(words) :]
    kept = _edit_checkpoints(reference_ids, hypothesis_ids)
    i, j = len(words), len(hypothesis)
    segments = [owners[0]] * j
    while i and j:
        block = (i - 1) // BLOCK_ROWS
        first = block * BLOCK_ROWS
        moves = _edit_moves(reference_ids[first:i], hypothesis_ids[:j], kept[block][: j + 1])
        while i > first and j:
            move = int(moves[i - 1 - first, j])
            if move != UP:
                j -= 1
                segments[j] = owners[i - 1]
            if move != LEFT:
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
    reference_ids, reference_types = _number([_fold(w) for w in words])
    hypothesis_ids, hypothesis_types = _number([_fold(w) for w in hypothesis])
    similar = _similarity(reference_types, hypothesis_types, exact)
    partners = _soft_partners(reference_ids, hypothesis_ids, similar, band_units)
    return [owners[i] for i in _adopt(partners, reference_ids, hypothesis_ids, similar)]


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


def _edit_row(above: NDArray[np.int32], differs: NDArray[np.bool_], steps: NDArray[np.int32]) -> NDArray[np.int32]:
    """Edit distances of the next row from those `above`; all (M + 1,) but `differs` (M,); steps = 0, 1, 2, ..."""
    best = above + 1
    np.minimum(best[1:], above[:-1] + differs, out=best[1:])
    # A path along the row costs one a cell: min over k <= j of best[k] + j - k.
    best -= steps
    np.minimum.accumulate(best, out=best)
    best += steps
    return best


def _edit_checkpoints(reference: NDArray[np.int64], hypothesis: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    """Rows 0, BLOCK_ROWS, 2 BLOCK_ROWS, ... of the edit distances, as far as there are rows after them."""
    row = steps = np.arange(len(hypothesis) + 1, dtype=np.int32)
    kept = []
    for i, word in enumerate(reference):
        if i % BLOCK_ROWS == 0:
            kept.append(row)
        row = _edit_row(row, hypothesis != word, steps)
    return kept


def _edit_moves(
    reference: NDArray[np.int64], hypothesis: NDArray[np.int64], above: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """(N, M + 1) the last move of a cheapest path to each cell below `above`: UP before LEFT before DIAGONAL."""
    moves = np.full((len(reference), len(hypothesis) + 1), DIAGONAL, dtype=np.uint8)
    steps = np.arange(len(hypothesis) + 1, dtype=np.int32)
    for i, word in enumerate(reference):
        row = _edit_row(above, hypothesis != word, steps)
        moves[i, 1:][row[1:] == row[:-1] + 1] = LEFT
        moves[i][row == above + 1] = UP
        above = row
    return moves


def _similarity(reference: Sequence[str], hypothesis: Sequence[str], exact: bool) -> NDArray[np.float64]:
    """(reference types, hypothesis types) similarity: 0..1, -inf between punctuation and anything else."""
    if exact:
        table = np.array([[float(r == h) for h in hypothesis] for r in reference])
    else:
        characters = {c: k for k, c in enumerate(sorted({c for word in (*reference, *hypothesis) for c in word}))}
        in_reference, in_hypothesis = _character_sets(reference, characters), _character_sets(hypothesis, characters)
        table = (in_reference @ in_hypothesis.T).astype(np.float64)  # characters in common: exact in float32
        sizes = in_reference.sum(axis=1, dtype=np.float64)[:, None] + in_hypothesis.sum(axis=1, dtype=np.float64)
        table /= sizes - table
    marks = [np.array([word in PUNCTUATION for word in types]) for types in (reference, hypothesis)]
    table[marks[0][:, None] != marks[1]] = -np.inf
    return table


def _character_sets(types: Sequence[str], characters: dict[str, int]) -> NDArray[np.float32]:
    """(types, characters) 1 where the word has the character."""
    has = np.zeros((len(types), len(characters)), dtype=np.float32)
    for row, word in enumerate(types):
        has[row, [characters[c] for c in word]] = 1.0
    return has


def _soft_partners(
    reference: NDArray[np.int64], hypothesis: NDArray[np.int64], similar: NDArray[np.float64], band_units: int
) -> list[int]:
    """For each hypothesis unit the reference unit it is aligned to (>= 0), or -1 - (reference units before it)."""
    n, m = len(reference), len(hypothesis)
    half = max(band_units, m // n + 1)  # wide enough for the bands of successive rows to overlap
    while True:
        centres = np.arange(n + 1) * m // n
        first = np.maximum(0, np.minimum(centres - half, m))
        last = np.minimum(m, centres + half)  # row i of the matrix holds columns first[i] .. last[i]
        moves = _soft_moves(reference, hypothesis, similar, first, last)
        partners, touched = _trace(moves, first, last, m)
        if not touched:
            return partners
        half *= 2


def _soft_moves(
    reference: NDArray[np.int64],
    hypothesis: NDArray[np.int64],
    similar: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> list[NDArray[np.uint8]]:
    """Row i (from 1) of the result: the last move of a best path to columns first[i] .. last[i]."""
    m = len(hypothesis)
    above = np.full(m + 1, -np.inf)
    above[: last[0] + 1] = 0.0
    rows: list[NDArray[np.uint8]] = [np.full(last[0] + 1, LEFT, dtype=np.uint8)]
    for i in range(1, len(reference) + 1):
        lo, hi = int(first[i]), int(last[i])
        match = np.full(hi - lo + 1, -np.inf)
        start = max(lo, 1)
        gains = similar[reference[i - 1]].take(hypothesis[start - 1 : hi])
        np.add(above[start - 1 : hi], gains, out=match[start - lo :])
        up = above[lo : hi + 1]
        best = np.maximum(match, up)
        row = np.maximum.accumulate(best)
        move = np.full(hi - lo + 1, LEFT, dtype=np.uint8)
        move[best == row] = UP  # at least as good as the cell to the left
        move[(match == row) & (match > -np.inf)] = DIAGONAL
        rows.append(move)
        above[:lo] = -np.inf
        above[lo : hi + 1] = row
    return rows


def _trace(
    moves: list[NDArray[np.uint8]], first: NDArray[np.int64], last: NDArray[np.int64], m: int
) -> tuple[list[int], bool]:
    """The alignment of the best path, and whether the path ran along an edge that hides columns."""
    i, j = len(moves) - 1, m
    partners = [-1] * m
    touched = False
    while j:
        lo, hi = int(first[i]), int(last[i])
        touched |= (j == lo > 0) or (j == hi < m)
        move = int(moves[i][j - lo]) if i else LEFT
        if move == UP:
            i -= 1
            continue
        j -= 1
        partners[j] = -1 - i
        if move == DIAGONAL:
            i -= 1
            partners[j] = i
    return partners, touched


def _adopt(
    partners: list[int], reference: NDArray[np.int64], hypothesis: NDArray[np.int64], similar: NDArray[np.float64]
) -> list[int]:
    """The reference unit of every hypothesis unit, unaligned ones included."""
    adopted: list[int] = []
    run, ahead = 0, False  # the current run of unaligned units, and whether one of it went to the next reference unit
    for word, partner in zip(hypothesis, partners, strict=True):
        if partner >= 0:
            run = 0
            adopted.append(partner)
            continue
        if partner != run:
            run, ahead = partner, False
        following = -1 - partner
        if not ahead and following < len(reference):
            nearer = following and similar[reference[following], word] <= similar[reference[following - 1], word]
            ahead = not nearer
        adopted.append(following if ahead else following - 1)
    return adopted
