"""One written word between its neighbours: all that the rules know."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from .cases import DETERMINERS, PREPOSITIONS
from .units import CURRENCIES, MONEY_BEFORE, MONEY_SIGNS

CONTEXT = 4  # units before a word that may decide how it is said
Said = tuple[str, bool]  # the words, and whether the punctuation behind the written one still stands
SIGNS = {
    **MONEY_SIGNS, "%": "Prozent", "&": "und", "+": "plus", "=": "gleich", "@": "ät", "§": "Paragraf",
    "§§": "Paragrafen", "‰": "Promille", "°": "Grad", "×": "mal", "⋅": "mal", "·": "mal", "÷": "geteilt durch",
    "<": "kleiner", ">": "größer", "±": "plus minus", "≥": "größer gleich", "≤": "kleiner gleich", "≠": "ungleich",
    "≈": "etwa", "~": "etwa", "√": "Wurzel", "∞": "unendlich", "№": "Nummer", "Ø": "Durchschnitt", "∅": "Durchschnitt",
    "Ω": "Ohm", "µ": "Mikro", "α": "Alpha", "β": "Beta", "γ": "Gamma", "δ": "Delta", "Δ": "Delta", "λ": "Lambda",
    "π": "Pi", "σ": "Sigma", "ω": "Omega", "#": "Raute",
}  # fmt: skip
_KEPT = re.escape("".join({c for sign in SIGNS for c in sign} - {"·"}))
_FOLDED = str.maketrans(
    {"ø": "ö", "å": "o", "æ": "ä", "œ": "ö", "ł": "l", "đ": "d", "ð": "d", "þ": "t", "ı": "i", "ẞ": "ß", "μ": "µ",
     "′": "'", "∕": "/", "⁄": "/", "∼": "~", "☓": "×", "✕": "×", "¹": "^1", "⁻": "^-", "⁺": "^+"}
    | {chr(0x2080 + digit): str(digit) for digit in range(10)}  # subscripts
    | {chr(0x2070 + digit): f"^{digit}" for digit in (0, *range(4, 10))}  # superscripts; ² and ³ stay
)  # fmt: skip
ALONE = {  # signs that would pass for punctuation
    "-": "-", "–": "-", "—": "-", "−": "−", "+/-": "±", "+-": "±", "<=": "≤", ">=": "≥", "!=": "≠",
    "*": "×", "·": "·", ":": ":", "/": "/",
}  # fmt: skip
_STARTING = """
er sie es wir ihr ich du man dann da danach davor vorher nachher darunter darüber dahinter darauf daraus dabei damit
dadurch dafür dagegen davon dazu dort hier heute gestern und aber oder denn doch wenn als weil ob obwohl wie was wer
wen wem wessen wo wohin woher warum wann wieso weshalb welche welcher welches jetzt nun so auch nur noch nicht
nichts viele einige manche etwas jemand niemand sonst sondern trotzdem deshalb deswegen daher darum also außerdem
später früher bald oft immer nie niemals wieder schon erst endlich leider vielleicht natürlich eigentlich dennoch
zudem zuerst zuletzt schließlich anschließend inzwischen plötzlich ja nein bitte danke sehr alles beide einmal
seitdem seither bevor nachdem sobald solange indem dass falls sofern während kurz ist war sind hat haben wird kann
"""
# words that are written with a capital only where a sentence begins
_STARTERS = frozenset(_STARTING.split()) | ((DETERMINERS | PREPOSITIONS) - {"laut"})


@dataclass(frozen=True)
class Place:
    """A word and what stands around it."""

    core: str  # without outer punctuation, in one form where typography has several
    end: str  # the symbol that its punctuation becomes
    dotted: bool  # a point follows at once, whatever comes after it
    written: tuple[str, ...]  # what is written before it, at most CONTEXT words, the nearest last
    before: tuple[str, ...]  # the same in small letters without punctuation
    following: str | None  # the written word after it, None where nothing comes
    after: str  # the same without punctuation

    @property
    def low(self) -> str:
        return self.core.lower()

    @property
    def nearest(self) -> str:
        """The word before, in small letters; "" where there is none."""
        return self.before[-1] if self.before else ""

    @property
    def last(self) -> bool:
        return self.following is None

    @property
    def noun_follows(self) -> bool:
        """A word with a capital comes next."""
        return self.after[:1].isupper()

    @property
    def sentence_follows(self) -> bool:
        """Nothing comes, or a word that has a capital because a sentence begins with it."""
        return self.last or (self.noun_follows and self.after.lower() in _STARTERS)


def place(word: str, written: Sequence[str], following: str | None) -> Place:
    """`word` after the `written` units and before `following`."""
    folded = fold(word)
    if re.fullmatch(r"[0-9.']*[0-9]\.[-–—]+", folded) and bare(following).lower() in CURRENCIES:  # 5.- €
        folded = folded.rstrip("-–—.")
    core, end = (ALONE[word], " ") if word in ALONE else take_end(folded, following is None)
    parts = [part for unit in written for part in _parts(unit)][-CONTEXT:]
    before = tuple(ungrouped(bare(part)).lower() for part in parts)
    dotted = end == "." or (bool(core) and folded.partition(core)[2].startswith("."))
    return Place(core, end, dotted, tuple(parts), before, following, bare(following))


def fold(word: str) -> str:
    """Composed, with superscripts kept, typographic variants unified, digits of any script ours, and invisible
    characters dropped."""
    word = unicodedata.normalize("NFC", word).translate(_FOLDED)
    if not word.isascii():
        word = "".join(str(unicodedata.digit(c)) if c.isdigit() and c not in "²³" else c for c in word)
    word = re.sub("[\u00ad\u200b-\u200f\u2060\ufeff\ufe0f]", "", word)
    return re.sub("[‐‑−]", "-", re.sub("[’ʻ`´]", "'", word))


def take_end(word: str, last: bool) -> tuple[str, str]:
    """The word without its outer punctuation, and the symbol that follows it. `last`: the phrase ends here."""
    if money := re.fullmatch(rf"(.*[0-9]),(?:-+|[–—]+)(.*)|((?:{MONEY_BEFORE}) ?[0-9.']*[0-9])\.[-–—]+(.*)", word):
        word = "".join(part for part in money.groups() if part)  # 5,- €, CHF 5.-
    if word.endswith("^-"):  # of an ion
        return word, " "
    match = re.fullmatch(rf"[^\w{_KEPT}-]*(.*?)([^\w{_KEPT}]*)", word, re.DOTALL)
    core, tail = (match.group(1), match.group(2)) if match else (word, "")
    if core.count("(") > core.count(")") and tail.startswith(")"):  # dB(A)
        core, tail = core + ")", tail[1:]
    if re.match(r"\.\W*,", tail):  # of "Fr.,"
        return core, ","
    for symbol, signs in (("?", "?"), ("!", "!"), (".", ".…"), (":", ":;"), (",", ",–—()")):
        if any(sign in tail for sign in signs):
            return core, symbol
    return core, "." if last and '"' in tail else " "


def bare(word: str | None) -> str:
    """`word` without its outer punctuation; "" for None."""
    return take_end(fold(word), False)[0] if word else ""


def ungrouped(text: str) -> str:
    """10 000,5 -> 10.000,5, 5 - 7 -> 5-7 and € 5 -> €5, as they are written without blanks."""
    text = re.sub(rf"^({MONEY_BEFORE}) (?=[+-]?[0-9])", r"\1", text)
    text = re.sub("(?<=[0-9]) [-–] (?=[0-9])", "-", text)
    return re.sub("(?<=[0-9]) (?=[0-9]{3}(?![0-9]))", ".", text)


def _parts(unit: str) -> list[str]:
    """The words of a unit that keeps their order in speech, as "1. und 2."; others are one."""
    words = unit.split()
    return (
        words
        if len(words) > 1 and re.fullmatch("[0-9]{1,3}[.],?", words[0]) and not words[-1][0].isdecimal()
        else [unit]
    )
