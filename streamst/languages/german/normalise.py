"""German as error rates count it."""

from __future__ import annotations

import re

from streamst.languages.normaliser import folded, without_marks

from .numbers import cardinal, year

MOST_DIGITS = 15  # of a number that is read as one
_SYMBOLS = {"%": "prozent", "&": "und", "€": "euro", "$": "dollar", "£": "pfund", "+": "plus"}
_NUMBER = re.compile(r"([0-9]{1,3}(?:\.[0-9]{3})+(?![0-9])|[0-9]+)(?:,([0-9]+))?")


def normalise(text: str) -> str:
    """`text` for error rates: signs and numbers in words, without marks."""
    text = folded(text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, f" {word} ")
    return without_marks(_NUMBER.sub(_in_words, text))


def german_number(value: int) -> str:
    """The cardinal of 0 <= value < 10^15: "hundertfünf", "eine million zwei"; 1 is "eins", never "ein hundert"."""
    return _short(cardinal(value))


def _short(said: str) -> str:
    return re.sub(r"\bein(?=hundert|tausend)|(?<=tausend)ein(?=hundert)", "", said.lower())


def _in_words(found: re.Match[str]) -> str:
    whole, decimals = found[1].replace(".", ""), found[2]
    if len(whole) > MOST_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        said = _digits(whole)
    elif whole == found[1] and not decimals and 1100 <= int(whole) <= 1999:
        said = _short(year(int(whole)))
    else:
        said = german_number(int(whole))
    return f" {said} komma {_digits(decimals)} " if decimals else f" {said} "


def _digits(text: str) -> str:
    return " ".join(cardinal(int(digit)) for digit in text)
