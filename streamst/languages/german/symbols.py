"""The alphabet of the German voice: what a spoken word is made of, as numbers."""

from __future__ import annotations

LETTERS = "abcdefghijklmnopqrstuvwxyzäöüß-"
ENDS = " ,.?!:"  # what follows a word's letters: a blank, or the punctuation that takes its place
START = "^"  # what precedes the first word of a phrase
SYMBOLS = (*LETTERS, *ENDS, START)  # index + 1 is the voice's symbol; 0 is padding
INDEX = {symbol: index + 1 for index, symbol in enumerate(SYMBOLS)}


def encode(word: str, first: bool = False) -> list[int]:
    """Symbols of one spoken word: START where it opens a phrase, letters, and exactly one of ENDS."""
    letters, end = (word[:-1], word[-1]) if word[-1:] in ENDS and word else (word, " ")
    return [INDEX[symbol] for symbol in ((START,) if first else ()) + tuple(letters) + (end,)]


def closes(word: str) -> bool:
    """True when a spoken word ends a sentence."""
    return word[-1:] in (".", "?", "!")
