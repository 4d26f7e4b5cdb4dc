"""What a writer that loops gives away: words three times running, and phrases twice running."""

from __future__ import annotations

from streamst.text import bare

LONGEST_PHRASE = 8  # words


def repeats_word(text: str) -> bool:
    """True where a word stands three times running, whatever its case and the marks around it."""
    words = bare(text).split()
    return any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False))


def repeats_phrase(text: str) -> bool:
    """True where two to eight words are said again at once: "in die Stadt in die Stadt"."""
    words = bare(text).split()
    return any(
        words[at : at + size] == words[at + size : at + 2 * size] and len(set(words[at : at + size])) > 1
        for size in range(2, LONGEST_PHRASE + 1)
        for at in range(len(words) - 2 * size + 1)
    )
