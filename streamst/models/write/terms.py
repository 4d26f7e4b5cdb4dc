"""A glossary in the tokens of a writer: what it should say for the terms among the words it reads."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.text import Tokenizer

from .steering import Wish


class Terms:
    """Made once for all sessions that bring the same glossary.

    Target letters that the writer never writes lose their accents; InputError names a term where that is not enough.
    """

    def __init__(self, glossary: Glossary, target: Tokenizer) -> None:
        self._targets = [_written(term, target) for _, term in glossary.terms]
        self._words: dict[str, list[tuple[tuple[str, ...], int]]] = {}  # by first word, longest first
        for number, (term, _) in enumerate(glossary.terms):
            words = tuple(term.split())
            self._words.setdefault(words[0], []).append((words, number))
        for found in self._words.values():
            found.sort(key=lambda one: -len(one[0]))

    def wishes(self, words: Sequence[str], places: Sequence[tuple[int, int]]) -> tuple[Wish, ...]:
        """The terms among the source `words`, longer ones first where they overlap; `places`: the first and the last
        memory entry of each word."""
        found: list[Wish] = []
        at = 0
        while at < len(words):
            step = 1
            for term, number in self._words.get(words[at], ()):
                if tuple(words[at : at + len(term)]) == term:
                    step = len(term)
                    if self._targets[number]:
                        found.append(Wish(places[at][0], places[at + step - 1][1], self._targets[number]))
                    break
            at += step
        return tuple(found)


def _written(term: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens of a target term, none of them unknown: a term that cannot be completed must not be begun."""
    term = unicodedata.normalize("NFC", term)
    tokens = tokenizer.encode(term)
    if Tokenizer.unknown in tokens:
        bare = {c: unicodedata.normalize("NFKD", c)[0] for c in term if c.isalpha() and not _known(c, tokenizer)}
        plain = "".join(bare.get(c, c) for c in term)
        tokens = tokenizer.encode(plain)
        if Tokenizer.unknown in tokens:
            foreign = "".join(dict.fromkeys(c for c in plain if not _known(c, tokenizer)))
            raise InputError(f"glossary: the target {term!r} has characters that this model cannot write: {foreign!r}")
    return tuple(tokens)


def _known(character: str, tokenizer: Tokenizer) -> bool:
    return Tokenizer.unknown not in tokenizer.encode(character)
