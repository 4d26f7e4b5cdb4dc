"""Endings: which an ordinal takes between its words, and which form of "ein" a 1 is."""

from __future__ import annotations

import re

from .nouns import DAYS, gender, plural, surely_plural

_POSSESSIVE = ("mein", "dein", "sein", "ihr", "unser", "euer", "eur", "unsr")
_EIN = ("ein", "kein", *_POSSESSIVE)
_DIES = ("dies", "jen", "jed", "manch", "welch", "solch", "jedwed")
WEAK_N = frozenset(
    {"am", "im", "vom", "zum", "zur", "beim", "den", "dem", "des", "hinterm", "unterm", "überm", "vorm", "alle",
     "beide", "sämtliche"}
    | {f"{stem}{end}" for stem in _EIN for end in ("en", "em", "es", "er")}
    | {f"{stem}{end}" for stem in _DIES for end in ("en", "em")}
) - {"euer", "unser"}  # fmt: skip
WEAK_E = frozenset(
    {"die", "das", "ans", "ins", "aufs", "fürs", "durchs", "ums", "übers", "unters", "vors", "hinters"}
    | {f"{stem}{end}" for stem in _DIES for end in ("e", "es")}
    | {f"{stem}e" for stem in _EIN}
)  # fmt: skip
_DIE = frozenset({"die", *(f"{stem}e" for stem in (*_DIES, *_EIN))} - {"eine", "jede", "jedwede"})  # of several, too
DER = frozenset({"der", *(f"{stem}er" for stem in _DIES)})  # a man's nominative, a woman's dative and genitive
UNENDED = frozenset({"ein", "kein", "mein", "dein", "sein", "ihr", "unser", "euer"})
DETERMINERS = WEAK_N | WEAK_E | DER | UNENDED
NAMING = DETERMINERS - {f"{k}ein{end}" for k in ("", "k") for end in ("", "e", "en", "em", "es", "er")}
# which show that a number at a sentence's end is an ordinal ("am 3."); "eine 3." is a mark at school
DATIVE = frozenset(
    {"mit", "nach", "von", "aus", "bei", "seit", "zu", "ab", "in", "an", "auf", "unter", "vor", "hinter", "neben",
     "zwischen", "binnen", "laut", "gegenüber", "außer"}
)  # fmt: skip
_DATIVE_BEFORE_DAYS = frozenset({"seit", "nach", "vor", "mit"})  # of those that no accusative may follow
ACCUSATIVE = frozenset({"für", "durch", "gegen", "ohne", "um", "bis", "per", "pro", "je"})
GENITIVE = frozenset({"wegen", "trotz", "während", "statt", "innerhalb", "außerhalb"})
PREPOSITIONS = DATIVE | ACCUSATIVE | GENITIVE
_STRONG = {
    "nominative": {"m": "er", "f": "e", "n": "es", "": "er"},
    "accusative": {"m": "en", "f": "e", "n": "es", "": "en"},
    "dative": {"m": "em", "f": "er", "n": "em", "": "er"},
    "genitive": {"m": "en", "f": "er", "n": "en", "": "en"},
}
_ADJECTIVE = re.compile(
    "(?:letzt|nächst|vergangen|kommend|vorig|weiter|ander|eigen|neu|alt|gut|groß|klein|jung|schön|lang|kurz|ganz"
    "|einzig|.*(?:lich|ig|isch|sam|bar|voll|los|reich|end))(e[nmrs]?)"
)
_NO_ADJECTIVE_WORDS = """
der dieser jener jeder oder aber über unter hinter gegen neben wegen zwischen einen einem einer eines eine seine
ihre seiner ihrer ihren ihrem seinen seinem wurde werden wurden waren haben hatte hatten sollte konnte musste wollte
jede alle viele heute immer wieder später früher bitte danke eben ohne außer außerdem trotzdem deswegen wer er sie
es des dessen deren denen ihnen wenige kamen gingen blieben standen lagen saßen wurden wären würden siegten gewannen
verloren fielen fehlten folgten starben lebten spielten liefen sagten fuhren riefen kommen gehen bleiben fehlen folgen
"""
_NO_ADJECTIVE = frozenset(_NO_ADJECTIVE_WORDS.split())


def ending(before: tuple[str, ...], after: str, noun_follows: bool, dated: bool = False) -> str:
    """ "e", "en", "er", "es" or "em" of an ordinal.

    before: the words before it, without punctuation, in small letters, the nearest last. after: the word after it.
    noun_follows: `after` is written with a capital. dated: it is a day, a month belongs to it.
    """
    nearest = before[-1] if before else ""
    kind = "m" if dated else gender(after) if noun_follows else ""
    if not noun_follows and not dated and (copied := _adjective_ending(after)):
        return copied
    if nearest in WEAK_N or nearest == "v":  # v. 5. bis 7. Mai
        return "en"
    if noun_follows and ((nearest in _DIE and plural(after)) or (nearest in DER and surely_plural(after))):
        return "en"
    if nearest in DER:
        return "en" if kind == "f" or (not kind and len(before) > 1 and before[-2] in DATIVE) else "e"
    if nearest in WEAK_E:
        return "e"
    if nearest in DAYS:
        return "er" if dated and len(before) == 1 else "en"
    if dated and nearest in PREPOSITIONS | {"und", "oder"}:
        return "em" if nearest in _DATIVE_BEFORE_DAYS else "en"
    if match := _ADJECTIVE.fullmatch(nearest):
        return match.group(1)
    if "sie" in before and not noun_follows:  # she came second
        return "e"
    named_woman = noun_follows and kind == "m" and after.endswith("ende")  # 2. Vorsitzende, no Vorsitzender
    return _STRONG[_case(nearest)]["f" if named_woman else kind]


_MEN_TEXT = """
junge kollege name bote erbe hase löwe affe rabe riese pole russe franzose däne neffe
"""
_MEN = frozenset(_MEN_TEXT.split())


def article(noun: str, before: str, guessed: bool = False) -> str:
    """A 1 before `noun`: ein, eine, einem, einen, einer. guessed: by its last letter, if nothing else is known."""
    by_ending = "f" if guessed and noun.endswith("e") and not noun.startswith("ge") and noun not in _MEN else ""
    kind, case = gender(noun) or by_ending, _case(before)
    if kind == "f":
        return "einer" if case in {"dative", "genitive"} else "eine"
    if case == "accusative" and kind == "m":
        return "einen"
    return {"dative": "einem", "genitive": "eines"}.get(case, "ein")


def _case(before: str) -> str:
    """What a preposition asks for; the nominative after other words."""
    for case, prepositions in (("dative", DATIVE), ("accusative", ACCUSATIVE), ("genitive", GENITIVE)):
        if before in prepositions:
            return case
    return "nominative"


def _adjective_ending(word: str) -> str:
    """Of an adjective in small letters, with which the ordinal before it agrees."""
    match = re.fullmatch(r"[a-zäöüß]{3,}?(e[nmrs]?)", word)
    return match.group(1) if match and word not in _NO_ADJECTIVE | DETERMINERS | PREPOSITIONS else ""
