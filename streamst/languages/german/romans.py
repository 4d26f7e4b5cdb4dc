"""Roman numerals: of rulers (Ludwig XIV.), wars (der II. Weltkrieg) and chapters (Kapitel IV)."""

from __future__ import annotations

import re

from .cases import ACCUSATIVE, DATIVE, DETERMINERS, GENITIVE
from .numbers import cardinal, ordinal, roman
from .ordinals import NUMBERED, inflection
from .place import Place, Said

_PEOPLE = frozenset({"herr", "herrn", "frau", "familie", "firma", "fall"})  # before an initial
_WOMEN = frozenset({"elisabeth", "elizabeth", "beatrix", "margarethe", "margrethe", "mathilde", "adelheid", "irene"})
_MEN = frozenset({"mustafa", "attila", "costa", "juba", "nikola", "luca", "joshua", "umberta"})  # in -a
_UNDECLINED = re.compile(
    ".*(?:us|es|is|ns|ss|x|z)|(?:andre|thom|matthi|jon|luk|eli|tobi|nikol|barnab)as|(?:carl|marc|karl|konstantin)os"
)  # names that end so by themselves: Pius, Johannes
_FORMS = {  # article, and the ending of the ordinal
    "nominative": {"m": ("der", "te"), "f": ("die", "te")},
    "accusative": {"m": ("den", "ten"), "f": ("die", "te")},
    "dative": {"m": ("dem", "ten"), "f": ("der", "ten")},
    "genitive": {"m": ("des", "ten"), "f": ("der", "ten")},
}
_CASES = (
    ("dative", DATIVE | {"dem", "vom", "zum", "zur", "beim", "im", "am"}),
    ("accusative", ACCUSATIVE | {"den"}),
    ("genitive", GENITIVE | {"des"}),
)


def roman_numeral(here: Place) -> Said | None:
    """An ordinal where it has a point, unless it numbers what is said before it."""
    if not (value := roman(here.core)) or not (len(here.core) > 1 or _numbers(here)):
        return None
    if not here.dotted or here.nearest in NUMBERED or (here.last and not here.before):
        return cardinal(value), True
    if not here.before or here.nearest in DETERMINERS:
        return ordinal(value, inflection(here)), here.sentence_follows
    article, end = _FORMS[_case(here)]["f" if _woman(here.nearest) else "m"]
    return f"{article} {ordinal(value, end)}", here.sentence_follows


def _numbers(here: Place) -> bool:
    """A single letter is a numeral: die V. Sinfonie, Karl V. starb, Teil I."""
    named = bool(here.written) and here.written[-1][:1].isupper() and here.nearest not in NUMBERED | _PEOPLE
    if here.nearest in NUMBERED and here.core in "IV":
        return True
    return here.nearest in DETERMINERS or (named and here.dotted and (here.last or here.after[:1].islower()))


def _woman(name: str) -> bool:
    name = name.removesuffix("s") if not _UNDECLINED.fullmatch(name) else name
    return name in _WOMEN or (name.endswith("a") and name not in _MEN)


def _case(here: Place) -> str:
    """By an s at the name's end, or by the word before the name and its titles: von Papst Johannes Paul II."""
    if here.nearest.endswith("s") and not _UNDECLINED.fullmatch(here.nearest):
        return "genitive"
    for written, word in zip(reversed(here.written), reversed(here.before), strict=True):
        for case, words in _CASES:
            if word in words:
                return case
        if not written[:1].isupper() or written[-1] in ".,:;!?":
            break
    return "nominative"
