"""English: as the recogniser writes it, and as error rates count it."""

from __future__ import annotations

from streamst.languages.language import Language

from .numbers import cardinal
from .spoken import LETTERS, normalise, spoken_english

__all__ = ["ENGLISH", "spoken_english"]

ENGLISH = Language(
    code="en",
    name="English",
    letters=LETTERS,
    sentence_ends=".?!…",
    cardinal=cardinal,
    spoken=spoken_english,
    normalise=normalise,
)
