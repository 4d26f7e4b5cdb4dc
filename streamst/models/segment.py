"""Where a segment of speech ends, by its words alone: a pause, a sentence's end, too many words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamst.models.seam import HeardWord

ENDS = (".", "!", "?", "…")
CLOSING = "\"')]»”’"  # what may stand behind the mark that ends a sentence
TITLES = frozenset({"mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "no.", "vs.", "e.g.", "i.e.", "a.m.", "p.m."})


@dataclass(frozen=True)
class SegmentConfig:
    """When a segment ends."""

    pause_ms: float = 800.0  # silence after words
    patience_ms: float = 1600.0  # silence after words of which some are not certain yet
    most_words: int = 60
    fewest_words: int = 2  # of a sentence that ends without a pause


def ended(words: Sequence[HeardWord], certain: int, silence_ms: float, config: SegmentConfig) -> int:
    """How many of `words`, which begin a segment, are its words now that it has ended; 0 while it goes on.

    certain: how many of them will not change; silence_ms: since the last sound of speech.
    """
    if not words:
        return 0
    for number in range(config.fewest_words, certain):
        if closes(words[number - 1].text):
            return number
    if silence_ms >= (config.pause_ms if certain == len(words) else config.patience_ms):
        return len(words)
    return certain if certain >= config.most_words else 0


def closes(word: str) -> bool:
    """Whether a sentence ends with `word`: a mark that ends sentences, and neither a title nor an initial before it."""
    bare = word.rstrip(CLOSING)
    initial = len(bare) == 2 and bare[0].isalpha() and bare[0].isupper() and bare[0] != "I"
    return bare.endswith(ENDS) and bare.lower() not in TITLES and not initial
