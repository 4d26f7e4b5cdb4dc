"""Moonshine tiny-en of its own package as a recogniser: the real model on real speech, silence and noise."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import jiwer
import numpy as np
import peers
import pytest

from streamst import Caption, Words, load
from streamst.backends.moonshine import MoonshineRecogniser, agreed, following, languages_of, shares
from streamst.backends.parts import Languages
from streamst.backends.window import FRAME, WindowState
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.seam import Hear, HeardWord
from streamst.nn.packing import from_bytes, to_bytes


@pytest.fixture(scope="module")
def moonshine() -> MoonshineRecogniser:
    return MoonshineRecogniser(peers.moonshine())


def words(text: str) -> tuple[HeardWord, ...]:
    return tuple(HeardWord(word, n, n) for n, word in enumerate(text.split()))


def test_speech_is_heard_with_case_and_marks_and_what_is_certain_stays_with_its_times(
    moonshine: MoonshineRecogniser,
) -> None:
    before, last = (), None
    for heard in peers.hear(moonshine, peers.two_cities()[: 24 * 16_000]):
        assert heard.words[: len(before)] == before
        before, last = heard.words[: heard.certain], heard
    assert last is not None
    assert last.certain == len(last.words)
    assert jiwer.wer(peers.CITIES, peers.text(last)) < 0.12
    assert [word.text for word in last.words[:5]] == ["It", "was", "the", "best", "of"]
    for a, b in zip(last.words, last.words[1:], strict=False):
        assert a.first_frame <= a.last_frame < b.first_frame
    assert 30 < last.words[0].first_frame < 60  # he begins to speak after 0.9 s
    assert last.words[-1].last_frame < last.frames


def test_the_model_hears_only_a_bounded_window_however_long_nobody_pauses(moonshine: MoonshineRecogniser) -> None:
    speech = peers.two_cities()[16_000 : 3 * 16_000]
    state = moonshine.init_state()
    for _ in range(10):
        (state,) = moonshine.hear_all([Hear(speech, state)])
        assert len(state.window) <= (moonshine.bounds.most + 100) * FRAME
    assert state.start > 0


@pytest.mark.parametrize("loudness", [0.0, 1e-4, 1e-2, 0.1])
def test_nothing_is_invented_in_silence_and_noise(moonshine: MoonshineRecogniser, loudness: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 20 * 16_000).astype(np.float32) * loudness
    for heard in peers.hear(moonshine, noise):
        assert heard.words == ()


def test_bursts_of_noise_after_speech_bring_no_word(moonshine: MoonshineRecogniser) -> None:
    draw, speech = np.random.default_rng(4), peers.two_cities()[: 3 * 16_000]
    bursts = np.tile(np.concatenate([np.zeros(8_000), draw.normal(0, 0.1, 4_000)]), 10).astype(np.float32)
    *_, heard = peers.hear(moonshine, np.concatenate([speech, bursts]))
    assert peers.text(heard) == "it was the best of times"


def test_a_forgotten_word_is_not_heard_again(moonshine: MoonshineRecogniser) -> None:
    speech, state = peers.two_cities(), moonshine.init_state()
    for at in range(0, 90_000, 10_000):
        (state,) = moonshine.hear_all([Hear(speech[at : at + 10_000], state)])
    heard = moonshine.listening(state).words
    state = moonshine.forget(state, 4, heard[3].last_frame + 1)
    assert moonshine.listening(state).words == heard[4:]
    (state,) = moonshine.hear_all([Hear(speech[90_000:100_000], state)])
    assert moonshine.listening(state).words[0].text == heard[4].text


def test_two_speakers_in_turn_are_two_apart_and_a_state_survives_a_snapshot(moonshine: MoonshineRecogniser) -> None:
    speech = peers.two_cities()
    pieces = [(speech[at : at + 16_000], speech[at + 80_000 : at + 96_000]) for at in range(0, 64_000, 16_000)]
    apart = [moonshine.init_state(), moonshine.init_state()]
    turns = [moonshine.init_state(), moonshine.init_state()]
    for pair in (0, 1):
        for both in pieces:
            (apart[pair],) = moonshine.hear_all([Hear(both[pair], apart[pair])])
    for both in pieces:
        turns = moonshine.hear_all([Hear(pcm, state) for pcm, state in zip(both, turns, strict=True)])
        turns = [from_bytes(WindowState, to_bytes(state), moonshine.init_state()) for state in turns]
    for a, b in zip(apart, turns, strict=True):
        assert [word.text for word in moonshine.listening(a).words] == [w.text for w in moonshine.listening(b).words]
    assert moonshine.listening(apart[0]).words != moonshine.listening(apart[1]).words


def test_a_session_captions_and_translates_what_moonshine_hears() -> None:
    pipeline = load(recogniser=f"moonshine:{peers.moonshine()}")
    session = pipeline.session(policy="local-agreement", chunk_ms=640, speech=False)
    events = [*session.push(peers.two_cities()[: 5 * 16_000]), *session.finish()]
    captions = [event for event in events if isinstance(event, Caption) and event.lang == "en"]
    assert "It was the best of times" in " ".join(caption.stable for caption in captions)
    assert any(isinstance(event, Words) for event in events)


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
