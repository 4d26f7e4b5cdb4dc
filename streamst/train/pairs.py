"""Sentence pairs of many registers: read, cleaned, kept apart from what tests, and drawn by weight."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamst.errors import ConfigError
from streamst.languages.english import spoken_english
from streamst.text import plain_marks
from streamst.train.synthesis import read_pairs

_ODD = re.compile(r"[%{}<>\\|_^$=*#@\[\]]|https?:|www\.|&\w+;")  # markup, placeholders, addresses
_LONGEST = 400  # characters
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Corpus:
    """A file of English TAB German, and how often an epoch reads each of its pairs, on average."""

    path: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 100:
            raise ConfigError(f"data.corpora: weight {self.weight} of {self.path}; allowed: above 0 to 100")


@dataclass(frozen=True)
class Pair:
    """A sentence in both languages as it is written, and how often an epoch reads it."""

    english: str
    heard: str  # the English as a listener spells it
    german: str
    weight: float


def usable(text: str) -> bool:
    """Whether `text` can be a sentence: words, no markup, not too long."""
    return bool(_WORD.search(text)) and not _ODD.search(text) and len(text) <= _LONGEST


def fits(english: str, german: str) -> bool:
    """Whether the two can be a sentence and its translation: both usable, of like length, not one text twice."""
    if not (usable(english) and usable(german)):
        return False
    words = len(english.split())
    if words > 3 and english.lower() == german.lower():
        return False
    return 0.4 <= (len(german) + 12) / (len(english) + 12) <= 2.2


def read_corpora(corpora: Sequence[Corpus], excluded: Iterable[str]) -> list[Pair]:
    """The pairs of all corpora that fit, each once; none whose English, as it is spoken, is in a file of `excluded`."""
    banned = {spoken_english(english) for path in excluded for english, _ in read_pairs(Path(path))}
    found: dict[tuple[str, str], Pair] = {}
    for corpus in corpora:
        for english, german in read_pairs(Path(corpus.path)):
            english, german = plain_marks(english), plain_marks(german)
            if (english, german) in found or not fits(english, german):
                continue
            heard = spoken_english(english)
            if heard not in banned:
                found[english, german] = Pair(english, heard, german, corpus.weight)
    if not found:
        raise ConfigError("data.corpora hold no usable sentence pair")
    return list(found.values())


def drawn(weights: Sequence[float], draw: random.Random) -> Iterator[int]:
    """The places that one epoch reads, in no order: a weight of 2.25 is two times, in a quarter of epochs three."""
    for place, weight in enumerate(weights):
        for _ in range(int(weight) + (draw.random() < weight % 1)):
            yield place
