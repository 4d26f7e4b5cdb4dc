"""Ordinals: where a number with a point is one, and how it ends; alone, in rows ("1. und 2.") and ranges ("3.-5.")."""

from __future__ import annotations

import re

from .cases import DETERMINERS, NAMING, ending
from .nouns import gender, listed, month
from .numbers import cardinal, ordinal
from .place import Place, Said

_NUMBERED_WORDS = """
kapitel seite seiten s nr nummer band abschnitt stufe phase artikel art akt buch typ teil lektion zimmer gleis haus
version windows ziffer punkt aufgabe übung frage abs absatz paragraf § §§ abb abbildung bgbl tabelle tab bild station
linie platz rang raum klasse modell serie folge größe level agent kap vers satz zeile spalte grad schritt block tor
ausgabe regel gruppe runde option variante
"""
NUMBERED = frozenset(_NUMBERED_WORDS.split())  # nouns that are numbered by what stands after them: Kapitel 3
_NO_ORDINAL_AFTER_WORDS = """
ist bin bist sind war waren hat habe haben hatte kostet um gleich sagt sagte
"""
_NO_ORDINAL_AFTER = frozenset(_NO_ORDINAL_AFTER_WORDS.split())
_LARGEST_DAY = 31
_LARGEST_RANK = 200
_FIRST_YEAR = 1000  # numbers from here on are years, unless an article shows otherwise
_JOINED = re.compile(r"[0-9]{1,3}\.,?(?: (?:und|oder|bis|sowie|/|[-–&+])| [0-9]{1,3}\.,?)*")
_RANGE = re.compile(r"([0-9]{1,3})\.?([-–/+&])([0-9]{1,3})")


def goes_on(unit: str, word: str) -> bool:
    """True when `word` goes on a row of ordinals: "1. und" + "2.", "1.," + "2."."""
    if not _JOINED.fullmatch(unit):
        return False
    if re.fullmatch("und|oder|bis|sowie|/|[-–&+]", word):
        return unit.endswith(".")
    return not unit.endswith(".") and re.fullmatch(r"[0-9]{1,3}\.,?[^\w.]*", word) is not None


def row(place: Place) -> Said | None:
    """ "1. und 2." and "3.-5." before what they count."""
    joined = place.core + ("." if place.dotted else "")
    if _JOINED.fullmatch(joined) and " " in joined:
        parts = joined.split()
        if not parts[-1][0].isdecimal():  # what is joined to it does not follow at once
            said = one(_first(place, parts))
            return " ".join([said[0] if said else cardinal(_value(parts[0])), *parts[1:]]), True
        if not _ordinal(place, max(_value(part) for part in parts if part[0].isdecimal())):
            return (
                None
                if place.dotted and place.nearest not in NUMBERED
                else (_cardinals(parts), not place.after[:1].islower())
            )
        end = inflection(place)
        return " ".join(_counted(part, end) for part in parts), place.sentence_follows
    if (span := _RANGE.fullmatch(place.core)) and place.dotted and "." in place.core:
        first, sign, second = span.groups()
        end = inflection(place)
        link = "bis" if sign in "-–" else "und"
        return f"{ordinal(int(first), end)} {link} {ordinal(int(second), end)}", place.sentence_follows
    return None


def one(place: Place) -> Said | None:
    """ "3." as an ordinal between its words; None where it is a number at a sentence's end."""
    if not place.dotted or not re.fullmatch("[0-9]{1,4}", place.core) or not _ordinal(place, int(place.core)):
        return None
    together = place.nearest == "zu" and 1 < int(place.core) < 10 and not place.noun_follows  # zu dritt
    return ordinal(int(place.core), "t" if together else inflection(place)), place.sentence_follows


def _first(place: Place, parts: list[str]) -> Place:
    return Place(parts[0].rstrip(".,"), ".", True, place.written, place.before, " ".join(parts[1:]), parts[1])


def inflection(place: Place) -> str:
    """The ending of an ordinal at this place: "te", "ten", "ter" …"""
    before = place.before
    if len(before) > 2 and before[-1] in {"", "-", "–"} and month(before[-2]):  # vom 2. Mai - 5. Juni
        before = before[:-3]
    return f"t{ending(before, place.after.lower(), place.noun_follows, bool(_month(place.after)))}"


def _month(word: str) -> str:
    """The month of "Okt." and of "Okt.-31." """
    until = re.fullmatch(r"([^\W\d_]+)\.?[-–][0-9]+", word)
    return month(until.group(1) if until else word)


def _value(part: str) -> int:
    return int(part.rstrip(".,"))


def _ordinal(place: Place, number: int) -> bool:
    """Whether `number` with a point counts what follows."""
    nearest, after = place.nearest, place.after
    if place.following and _month(after) and not place.last:
        return number <= _LARGEST_DAY
    if number >= _FIRST_YEAR and (nearest not in DETERMINERS or place.sentence_follows):
        return False
    if nearest in NUMBERED:
        return False
    if place.end == ",":
        return True
    if place.sentence_follows:
        return nearest in NAMING or (number <= _LARGEST_RANK and _ranked(place))
    if nearest in DETERMINERS:
        return True
    if after[:1].islower():
        return True
    if nearest in _NO_ORDINAL_AFTER or not place.noun_follows:
        return False
    return bool(listed(after)) or (not nearest and bool(gender(after)))


def _ranked(place: Place) -> bool:
    """Whether "als" names a rank, "kam als 2.", and compares nothing, "mehr als 2."."""
    compared = place.before[-2] if len(place.before) > 1 else ""
    return (
        place.nearest == "als"
        and bool(compared)
        and not re.fullmatch("(?!er|wieder|immer|hier).{2,}er|mehr|anders|nichts|niemand|doppelt|lieber", compared)
    )


def _counted(part: str, end: str) -> str:
    if not part[0].isdecimal():
        return _link(part)
    return ordinal(_value(part), end) + ("," if part.endswith(",") else "")


def _cardinals(parts: list[str]) -> str:
    return " ".join(cardinal(_value(part)) if part[0].isdecimal() else _link(part) for part in parts)


def _link(word: str) -> str:
    return {"/": "und", "&": "und", "+": "und", "-": "bis", "–": "bis"}.get(word, word)
