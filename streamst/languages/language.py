"""What the rest of the house knows of a language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language as it is written, heard, said and counted in; values, and functions of a text without a state."""

    code: str  # ISO 639-1
    name: str  # in English, as messages and menus show it
    letters: str  # of the spoken form, beside the blank between words
    sentence_ends: str  # marks, one of which ends a written sentence
    cardinal: Callable[[int], str]  # a number in words
    spoken: Callable[[str], str]  # a written text as it is heard or said
    normalise: Callable[[str], str]  # for error rates: what is the same to the ear becomes the same text
