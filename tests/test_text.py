"""The spoken form of English, and tokens that know where words end."""

from pathlib import Path

import pytest

from streamst.errors import CheckpointError, InputError
from streamst.text import Tokenizer, spoken_english, train_tokenizer


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Don't!", "don't"),
        ("'Hello,' she said — twice.", "hello she said twice"),
        ("It's the 21st of May, 1984.", "it's the twenty first of may nineteen eighty four"),
        ("1,250 cafés", "one thousand two hundred and fifty cafes"),
        ("Mr. O’Neil paid 20% at 5:30.", "mister o'neil paid twenty percent at five thirty"),
        ("你好 😀", ""),
        ("", ""),
        (f"{'1' * 301}, {'2' * 5_000}th", " ".join(["one"] * 301 + ["two"] * 5_000)),
    ],
)
def test_english_is_spelled_as_it_is_spoken(written: str, spoken: str) -> None:
    assert spoken_english(written) == spoken
    assert spoken_english(spoken) == spoken


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    lines = ["the house of the mouse", "a house is a house", "the mouse is in the house"] * 3
    return train_tokenizer(lines, 30, tmp_path_factory.mktemp("tokenizer") / "t.model")


def test_text_survives_the_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("the mouse is a mouse")) == "the mouse is a mouse"


def test_a_word_is_complete_when_the_next_begins(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("the mouse in the house")
    ends = tokenizer.word_ends(tokens, finished=False)
    assert [tokenizer.decode(tokens[:end]) for end in ends] == ["the", "the mouse", "the mouse in", "the mouse in the"]
    assert tokenizer.word_ends(tokens, finished=True) == (*ends, len(tokens))
    assert tokenizer.word_ends([], finished=True) == ()


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.model").write_bytes(b"")
    for path in (tmp_path / "t.model", tmp_path):
        with pytest.raises(CheckpointError, match=str(path)):
            Tokenizer(path)


def test_a_tokenizer_that_cannot_be_learned_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer of 5000 tokens can be learned from 1 lines"):
        train_tokenizer(["hello"], 5_000, tmp_path / "t.model")
    assert not (tmp_path / "t.model").exists()


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.model does not exist"):
        Tokenizer(tmp_path / "nowhere.model")
