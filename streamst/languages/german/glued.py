"""What is written without the blank that belongs between its words: Nr.5, §5, S.12ff., Dr.med., Prof.Dr.Meier."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .abbreviations import ABBREVIATIONS, NUMBERING
from .nouns import month
from .place import bare

_BEFORE_NUMBERS = NUMBERING | {"s", "ca", "max", "min", "mind", "tel", "kto", "az", "rn", "zit"}
_PAGES = frozenset({"s", "seite", "seiten", "§", "§§", "art", "artikel", "abs", "absatz", "rn", "kap", "kapitel", "z"})
_OPEN = r"[(\[„\"'*]*"
_NUMBERED = re.compile(rf"({_OPEN}([^\W\d_][^\W\d_-]*)\.)([0-9].*)")
_PARAGRAPH = re.compile(rf"({_OPEN}§§?)([0-9].*)")
_TITLED = re.compile(rf"({_OPEN}(?:Dr|Prof|Dipl)\.)([^\W\d_].*)")
_MONTH_TO_DAY = re.compile(r"([^\W\d_]{3,9}\.?)([-–][0-9]{1,2}\.)")  # Okt.–31. März
_FROM_DAY = re.compile(r"([-–])([0-9]{1,2}\.)")
_BORN = re.compile(rf"({_OPEN}[*†✝])([0-9].*)")  # *1950
_FOLLOWED = re.compile(r"([0-9]+)(ff?[^\w]*)")


def lifetime(word: str, before: Sequence[str], following: str | None) -> bool:
    """Whether a star or a cross says when somebody was born or died: * 3. Mai 1950, † 2001; not 5 * 1000."""
    dated = re.match(r"(?:[0-9]{1,2}\.|[0-9]{4}\b)", following or "") is not None
    factor = bool(before) and before[-1][-1:].isdecimal()
    return dated and not factor and re.fullmatch(r"[(\[]*[*†✝]", word) is not None


def parted(word: str, before: Sequence[str]) -> tuple[str, str] | None:
    """The first of the words that `word` is, and the rest; None where it is one. before: what is said before it."""
    if found := _NUMBERED.fullmatch(word):
        name = found[2].lower()
        return (found[1], found[3]) if name in _BEFORE_NUMBERS or re.fullmatch(".{2,}str", name) else None
    if found := _PARAGRAPH.fullmatch(word):
        return found[1], found[2]
    if found := _TITLED.fullmatch(word):
        whole = bare(word).lower()
        return None if whole in ABBREVIATIONS or re.search("[/@]", word) else (found[1], found[2])
    if (found := _MONTH_TO_DAY.fullmatch(word)) and month(bare(found[1])):
        return found[1], found[2]
    if (found := _FROM_DAY.fullmatch(word)) and before and month(bare(before[-1].split()[-1])):
        return found[1], found[2]
    if found := _BORN.fullmatch(word):
        return found[1], found[2]
    if (found := _FOLLOWED.fullmatch(word)) and before and bare(before[-1].split()[-1]).lower() in _PAGES:
        return found[1], found[2]
    return None
