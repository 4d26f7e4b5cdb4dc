"""What latency counts: the units of a text. A unit never contains Unicode white space."""

from __future__ import annotations

import unicodedata

from streamst.errors import InputError

UNITS = ("word", "char")
CHARACTER_LANGUAGES = ("zh", "ja", "th", "lo", "my", "km")  # written without spaces between words


def unit_of(language: str) -> str:
    """The unit that latency is counted in for a language code such as "de", "zh" or "zh-Hant"."""
    return "char" if language.lower().replace("_", "-").split("-")[0] in CHARACTER_LANGUAGES else "word"


def split_at_blanks(text: str) -> tuple[str, ...]:
    """Words cut at U+0020 only, as simulstream cuts them: a non-breaking space is part of a word."""
    return tuple(word for word in text.split(" ") if word)


def split_units(text: str, unit: str = "word") -> tuple[str, ...]:
    """Words (`str.split()`: non-breaking spaces, tabs and ideographic spaces separate too) or visible characters.

    A combining mark belongs to the character before it. Raises InputError for another unit than "word" and "char".
    """
    words = text.split()
    if unit == "word":
        return tuple(words)
    if unit != "char":
        raise InputError(f"unknown unit {unit!r}; allowed: {', '.join(UNITS)}")
    characters: list[str] = []
    for word in words:
        for i, character in enumerate(word):
            if i and unicodedata.combining(character):
                characters[-1] += character
            else:
                characters.append(character)
    return tuple(characters)
