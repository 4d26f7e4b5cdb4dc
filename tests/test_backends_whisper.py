"""Whisper tiny.en of CTranslate2 as a recogniser: the real model on real speech, silence and noise."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import peers
import pytest
import torch

from streamst.backends.level import Level, listen
from streamst.backends.parts import chosen
from streamst.backends.recognisers import RECOGNISERS
from streamst.backends.whisper import WhisperRecogniser
from streamst.backends.whisper_model import languages_of, mel_filters
from streamst.backends.window import FRAME, WindowState, without_loop
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.seam import Hear, HeardWord


@pytest.fixture(scope="module")
def whisper() -> WhisperRecogniser:
    return WhisperRecogniser(peers.tiny_whisper())


def test_in_silence_after_speech_everything_becomes_certain_and_the_window_is_let_go(
    whisper: WhisperRecogniser,
) -> None:
    speech = peers.two_cities()[: 2 * 16_000]
    state = whisper.init_state()
    for pcm in (speech, *[np.zeros(640 * 16, np.float32)] * 3):
        (state,) = whisper.hear_all([Hear(pcm, state)])
    heard = whisper.listening(state)
    assert heard.words
    assert heard.certain == len(heard.words)
    assert 1800 < heard.silence_ms < 2500
    assert len(state.window) <= 20 * FRAME


def test_windows_of_ever_other_lengths_leave_nothing_behind(whisper: WhisperRecogniser) -> None:
    def grown_mib(frames: range) -> float:
        before = memory_mib()
        for n in frames:
            whisper.model.hear(np.zeros(n * FRAME, np.float32), "", "en")
        return memory_mib() - before

    grown_mib(range(100, 120))
    assert grown_mib(range(120, 180)) < 12  # 54 where the library keeps what it made for each length


def memory_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_words_at_the_very_end_of_what_was_heard_are_forgotten_too(whisper: WhisperRecogniser) -> None:
    words = tuple(HeardWord(text, 9, 10) for text in ["it", "was", "so"])
    state = WindowState(window=torch.zeros(3200), samples=3200, given=words[:1], words=words[:1], guess=words[1:])
    assert whisper.listening(state).frames == 10
    after = whisper.forget(state, 2, 10)
    assert [word.text for word in whisper.listening(after).words] == ["so"]
    assert whisper.listening(whisper.forget(state, 3, 10)).words == ()


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"])
def test_the_file_that_a_folder_lacks_is_named(tmp_path: Path, name: str) -> None:
    for file in peers.tiny_whisper().iterdir():
        if file.name != name:
            (tmp_path / file.name).touch()
    with pytest.raises(CheckpointError, match=f"{tmp_path}.* Whisper .*{name}.* is missing"):
        WhisperRecogniser(tmp_path)


def test_a_folder_of_something_else_and_no_folder_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder"):
        WhisperRecogniser(tmp_path / "none")
    shutil.copytree(peers.tiny_whisper(), tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.bin").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="is no Whisper model in CTranslate2's format"):
        WhisperRecogniser(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "", "no"])
def test_settings_that_are_something_else_are_refused_before_anything_is_loaded(tmp_path: Path, text: str) -> None:
    for file in peers.tiny_whisper().iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json or tokenizer\.json is something else"):
        languages_of(tmp_path)


def test_another_models_vocabulary_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    for file in peers.tiny_whisper().iterdir():
        (tmp_path / file.name).symlink_to(file)
    vocabulary = tmp_path / "vocabulary.txt"
    pieces = vocabulary.read_text(encoding="utf-8").splitlines()
    vocabulary.unlink()
    for others, found in ((pieces[:50_000], "none"), (["a", *pieces], "'.+'")):
        vocabulary.write_text("\n".join(others), encoding="utf-8")
        with pytest.raises(
            CheckpointError, match=rf"vocabulary\.txt does not fit tokenizer\.json: .* is {found}, needed"
        ):
            languages_of(tmp_path)


def test_an_english_model_hears_no_german_and_translates_nothing() -> None:
    with pytest.raises(InputError, match="does not hear 'de'; allowed: en"):
        WhisperRecogniser(peers.tiny_whisper(), "de")
    with pytest.raises(InputError, match="multilingual"):
        WhisperRecogniser(peers.tiny_whisper(), translate=True)


def test_the_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UnavailableError, match=r"ctranslate2 is not installed.*streamst\[whisper\]"):
        WhisperRecogniser(peers.tiny_whisper())


@pytest.mark.parametrize("name", ["whisper", "whisper:", "mumble:/tmp", ""])
def test_an_unknown_recogniser_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(InputError, match=r"not known; allowed: own, .*whisper:DIR"):
        chosen("recogniser", name, RECOGNISERS)


@pytest.mark.parametrize("chunk_ms", [0, 150, 330, 2020])
def test_chunks_that_are_not_possible_are_refused_with_those_that_are(
    whisper: WhisperRecogniser, chunk_ms: int
) -> None:
    with pytest.raises(InputError, match=f"{chunk_ms} ms.*allowed: 160 to 2000"):
        whisper.chunk_samples(chunk_ms)


def test_a_loop_is_cut_after_its_first_round() -> None:
    assert without_loop([1, 2, 3, 2, 3, 2, 3, 2, 3]) == [1, 2, 3]
    assert without_loop([7, 7, 7, 7]) == [7]
    assert without_loop([1, 2, 1, 2, 3]) == [1, 2, 1, 2, 3]  # twice is no loop


def test_the_filters_have_area_one_and_their_peaks_on_slaneys_scale() -> None:
    filters = mel_filters(80)
    assert filters.shape == (80, 201)
    np.testing.assert_allclose(filters[60:].sum(1) * 40, 1, atol=0.05)  # bins are 40 Hz apart
    assert abs(filters[79].argmax() * 40 - 7697) <= 20


def test_speech_is_louder_than_the_noise_that_is_always_there() -> None:
    rng, level = np.random.default_rng(0), Level()
    hum = rng.normal(0, 0.01, 20 * 16_000).astype(np.float32)
    level = listen(hum, level, 320, 16_000)
    assert level.silent * 20 > 5_000
    level = listen(hum[:16_000] * 10, level, 320, 16_000)
    assert level.loud
    assert level.silent == 0
