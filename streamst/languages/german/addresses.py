"""What is written with points inside: addresses of the network, versions, sections."""

from __future__ import annotations

import re

from .dates import NOT_DATED
from .groups import ACCOUNT, SHORTEST_ACCOUNT, TELEPHONE
from .numbers import cardinal
from .place import Place, Said
from .spelling import spelled

_VERSIONED = NOT_DATED | {
    "windows", "python", "android", "ios", "web", "industrie", "software", "usb", "release", "bluetooth",
}  # fmt: skip
_TOWNS_TEXT = """
berlin hamburg münchen köln frankfurt stuttgart düsseldorf leipzig dortmund essen bremen dresden hannover nürnberg
duisburg bochum wuppertal bielefeld bonn münster mannheim karlsruhe augsburg wiesbaden gelsenkirchen mönchengladbach
braunschweig aachen chemnitz kiel halle magdeburg krefeld freiburg mainz lübeck erfurt oberhausen rostock kassel hagen
saarbrücken potsdam hamm ludwigshafen oldenburg osnabrück leverkusen darmstadt heidelberg solingen regensburg paderborn
ingolstadt würzburg fürth wolfsburg ulm heilbronn pforzheim göttingen bottrop koblenz trier jena erlangen cottbus gera
schwerin weimar bamberg bayreuth passau konstanz tübingen marburg gießen fulda
"""
_TOWNS = frozenset(_TOWNS_TEXT.split())
_NAMED = frozenset({"plz", "postleitzahl"})
_WINDS = {"N": "Nord", "S": "Süd", "O": "Ost", "E": "Ost", "W": "West"}
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


def postcode(place: Place) -> Said | None:
    """D-10115, 01067 Dresden and 10115 Berlin: digit by digit."""
    found = re.fullmatch("(?:(D|DE|A|AT|CH)-)?([0-9]{4,5})", place.core)
    if found is None or place.nearest in TELEPHONE:
        return None
    country, digits = found.groups()
    if not (country or (len(digits) == 5 and (place.after.lower() in _TOWNS or place.nearest in _NAMED))):
        return None
    return " ".join([*([spelled(country)] if country else []), *(cardinal(int(digit)) for digit in digits)]), True


def account(place: Place) -> Said | None:
    """DE12 3456 7890: letter by letter, digit by digit."""
    signs = place.core.replace(" ", "")
    named = place.nearest == "iban" or (len(signs) >= SHORTEST_ACCOUNT and " " in place.core)
    if not named or not re.fullmatch(f"{ACCOUNT}(?: ?[0-9A-Z]{{1,3}})?", place.core):
        return None
    return " ".join(cardinal(int(sign)) if sign.isdecimal() else spelled(sign) for sign in signs), True


def coordinate(place: Place) -> Said | None:
    """52° 31' N: minutes and winds, no newtons."""
    before = place.written[-1] if place.written else ""
    if place.core in _WINDS and re.search("[0-9](?:°|['\"]+)$", before):
        return _WINDS[place.core], True
    return (f"{_number(place.core)} Minuten", True) if place.core.isdecimal() and before.endswith("°") else None


def dotted_number(place: Place) -> Said | None:
    """192.168.0.1, Version 2.0.1, Abschnitt 2.3: a point is said where it parts no thousands and no date."""
    groups = re.fullmatch(r"(v?)([0-9]+(?:\.[0-9]+)+)(?:/([0-9]{1,2}))?", place.core)
    if groups is None or (groups.group(3) and groups.group(2).count(".") != 3):
        return None
    numbers = groups.group(2).split(".")
    thousands = all(len(n) == 3 for n in numbers[1:]) and len(numbers[0]) <= 3
    octets = len(numbers) == 4 and all(int(n) <= 255 for n in numbers)
    if thousands and not octets and place.nearest not in _VERSIONED:
        return None
    if len(numbers) == 2 and not groups.group(1) and place.nearest not in _VERSIONED:
        return None
    network = f" Schrägstrich {_number(groups.group(3))}" if groups.group(3) else ""
    return ("Version " if groups.group(1) else "") + " Punkt ".join(map(_number, numbers)) + network, True


def _part(part: str) -> str:
    return _number(part) if part.isdecimal() else _NAMES.get(part, part)


def _number(digits: str) -> str:
    if len(digits) > 1 and digits[0] == "0":
        return " ".join(cardinal(int(digit)) for digit in digits)
    return cardinal(int(digits))
