"""Where a segment of speech ends, by its words alone: a pause, a sentence's end, too many words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .words import HeardWord, Listening

ENDS = (".", "!", "?", "…", "。", "！", "？")
CLOSING = "\"')]»”’"  # what may stand behind the mark that ends a sentence
SHORTENED = frozenset({"mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "no.", "vs.", "e.g.", "i.e.", "a.m.", "p.m."})


@dataclass(frozen=True)
class SegmentConfig:
    """When a segment ends."""

    pause_ms: float = 800.0  # silence after words
    patience_ms: float = 1600.0  # silence after words of which some may still change
    longest: int = 80  # pieces of words
    fewest_words: int = 2  # of a sentence that ends without a pause


def ended(heard: Listening, config: SegmentConfig) -> int:
    """How many of the words heard, which begin a segment, are its words now that it has ended; 0 while it goes on."""
    words, certain = heard.words, heard.certain
    if not words:
        return 0
    sentence = heard.sentence or first_sentence(words[:certain], config.fewest_words)
    if sentence:
        return sentence
    if heard.silence_ms >= (config.pause_ms if certain == len(words) else config.patience_ms):
        return len(words)
    if sum(word.pieces for word in words) >= config.longest:
        return certain or len(words)
    return 0


def first_sentence(words: Sequence[HeardWord], fewest: int = 2) -> int:
    """How many of `words` a mark ends as a sentence, where another word follows; 0 where none does."""
    return next((n for n in range(fewest, len(words)) if closes(words[n - 1].text)), 0)


def closes(word: str) -> bool:
    """Whether a sentence ends with `word`: a mark that ends sentences, and neither a title nor an initial before it."""
    bare = word.rstrip(CLOSING)
    initial = len(bare) == 2 and bare[0].isalpha() and bare[0].isupper() and bare[0] != "I"
    return bare.endswith(ENDS) and bare.lower() not in SHORTENED and not initial
