"""Days of the week in short: where "Fr." is one, and where it is a woman."""

from __future__ import annotations

import re

from .nouns import DAYS
from .place import Place, Said

WEEKDAYS = {
    "Mo": "Montag", "Di": "Dienstag", "Mi": "Mittwoch", "Do": "Donnerstag", "Fr": "Freitag", "Sa": "Samstag",
    "So": "Sonntag",
}  # fmt: skip
_ON = frozenset(
    {"am", "vom", "zum", "jeden", "diesen", "nächsten", "kommenden", "letzten", "vergangenen", "vorigen"}
)  # before days, never before a woman
_PARTS = frozenset({"Morgen", "Vormittag", "Mittag", "Nachmittag", "Abend", "Nacht"})
_AROUND = frozenset({"ab", "bis", "seit", "und", "oder", "von", "außer"})  # before days, and before women
_WOMAN = frozenset({"die", "der", "eine", "einer", "liebe", "frau", "hr", "herr"})


def weekday(place: Place) -> Said | None:
    """am Fr., 3. Mai: the day of an abbreviation with a point, also where "Fr. Müller" is none."""
    if place.core in WEEKDAYS and place.end == "," and re.match(r"[0-9]{1,2}\.[0-9]{1,2}\.", place.following or ""):
        return WEEKDAYS[place.core], True  # Fr, 3.5.
    if place.core in {"Mo", "Di", "Mi", "Fr", "Sa"} and not place.dotted and place.after[:1].isdecimal():
        return WEEKDAYS[place.core], True  # Mo 8-12 Uhr
    if place.core in WEEKDAYS and not place.dotted and place.nearest in _ON | {"bis", "ab"}:
        named = place.core in {"Mo", "Di"} and place.noun_follows and place.after not in _PARTS
        return None if named else (WEEKDAYS[place.core], True)  # am Do um 9, bis Mi; not vom Di Caprio
    if not place.dotted or place.core not in WEEKDAYS or not _is_day(place):
        return None
    return WEEKDAYS[place.core], place.last


def weekdays_around(place: Place) -> bool:
    """True for the stroke of "Mo. - Fr."."""
    days = {day.lower() for day in WEEKDAYS} | DAYS
    return place.nearest in days and place.after.lower() in days


def _is_day(place: Place) -> bool:
    if place.following in {"-", "–"} or (place.written and place.written[-1] in {"-", "–"} and place.core != "Fr"):
        return True
    after, before, ahead = place.after.lower(), place.nearest, place.following or ""
    if after[:1].isdecimal() or before in _ON | DAYS or re.match(rf"(?:{'|'.join(WEEKDAYS)})\.", ahead):
        return True
    if place.core == "Fr" and before[-1:].isdecimal():  # francs
        return False
    if before in {"bis", "und", "oder"} and len(place.before) > 1 and place.before[-2] in DAYS:
        return True
    if place.core != "Fr":
        return before in _AROUND or after in {"bis", "und", "oder", "um", "ab"}
    named = re.match(r"\W*[A-ZÄÖÜ]", ahead) is not None or after in {"von", "van", "de"} or before in _WOMAN
    return not named and (not place.last or before in _AROUND)


def weekdays(place: Place) -> Said | None:
    """Mo.-Fr. -> Montag bis Freitag."""
    names = "|".join(WEEKDAYS)
    days = re.fullmatch(rf"({names})\.?[-–/+]({names})", place.core)
    if days is None:
        return None
    link = "bis" if re.search("[-–]", place.core) else "und"
    return f"{WEEKDAYS[days.group(1)]} {link} {WEEKDAYS[days.group(2)]}", not place.dotted or place.last
