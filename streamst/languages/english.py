"""English: as the recogniser writes it, and as error rates count it."""

from __future__ import annotations

import re
import unicodedata

from num2words import num2words

from .language import Language
from .normaliser import Reading, normaliser, thousands

LONGEST_NUMBER = 300  # characters of a number that has a name; longer ones are read digit by digit

_SIGNS = {
    "%": " percent ",
    "&": " and ",
    "$": " dollars ",
    "€": " euros ",
    "£": " pounds ",
    "°": " degrees ",
    "+": " plus ",
}
_TITLES = {"mr.": "mister", "mrs.": "missis", "dr.": "doctor", "st.": "saint", "a.m.": "a m", "p.m.": "p m"}
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:st|nd|rd|th)?")

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
_EN_SCALES = ("", "thousand", "million", "billion", "trillion")
_EN_SYMBOLS = {"%": "percent", "&": "and", "€": "euros", "$": "dollars", "£": "pounds", "+": "plus"}


def spoken_english(text: str) -> str:
    """`text` as the recogniser writes it: lower case, a-z and apostrophes, numbers in words, one space between words.

    Letters with accents lose them; everything else becomes a space.
    """
    text = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'")).lower()
    text = "".join(c for c in text if not unicodedata.combining(c))
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = " ".join(_TITLES.get(word, word) for word in text.split())
    text = re.sub(r"\b(\d{1,2}):(\d\d)\b", lambda m: f"{m[1]} {m[2]}" if m[2] != "00" else f"{m[1]} o'clock", text)
    text = _NUMBER.sub(lambda m: f" {_in_words(m[0])} ", text)
    text = re.sub(r"[^a-z' ]", " ", text)
    return " ".join(word.strip("'") if word.strip("'") else "" for word in text.split() if word.strip("'"))


def _in_words(number: str) -> str:
    digits = number.replace(",", "")
    if len(digits) > LONGEST_NUMBER:
        return " ".join(str(num2words(int(digit))) for digit in digits if digit.isdigit())
    if not digits[-1].isdigit():
        return str(num2words(int(float(digits[:-2])), to="ordinal"))
    if re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", number):
        return str(num2words(int(number), to="year"))
    return str(num2words(float(digits) if "." in digits else int(digits)))


def english_number(value: int) -> str:
    """The cardinal of 0 <= value < 10^15: "one hundred five", without "and"."""
    return " ".join(_english(value))


def _english(value: int) -> list[str]:
    words: list[str] = []
    for scale, group in reversed(list(enumerate(thousands(value)))):
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


def _english_year(value: int) -> str:
    century, rest = divmod(value, 100)
    if not rest:
        return f"{english_number(century)} hundred"
    return f"{english_number(century)} {'oh ' if rest < 10 else ''}{english_number(rest)}"


_READING = Reading(english_number, _english_year, _EN_SMALL, "point", ",", ".")
ENGLISH = Language(
    code="en",
    name="English",
    letters="abcdefghijklmnopqrstuvwxyz'",
    sentence_ends=".?!…",
    cardinal=english_number,
    spoken=spoken_english,
    normalise=normaliser(_EN_SYMBOLS, _READING.spell_all),
)
