"""Moonshine tiny-en of its own package as a recogniser: the real model on real speech, silence and noise."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import peers
import pytest

from streamst.backends.moonshine import MoonshineRecogniser, agreed, following, languages_of, shares
from streamst.backends.parts import Languages
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.seam import HeardWord


@pytest.fixture(scope="module")
def moonshine() -> MoonshineRecogniser:
    return MoonshineRecogniser(peers.moonshine())


def words(text: str) -> tuple[HeardWord, ...]:
    return tuple(HeardWord(word, n, n) for n, word in enumerate(text.split()))


def test_bursts_of_noise_after_speech_bring_no_word(moonshine: MoonshineRecogniser) -> None:
    draw, speech = np.random.default_rng(4), peers.two_cities()[: 3 * 16_000]
    bursts = np.tile(np.concatenate([np.zeros(8_000), draw.normal(0, 0.1, 4_000)]), 10).astype(np.float32)
    *_, heard = peers.hear(moonshine, np.concatenate([speech, bursts]))
    assert peers.text(heard) == "it was the best of times"


def test_passes_agree_but_for_marks_and_not_on_the_word_at_the_end() -> None:
    assert agreed(words("It was the best of."), words("It was the best of times."), 6) == 5
    assert agreed(words("It was the end."), words("it was the age of"), 5) == 3
    assert agreed(words("It was"), words("It was"), 2) == 1
    assert agreed(words("It was"), words("It was"), 100) == 2  # nobody spoke since
    assert agreed((), words("It was"), 2) == 0


def test_what_is_certain_is_found_again_where_it_is_heard_a_little_otherwise() -> None:
    assert following(words("it was the best"), ["It", "was,", "the", "best", "of", "times"]) == 4
    assert following(words("it was the best"), ["was", "the", "best", "of", "times"]) == 3
    assert following(words("it was the beast"), ["and", "it", "was", "the", "best", "of", "times"]) == 5
    assert following((), ["it", "was"]) == 0
    assert following(words("it was"), []) == 0


def test_words_share_the_frames_of_speech_by_their_letters() -> None:
    frames = np.array([*range(10, 20), *range(40, 50)])
    assert shares(["four", "four"], frames) == [(10, 19), (40, 49)]
    assert shares(["a"], frames) == [(10, 49)]
    assert shares([], frames) == []
    for first, last in shares(["word"] * 50, frames):
        assert 10 <= first <= last < 50


@pytest.mark.parametrize("name", ["encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"])
def test_the_file_that_is_missing_or_something_else_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "tiny-en"
    shutil.copytree(peers.moonshine(), folder)
    (folder / name).write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=f"{folder} is not a Moonshine model: "):
        MoonshineRecogniser(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{folder} is not a Moonshine model: {name} is missing"):
        MoonshineRecogniser(folder)


def test_size_and_language_are_read_off_the_name_of_the_folder(tmp_path: Path) -> None:
    assert languages_of(peers.moonshine()) == Languages(source=("en",))
    with pytest.raises(InputError, match="does not hear 'de'; allowed: en"):
        MoonshineRecogniser(peers.moonshine(), "de")
    with pytest.raises(InputError, match="a folder named like tiny-en"):
        MoonshineRecogniser(tmp_path)
    (tmp_path / "small-streaming-en").mkdir()
    with pytest.raises(CheckpointError, match=r"frontend\.ort is missing"):
        languages_of(tmp_path / "small-streaming-en")
    with pytest.raises(CheckpointError, match="is no folder"):
        languages_of(tmp_path / "base-es")


def test_the_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = peers.moonshine()
    monkeypatch.setitem(sys.modules, "moonshine_voice.transcriber", None)
    with pytest.raises(UnavailableError, match=r"moonshine_voice.* is not installed.*streamst\[moonshine\]"):
        MoonshineRecogniser(folder)
