"""German abbreviations as they are said: what they stand for, or the names of their letters."""

from __future__ import annotations

import re

from .measures import MONTHS_SHORT
from .numbers import DAYS

ABBREVIATIONS = {
    "z.b": "zum Beispiel", "d.h": "das heißt", "u.a": "unter anderem", "u.u": "unter Umständen", "z.t": "zum Teil",
    "i.d.r": "in der Regel", "v.a": "vor allem", "o.ä": "oder ähnlich", "u.ä": "und ähnlich", "s.o": "siehe oben",
    "s.u": "siehe unten", "v.chr": "vor Christus", "n.chr": "nach Christus", "usw": "und so weiter", "etc": "et zetera",
    "bzw": "beziehungsweise", "ca": "zirka", "dr": "Doktor", "prof": "Professor", "hr": "Herr", "fr": "Frau",
    "nr": "Nummer", "str": "Straße", "tel": "Telefon", "inkl": "inklusive", "exkl": "exklusive", "evtl": "eventuell",
    "ggf": "gegebenenfalls", "vgl": "vergleiche", "sog": "sogenannt", "mind": "mindestens", "max": "maximal",
    "min": "Minuten", "std": "Stunden", "sek": "Sekunden", "mio": "Millionen", "mrd": "Milliarden", "st": "Sankt",
    "jh": "Jahrhundert", "bd": "Band", "abs": "Absatz", "art": "Artikel", "geb": "geboren", "gest": "gestorben",
    "abb": "Abbildung", "kap": "Kapitel", "allg": "allgemein", "bzgl": "bezüglich", "u.v.m": "und vieles mehr",
    "u.s.w": "und so weiter", "e.v": "eingetragener Verein", "m.e": "meines Erachtens",
}  # fmt: skip
SPACED = {  # abbreviations that are usually written as two words: how each half is said
    ("z", "b"): ("zum", "Beispiel"), ("d", "h"): ("das", "heißt"), ("u", "a"): ("unter", "anderem"),
    ("v", "a"): ("vor", "allem"), ("o", "ä"): ("oder", "ähnlich"), ("z", "t"): ("zum", "Teil"),
    ("v", "chr"): ("vor", "Christus"), ("n", "chr"): ("nach", "Christus"), ("s", "o"): ("siehe", "oben"),
    ("i", "d"): ("in", "der"), ("d", "r"): ("der", "Regel"), ("m", "e"): ("meines", "Erachtens"),
}  # fmt: skip
WITHOUT_DOT = {"bzw", "usw", "etc", "ca", "mio", "mrd", "dr", "prof"}
WEEKDAYS = {
    "Mo": "Montag", "Di": "Dienstag", "Mi": "Mittwoch", "Do": "Donnerstag", "Fr": "Freitag", "Sa": "Samstag",
    "So": "Sonntag",
}  # fmt: skip
ON = frozenset(
    {"am", "vom", "zum", "jeden", "diesen", "nächsten", "kommenden", "letzten", "vergangenen", "vorigen"}
)  # before days, never before a woman
AROUND = frozenset({"ab", "bis", "seit", "und", "oder", "von"})  # before days, and before women
WOMAN = frozenset({"die", "der", "eine", "einer", "liebe", "frau", "hr", "herr"})
LETTER_NAMES = {
    "a": "ah", "b": "beh", "c": "zeh", "d": "deh", "e": "eh", "f": "eff", "g": "geh", "h": "hah", "i": "ih",
    "j": "jott", "k": "kah", "l": "ell", "m": "emm", "n": "enn", "o": "oh", "p": "peh", "q": "kuh", "r": "err",
    "s": "ess", "t": "teh", "u": "uh", "v": "vau", "w": "weh", "x": "ix", "y": "üpsilon", "z": "zett", "ä": "äh",
    "ö": "öh", "ü": "üh", "ß": "eszett",
}  # fmt: skip
SPELLED = frozenset({"usa", "eu", "ki", "it", "abc", "adac", "ard", "dna", "usd"})


def written_out(low: str, before: str, after: str, last: bool) -> str | None:
    """What `low`, an abbreviation with a point, stands for between these words; None for what is none there.

    before, after: without punctuation, in small letters. last: nothing follows.
    """
    if low in MONTHS_SHORT and not last and (before.isdigit() or re.fullmatch("[0-9]{4}", after)):
        return MONTHS_SHORT[low]
    if low == "s" and after[:1].isdigit():
        return "Seite"
    for (first, second), (says_first, says_second) in SPACED.items():
        if low == first and after == second:
            return says_first
        if low == second and before == first:
            return says_second
    if low in ABBREVIATIONS and (low not in {"art", "min", "max", "fr", "st"} or not last):
        return ABBREVIATIONS[low]
    return None


def weekday(core: str, before: str, after: str, following: str | None) -> str | None:
    """am Fr., 3. Mai: the day of an abbreviation with a point; None for other words, also in "Fr. Müller"."""
    if core not in WEEKDAYS:
        return None
    ahead = following or ""
    if after[:1].isdigit() or before in ON | DAYS or re.match(rf"(?:{'|'.join(WEEKDAYS)})\.", ahead):
        return WEEKDAYS[core]
    if core == "Fr":
        named = re.match(r"\W*[A-ZÄÖÜ]", ahead) is not None or after in {"von", "van", "de"} or before in WOMAN
        day = not named and (following is not None or before in AROUND)
    else:
        day = before in AROUND or after in {"bis", "und", "oder", "um", "ab"}
    return WEEKDAYS[core] if day else None


def weekdays(core: str) -> str:
    """Mo.-Fr. -> Montag bis Freitag; "" for other words."""
    names = "|".join(WEEKDAYS)
    days = re.fullmatch(rf"({names})\.?[-–]({names})", core)
    return f"{WEEKDAYS[days.group(1)]} bis {WEEKDAYS[days.group(2)]}" if days else ""


def initials(word: str) -> str:
    """USA -> "uh-ess-ah": capitals that cannot be read as a word, and single consonants, are spelled."""
    low = word.lower()
    capitals = word.isupper() and 2 <= len(word) <= 5
    unreadable = not re.search("[aeiouäöüy]", low) or low in SPELLED or (capitals and len(low) == 2)
    if (len(low) == 1 and low not in "o" and low in LETTER_NAMES) or (capitals and unreadable):
        return "-".join(LETTER_NAMES.get(letter, "") for letter in low)
    return word
