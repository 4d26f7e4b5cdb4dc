"""Whisper tiny.en of CTranslate2 as a recogniser: the real model on real speech, silence and noise."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import jiwer
import numpy as np
import peers
import pytest
import torch

from streamst import Caption, Words, load
from streamst.backends.level import Level, listen
from streamst.backends.parts import chosen
from streamst.backends.recognisers import RECOGNISERS
from streamst.backends.whisper import WhisperRecogniser
from streamst.backends.whisper_model import mel_filters
from streamst.backends.window import FRAME, WindowState, without_loop
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.seam import Hear, HeardWord
from streamst.nn.packing import from_bytes, to_bytes


@pytest.fixture(scope="module")
def whisper() -> WhisperRecogniser:
    return WhisperRecogniser(peers.tiny_whisper())


def test_speech_is_heard_with_case_and_marks_and_what_is_certain_stays_with_its_times(
    whisper: WhisperRecogniser,
) -> None:
    before, last = (), None
    for heard in peers.hear(whisper, peers.two_cities()[: 24 * 16_000]):
        assert heard.words[: len(before)] == before
        before, last = heard.words[: heard.certain], heard
    assert last is not None
    assert last.certain == len(last.words)
    assert jiwer.wer(peers.CITIES, peers.text(last)) < 0.1
    assert [word.text for word in last.words[:6]] == ["It", "was", "the", "best", "of", "times."]
    for a, b in zip(last.words, last.words[1:], strict=False):
        assert a.first_frame <= a.last_frame < b.first_frame
        assert b.last_frame - b.first_frame < 50  # a word of a second at most
    assert last.words[0].first_frame > 10  # he begins to speak after 0.5 s
    assert last.words[-1].last_frame < last.frames


def test_the_model_hears_only_a_bounded_window_however_long_nobody_pauses(whisper: WhisperRecogniser) -> None:
    speech = peers.two_cities()[16_000 : 3 * 16_000]
    state = whisper.init_state()
    for _ in range(12):
        (state,) = whisper.hear_all([Hear(speech, state)])
        assert len(state.window) <= (whisper.bounds.most + 100) * FRAME
    assert state.start > 0


@pytest.mark.parametrize("loudness", [0.0, 1e-4, 1e-2, 0.1])
def test_nothing_is_invented_in_silence_and_noise(whisper: WhisperRecogniser, loudness: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 20 * 16_000).astype(np.float32) * loudness
    for heard in peers.hear(whisper, noise):
        assert heard.words == ()


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


def test_a_forgotten_word_is_not_heard_again(whisper: WhisperRecogniser) -> None:
    speech, state = peers.two_cities(), whisper.init_state()
    for at in range(0, 90_000, 10_000):
        (state,) = whisper.hear_all([Hear(speech[at : at + 10_000], state)])
    words = whisper.listening(state).words
    state = whisper.forget(state, 4, words[3].last_frame + 1)
    assert whisper.listening(state).words == words[4:]
    (state,) = whisper.hear_all([Hear(speech[90_000:100_000], state)])
    assert whisper.listening(state).words[0].text == words[4].text


def test_words_at_the_very_end_of_what_was_heard_are_forgotten_too(whisper: WhisperRecogniser) -> None:
    words = tuple(HeardWord(text, 9, 10) for text in ["it", "was", "so"])
    state = WindowState(window=torch.zeros(3200), samples=3200, given=words[:1], words=words[:1], guess=words[1:])
    assert whisper.listening(state).frames == 10
    after = whisper.forget(state, 2, 10)
    assert [word.text for word in whisper.listening(after).words] == ["so"]
    assert whisper.listening(whisper.forget(state, 3, 10)).words == ()


def test_two_speakers_in_turn_are_two_apart_and_a_state_survives_a_snapshot(whisper: WhisperRecogniser) -> None:
    speech = peers.two_cities()
    pieces = [(speech[at : at + 16_000], speech[at + 80_000 : at + 96_000]) for at in range(0, 64_000, 16_000)]
    apart = [whisper.init_state(), whisper.init_state()]
    turns = [whisper.init_state(), whisper.init_state()]
    for both in pieces:
        apart = [whisper.hear_all([Hear(pcm, state)])[0] for pcm, state in zip(both, apart, strict=True)]
        turns = whisper.hear_all([Hear(pcm, state) for pcm, state in zip(both, turns, strict=True)])
        turns = [from_bytes(WindowState, to_bytes(state), whisper.init_state()) for state in turns]
    for a, b in zip(apart, turns, strict=True):
        assert whisper.listening(a) == whisper.listening(b)
    assert whisper.listening(apart[0]).words != whisper.listening(apart[1]).words


def test_a_session_captions_and_translates_what_whisper_hears() -> None:
    pipeline = load(recogniser=f"whisper:{peers.tiny_whisper()}")
    session = pipeline.session(policy="local-agreement", chunk_ms=640, speech=False)
    events = [*session.push(peers.two_cities()[: 5 * 16_000]), *session.finish()]
    captions = [event for event in events if isinstance(event, Caption) and event.lang == "en"]
    assert "It was the best of times." in " ".join(caption.stable for caption in captions)
    assert any(isinstance(event, Words) for event in events)


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
