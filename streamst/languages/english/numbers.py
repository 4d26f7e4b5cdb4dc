"""English numbers in words: cardinals, ordinals, years, decades, decimals, fractions, money, times."""

from __future__ import annotations

import re

from num2words import num2words

MOST_DIGITS = 15  # of a number that is read as one; longer ones are read digit by digit
_MONEY = {  # one, several, and what a hundredth is called
    "$": ("dollar", "dollars", "cent"), "€": ("euro", "euros", "cent"), "£": ("pound", "pounds", "penny"),
    "¥": ("yen", "yen", ""), "₹": ("rupee", "rupees", ""), "₽": ("ruble", "rubles", ""),
}  # fmt: skip
MONEY = "".join(_MONEY)
LARGE = {"k": "thousand", "m": "million", "bn": "billion", "tn": "trillion", "K": "thousand", "M": "million"} | {
    "B": "billion", "b": "billion", "T": "trillion", "mn": "million",
}  # fmt: skip
_PARTS = {2: "half", 4: "quarter"}
_LARGEST_PART = 10  # of fractions written with a slash: 9/11 is none


def cardinal(number: int) -> str:
    """105 -> "one hundred and five"; beyond MOST_DIGITS its digits one by one."""
    return digits(str(number)) if number >= 10**MOST_DIGITS else _plain(str(num2words(number)))


def digits(text: str) -> str:
    """007 -> "zero zero seven"."""
    return " ".join(_plain(str(num2words(int(digit)))) for digit in text if digit.isdecimal())


def number(text: str) -> str:
    """An unsigned number as it is written: 1,000.50, 007, 1984, 3.14, 1.2.3; a year only without separators."""
    whole, *decimals = text.replace(",", "").split(".")
    if not whole:
        said = ""
    elif len(whole) > MOST_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        said = digits(whole)
    elif not decimals and re.fullmatch("1[1-9][0-9]{2}|20[1-9][0-9]", text):
        said = year(int(text))
    else:
        said = cardinal(int(whole))
    if len(decimals) > 1:  # a version
        return " point ".join([said, *(number(part) for part in decimals)])
    return f"{said} point {digits(decimals[0])}".strip() if decimals else said


def year(value: int) -> str:
    """1905 -> "nineteen oh five", 2021 -> "twenty twenty one"."""
    return _plain(str(num2words(value, to="year")))


def ordinal(text: str) -> str:
    """21 -> "twenty first"; beyond MOST_DIGITS the digits."""
    plain = text.replace(",", "")
    return digits(plain) if len(plain) > MOST_DIGITS else _plain(str(num2words(int(plain), to="ordinal")))


def decade(text: str) -> str:
    """1990 -> "nineteen nineties", 80 -> "eighties", 1900 -> "nineteen hundreds"."""
    said = number(text)
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}es" if said.endswith("x") else f"{said}s"


def fraction(above: str, below: str) -> str:
    """3, 4 -> "three quarters"; "" for what is none that is usual."""
    one, many = int(above), int(below)
    if not 0 < one < many <= _LARGEST_PART:
        return ""
    name = _PARTS.get(many) or ordinal(below)
    plural = "halves" if many == 2 else f"{name}s"
    return f"{cardinal(one)} {name if one == 1 else plural}"


def mixed(whole: str, above: str, below: str) -> str:
    """3, 1, 2 -> "three and a half"; "" where the fraction is none."""
    part = fraction(above, below)
    if part.startswith("one "):
        part = f"a {part.removeprefix('one ')}"
    return f"{number(whole)} and {part}" if part else ""


def money(sign: str, amount: str, large: str) -> str:
    """$, 5.50, "" -> "five dollars and fifty cents"; $, 2.5, million -> "two point five million dollars"."""
    one, several, hundredth = _MONEY[sign]
    large = LARGE.get(large, large)
    whole, _, cents = amount.replace(",", "").partition(".")
    whole = whole or "0"
    if large:
        return f"{number(amount)} {large} {several}"
    if len(cents) != 2 or not hundredth:
        return f"{number(amount)} {one if amount == '1' else several}"
    parts = [f"{cardinal(int(whole))} {one if int(whole) == 1 else several}"] if int(whole) or not int(cents) else []
    if int(cents):
        several_cents = "pence" if hundredth == "penny" else f"{hundredth}s"
        parts.append(f"{cardinal(int(cents))} {hundredth if int(cents) == 1 else several_cents}")
    return " and ".join(parts)


def time(hour: str, minute: str, halved: bool) -> str:
    """3, 05 -> "three oh five"; on the hour "twelve o'clock", or the number alone where "a m" or "p m" follows."""
    said = cardinal(int(hour))
    if int(minute) == 0:
        return said if halved else f"{said} o'clock"
    return f"{said} {'oh ' if int(minute) < 10 else ''}{cardinal(int(minute))}"


def _plain(said: str) -> str:
    return said.replace("-", " ").replace(",", "")
