"""The languages by their codes."""

from __future__ import annotations

from .english import ENGLISH
from .german import GERMAN
from .language import Language

LANGUAGES: dict[str, Language] = {"en": ENGLISH, "de": GERMAN}


def language_name(code: str) -> str:
    """The English name of a language code such as "de" or "de-AT"; the code itself where it is none of ours."""
    language = LANGUAGES.get(code.lower().partition("-")[0])
    return language.name if language else code
