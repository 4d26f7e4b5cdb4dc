"""German words that hold digits, as they are said: dates, times, money, amounts with their unit, scores, spans."""

from __future__ import annotations

import re

from .numbers import (
    NUMBER,
    VULGAR,
    WEAK,
    WEAK_N,
    amount,
    cardinal,
    counted,
    ending,
    fraction,
    ordinal,
    with_part,
    year,
)

MONTHS = (
    "januar", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
    "dezember",
)  # fmt: skip
MONTHS_SHORT = {
    "jan": "Januar", "feb": "Februar", "mär": "März", "apr": "April", "jun": "Juni", "jul": "Juli", "aug": "August",
    "sep": "September", "sept": "September", "okt": "Oktober", "nov": "November", "dez": "Dezember",
}  # fmt: skip
UNITS = {
    "€": "Euro", "$": "Dollar", "£": "Pfund", "¥": "Yen", "%": "Prozent", "‰": "Promille", "°": "Grad",
    "°c": "Grad Celsius", "°f": "Grad Fahrenheit", "km": "Kilometer", "cm": "Zentimeter", "mm": "Millimeter",
    "m": "Meter", "m²": "Quadratmeter", "km²": "Quadratkilometer", "m³": "Kubikmeter", "kg": "Kilogramm",
    "g": "Gramm", "mg": "Milligramm", "l": "Liter", "ml": "Milliliter", "h": "Stunden", "s": "Sekunden",
    "ms": "Millisekunden", "km/h": "Kilometer pro Stunde", "kw": "Kilowatt", "kwh": "Kilowattstunden",
    "mb": "Megabyte", "gb": "Gigabyte", "hz": "Hertz", "khz": "Kilohertz", "m/s": "Meter pro Sekunde",
    "min": "Minuten", "std": "Stunden", "sek": "Sekunden", "mio": "Millionen", "mrd": "Milliarden",
}  # fmt: skip
FEMININE = frozenset({
    "Stunden", "Sekunden", "Millisekunden", "Kilowattstunden", "Minuten", "Millionen", "Milliarden",
})  # fmt: skip
CURRENCIES = {
    "€": "Euro",
    "$": "Dollar",
    "£": "Pfund",
    "euro": "Euro",
    "eur": "Euro",
    "dollar": "Dollar",
    "pfund": "Pfund",
}
LARGE = {
    "mio": "Millionen", "mrd": "Milliarden", "million": "Million", "millionen": "Millionen", "milliarde": "Milliarde",
    "milliarden": "Milliarden", "tausend": "tausend",
}  # fmt: skip


def numeric(core: str, dotted: bool, before: str, after: str, following: str | None) -> tuple[str, bool] | None:
    """The spoken text of a word that holds digits, and whether its punctuation still stands; None for others."""
    low = core.lower()
    if iso := re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", low):
        low = f"{iso.group(3)}.{iso.group(2)}.{iso.group(1)}"
    if (date := re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{4}|[0-9]{2}))?", low)) and (
        date.group(3) or dotted
    ):
        return _date(date, before), bool(date.group(3)) or following is None
    times = [_time(part, after) for part in re.split("[-–]", low)]
    if all(times):
        return " bis ".join(times), True
    if score := re.fullmatch("([0-9]+):([0-9]+)", low):
        return f"{amount(score.group(1))} zu {amount(score.group(2))}", True
    if decade := re.fullmatch("([0-9]+)er(n?)(-.*)?", low):
        return f"{amount(decade.group(1))}er{decade.group(2)}{decade.group(3) or ''}", True
    if (
        dotted
        and following is not None
        and re.fullmatch("[0-9]+", low)
        and (after in MONTHS or after in MONTHS_SHORT or before in WEAK | WEAK_N)
    ):
        return ordinal(int(low), ending(before)), False
    if mixed := re.fullmatch(f"([0-9]*)([{''.join(VULGAR)}])(.*)", low):
        whole, part, unit = mixed.groups()
        if not unit or unit in UNITS:
            return f"{with_part(whole, VULGAR[part])} {UNITS.get(unit, '')}", True
    if said := fraction(low):
        return said, True
    if span := re.fullmatch(rf"({NUMBER})[-–]({NUMBER})", low):
        return f"{amount(span.group(1))} bis {amount(span.group(2))}", True
    if measure := re.fullmatch(rf"([€$£]?)([+-]?)({NUMBER})(%|‰|°c?|€|\$|£|km/h|[a-z]{{1,3}}[²³]?)?", low):
        sign, minus, number, unit = measure.groups()
        currency = CURRENCIES.get(sign) or CURRENCIES.get(unit or "") or CURRENCIES.get(after)
        name = {"-": "minus ", "+": "plus "}.get(minus, "")
        if sign and after in LARGE:  # which says the currency
            return name + ("eine" if number == "1" and after != "tausend" else amount(number)), True
        if currency:
            stated = bool(sign) or unit in CURRENCIES or priced(number)
            return name + _money(number, currency, stated), True
        if unit is None or unit in UNITS:
            said, unit_name = amount(number), UNITS.get(unit or "", "")
            if number == "1" and (after in {"uhr", *UNITS} or unit):
                said = "eine" if (unit_name or UNITS.get(after)) in FEMININE else "ein"
                unit_name = single(unit_name) if unit_name in FEMININE else unit_name
            return f"{name}{said} {unit_name}", True
    return None


def single(name: str) -> str:
    """One of a feminine unit: Stunden -> Stunde, Millionen -> Million."""
    return name.removesuffix("en" if name.endswith("ionen") else "n")


def priced(before: str) -> bool:
    """True when the word before is an amount like 5,50, which already says its currency."""
    return re.fullmatch(r"[+-]?[0-9]+(?:[.'][0-9]{3})*[,.][0-9]{2}", before) is not None


def _time(text: str, after: str) -> str:
    """14:30, or 14.30 before "Uhr", as it is said; "" where it is no time."""
    time = re.fullmatch(r"([0-9]{1,2})[:.]([0-9]{2})" if after == "uhr" else "([0-9]{1,2}):([0-9]{2})", text)
    hour, minute = map(int, time.groups()) if time else (99, 99)
    return f"{counted(hour)} Uhr {cardinal(minute) if minute else ''}".strip() if hour <= 24 and minute < 60 else ""


def _date(date: re.Match[str], before: str) -> str:
    """24.12.2024 -> "vierundzwanzigster Dezember zweitausendvierundzwanzig", inflected after the word before it."""
    inflected = ending(before)
    day, month, in_year = date.groups()
    name = MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else ordinal(int(month), inflected)
    return f"{ordinal(int(day), inflected)} {name} {year(int(in_year)) if in_year else ''}"


def _money(number: str, currency: str, stated: bool) -> str:
    """12,50 -> "zwölf Euro fünfzig"; the currency is left out where the next word says it."""
    grouped = re.fullmatch(r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?", number) is not None
    whole, _, cents = (re.sub("[.']", "", number) if grouped else number.replace(".", ",")).partition(",")
    if cents and len(cents) != 2:
        return f"{amount(number)} {currency if stated else ''}"
    if cents and not int(whole) and int(cents) and currency in {"Euro", "Dollar"}:
        return f"{counted(int(cents))} Cent"
    said = f"{counted(int(whole))} {currency if stated else ''}"
    return f"{said} {cardinal(int(cents))}" if cents and int(cents) else said
