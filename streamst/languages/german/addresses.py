"""What is written with points inside: addresses of the network, versions, sections."""

from __future__ import annotations

import re

from .dates import NOT_DATED
from .numbers import cardinal
from .place import Place, Said

_VERSIONED = NOT_DATED | {
    "windows", "python", "android", "ios", "web", "industrie", "software", "usb", "release", "bluetooth",
}  # fmt: skip
_SCHEME = re.compile("(?:https?|ftp|wss?)://", re.IGNORECASE)
_NAMES = {".": "Punkt", "/": "Schrägstrich", "@": "ät", "_": "Unterstrich", "?": "Fragezeichen", "=": "gleich",
          "&": "und", "#": "Raute", "~": "Tilde", ":": "Doppelpunkt", "%": "Prozent", "+": "plus"}  # fmt: skip
_HOST = r"(?:[\w-]+\.)+[A-Za-zäöü]{2,}"
_ADDRESS = re.compile(rf"(?:[^\s@]+@[\w.-]+|(?:www\.)?{_HOST}(?::[0-9]+)?(?:/[^\s]*)?)")


def address(place: Place) -> Said | None:
    """www.beispiel.de/hilfe, https://…, max@web.de: each sign by its name."""
    core = _SCHEME.sub("", place.core)
    if not (core != place.core or _ADDRESS.fullmatch(core)):
        return None
    if core == place.core and "/" not in core and "@" not in core and re.search(r"[a-zäöüß]\.[A-ZÄÖÜ]", core):
        return core.replace(".", " "), True  # two sentences without a blank between them
    parts = re.findall(r"[0-9]+|[^\W\d_]+(?:-[^\W\d_]+)*|.", core.rstrip("/"))
    return " ".join(_part(part) for part in parts), True


def dotted_number(place: Place) -> Said | None:
    """192.168.0.1, Version 2.0.1, Abschnitt 2.3: a point is said where it parts no thousands and no date."""
    groups = re.fullmatch(r"(v?)([0-9]+(?:\.[0-9]+)+)", place.core)
    if groups is None:
        return None
    numbers = groups.group(2).split(".")
    thousands = all(len(n) == 3 for n in numbers[1:]) and len(numbers[0]) <= 3
    octets = len(numbers) == 4 and all(int(n) <= 255 for n in numbers)
    if thousands and not octets and place.nearest not in _VERSIONED:
        return None
    if len(numbers) == 2 and not groups.group(1) and place.nearest not in _VERSIONED:
        return None
    return ("Version " if groups.group(1) else "") + " Punkt ".join(map(_number, numbers)), True


def _part(part: str) -> str:
    return _number(part) if part.isdigit() else _NAMES.get(part, part)


def _number(digits: str) -> str:
    if len(digits) > 1 and digits[0] == "0":
        return " ".join(cardinal(int(digit)) for digit in digits)
    return cardinal(int(digits))
