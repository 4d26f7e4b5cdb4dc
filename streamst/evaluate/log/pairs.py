"""Sentences and their translations, as a text file has them, and what a writer made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamst.errors import InputError

MOST_WORDS = 200  # of one side of a pair
EXPECTED = "a file of ENGLISH TAB GERMAN lines is expected"
COLUMNS = ("text", "translation")


@dataclass(frozen=True)
class Pair:
    """A sentence and its reference translation."""

    line: int  # of the file, from 1
    source: str
    reference: str


@dataclass(frozen=True)
class Translation:
    """What was written for one pair.

    delays: (words of `text`,) source words read when each was written. source_words: how many there are to read.
    """

    text: str
    delays: tuple[int, ...]
    source_words: int


@dataclass(frozen=True)
class TextRun:
    """What was written, one for each pair, and how long the writer took for how many tokens."""

    translations: tuple[Translation, ...]
    tokens: int
    compute_s: float


def read_pairs(path: Path, limit: int | None = None) -> tuple[Pair, ...]:
    """The pairs of a file of SOURCE TAB TARGET, or of one whose header has columns `text` and `translation`.

    Blank lines are skipped. InputError names the file and the line of one that is not a pair of sentences of at most
    200 words.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; a file of ENGLISH TAB GERMAN lines is expected"
        ) from error
    places, fields = (0, 1), 2
    pairs: list[Pair] = []
    for number, raw in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            row = raw.decode().removesuffix("\r").split("\t")
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 at byte {error.start} of the line") from error
        if number == 1 and set(COLUMNS) <= set(row):
            places, fields = (row.index(COLUMNS[0]), row.index(COLUMNS[1])), len(row)
        elif row != [""] and (limit is None or len(pairs) < limit):
            if len(row) != fields:
                raise InputError(f"{where}: {_fields(len(row))}; allowed: {fields}, {_shape(fields)}")
            pairs.append(_pair(number, row[places[0]].strip(), row[places[1]].strip(), where))
    if not pairs:
        raise InputError(f"{path}: no sentences; {EXPECTED}")
    return tuple(pairs)


def _fields(count: int) -> str:
    return "no tab in the line, 1 field" if count == 1 else f"{count} fields in the line"


def _shape(fields: int) -> str:
    return "ENGLISH TAB GERMAN" if fields == 2 else "as the header has"


def _pair(line: int, source: str, reference: str, where: str) -> Pair:
    for name, text in (("source", source), ("target", reference)):
        words = len(text.split())
        if not 1 <= words <= MOST_WORDS:
            raise InputError(f"{where}: {words} words on the {name} side; allowed: 1 to {MOST_WORDS}")
    return Pair(line, source, reference)
