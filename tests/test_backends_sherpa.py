"""Streaming transducers of sherpa-onnx as recognisers: the real library on a tiny random transducer."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import peers
import pytest
import sherpa_models

from streamst import Caption, load
from streamst.backends.parts import Languages
from streamst.backends.sherpa import LONGEST, SherpaRecogniser, SherpaState, check
from streamst.backends.window import RATE_HZ
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.seam import Hear, HeardWord
from streamst.nn.packing import from_bytes, to_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sherpa_models.transducer(tmp_path_factory.mktemp("sherpa"))


@pytest.fixture(scope="module")
def sherpa(folder: Path) -> SherpaRecogniser:
    return SherpaRecogniser(folder)


def whole(folder: Path, pcm: np.ndarray) -> str:
    """What the library itself makes of a recording in one go."""
    import sherpa_onnx

    names = (str(folder / name) for name in ("tokens.txt", "encoder.onnx", "decoder.onnx", "joiner.onnx"))
    library = sherpa_onnx.OnlineRecognizer.from_transducer(*names, num_threads=1)
    stream = library.create_stream()
    stream.accept_waveform(RATE_HZ, np.concatenate([pcm, np.zeros(RATE_HZ, np.float32)]))
    stream.input_finished()
    while library.is_ready(stream):
        library.decode_stream(stream)
    return str(library.get_result(stream)).strip()


def test_streamed_words_are_those_of_the_library_and_what_is_certain_stays(
    folder: Path, sherpa: SherpaRecogniser
) -> None:
    speech = peers.two_cities()[: 4 * RATE_HZ]
    before: tuple[HeardWord, ...] = ()
    heard = sherpa.listening(sherpa.init_state())
    for heard in peers.hear(sherpa, speech, 320):
        assert heard.words[: len(before)] == before
        assert len(heard.words) - heard.certain <= 1
        before = heard.words[: heard.certain]
    assert heard.certain == len(heard.words) > 3
    assert " ".join(word.text for word in heard.words) == " ".join(whole(folder, speech).split())
    for a, b in zip(heard.words, heard.words[1:], strict=False):
        assert a.first_frame <= a.last_frame <= b.first_frame
    assert heard.words[-1].last_frame < heard.frames


@pytest.mark.parametrize("loudness", [0.0, 1e-4])
def test_silence_and_a_quiet_room_bring_no_word_and_no_work(sherpa: SherpaRecogniser, loudness: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 10 * RATE_HZ).astype(np.float32) * loudness
    opened = len(sherpa._open)
    for heard in peers.hear(sherpa, noise):
        assert heard.words == ()
    assert len(sherpa._open) == opened


def test_speakers_decoded_together_hear_what_each_hears_apart_and_a_state_goes_on_elsewhere(
    folder: Path, sherpa: SherpaRecogniser
) -> None:
    speech, elsewhere = peers.two_cities(), SherpaRecogniser(folder)
    pieces = [(speech[at : at + 10_000], speech[at + 80_000 : at + 90_000]) for at in range(16_000, 66_000, 10_000)]
    apart = [sherpa.init_state(), sherpa.init_state()]
    turns = [sherpa.init_state(), sherpa.init_state()]
    for number, both in enumerate(pieces):
        apart = [sherpa.hear_all([Hear(pcm, state)])[0] for pcm, state in zip(both, apart, strict=True)]
        worker = (sherpa, elsewhere)[number % 2]
        turns = worker.hear_all([Hear(pcm, state) for pcm, state in zip(both, turns, strict=True)])
        turns = [from_bytes(SherpaState, to_bytes(state), sherpa.init_state()) for state in turns]
    for a, b in zip(apart, turns, strict=True):
        assert sherpa.listening(a) == sherpa.listening(b)
        assert sherpa.listening(a).words
    assert sherpa.listening(apart[0]).words != sherpa.listening(apart[1]).words


def test_the_same_state_may_be_gone_on_from_twice(sherpa: SherpaRecogniser) -> None:
    speech = peers.two_cities()[16_000:]
    (state,) = sherpa.hear_all([Hear(speech[:20_000], sherpa.init_state())])
    (first,) = sherpa.hear_all([Hear(speech[20_000:40_000], state)])
    (again,) = sherpa.hear_all([Hear(speech[20_000:40_000], state)])
    assert sherpa.listening(first) == sherpa.listening(again)


def test_a_stream_without_a_pause_is_bounded_and_everything_becomes_certain_in_one(sherpa: SherpaRecogniser) -> None:
    loud, state = np.random.default_rng(5).normal(0, 0.2, 2 * RATE_HZ).astype(np.float32), sherpa.init_state()
    loud *= np.tile(np.repeat([1.0, 0.01], 1_600), 10).astype(np.float32)  # beats, which never become the noise
    for _ in range(12):
        (state,) = sherpa.hear_all([Hear(loud, state)])
        assert len(state.window) <= LONGEST + len(loud)
    assert state.samples - len(state.window) > 0
    (state,) = sherpa.hear_all([Hear(np.zeros(RATE_HZ, np.float32), state)])
    heard = sherpa.listening(state)
    assert heard.certain == len(heard.words)
    assert state.key == 0


def test_forgotten_words_are_gone_and_the_others_stay(sherpa: SherpaRecogniser) -> None:
    (state,) = sherpa.hear_all([Hear(peers.two_cities()[16_000:64_000], sherpa.init_state())])
    words = sherpa.listening(state).words
    assert len(words) > 3
    after = sherpa.forget(state, 2, words[1].last_frame + 1)
    assert sherpa.listening(after).words == words[2:]
    (after,) = sherpa.hear_all([Hear(np.zeros(3_200, np.float32), after)])
    assert sherpa.listening(after).words[: len(words) - 3] == words[2:-1]
    assert sherpa.listening(sherpa.forget(state, len(words), state.frames)).words == ()


def test_it_is_chosen_by_name_for_the_language_that_is_said(folder: Path) -> None:
    assert check(folder) == Languages()
    session = load(recogniser=f"sherpa:{folder}").session(policy="wait-k", speech=False)
    events = [*session.push(peers.two_cities()[16_000:64_000]), *session.finish()]
    assert any(isinstance(event, Caption) and event.lang == "en" and event.stable for event in events)
    with pytest.raises(InputError, match=r"chunks of 150 ms .*allowed: 160 to 2000"):
        SherpaRecogniser(folder).chunk_samples(150)


@pytest.mark.parametrize("name", ["encoder", "decoder", "joiner", "tokens"])
def test_what_is_missing_or_something_else_is_named_and_never_ends_the_process(
    folder: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / ("tokens.txt" if name == "tokens" else f"{name}.onnx")
    file.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=f"{tmp_path} is not a streaming transducer of sherpa-onnx: "):
        SherpaRecogniser(tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match=f"is not a streaming transducer of sherpa-onnx: {name}.* is missing"):
        SherpaRecogniser(tmp_path)


def test_a_model_of_another_kind_and_no_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder"):
        SherpaRecogniser(tmp_path / "none")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    shutil.copy(folder / "joiner.onnx", tmp_path / "encoder.onnx")  # which has no model_type
    with pytest.raises(CheckpointError, match=r"encoder\.onnx lacks 'model_type'"):
        SherpaRecogniser(tmp_path)


def test_the_extra_that_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(UnavailableError, match=r"sherpa_onnx is not installed.*streamst\[sherpa\]"):
        SherpaRecogniser(folder)
