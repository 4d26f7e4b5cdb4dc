"""German arithmetic as it is said: differences beside spans, powers, numbers as computers write them."""

from __future__ import annotations

import re

from .numbers import NUMBER, amount, cardinal
from .ordinals import NUMBERED
from .place import SIGNS, Place, Said
from .spelling import spelled
from .units import unit

_DIFFERENCE = rf"[+-]?(?:{NUMBER})(?: [-–] (?:{NUMBER}))*"
_ARITHMETIC = {
    "-": "minus", "–": "minus", "+": "plus", "×": "mal", "*": "mal", "·": "mal", "⋅": "mal", ":": "geteilt durch",
    "/": "geteilt durch", "=": "gleich", "≠": "ungleich", "<": "kleiner", ">": "größer", "≤": "kleiner gleich",
    "≥": "größer gleich",
}  # fmt: skip


def goes_on(unit: str, word: str) -> bool:
    """True when `word` goes on a span or a difference: "5" + "-", "5 -" + "3", "5 - 3" + "="."""
    if word in {"-", "–"}:
        return re.fullmatch(rf"(?:{_DIFFERENCE} [-–] )?[+-]?(?:{NUMBER})", unit) is not None
    if word == "=":
        return re.fullmatch(_DIFFERENCE, unit) is not None and " " in unit
    return re.fullmatch(rf"{_DIFFERENCE} [-–]", unit) is not None and re.match(rf"(?:{NUMBER})\W*$", word) is not None


def beside(place: Place) -> bool:
    """Whether a sign of arithmetic stands beside what is written here."""
    signs = _ARITHMETIC.keys() - {"/", ":"} | {"−"}
    return place.following in signs or (bool(place.written) and place.written[-1] in signs)


def calculation(place: Place) -> Said | None:
    """5 - 3 = and 5-3=2: a stroke between numbers is "minus" beside another sign of arithmetic, else "bis"."""
    text = place.core.replace(" ", "")
    found = re.fullmatch(rf"[+-]?(?:{NUMBER})(?:[-–+×*·⋅:/=≠<>≤≥][+-]?(?:{NUMBER}))*(=?)", text)
    if found is None or not re.search("[-–=≠<>≤≥]", text[1:]):
        return None
    spaced = " " in place.core and (place.after in _ARITHMETIC or place.following in _ARITHMETIC)
    after_sign = bool(place.written) and " " in place.core and place.written[-1] in _ARITHMETIC
    if not (re.search("[=≠<>≤≥]", text) or spaced or after_sign):
        return None
    parts = re.findall(rf"(?<=[0-9])[-–+×*·⋅:/=≠<>≤≥]|[+-]?(?:{NUMBER})", text)
    return " ".join(_ARITHMETIC.get(part) or _term(part) for part in parts), True


def _term(number: str) -> str:
    sign = {"-": "minus ", "–": "minus ", "+": "plus "}.get(number[0], "")
    return sign + amount(number.lstrip("-–+"))


def factorial(place: Place) -> Said | None:
    """5! = 120."""
    if place.end != "!" or place.following not in {"=", "/", "·", "+"} or not re.fullmatch("[0-9]{1,3}", place.core):
        return None
    return f"{amount(place.core)} Fakultät", False


def scientific(place: Place) -> Said | None:
    """1,5e-6: a number as computers write it."""
    found = re.fullmatch(r"([0-9]+(?:[.,][0-9]+)?)[eE]([+-]?)([0-9]{1,3})", place.core)
    if found is None or place.nearest in NUMBERED:
        return None
    return f"{amount(found[1])} mal zehn hoch {'minus ' if found[2] == '-' else ''}{cardinal(int(found[3]))}", True


def power(place: Place) -> Said | None:
    """10^6, 10⁻³, x²."""
    text = place.low.replace("²", "^2").replace("³", "^3").replace("^-^", "^-")
    found = re.fullmatch(rf"((?:{NUMBER})|[a-zπ]{{1,3}})\^(-?)([0-9](?:\^?[0-9])*)", text)
    if found is None or (len(found.group(1)) > 1 and unit(place.core.replace("^", ""))):
        return None
    number = found.group(1)[0].isdecimal()
    base = amount(found[1]) if number else " ".join(SIGNS.get(sign) or spelled(sign) for sign in found[1])
    exponent = found.group(3).replace("^", "")
    if exponent == "2" and not number and not found.group(2):
        return f"{base} Quadrat", True
    return f"{base} hoch {'minus ' if found.group(2) else ''}{cardinal(int(exponent))}", True
