"""Chemical formulas, letter by letter: H2SO4, NaCl, Ca²⁺."""

from __future__ import annotations

import re

from .numbers import cardinal
from .place import Place, Said
from .spelling import LETTER_NAMES

_ELEMENTS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Ru
Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba W Re Os Ir Pt Au Hg Tl Pb Bi Rn Ra Th U Pu
"""
_ELEMENT = "|".join(sorted(_ELEMENTS.split(), key=len, reverse=True))
_FORMULA = re.compile(rf"(?:(?:{_ELEMENT}|\((?=.*[0-9])|\))[0-9]*)+")
_ION = re.compile(rf"((?:(?:{_ELEMENT})[0-9]*)+)([²³]?)\^?([+-])")
_SALTS = frozenset(
    {"NaCl", "NaOH", "HCl", "KCl", "CaO", "MgO", "ZnO", "NaF", "LiOH", "AgCl", "CuO", "FeO", "SiC", "GaN", "GaAs"}
)  # without a digit; others, as BaFin and InOut, are words


def formula(place: Place) -> Said | None:
    """H2SO4 -> "hah zwei ess oh vier"; Ca²⁺ with its charge."""
    if ion := _ION.fullmatch(place.core):
        charge = {"²": "zwei ", "³": "drei "}.get(ion[2], "")
        return f"{_letters(ion[1])} {charge}{'plus' if ion[3] == '+' else 'minus'}", True
    if place.core in _SALTS or (re.search("[A-Za-z].*[0-9]", place.core) and _FORMULA.fullmatch(place.core)):
        return _letters(place.core), True
    return None


def _letters(text: str) -> str:
    return " ".join(map(_part, re.findall("[0-9]+|[A-Za-z]+", text)))


def _part(part: str) -> str:
    if part.isdecimal():
        return cardinal(int(part))
    return "o" if part == "O" else "-".join(LETTER_NAMES[letter] for letter in part.lower())
