"""German: as the voice says it, and as error rates count it."""

from __future__ import annotations

from streamst.languages.language import Language

from .normalise import normalise
from .numbers import cardinal
from .spoken import spoken_german
from .symbols import LETTERS

GERMAN = Language(
    code="de",
    name="German",
    letters=LETTERS,
    sentence_ends=".?!…",
    cardinal=cardinal,
    spoken=lambda text: " ".join(spoken_german(text)),
    normalise=normalise,
)
