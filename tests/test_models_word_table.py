"""The usual translations of rare words: learned by counting, and said where the writer has no better idea."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamst.errors import CheckpointError
from streamst.models.write.steering import Steering, Wish
from streamst.models.write.word_table import WordTable
from streamst.text import Tokenizer, train_tokenizer
from streamst.train.pairs import Pair
from streamst.train.word_counts import word_table

SENTENCES = [
    ("The dog sees the photographer.", "Der Hund sieht den Fotografen."),
    ("A photographer sleeps.", "Ein Fotograf schläft."),
    ("The photographer sees a dog.", "Der Fotograf sieht einen Hund."),
    ("My neighbour's dog sleeps.", "Der Hund meines Nachbarn schläft."),
    ("A neighbour sees the photographer.", "Ein Nachbar sieht den Fotografen."),
    ("Photographer", "Fotograf"), ("neighbour", "Nachbar"),
]  # fmt: skip
LINES = ["neighbour\tNachbar\t0.60", "photographer\tFotograf\t0.80", "set-up\tAufbau\t1.00"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    lines = ["the dog sees a Hund der die das sieht"] * 50 + [text for pair in SENTENCES for text in pair]
    return train_tokenizer(lines, 330, tmp_path_factory.mktemp("pieces") / "tokens.model", fallback=True)


def test_words_that_meet_often_translate_each_other(tokenizer: Tokenizer) -> None:
    pairs = [Pair(english, english.lower(), german, 1.0) for english, german in SENTENCES]
    table = {line.split("\t")[0]: line.split("\t")[1:] for line in word_table(pairs, tokenizer)}
    assert table["photographer"][0] == "Fotograf"
    assert table["neighbour"][0] == "Nachbar"
    assert 0.5 < float(table["photographer"][1]) <= 1.0
    assert "dog" not in table  # one token: the network has a vector for it
    assert "the" not in table
    WordTable(word_table(pairs, tokenizer), tokenizer)


def test_no_pairs_no_table(tokenizer: Tokenizer) -> None:
    assert word_table([], tokenizer) == []
    assert word_table([Pair("1 2 3", "one two three", "1 2 3", 1.0)], tokenizer) == []


def test_rare_words_wish_for_their_translations(tokenizer: Tokenizer) -> None:
    words = WordTable(LINES, tokenizer)
    read = ["The", "Neighbour’s", "dog,", '"photographer"', "photographers", "set-up?", "4x4"]
    places = [(1, 1), (2, 4), (5, 5), (6, 8), (9, 11), (12, 14), (15, 16)]
    found = words.wishes(read, places, ())
    assert [(w.first, w.last, tokenizer.decode(w.tokens), w.share) for w in found] == [
        (2, 4, "Nachbar", 0.6), (6, 8, "Fotograf", 0.8), (12, 14, "Aufbau", 1.0),
    ]  # fmt: skip
    known = WordTable(["neighbour\tNachbar\t0.60", "sheriff\tSheriff\t0.40"], tokenizer)
    assert [known.translates(word) for word in ("Neighbour's", "Sheriff", "dog")] == [True, False, False]
    taken = Wish(4, 6, (9,))
    assert [w.first for w in words.wishes(read, places, (taken,))] == [12]
    one_token = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7)]
    assert words.wishes(read, one_token, ()) == ()


@pytest.mark.parametrize("line", ["photographer", "photographer\tFotograf", "Photographer\tFotograf\t0.5", "a\tb\t0",
                                  "a\tb\t1.5", "a\tb\tmuch", "\tb\t0.5", "a\t\t0.5"])  # fmt: skip
def test_a_damaged_table_is_named(tmp_path: Path, tokenizer: Tokenizer, line: str) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(f"{LINES[0]}\n{line}\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"words\.tsv: .* is not: word in lower case, tab"):
        WordTable.load(path, tokenizer)


def test_the_usual_translation_is_said_where_the_word_is_read_and_once() -> None:
    scores = np.log(np.full(20, 0.05, np.float32))
    steer = Steering(0, wishes=(Wish(2, 3, (11, 12, 13), "usual", 0.8),))
    reading, elsewhere = np.array([0.1, 0.0, 0.5, 0.4]), np.array([0.9, 0.08, 0.01, 0.01])
    assert int(steer(scores, [4], reading).argmax()) == 11
    assert int(steer(scores, [4, 11], reading).argmax()) == 12
    assert int(steer(scores, [4, 11, 12], reading).argmax()) == 13
    assert np.allclose(steer(scores, [4, 11, 12, 13], reading), scores)
    assert np.allclose(steer(scores, [4], elsewhere), scores)
    seldom = Steering(0, wishes=(Wish(2, 3, (11, 12, 13), "usual", 0.2),))
    assert seldom(scores, [4], reading)[11] < steer(scores, [4], reading)[11]
