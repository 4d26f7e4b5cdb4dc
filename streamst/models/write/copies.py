"""What is written as it was heard: addresses, rare names, numbers, letters that are spelled, words of other scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from streamst.models.segment import closes
from streamst.text import Tokenizer, plain_marks

from .steering import Wish

RARE = 2.5  # letters a token
_MARKS = ".,;:!?\"'()[]$€£%"
_ADDRESS = re.compile(r"\w://|\w@\w|\bwww\.\w|\w\.\w+/|^@\w")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"\d+\.\d+")
_CLOCK = re.compile(r"(\d|1\d|2[0-3]):([0-5]\d)")
_CODE = re.compile(r"[A-Z]+\d+[A-Za-z]?")  # a gate, a flight
_SWAPPED = str.maketrans(".,", ",.")


def copied(
    words: Sequence[str],
    places: Sequence[tuple[int, int]],
    target: Tokenizer,
    translates: Callable[[str], bool] | None = None,
) -> tuple[Wish, ...]:
    """The source `words` that are not translated, as they are written in German; `places`: the first and the last
    memory entry of each; translates: whether a word is known to become another one.

    A name has a capital letter inside the sentence; it is rare where nobody translates it and it has, in either case,
    three tokens or more, of `RARE` letters or less on average.
    """
    bare = [plain_marks(word).strip(_MARKS).removesuffix("'s") for word in words]
    found = []
    for at, (first, last) in enumerate(places):
        word, tokens, kind = bare[at], target.encode(bare[at]), "copy"
        run = _spelled(bare, at)
        if run is not None:
            copy, last = " ".join(bare[at : run.stop]) if at == run.start else "", places[run.stop - 1][1]
        elif _NUMBER.fullmatch(word):
            copy, kind = _number(bare, at), "number"
        elif _ADDRESS.search(word) or _CODE.fullmatch(word) or not target.byte_tokens.isdisjoint(tokens):
            copy = word
        else:
            pieces = min(len(tokens), len(target.encode(word.lower())))
            named = _named(words, word, at, pieces) and (translates is None or not translates(word))
            copy = word if named else ""
        if copy:
            tokens = target.encode(copy)
            found += [] if Tokenizer.unknown in tokens else [Wish(first, last, tuple(tokens), kind)]
    return tuple(found)


def _named(words: Sequence[str], word: str, at: int, pieces: int) -> bool:
    inside = at > 0 and not closes(words[at - 1])
    return inside and word[:1].isupper() and len(word) > 3 and pieces >= 3 and len(word) <= RARE * pieces


def _spelled(bare: Sequence[str], at: int) -> range | None:
    """The places of three letters or digits or more in a row, "c n n", where `at` is one of them; "I" and "a" are
    words, unless two others are among them."""
    first = end = at
    while first > 0 and _letter(bare[first - 1]):
        first -= 1
    while end < len(bare) and _letter(bare[end]):
        end += 1
    run = bare[first:end]
    spelled = first <= at < end and len(run) > 2 and sum(one not in ("I", "i", "a", "A") for one in run) > 1
    return range(first, end) if spelled else None


def _letter(word: str) -> bool:
    return len(word) == 1 and word.isalnum()


def _number(bare: Sequence[str], at: int) -> str:
    """A number as German has it: a comma before the decimals, a point between the thousands, the day's hours to 24;
    "" for a digit alone and a whole hour, which German says in more than one way."""
    number, after = bare[at], bare[at + 1].replace(".", "").lower() if at + 1 < len(bare) else ""
    if clock := _CLOCK.fullmatch(number):
        hour = int(clock[1])
        if hour <= 12 and after in ("am", "pm"):
            hour = hour % 12 + 12 * (after == "pm")
        return f"{hour}:{clock[2]}"
    if len(number) == 1 or after in ("am", "pm", "o'clock"):
        return ""
    return number.translate(_SWAPPED) if _THOUSANDS.fullmatch(number) or _DECIMAL.fullmatch(number) else number
