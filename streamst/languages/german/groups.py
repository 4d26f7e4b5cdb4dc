"""Written words that are said as one: numbers grouped by blanks, telephone numbers, amounts after their currency sign,
spaced dates, rows of ordinals, abbreviations in parts.

Whether a word goes on what was written before it shows in the two alone, so a voice that is given word by word groups
as one that knows the whole text; it only has to wait where `together` could go on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import abbreviations, arithmetic, ordinals
from .numbers import NUMBER, VULGAR, cardinal
from .place import Place, Said
from .units import CURRENCIES, LARGE, MONEY_BEFORE, unit

TELEPHONE = frozenset(
    {
        "tel",
        "telefon",
        "telefonnummer",
        "telefax",
        "fax",
        "rufnummer",
        "handynummer",
        "durchwahl",
        "mobil",
        "notruf",
        "hotline",
        "tel.-nr",
        "fax.-nr",
        "isbn",
        "issn",
    }
)  # before a number that is said digit by digit
_ALSO_BEFORE_AMOUNTS = frozenset({"telefon", "mobil", "hotline"})
GROUPED_DIGITS = 15  # of a number with blanks; a longer one is two
TELEPHONE_DIGITS = 20  # 15 of the country and the line, and an extension
ACCOUNT = "(?:DE|AT|CH|LI|LU|FR|NL|BE|IT|ES|PL|GB|IE)[0-9]{2}(?: ?[0-9A-Z]{4})*"  # of an IBAN, and its first groups
SHORTEST_ACCOUNT, ACCOUNT_DIGITS = 15, 34
ROW = 8  # words of a row of ordinals
_OPEN, _CLOSE = r"[(\[„\"'*]*", r"[^\w€$£%+-]*"  # punctuation around a word
_ISO_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY, _MONTH = r"(?:0?[1-9]|[12][0-9]|3[01])\.", r"(?:0?[1-9]|1[0-2])\."


def together(words: Sequence[str], previous: str = "") -> list[str]:
    """The words, those that are said as one joined by a blank: "10", "000", "km" -> "10 000", "km".

    previous: the word, or words, said before the first. Only the last of the result may grow with more words.
    """
    units: list[str] = []
    for word in words:
        before = units[-2] if len(units) > 1 else previous
        if units and _goes_on(units[-1], word, before):
            units[-1] += f" {word}"
        else:
            units.append(word)
    return units


def telephone(place: Place) -> Said | None:
    """0171/234567 -> its digits one by one; None for what is no telephone number between these words."""
    core, before, after = place.core, place.nearest, place.after
    if not re.fullmatch(r"\+?[0-9][0-9()/ –-]*", core):
        return None
    if after.lower() == "uhr" or after.lower() in CURRENCIES or unit(after):
        return None
    digits = re.sub("[^0-9]", "", core.replace("(0)", "") if core[0] == "+" else core)
    if before in TELEPHONE:
        least = 5 if before in _ALSO_BEFORE_AMOUNTS else 3
    elif core[0] == "+":
        least = 7 if re.match(r"\+(?:33|43) ", core) else 9
    else:
        least = 6 if re.match("0[0-9]{2}", core) and digits != core else len(digits) + 1
    if len(digits) < least:
        return None
    return " ".join([*(["plus"] if core[0] == "+" else []), *(cardinal(int(digit)) for digit in digits)]), True


def _goes_on(unit: str, word: str, before: str) -> bool:
    """True when `word` belongs to `unit`, which follows `before`."""
    count = len(re.sub("[^0-9]", "", unit + word))
    if re.fullmatch(rf"{_OPEN}(?:{MONEY_BEFORE})", unit):
        return re.fullmatch(rf"[+-]?(?:{NUMBER})(?:[.,][-–—]+)?{_CLOSE}", word) is not None and not _amounts(before)
    if re.fullmatch(ACCOUNT, unit) and re.fullmatch(rf"(?=[0-9A-Z]*[0-9])[0-9A-Z]{{1,4}}{_CLOSE}", word):
        return count <= ACCOUNT_DIGITS
    if unit == "Fr." and re.fullmatch(rf"[0-9'.]*[0-9][.,][-–—]+{_CLOSE}", word):
        return True
    first = unit.split()[0]
    calls = re.sub(r"\W+$", "", before.split()[-1] if before else "").lower() in TELEPHONE
    if calls or re.fullmatch(rf"{_OPEN}(?:\+[1-9][0-9]{{0,2}}|0[0-9]{{2,}}\)?(?:[/–-][0-9]{{0,3}})?)", first):
        open_end = re.fullmatch(rf"{_OPEN}\+?[0-9][0-9()/ –-]*", unit)
        more = re.fullmatch(
            rf"[/–-]|\(0\)|(?!{_ISO_DATE})(?:\(0\))?\(?[0-9]{{2,}}\)?(?:[/-][0-9]+)*[/–-]?{_CLOSE}", word
        ) or (re.fullmatch(r"\+(?:33|43)", unit) and re.fullmatch("[1-9]", word))  # Paris, Vienna
        return bool(open_end and more) and count <= TELEPHONE_DIGITS
    if re.fullmatch(rf"{_OPEN}{_DAY}", unit) and re.fullmatch(rf"{_MONTH}{_CLOSE}", word):
        return True
    if re.fullmatch(rf"{_OPEN}{_DAY} {_MONTH}", unit):
        return re.fullmatch(rf"(?:1[0-9]|20)[0-9]{{2}}{_CLOSE}", word) is not None
    if re.fullmatch(r"[0-9]{1,2}", unit) and re.fullmatch(rf"(?:[1-9]/[1-9][0-9]?|[{''.join(VULGAR)}]){_CLOSE}", word):
        return True
    if arithmetic.goes_on(unit, word) and len(unit.split()) < ROW:
        return True
    if (ordinals.goes_on(unit, word) and len(unit.split()) < ROW) or abbreviations.goes_on(unit, word):
        return True
    grouped = re.fullmatch(rf"{_OPEN}(?:(?:{MONEY_BEFORE}) )?[+-]?[1-9][0-9]{{0,2}}(?: [0-9]{{3}})*", unit)
    tail = rf"[0-9]{{3}}(?:,[0-9]+)?[€$£%‰]?{_CLOSE}"
    return bool(grouped and re.fullmatch(tail, word)) and count <= GROUPED_DIGITS


def _amounts(before: str) -> bool:
    """True when a currency sign after these words belongs to them: 5 €, 5 Mio. €."""
    number = re.search(f"[0-9{''.join(VULGAR)}]$", before) is not None and before[0] not in "€$£"
    return number or before.lower().rstrip(".") in LARGE
