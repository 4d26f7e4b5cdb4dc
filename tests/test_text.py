"""Tokens that know where words end."""

from pathlib import Path

import pytest

from streamst.errors import CheckpointError, InputError
from streamst.text import Tokenizer, train_tokenizer


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
