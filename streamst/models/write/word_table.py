"""The usual translations of words that a writer has in no one piece: rare ones, which counts know and it forgets.

What `Lexicon` is for tokens this is for words: where the decoder reads a word, the tokens of its translation gain in
the same way (Arthur et al. 2016, arXiv:1606.02006, section 3.2.1), one after the other.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamst.errors import CheckpointError
from streamst.text import Tokenizer, plain_marks

from .steering import Wish

WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*")


class WordTable:
    """English words with a translation each, and its share of all translations."""

    def __init__(self, lines: Iterable[str], target: Tokenizer) -> None:
        """lines: WORD TAB TRANSLATION TAB SHARE, the word in lower case; ValueError names a line that is not so."""
        self._lines = sorted(lines)
        self._target = target
        for line in self._lines:
            word, _, rest = line.partition("\t")
            translation, _, share = rest.partition("\t")
            if not (word and word == word.casefold() and translation and 0 < _number(share) <= 1):
                raise ValueError(f"{line!r} is not: word in lower case, tab, translation, tab, share between 0 and 1")

    @classmethod
    def load(cls, path: Path, target: Tokenizer) -> WordTable:
        """From a file; CheckpointError for one that is none."""
        try:
            return cls(path.read_text(encoding="utf-8").splitlines(), target)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: {error}") from error

    def wishes(
        self, words: Sequence[str], places: Sequence[tuple[int, int]], taken: Sequence[Wish]
    ) -> tuple[Wish, ...]:
        """What the source `words` of two tokens or more are often translated by; `places`: the first and the last
        memory entry of each word. Words of `taken` wishes are left out."""
        found = []
        for word, (first, last) in zip(words, places, strict=True):
            if last > first and not any(one.first <= last and first <= one.last for one in taken):
                known = self._of(word)
                if known is not None:
                    found.append(Wish(first, last, tuple(self._target.encode(known[0])), "usual", known[1]))
        return tuple(found)

    def translates(self, word: str) -> bool:
        """Whether `word` usually becomes another one."""
        known = self._of(word)
        return known is not None and known[0].casefold() != key(plain_marks(word))

    def _of(self, word: str) -> tuple[str, float] | None:
        """Translation and share."""
        bare = WORD.findall(plain_marks(word))
        if len(bare) != 1:
            return None
        wanted = f"{key(bare[0])}\t"
        at = bisect_left(self._lines, wanted)
        if at == len(self._lines) or not self._lines[at].startswith(wanted):
            return None
        _, translation, share = self._lines[at].split("\t")
        return translation, float(share)


def key(word: str) -> str:
    """What `word` is looked up by."""
    return word.casefold().removesuffix("'s")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
