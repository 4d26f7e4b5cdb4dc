"""English text as it is heard: numbers, signs, titles and units in words; and in one form for error rates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from . import numbers
from .numbers import LARGE, MONEY
from .tables import FOLDED, FRACTIONS, MONTHS, RULERS, SIGNS, TITLES, UNITS

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_NUMBER}(?:\.[0-9]+)?|\.[0-9]+)"
_LARGE = rf"(?: ?(?P<large>thousand|million|billion|trillion|{'|'.join(LARGE)})\b)?"
_ROMAN = {"ii": "two", "iii": "three", "iv": "four", "vi": "six", "vii": "seven", "viii": "eight", "ix": "nine"}
_COUNTS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_COUNTS += " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
_ORDINALS += " fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth"
_ORDINALS += " seventieth eightieth ninetieth"
_AND = re.compile(
    rf"\b(hundred|thousand|million|billion|trillion) and (?=(?:{'|'.join(f'{_COUNTS} {_ORDINALS}'.split())})\b)"
)


def spoken_english(text: str) -> str:
    """`text` as the recogniser writes it: lower case, a-z and apostrophes, numbers in words, one space between words.

    Letters with accents lose them; everything else becomes a space.
    """
    words = re.sub(rf"[^{LETTERS}]", " ", _in_words(text)).split()
    return " ".join(bare for word in words if (bare := word.strip("'")))


def normalise(text: str) -> str:
    """`text` for error rates: as it is heard, in one form, letters of other scripts kept.

    What a recogniser hears in `text` without a mistake (`spoken_english`) has the same form: numbers in words without
    "and", "okay" for "ok".
    """
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c == "'" else " " for c in _in_words(text))
    words = " ".join(bare for word in kept.split() if (bare := re.sub("''+", "'", word).strip("'")))
    return re.sub(r"\bok\b", "okay", _AND.sub(r"\1 ", words))


def _in_words(text: str) -> str:
    """In small letters without accents; digits and signs, titles and units in words."""
    if not text.isascii():
        text = _folded(text)
    text = text.replace("`", "'")
    for pattern, said in TITLE_RULES:
        text = pattern.sub(said, text)
    if re.search("[0-9]", text):
        for pattern, said in NUMBER_RULES:
            text = pattern.sub(said, text)
    text = unicodedata.normalize("NFKC", text.lower())
    for sign, word in SIGNS.items():
        text = text.replace(sign, f" {word} ")
    return text


def _folded(text: str) -> str:
    """Latin letters without accents, one apostrophe, digits of ours; fractions of one character as 1/2."""
    text = text.translate(FOLDED)
    for vulgar, written in FRACTIONS.items():
        text = re.sub(f"(?<=[0-9]){vulgar}", f" {written}", text).replace(vulgar, written)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(_digit(c) for i, c in enumerate(text) if not _accent(text, i) and unicodedata.category(c) != "Cf")
    return re.sub("[‘’ʼ´]", "'", text)


def _accent(text: str, index: int) -> bool:
    """A combining mark on a Latin letter."""
    return bool(unicodedata.combining(text[index])) and text[:index].rstrip("".join(_MARKS))[-1:].isascii()


_MARKS = [chr(code) for code in range(0x300, 0x370)]


def _digit(character: str) -> str:
    """A digit of any script as one of ours."""
    return str(unicodedata.decimal(character)) if character.isdecimal() else character


def _time(found: re.Match[str]) -> str:
    if int(found[1]) > 24 or int(found[2]) > 59:
        return f" {numbers.number(found[1])} to {numbers.number(found[2])} "
    return f" {numbers.time(found[1], found[2], bool(found[3]))} {_half(found[3])} "


def _half(written: str | None) -> str:
    """a.m., PM -> "a m", "p m"."""
    return f"{written[0].lower()} m" if written else ""


def _date(found: re.Match[str]) -> str:
    return f" {MONTHS[int(found[2]) - 1]} {numbers.ordinal(found[3])} {numbers.year(int(found[1]))} "


def _measure(found: re.Match[str]) -> str:
    one, several = UNITS[found[2]]
    return f" {numbers.number(found[1])} {one if found[1] == '1' else several} "


def _title(found: re.Match[str]) -> str:
    return f"{TITLES[found[1].lower()]} "


def _ruler(found: re.Match[str]) -> str:
    """Henry VIII."""
    units = [{"I": 1, "V": 5, "X": 10}[letter] for letter in found[2]]
    count = sum(-one if one < after else one for one, after in zip(units, [*units[1:], 0], strict=True))
    return f"{found[1]} the {numbers.ordinal(str(count))}"


def _divided(found: re.Match[str]) -> str:
    said = numbers.fraction(found[1], found[2])
    return f" {said or f'{numbers.number(found[1])} {numbers.number(found[2])}'} "


def _alternatives(names: dict[str, object]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _phone(found: re.Match[str]) -> str:
    return f" {numbers.digits(found[0])} "


def _number(found: re.Match[str]) -> str:
    return f" {numbers.number(found[0])} "


def _mixed(found: re.Match[str]) -> str:
    said = numbers.mixed(found[1], found[2], found[3]) or " ".join(numbers.number(part) for part in found.groups())
    return f" {said} "


def _sum(found: re.Match[str]) -> str:
    return f" {numbers.money(found[1], found[2], found['large'] or '')} "


_HALF = r"(?: ?([aApP]\.?[mM])\b\.?)"
_LINE = "[0-9]{3}-[0-9]{4}(?![0-9-])"  # of a telephone number
Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]
TITLE_RULES: tuple[Rule, ...] = (
    (re.compile(rf"(?<![\w.])({_alternatives(dict(TITLES))})\.(?=\W|$)", re.IGNORECASE), _title),
    (re.compile(r"\b(Mrs?|Ms|Dr|Jr|Sr|Prof|vs)\b"), _title),
    (re.compile(r"\b([Nn])o\.(?= ?[0-9])"), lambda _: "number "),
    (re.compile(r"\bSt\.(?= [A-Z])"), lambda _: "saint "),
    (re.compile(r"\b[Ss]t\.(?=\W|$)"), lambda _: "street "),
    (re.compile(rf"\b({'|'.join(RULERS)}) (?!I\b)(X{{0,2}}(?:IX|IV|V?I{{1,3}}|V)|XX)\b"), _ruler),
    (re.compile(r"(?<=[a-z] )(II|III|IV|VI|VII|VIII|IX)\b"), lambda found: _ROMAN[found[1].lower()]),
)  # fmt: skip
NUMBER_RULES: tuple[Rule, ...] = (  # in this order; what one has said holds no digits for those after it
    (re.compile(r"(?<![0-9-])([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(?![0-9-])"), _date),
    (re.compile(rf"(?<![0-9-])(?:\+?[0-9]{{1,3}}[ -])?\(?[0-9]{{3}}\)?[ -]{_LINE}|(?<![0-9-]){_LINE}"), _phone),
    (re.compile(rf"(?<![\w.,-])({_DECIMAL}) ?[–-] ?(?={_DECIMAL}(?![0-9-]))"), lambda found: f"{found[1]} to "),
    (re.compile(rf"(?<![\w.,-])[-–](?=[{MONEY}]?{_DECIMAL})"), lambda _: " minus "),
    (re.compile(rf"\b([0-9]{{1,3}}):([0-9]{{2}})(?:{_HALF}|\b)"), _time),
    (re.compile(rf"\b([0-9]{{1,2}}){_HALF}(?![a-z])"), lambda found: f" {numbers.number(found[1])} {_half(found[2])} "),
    (re.compile(r"(?<![0-9.])([0-9]+) ([1-9])/([0-9]{1,2})(?![0-9/])"), _mixed),
    (re.compile(r"(?<![0-9./])1/2(?= an? )"), lambda _: " half "),
    (re.compile(r"(?<![0-9./])([0-9]{1,4})/([0-9]{1,4})(?![0-9/])"), _divided),
    (re.compile(rf"([{MONEY}]) ?({_DECIMAL}){_LARGE}"), _sum),
    (re.compile(rf"({_DECIMAL}) ?([{MONEY}])"), lambda found: f" {numbers.money(found[2], found[1], '')} "),
    (re.compile(rf"(?<![\w.,])({_NUMBER})(?:st|nd|rd|th)\b"), lambda found: f" {numbers.ordinal(found[1])} "),
    (re.compile(r"'?\b([0-9]*[0-9]0)'?s\b"), lambda found: f" {numbers.decade(found[1])} "),
    (re.compile(rf"({_DECIMAL})[ -]?({_alternatives(dict(UNITS))})(?![\w'])"), _measure),
    (re.compile(r"#(?=[0-9])"), lambda _: " number "),
    (re.compile(r"[0-9]+(?:\.[0-9]+){2,}"), _number),
    (re.compile(_DECIMAL), _number),
)  # fmt: skip
