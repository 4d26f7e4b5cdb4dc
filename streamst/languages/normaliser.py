"""What the normalisers of error rates share: marks go."""

from __future__ import annotations

import unicodedata


def unmarked(text: str) -> str:
    """`text` in small letters, without punctuation and symbols."""
    return without_marks(folded(text))


def folded(text: str) -> str:
    """`text` in Unicode's NFKC and small letters, with one apostrophe."""
    return unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‘", "'")


def without_marks(text: str) -> str:
    """Letters, digits and apostrophes within words; hyphens and dashes become blanks, other marks nothing."""
    kept: list[str] = []
    for i, character in enumerate(text):
        inside = 0 < i < len(text) - 1 and text[i - 1].isalnum() and text[i + 1].isalnum()
        if unicodedata.category(character)[0] in "LNM" or (character == "'" and inside):
            kept.append(character)
        elif character.isspace() or unicodedata.category(character) == "Pd" or character in "/_":
            kept.append(" ")
    return " ".join("".join(kept).split())
