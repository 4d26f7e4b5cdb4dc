"""Written words that are said as one: numbers grouped by blanks, telephone numbers, amounts after their currency sign.

Whether a word goes on what was written before it shows in the two alone, so a voice that is given word by word groups
as one that knows the whole text; it only has to wait where `together` could go on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .measures import CURRENCIES, LARGE, UNITS
from .numbers import NUMBER, VULGAR, cardinal

TELEPHONE = frozenset(
    {"tel", "telefon", "telefonnummer", "telefax", "fax", "rufnummer", "handynummer", "durchwahl", "mobil"}
)  # before a number that is said digit by digit
GROUPED_DIGITS = 15  # of a number with blanks; a longer one is two
TELEPHONE_DIGITS = 20  # 15 of the country and the line, and an extension
_OPEN, _CLOSE = r"[(\[„\"'*]*", r"[^\w€$£%+-]*"  # punctuation around a word
_ISO_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


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


def ungrouped(text: str) -> str:
    """10 000,5 -> 10.000,5 and € 5 -> €5, as they are written without blanks."""
    text = re.sub(r"^([€$£]) (?=[+-]?[0-9])", r"\1", text)
    return re.sub("(?<=[0-9]) (?=[0-9]{3}(?![0-9]))", ".", text)


def telephone(core: str, before: str, after: str) -> str:
    """0171/234567 -> its digits one by one; "" for what is no telephone number between these words."""
    if not re.fullmatch(r"\+?[0-9][0-9()/ –-]*", core) or after in {"uhr", *CURRENCIES, *UNITS}:
        return ""
    digits = re.sub("[^0-9]", "", core.replace("(0)", "") if core[0] == "+" else core)
    if before in TELEPHONE:
        least = 5 if before in {"telefon", "mobil"} else 3  # which stand before other numbers too
    elif core[0] == "+":
        least = 9
    else:
        least = 6 if re.match("0[0-9]{2}", core) and digits != core else len(digits) + 1
    if len(digits) < least:
        return ""
    return " ".join([*(["plus"] if core[0] == "+" else []), *(cardinal(int(digit)) for digit in digits)])


def _goes_on(unit: str, word: str, before: str) -> bool:
    """True when `word` belongs to `unit`, which follows `before`."""
    count = len(re.sub("[^0-9]", "", unit + word))
    if re.fullmatch(rf"{_OPEN}[€$£]", unit):
        return re.fullmatch(rf"[+-]?(?:{NUMBER}){_CLOSE}", word) is not None and not _amounts(before)
    first = unit.split()[0]
    calls = re.sub(r"\W+$", "", before).lower() in TELEPHONE
    if calls or re.fullmatch(rf"{_OPEN}(?:\+[1-9][0-9]{{0,2}}|0[0-9]{{2,}}\)?[/–-]?)", first):
        open_end = re.fullmatch(rf"{_OPEN}\+?[0-9][0-9()/ –-]*", unit)
        more = re.fullmatch(rf"[/–-]|\(0\)|(?!{_ISO_DATE})\(?[0-9]{{2,}}\)?(?:[/-][0-9]+)*[/–-]?{_CLOSE}", word)
        return bool(open_end and more) and count <= TELEPHONE_DIGITS
    grouped = re.fullmatch(rf"{_OPEN}(?:[€$£] )?[+-]?[1-9][0-9]{{0,2}}(?: [0-9]{{3}})*", unit)
    tail = rf"[0-9]{{3}}(?:,[0-9]+)?[€$£%‰]?{_CLOSE}"
    return bool(grouped and re.fullmatch(tail, word)) and count <= GROUPED_DIGITS


def _amounts(before: str) -> bool:
    """True when a currency sign after these words belongs to them: 5 €, 5 Mio. €."""
    number = re.search(f"[0-9{''.join(VULGAR)}]$", before) is not None and before[0] not in "€$£"
    return number or before.lower().rstrip(".") in LARGE
