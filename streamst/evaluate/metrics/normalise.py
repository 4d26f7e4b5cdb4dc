"""The text normalisers of WER, CER and ASR metrics: named, versioned, applied to both sides alike.

`streamst-en-1` and `streamst-de-1`, in this order:
1. Unicode NFKC, lower case, typographic apostrophes to "'".
2. `%`, `&`, `€`, `$`, `£` and `+` become words. Numbers become words: groups of thousands are joined ("1,000" in
   English, "1.000" in German), decimals are read digit by digit, integers of up to 15 digits as a cardinal ("25" ->
   "twenty five", "fünfundzwanzig"), 1100 to 1999 without a separator as a year ("nineteen oh five",
   "neunzehnhundertfünf"), longer ones and those with a leading 0 digit by digit. Ordinals and times are not special.
3. A hyphen or dash separates words; an apostrophe within a word stays; every other punctuation mark and symbol goes.
4. White space collapses to single spaces.

`streamst-basic-1` is 1, 3 and 4, for other languages. `none` changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from streamst.errors import InputError

_EN_SMALL = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_EN_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DE_SMALL = (
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
)
_DE_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
_EN_SCALES = ("", "thousand", "million", "billion", "trillion")
_DE_SCALES = (("", ""), ("tausend", "tausend"), ("million", "millionen"), ("milliarde", "milliarden"))
_DE_SCALES += (("billion", "billionen"),)
_EN_SYMBOLS = {"%": "percent", "&": "and", "€": "euros", "$": "dollars", "£": "pounds", "+": "plus"}
_DE_SYMBOLS = {"%": "prozent", "&": "und", "€": "euro", "$": "dollar", "£": "pfund", "+": "plus"}
_MOST_DIGITS = 15


def normalise(text: str, name: str) -> str:
    """`text` after the normaliser `name`. Raises InputError for an unknown one."""
    if name not in NORMALISERS:
        raise InputError(f"unknown normaliser {name!r}; allowed: {', '.join(NORMALISERS)}")
    return NORMALISERS[name](text)


def normaliser_for(language: str) -> str:
    """The name of the normaliser of a language code."""
    name = f"streamst-{language.lower().split('-')[0]}-1"
    return name if name in NORMALISERS else "streamst-basic-1"


def english_number(value: int) -> str:
    """The cardinal of 0 <= value < 10^15: "one hundred five", without "and"."""
    return " ".join(_english(value))


def german_number(value: int) -> str:
    """The cardinal of 0 <= value < 10^15: "hundertfünf", "eine million zwei"; 1 is "eins", never "ein hundert"."""
    groups = _thousands(value)
    words: list[str] = []
    for scale in range(len(groups) - 1, 1, -1):
        if groups[scale]:
            one = groups[scale] == 1
            words.append(f"{'eine' if one else _german_group(groups[scale])} {_DE_SCALES[scale][not one]}")
    thousands = groups[1] if len(groups) > 1 else 0
    rest = ("" if thousands <= 1 else _german_group(thousands, joined=True)) + ("tausend" if thousands else "")
    rest += _german_group(groups[0]) if groups[0] else ""
    return " ".join([*words, rest] if rest else words) or _DE_SMALL[0]


def _english(value: int) -> list[str]:
    words: list[str] = []
    for scale, group in reversed(list(enumerate(_thousands(value)))):
        if not group:
            continue
        if group >= 100:
            words += [_EN_SMALL[group // 100], "hundred"]
        rest = group % 100
        if rest >= 20:
            words.append(_EN_TENS[rest // 10])
            rest %= 10
        if rest:
            words.append(_EN_SMALL[rest])
        if scale:
            words.append(_EN_SCALES[scale])
    return words or [_EN_SMALL[0]]


def _german_group(group: int, joined: bool = False) -> str:
    """1..999; `joined`: more follows in the same word, as in "einundzwanzigtausend"."""
    hundreds, rest = divmod(group, 100)
    text = ("" if hundreds <= 1 else _DE_SMALL[hundreds]) + ("hundert" if hundreds else "")
    if rest >= 20:
        ones, tens = rest % 10, _DE_TENS[rest // 10]
        return text + (tens if not ones else f"{'ein' if ones == 1 else _DE_SMALL[ones]}und{tens}")
    if rest == 1 and joined:
        return text + "ein"
    return text + (_DE_SMALL[rest] if rest else "")


def _thousands(value: int) -> list[int]:
    """Groups of three digits, the lowest first."""
    groups = [value % 1000]
    while value >= 1000:
        value //= 1000
        groups.append(value % 1000)
    return groups


def _english_year(value: int) -> str:
    century, rest = divmod(value, 100)
    if not rest:
        return f"{english_number(century)} hundred"
    return f"{english_number(century)} {'oh ' if rest < 10 else ''}{english_number(rest)}"


def _german_year(value: int) -> str:
    century, rest = divmod(value, 100)
    return f"{german_number(century)}hundert{german_number(rest) if rest else ''}"


@dataclass(frozen=True)
class _Reading:
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
        if len(plain) > _MOST_DIGITS or (len(plain) > 1 and plain[0] == "0"):
            words = [self.digits[int(d)] for d in plain]
        elif plain == whole and not fraction and 1100 <= int(plain) <= 1999:
            words = [self.year(int(plain))]
        else:
            words = [self.cardinal(int(plain))]
        decimals = [self.point, *(self.digits[int(d)] for d in fraction)] if fraction else []
        return f" {' '.join([*words, *decimals])} "


def _normaliser(symbols: dict[str, str], spell: Callable[[str], str]) -> Callable[[str], str]:
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


_ENGLISH = _Reading(english_number, _english_year, _EN_SMALL, "point", ",", ".")
_GERMAN = _Reading(german_number, _german_year, _DE_SMALL, "komma", ".", ",")
NORMALISERS: dict[str, Callable[[str], str]] = {
    "streamst-en-1": _normaliser(_EN_SYMBOLS, _ENGLISH.spell_all),
    "streamst-de-1": _normaliser(_DE_SYMBOLS, _GERMAN.spell_all),
    "streamst-basic-1": _normaliser({}, lambda text: text),
    "none": lambda text: text,
}
