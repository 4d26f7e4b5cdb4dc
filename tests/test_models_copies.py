"""What is not translated is written as it was heard, number by number and letter by letter."""

from __future__ import annotations

import numpy as np
import pytest

from streamst.inventory import ASSETS
from streamst.models.write.copies import copied
from streamst.models.write.steering import Steering, Wish
from streamst.text import Tokenizer

PEN = ASSETS / "pen"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(PEN / "tokens.model")


@pytest.mark.parametrize(
    ("english", "copies"),
    [
        ("It costs 2,000 dollars.", ["number 2.000"]),
        ("It is $1,234,567.89!", ["number 1.234.567,89"]),
        ("about 3.14 or 50%", ["number 3,14", "number 50"]),
        ("in 1998, 12 of them", ["number 1998", "number 12"]),
        ("my code is 4 8 1 5.", ["copy 4 8 1 5"]),
        ("gates 4 5 and 6", []),
        ("7 dogs", []),  # one digit may be a word
        ("at 11 p.m. or 10 am", []),  # German counts on from noon
        ("at 9:40 a.m., 12:05 am, 3:45 p.m. or 12:10", [f"number {t}" for t in ("9:40", "0:05", "15:45", "12:10")]),
        ("at 17:20 p.m., 12:00 p.m. and 7:95", ["number 17:20", "number 12:00", "number 7:95"]),
        ("gate B22 or 3rd from A4", ["copy B22", "copy A4"]),
        ("for Mr. Okonkwo or J. Okonkwo. Okonkwo", ["copy Okonkwo", "copy Okonkwo"]),
        ("call 0171 2345678", ["number 0171", "number 2345678"]),
        ("it spells c. n. n.", ["copy c n n"]),
        ("my name is A B I", []),
        ("the A I B C", ["copy A I B C"]),
        ("Am I a fool?", []),
        ("Should I get a B or a C?", []),
        ("a dog and I", []),
        ("Nguyễn Thị came", ["copy Nguyễn", "copy Thị"]),
        ("we say はい often", ["copy はい"]),
        ("write to anna@example.org.", ["copy anna@example.org"]),
        ("the dog sleeps", []),
        ("so the Earth's end, said Krzysztof's", ["copy Krzysztof"]),
        ("our customers’ likes – and the boy’s “dog”", []),
    ],
)
def test_what_is_copied(tokenizer: Tokenizer, english: str, copies: list[str]) -> None:
    words, places, at = english.split(), [], 1
    for word in words:
        count = max(1, len(tokenizer.encode(word)))
        places.append((at, at + count - 1))
        at += count
    found = copied(words, places, tokenizer)
    assert [f"{wish.kind} {tokenizer.decode(wish.tokens)}" for wish in found] == copies


def test_a_word_that_is_translated_is_no_name(tokenizer: Tokenizer) -> None:
    words, places = ["the", "Islamic", "Krzysztof"], [(1, 1), (2, 5), (6, 12)]
    assert len(copied(words, places, tokenizer)) == 2
    found = copied(words, places, tokenizer, lambda word: word == "Islamic")
    assert [tokenizer.decode(wish.tokens) for wish in found] == ["Krzysztof"]


def test_a_number_that_was_begun_is_completed_and_no_copy_goes_on() -> None:
    scores = np.log(np.full(30, 1 / 30, np.float32))
    inner = np.zeros(30, np.bool_)
    inner[20:] = True
    wishes = (Wish(1, 2, (10, 21, 22, 23), "number"), Wish(3, 4, (10, 25, 26), "number"))
    steer = Steering(0, wishes=wishes, inner=inner)
    first, second = np.array([0.0, 0.5, 0.3, 0.1, 0.1]), np.array([0.0, 0.1, 0.1, 0.5, 0.3])
    assert np.allclose(steer(scores, [5], first), scores)  # whether to begin is the network's own choice
    assert int(steer(scores, [5, 10], first).argmax()) == 21
    assert int(steer(scores, [5, 10], second).argmax()) == 25
    assert int(steer(scores, [5, 10, 21], second).argmax()) == 22
    after = steer(scores, [5, 10, 21, 22, 23], first)
    assert float(np.exp(after[20:]).sum()) < 1e-6
    assert float(np.exp(after[:20]).sum()) == pytest.approx(1.0, abs=1e-4)
