"""Dates and times of day as they are said."""

from __future__ import annotations

import re

from .cases import DETERMINERS, PREPOSITIONS, ending
from .nouns import DAYS, MONTHS, month
from .numbers import NUMBER, amount, cardinal, counted, ordinal, year
from .place import Place, Said
from .units import unit

_DAY = "(0?[1-9]|[12][0-9]|3[01])"
_MONTH = "(0?[1-9]|1[0-2])"
_DATE = rf"{_DAY}\.{_MONTH}(?:\.([0-9]{{4}}|[0-9]{{2}}))?"
_PROPORTION = frozenset({"format", "verdünnung", "mischung", "chance", "chancen", "wette", "wetten"})
_PROPORTION_ENDS = ("maßstab", "verhältnis", "quote")
_HOURS, _MINUTES = ("Stunde", "Stunden", "Minuten"), ("Minute", "Minuten", "Sekunden")
_LASTING = {"std": _HOURS, "stunden": _HOURS, "min": _MINUTES, "minuten": _MINUTES}
NOT_DATED = frozenset(
    {
        "version",
        "kapitel",
        "abschnitt",
        "punkt",
        "ziffer",
        "nummer",
        "nr",
        "teil",
        "tabelle",
        "abschn",
        "kap",
        "ziff",
        "tab",
        "abb",
        "abbildung",
    }
)


def date(place: Place) -> Said | None:
    """24.12.2024, 24.12., 2024-12-24, "3. 5. 2021", 1.-3.5.2021, 24.12.-26.12."""
    text = re.sub(r"\.'(?=[0-9]{2}$)", ".", place.low.replace(". ", "."))
    if place.nearest in NOT_DATED:
        return None
    if iso := re.fullmatch("([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", text):
        text = f"{iso.group(3)}.{iso.group(2)}.{iso.group(1)}"
    first, sign, second = _span(text)
    found = re.fullmatch(_DATE, second)
    if found is None or not (found.group(3) or (place.dotted and (sign or _dated(place)))):
        return None
    end = f"t{ending(place.before, '', False, dated=True)}"
    said = _said(found, end)
    if sign and (before := re.fullmatch(rf"{_DAY}(?:\.{_MONTH})?\.?(?:([0-9]{{4}})\.?)?", first)):
        link = "und" if sign == "/" else "bis"
        opening = _said(before, end) if before.group(2) else ordinal(int(before.group(1)), end)
        said = f"{opening} {link} {said}"
    elif sign:
        return None
    return said, bool(found.group(3)) or place.sentence_follows


def months(place: Place) -> Said | None:
    """Mai-Juni and Jan.-März -> "Januar bis März"."""
    first, sign, second = re.sub(r"\.", "", place.core).replace("–", "-").partition("-")
    if not sign or not (month(first) and month(second)):
        return None
    return f"{month(first)} bis {month(second)}", not place.dotted or place.last


def months_around(place: Place) -> bool:
    """True for the stroke of "2. Mai - 3. Juni"."""
    return bool(month(place.nearest)) and (bool(month(place.after)) or place.after[:1].isdecimal())


def month_and_year(place: Place) -> Said | None:
    """12/2024 and 12.2024 -> "Dezember zweitausendvierundzwanzig"; 2023/24 and 1990-95 as years."""
    if place.nearest in NOT_DATED:
        return None
    if found := re.fullmatch(rf"{_MONTH}[/.]((?:19|20)[0-9]{{2}})", place.low):
        return f"{MONTHS[int(found.group(1)) - 1]} {year(int(found.group(2)))}", True
    if found := re.fullmatch("((?:1[1-9]|20)[0-9]{2})([-–/])([0-9]{2}|(?:1[1-9]|20)[0-9]{2})", place.low):
        link = " " if found.group(2) == "/" else " bis "
        return f"{year(int(found.group(1)))}{link}{year(int(found.group(3)))}", True
    return None


def _proportional(place: Place) -> bool:
    """Whether 1:10 is a proportion: Maßstab 1:10, "die Quote liegt bei 1:10"; not "bei der Quote um 1:10 Uhr"."""
    near = place.before[-3:] if place.nearest in {"bei", "von", "auf"} else place.before[-1:]
    return place.after != "Uhr" and any(word in _PROPORTION or word.endswith(_PROPORTION_ENDS) for word in near)


def time(place: Place) -> Said | None:
    """14:30, 9:30-17:00, 14.30 before "Uhr", 14:30:15."""
    if _proportional(place):
        return None
    if lasts := lasting(place.low, place.after.lower()):
        whole, second = place.low.split(":")
        first = int(whole)
        rest = amount(second) if "," in second else cardinal(int(second))
        return f"{'eine' if first == 1 else cardinal(first)} {lasts[first != 1]} {rest}", True
    if place.after in {"h", "Std"} and (parts := re.fullmatch("([0-9]{1,2}):([0-5][0-9]):([0-5][0-9])", place.low)):
        names = (_HOURS[:2], _MINUTES[:2], ("Sekunde", "Sekunden"))
        counts = [int(part) for part in parts.groups()]
        return " ".join(
            f"{'eine' if n == 1 else cardinal(n)} {name[n != 1]}" for n, name in zip(counts, names, strict=True)
        ), True
    text = re.sub("(?<=[0-9])h(?=[0-5][0-9])", ":", place.low.removesuffix("h"))  # 8h30
    if place.low.endswith("h"):
        text = re.sub(r"([0-9]{1,2})\.(?=[0-5][0-9]$)", r"\1:", text)  # 20.15h
    times = [_time(part, place.after.lower()) for part in re.split("[-–]", text)]
    return (" bis ".join(times), True) if all(times) else None


def score(place: Place) -> Said | None:
    """3:2 -> "drei zu zwei", 1:25.000."""
    found = re.fullmatch(rf"([0-9]+):({NUMBER})", place.low)
    if found is None or re.fullmatch("[0-5][0-9],[0-9]+", found.group(2)):  # minutes and seconds: 1:59,3
        return None
    second = found.group(2)
    return f"{cardinal(int(found.group(1)))} zu {cardinal(int(second)) if second.isdecimal() else amount(second)}", True


def lasting(word: str, after: str) -> tuple[str, str, str] | None:
    """Of 2:30 before "Std." or "Min.": what one and several of the first are called, and what the second counts."""
    if not re.fullmatch("[0-9]{1,3}:[0-5][0-9](?:,[0-9]+)?", word):
        return None
    return _LASTING.get(after)


def timed(word: str) -> bool:
    """True when a word ends with a time whose "Uhr" is said with it."""
    return re.search(r"(?:^|[-–])[0-9]{1,2}[:.][0-9]{2}(?::[0-9]{2})?$", word) is not None


def _span(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([0-9.]+?)\.?([-–/])([0-9.]+)", text)
    return (found.group(1), found.group(2), found.group(3)) if found and "." in found.group(3) else ("", "", text)


def _dated(place: Place) -> bool:
    """Whether d.m. without a year is a date here, and not the number before a sentence's end."""
    nearest = place.nearest
    if nearest in DETERMINERS | PREPOSITIONS | DAYS | {"und", "oder"}:
        return True
    if place.last and not place.before:
        return True
    return " " not in place.core and not place.last and not place.sentence_follows and unit(place.after) is None


def _said(found: re.Match[str], end: str) -> str:
    day, month = int(found.group(1)), int(found.group(2))
    in_year = found.group(3)
    return f"{ordinal(day, end)} {MONTHS[month - 1]} {year(int(in_year)) if in_year else ''}".strip()


def _time(text: str, after: str) -> str:
    """One time of day; "" for what is none."""
    found = re.fullmatch("([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", text)
    if after == "uhr" and found is None:
        found = re.fullmatch(r"([0-9]{1,2})\.([0-9]{2})()", text)
    if found is None or int(found.group(1)) > 24 or int(found.group(2)) > 59:
        return ""
    hour, minute, second = int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)
    said = f"{counted(hour)} Uhr {cardinal(minute) if minute else ''}".strip()
    unit_name = "Sekunde" if second == 1 else "Sekunden"
    return f"{said} und {'eine' if second == 1 else cardinal(second)} {unit_name}" if second else said
