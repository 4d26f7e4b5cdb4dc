"""Words taken for others: alike but for a sound, as many as asked for, marks kept."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from streamst.train.misheard import Misheard, alike

WORDS = ["night", "right", "nights", "write", "dog", "zzzz", "a", "the", "two", "to", "too", "through"]


def test_words_that_differ_in_a_sound_are_alike_and_the_frequent_ones_more_likely() -> None:
    found = alike(WORDS)
    assert set(found["night"]) == {"right", "write", "nights"}
    assert {"to", "too"} <= set(found["two"])
    assert "through" not in found["two"] or "two" in found["through"]
    assert "zzzz" not in found
    assert "dog" not in found
    assert found["two"]["to"] > found["two"]["too"]


class Words:
    """A token a word; marks are tokens that begin none."""

    def __init__(self) -> None:
        self.known: list[str] = [","]

    def encode(self, text: str) -> list[int]:
        if text not in self.known:
            self.known.append(text)
        return [self.known.index(text)]

    def starts(self) -> list[bool]:
        return [word[0].isalpha() for word in self.known]


def misheard(source: Sequence[str], rate: float, times: int = 300) -> list[list[str]]:
    words = Words()
    tokens = [words.encode(word)[0] for word in source]
    for word in WORDS:
        words.encode(word.capitalize())
        words.encode(word)
    mishear = Misheard(WORDS, words.encode, words.starts())
    draw = random.Random(7)
    return [[words.known[token] for token in mishear(tokens, rate, draw)] for _ in range(times)]


def test_a_word_becomes_one_that_sounds_like_it_in_its_case_and_the_mark_stays() -> None:
    seen = misheard(["Night", ","], 1.0)
    assert {"Right", "Write", "Nights"} <= {one[0] for one in seen}
    assert all(one[-1] == "," for one in seen if len(one) == 2)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_as_many_words_are_misheard_as_asked(rate: float) -> None:
    source = ["night"] * 20
    changed = sum(1 for one in misheard(source, rate) if one != source)
    words = [sum(word != "night" for word in one) for one in misheard(source, rate)]
    assert (changed == 0) == (rate == 0)
    assert abs(sum(words) / len(words) / 20 - rate) < 0.25 * rate + 0.001


def test_what_nobody_knows_is_left_or_lost_but_never_all_of_it() -> None:
    assert all(set(one) - {"dog"} <= set(WORDS) and one for one in misheard(["dog"], 1.0))
