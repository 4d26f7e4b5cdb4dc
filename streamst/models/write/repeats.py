"""A writer says again only what was said again to it: words in a row, phrases in a row, and groups of three words.

Words are compared without case and marks, however they are spelled in tokens: "E-Mail, E-Mail" is a phrase said twice.
Groups of three words that come again are left as in Paulus et al. 2017 (arXiv:1705.04304, section 2.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamst.text import WORD_START, Tokenizer, bare

LONGEST_PHRASE = 8  # words


@dataclass(frozen=True)
class Written:
    """Bare words; open: the beginning of the next one."""

    words: tuple[str, ...] = ()
    open: str = ""


NOTHING = Written()


class Pieces:
    """What each token of a vocabulary adds to what was written."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._texts = [_text(piece) for piece in tokenizer.pieces]
        self._texts[: Tokenizer.end + 1] = [""] * (Tokenizer.end + 1)
        self.starts = tokenizer.starts_word

    def added(self, written: Written, token: int) -> Written:
        """`written` and `token`; the end of the sentence completes its last word."""
        text = " " if token == Tokenizer.end else self._texts[token]
        first, *more = (written.open + text).split(" ")
        if not more:
            return Written(written.words, first)
        done = [word for word in (first, *more[:-1]) if word]
        return Written((*written.words, *done), more[-1])

    def read(self, tokens: Sequence[int]) -> Written:
        """What `tokens` are."""
        written = NOTHING
        for token in tokens:
            written = self.added(written, token)
        return written


class Repeats:
    """How often the translation of a text may repeat itself: as often as the text does, a word twice."""

    def __init__(self, source: str, pieces: Pieces) -> None:
        words, self.pieces = bare(source).split(), pieces
        self._word = max([2, *(_run(words[: at + 1], 1) for at in range(len(words)))])
        phrases = (_run(words[: at + 1], size) for at in range(len(words)) for size in range(2, LONGEST_PHRASE + 1))
        self._phrase = max([1, *phrases])
        threes = list(zip(words, words[1:], words[2:], strict=False))
        self._group = len(set(threes)) < len(threes)

    def allow(self, before: Written, after: Written) -> bool:
        """Whether the words that `after` has more than `before` may stand there."""
        return all(self._allow(after.words[:count]) for count in range(len(before.words) + 1, len(after.words) + 1))

    def _allow(self, words: Sequence[str]) -> bool:
        if _run(words, 1) > self._word:
            return False
        if any(_run(words, size) > self._phrase for size in range(2, LONGEST_PHRASE + 1)):
            return False
        threes = list(zip(words, words[1:], words[2:], strict=False))
        return self._group or not threes or threes[-1] not in threes[:-1]


def _run(words: Sequence[str], size: int) -> int:
    """How many times running the last `size` of `words` stand there; a phrase of one word only is none."""
    last = words[-size:]
    if size > 1 and len(set(last)) == 1:
        return 1
    times = 1
    while words[-size * (times + 1) : -size * times] == last:
        times += 1
    return times


def _text(piece: str) -> str:
    """A piece bare; a byte of a longer letter counts as a letter."""
    if len(piece) == 6 and piece.startswith("<0x"):
        number = int(piece[3:5], 16)
        return bare(chr(number)) if number < 128 else piece[3:5].casefold()
    return bare(piece.replace(WORD_START, " "))
