"""What the normalisers of error rates share: numbers in digits become words, marks go."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

MOST_DIGITS = 15  # of a number that is read as one


def thousands(value: int) -> list[int]:
    """Groups of three digits, the lowest first."""
    groups = [value % 1000]
    while value >= 1000:
        value //= 1000
        groups.append(value % 1000)
    return groups


@dataclass(frozen=True)
class Reading:
    """How a language writes and reads numbers: `separator` groups thousands, `comma` begins decimals, read `point`."""

    cardinal: Callable[[int], str]
    year: Callable[[int], str]
    digits: tuple[str, ...]
    point: str
    separator: str
    comma: str

    def spell_all(self, text: str) -> str:
        grouped = rf"[0-9]{{1,3}}(?:{re.escape(self.separator)}[0-9]{{3}})+(?![0-9])"
        number = rf"(?P<whole>{grouped}|[0-9]+)(?:{re.escape(self.comma)}(?P<fraction>[0-9]+))?"
        return re.sub(number, self._spell, text)

    def _spell(self, match: re.Match[str]) -> str:
        whole, fraction = match["whole"], match["fraction"] or ""
        plain = whole.replace(self.separator, "")
        if len(plain) > MOST_DIGITS or (len(plain) > 1 and plain[0] == "0"):
            words = [self.digits[int(d)] for d in plain]
        elif plain == whole and not fraction and 1100 <= int(plain) <= 1999:
            words = [self.year(int(plain))]
        else:
            words = [self.cardinal(int(plain))]
        decimals = [self.point, *(self.digits[int(d)] for d in fraction)] if fraction else []
        return f" {' '.join([*words, *decimals])} "


def normaliser(symbols: dict[str, str], spell: Callable[[str], str]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‘", "'")
        for symbol, word in symbols.items():
            text = text.replace(symbol, f" {word} ")
        return _strip_marks(spell(text))

    return apply


def _strip_marks(text: str) -> str:
    kept: list[str] = []
    for i, character in enumerate(text):
        inside = 0 < i < len(text) - 1 and text[i - 1].isalnum() and text[i + 1].isalnum()
        if unicodedata.category(character)[0] in "LNM" or (character == "'" and inside):
            kept.append(character)
        elif character.isspace() or unicodedata.category(character) == "Pd" or character in "/_":
            kept.append(" ")
    return " ".join("".join(kept).split())


def unmarked(text: str) -> str:
    """`text` in small letters, without punctuation and symbols."""
    return _strip_marks(unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‘", "'"))
