"""German words as they are spoken: rules that look at one written word between its neighbours.

A voice that speaks word by word knows the words before and one after; `spoken_german` is the same over a whole text, so
both say the same. What is written in several words and said as one (10 000) counts as one word: `groups.together`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

from . import addresses, arithmetic, chemistry, dates, glued, measures, ordinals
from .abbreviations import ABBREVIATIONS, abbreviation
from .groups import telephone, together
from .nouns import MONTHS_SHORT
from .numbers import NUMBER, VULGAR, amount, roman
from .place import ALONE, CONTEXT, SIGNS, Place, Said, fold, place, take_end, ungrouped
from .romans import roman_numeral
from .spelling import spelled
from .symbols import ENDS, LETTERS
from .units import ALONE as ALONE_UNITS
from .units import CURRENCIES, LARGE, unit
from .weekdays import WEEKDAYS, weekday, weekdays, weekdays_around

DIGITS = "0123456789"
LONGEST = 64  # letters in one spoken word; longer ones are spoken in pieces
_EACH = "Monat|Jahr|Tag|Stunde|Woche|Person|Nacht|Stück|Kopf|Minute|Sekunde"
_PER = re.compile(rf"^((?!(?:{_EACH})/)[^\W\d]+)/({_EACH})$")  # brutto/Monat; not Tag/Nacht
_HOLDS_DIGITS = re.compile(f"[0-9{''.join(VULGAR)}]")


def spoken_german(text: str) -> tuple[str, ...]:
    """The spoken words of a German text (see `spoken`); text without anything speakable gives none."""
    words = together(text.split())
    said: list[str] = []
    for index, word in enumerate(words):
        following = words[index + 1].split()[0] if index + 1 < len(words) else None
        said.extend(spoken(word, words[max(0, index - CONTEXT) : index], following))
    return tuple(said)


def spoken(word: str, before: Sequence[str] = (), following: str | None = None) -> tuple[str, ...]:
    """How `word` is said between its neighbours: words of LETTERS, each with at most one of ENDS as its last character.

    What has no letter or digit of ours (emoji, Chinese) gives no word. `following` is None at the end of a phrase.
    word, before: units as `together` gives them, of what is before the last CONTEXT count; following: as it is written,
    without what belongs to it.
    """
    if parts := glued.parted(word, before):
        return (*spoken(parts[0], before, parts[1]), *spoken(parts[1], [*before, parts[0]], following))
    if glued.lifetime(word, before, following):
        return ("geboren",) if word[-1] == "*" else ("gestorben",)
    here = place(re.sub("^Fr[.] (?=[0-9])", "CHF ", word), before[-CONTEXT:], following)
    text, keeps_end = _said(here)
    end = here.end
    if end == " " and following is not None and _silent_after(here, word):
        end = take_end(fold(following), False)[1]  # of a word that is said with this one, before it
    said = [piece for raw in text.split() for piece in _pieces(*_letters(raw))]
    if not keeps_end and end == ".":
        end = " "
    if said and end != " ":
        said[-1] = said[-1].rstrip(ENDS) + end
    return tuple(said)


def leans(word: str) -> bool:
    """True when how a written word is said may depend on the word after it: numbers, abbreviations, signs."""
    core, end = take_end(fold(word), False)
    low = core.lower()
    return (
        bool(_HOLDS_DIGITS.search(core))
        or word in ALONE
        or core in {"x", "km", "SS", "WS"}
        or word[-1:] in {"†", "✝", "*"}
        or core in SIGNS
        or ("." in word and (len(low) < 3 or low in ABBREVIATIONS or low in MONTHS_SHORT or roman(core) > 0))
        or (end == "." and low.endswith("str"))
        or (core in WEEKDAYS and (end == "," or core not in {"So", "Do"}))
    )


def sayable(word: str) -> bool:
    """Whether a written word is said between some neighbours: a stroke alone is not, between numbers it is."""
    return bool(spoken(word)) or word in ALONE or glued.lifetime(word, (), "1950")


def _silent_after(here: Place, word: str) -> bool:
    after = here.after.lower()
    return (after == "uhr" or after in CURRENCIES) and not spoken(here.following or "", (word,))


def _said(here: Place) -> Said:
    """What the first rule that knows the word makes of it."""
    for rule in WHOLE:
        if said := rule(here):
            return said
    here = replace(here, core=ungrouped(here.core))
    if not _HOLDS_DIGITS.search(here.core):
        return next((said for rule in WORDS if (said := rule(here))), None) or (_plain(here.core), True)
    sign, core = measures.signed(here.core)
    sign = measures.diameter(here) or sign
    here = replace(here, core=core)
    said = next((said for rule in NUMBERS if (said := rule(here))), None) or (_digits_and_letters(core), True)
    return (f"{sign} {said[0]}", said[1]) if sign else said


def _sign(here: Place) -> Said | None:
    """A sign alone; a currency is silent after a price that says it, and "x" between numbers is "mal"."""
    number_after = here.after.lstrip("+-")[:1].isdecimal()
    between = number_after and (here.nearest[-1:].isdecimal() or unit(here.nearest) is not None)
    if here.low == "x" and (between or (here.nearest[-1:].isdecimal() and here.after[:1].islower())):
        return "mal", True
    if here.core in {"·", ":", "/"}:
        return {"·": "mal", ":": "geteilt durch", "/": "geteilt durch"}[here.core] if between else "", True
    if full := re.fullmatch("%(ig[a-z]*)", here.core):
        return f"prozent{full.group(1)}", True
    if here.core == "−":
        return "minus", True
    if here.core == "-" and "=" in here.written and number_after:
        return "minus", True
    if here.core in {"-", "–"} and (between or weekdays_around(here) or dates.months_around(here)):
        return "bis", True
    if name := measures.diameter(here) or measures.sign_word(here.core):
        return ("" if here.core in CURRENCIES and measures.priced(here.nearest) else name), True
    return None


def _currency(here: Place) -> Said | None:
    """A currency's code or name; silent after a price that says it."""
    if here.low not in CURRENCIES:
        return None
    if measures.priced(here.nearest):
        return "", True
    if (measures.measured(here.nearest) or here.nearest in LARGE) and (
        here.core.isupper() or here.low in {"ct", "zl", "kč", "us-$", "us$"}
    ):
        return CURRENCIES[here.low], not here.dotted or here.low != "ct" or here.sentence_follows
    return None


def _hour(here: Place) -> Said | None:
    """ "Uhr" is said within the time before it."""
    return ("", True) if here.low in {"uhr", "h"} and dates.timed(here.nearest) else None


def _unit_alone(here: Place) -> Said | None:
    """A unit that no number stands before: °C, km²."""
    before_number = here.core == "km" and here.after[:1].isdecimal()  # bei km 12,5
    found = unit(here.core) if before_number or here.core in ALONE_UNITS or re.search("[²³]", here.core) else None
    return (found.many, True) if found else None


def _initial(here: Place) -> Said | None:
    """The A. of A. Müller."""
    if not here.dotted or not re.fullmatch("[A-ZÄÖÜ]", here.core) or here.sentence_follows:
        return None
    return spelled(here.core), False


Rule = Callable[[Place], Said | None]
WHOLE: tuple[Rule, ...] = (
    arithmetic.factorial,
    arithmetic.calculation,
    measures.counted_noun,
    addresses.coordinate,
    chemistry.formula,
    measures.unit_name,
    measures.large,
    telephone,
    addresses.account,
    addresses.postcode,
    dates.date,
    ordinals.row,
)
WORDS: tuple[Rule, ...] = (
    dates.months, weekdays, weekday, abbreviation, roman_numeral, _initial, arithmetic.power, _sign, _currency,
    _hour, _unit_alone, addresses.address,
)  # fmt: skip
NUMBERS: tuple[Rule, ...] = (
    arithmetic.scientific,
    dates.month_and_year, addresses.dotted_number, dates.time, measures.hour, dates.score, measures.decade,
    ordinals.one,
    measures.pressure, measures.two, measures.parted, measures.times, arithmetic.power, measures.span,
    measures.price_each, measures.measure, measures.compound, addresses.address,
)  # fmt: skip


def _digits_and_letters(core: str) -> str:
    """H2O -> "hah zwei oh": each as it is said alone."""
    parts = re.findall(rf"{NUMBER}|[^0-9\s]+", core)
    return " ".join(amount(part) if part[0] in DIGITS else _plain(part) for part in parts)


def _plain(core: str) -> str:
    """Words without digits: signs are named, initials spelled."""
    for sign, name in SIGNS.items():
        core = core.replace(sign, f" {name} ")
    core = re.sub(_PER, r"\1 pro \2", core)
    words = (word.split("-") for word in re.split(r"[^\w'-]+|_", core) if word)
    return " ".join("-".join(_part(part, len(parts) > 1) for part in parts) for parts in words)


def _part(word: str, joined: bool) -> str:
    """Of U-Bahn and EU-Staat; the E- of E-Mail is left, which is said in English."""
    return word if joined and word != "pH" and (word in {"E", "e"} or not word.isupper()) else spelled(word)


def _letters(word: str) -> tuple[str, str]:
    """Only LETTERS, and the comma that may follow: accents of other languages fall away, so does every other script."""
    kept = ""
    for character in fold(word.lower()):
        if character not in LETTERS:
            character = unicodedata.normalize("NFKD", character)[:1]
        kept += character if character in LETTERS else ""
    return re.sub("-{2,}", "-", kept).strip("-"), "," if word.endswith(",") else ""


def _pieces(word: str, end: str) -> Sequence[str]:
    pieces = [word[start : start + LONGEST] for start in range(0, len(word), LONGEST)]
    return [*pieces[:-1], pieces[-1] + end] if pieces and end else pieces
