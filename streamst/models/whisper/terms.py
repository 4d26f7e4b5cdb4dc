"""A glossary's terms for an ear that writes text: those that are spelled like what was written, and their tokens.

Nothing is pulled towards a term before it is heard, which would bend every word that begins like one. Where something
doubtful was written, the terms that look like it are read over the same audio, and the likelier is kept, with a bonus
for the term (rescoring instead of shallow fusion: Wang et al., 2024, "contextual biasing" of Whisper by candidates).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from streamst.models.glossary import Glossary
from streamst.models.whisper.vocabulary import Vocabulary

MOST_WORDS = 3  # that a term may have been heard as
PARTS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?[^\w\s]+")  # beyond which no token reaches (GPT-2)

ALIKE, VOWELS, DOUBLE = str.maketrans("cqzy", "kksi"), re.compile("[aeiou]"), re.compile(r"(.)\1+")


@dataclass(frozen=True)
class Term:
    """letters: as it is compared; spellings: the tokens of it, with a capital and without."""

    letters: str
    spellings: tuple[tuple[int, ...], ...]


class Terms:
    """The terms of a glossary, found by the pairs of letters that they share with what was written."""

    def __init__(self, glossary: Glossary, vocabulary: Vocabulary) -> None:
        tokenizer = _Pieces(vocabulary)
        self.terms: list[Term] = []
        self._holders: dict[str, list[int]] = {}
        self._sizes: list[int] = []
        for source, _ in glossary.terms:
            letters = only_letters(source)
            if len(letters) < 3:  # like everything
                continue
            texts = dict.fromkeys((" ".join(word.capitalize() for word in source.split()), source))
            pairs = _pairs(letters)
            for pair in pairs:
                self._holders.setdefault(pair, []).append(len(self.terms))
            self._sizes.append(len(pairs))
            self.terms.append(Term(letters, tuple(tokenizer.encode(f" {text}") for text in texts)))

    def near(self, text: str, least: float, most: int = 2) -> list[Term]:
        """The terms that share at least this part of their pairs with `text` (Dice), the nearest first; none
        where `text` is a term."""
        letters = only_letters(text)
        pairs = _pairs(letters)
        shared = Counter(number for pair in pairs for number in self._holders.get(pair, ()))
        alike = [(2 * count / (len(pairs) + self._sizes[number]), number) for number, count in shared.items()]
        found = [self.terms[number] for score, number in sorted(alike, reverse=True)[:most] if score >= least]
        return [] if any(term.letters == letters for term in found) else found


class _Pieces:
    """Byte-level BPE: of two neighbours, those that make the first token of the vocabulary are joined first."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._numbers = {piece: number for number, piece in enumerate(vocabulary.pieces)}

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of `text`; what the vocabulary lacks is left out."""
        return tuple(
            self._numbers[piece]
            for part in PARTS.findall(text)
            for piece in self._joined([bytes([byte]) for byte in part.encode()])
            if piece in self._numbers
        )

    def _joined(self, pieces: list[bytes]) -> list[bytes]:
        while True:
            ranks = [(self._numbers.get(a + b), at) for at, (a, b) in enumerate(pairwise(pieces))]
            known = [(rank, at) for rank, at in ranks if rank is not None]
            if not known:
                return pieces
            _, at = min(known)
            pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]


def only_letters(text: str) -> str:
    """`text` as it is compared: small letters and digits."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _pairs(letters: str) -> set[str]:
    """Neighbours in `letters`, and in capitals those of its consonants alone, by which words are alike most often;
    beginnings and ends among them. What sounds alike counts as alike."""
    sounds = DOUBLE.sub(r"\1", letters.replace("ph", "f").translate(ALIKE))
    found = set[str]()
    for text in (sounds, VOWELS.sub("", sounds).upper()):
        whole = f"^{text}$" if text == sounds else f"<{text}>"
        found.update(whole[at : at + 2] for at in range(len(whole) - 1))
    return found


def spans(words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """First token and the one after the last, of each run of up to three words; longer runs first, from the left."""
    return [
        (words[at][0], words[at + count - 1][1])
        for at in range(len(words))
        for count in range(min(MOST_WORDS, len(words) - at), 0, -1)
    ]
