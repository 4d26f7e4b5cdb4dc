"""What Whisper and Moonshine have in common behind the window that they hear again: real models on real speech."""

from __future__ import annotations

from dataclasses import dataclass

import jiwer
import numpy as np
import peers
import pytest

from streamst import Caption, Words, load
from streamst.backends.moonshine import MoonshineRecogniser
from streamst.backends.whisper import WhisperRecogniser
from streamst.backends.window import FRAME, WindowState
from streamst.models.seam import Hear
from streamst.nn.packing import from_bytes, to_bytes


@dataclass(frozen=True)
class Kind:
    """A model, its name and how well it hears the first 24 s."""

    recogniser: WhisperRecogniser | MoonshineRecogniser
    name: str
    wer: float


@pytest.fixture(scope="module", params=["whisper", "moonshine"])
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param == "whisper":
        return Kind(WhisperRecogniser(peers.tiny_whisper()), f"whisper:{peers.tiny_whisper()}", 0.1)
    return Kind(MoonshineRecogniser(peers.moonshine()), f"moonshine:{peers.moonshine()}", 0.12)


def test_speech_is_heard_with_case_and_marks_and_what_is_certain_stays_with_its_times(kind: Kind) -> None:
    before, last = (), None
    for heard in peers.hear(kind.recogniser, peers.two_cities()[: 24 * 16_000]):
        assert heard.words[: len(before)] == before
        before, last = heard.words[: heard.certain], heard
    assert last is not None
    assert last.certain == len(last.words)
    assert jiwer.wer(peers.CITIES, peers.text(last)) < kind.wer
    assert [word.text for word in last.words[:5]] == ["It", "was", "the", "best", "of"]
    for a, b in zip(last.words, last.words[1:], strict=False):
        assert a.first_frame <= a.last_frame < b.first_frame
    assert 10 < last.words[0].first_frame < 60  # he begins to speak after 0.9 s
    assert last.words[-1].last_frame < last.frames


def test_the_model_hears_only_a_bounded_window_however_long_nobody_pauses(kind: Kind) -> None:
    speech = peers.two_cities()[16_000 : 3 * 16_000]
    state = kind.recogniser.init_state()
    for _ in range(12):
        (state,) = kind.recogniser.hear_all([Hear(speech, state)])
        assert len(state.window) <= (kind.recogniser.bounds.most + 100) * FRAME
    assert state.start > 0


@pytest.mark.parametrize("loudness", [0.0, 1e-4, 1e-2, 0.1])
def test_nothing_is_invented_in_silence_and_noise(kind: Kind, loudness: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 20 * 16_000).astype(np.float32) * loudness
    for heard in peers.hear(kind.recogniser, noise):
        assert heard.words == ()


def test_a_forgotten_word_is_not_heard_again(kind: Kind) -> None:
    speech, state = peers.two_cities(), kind.recogniser.init_state()
    for at in range(0, 90_000, 10_000):
        (state,) = kind.recogniser.hear_all([Hear(speech[at : at + 10_000], state)])
    words = kind.recogniser.listening(state).words
    state = kind.recogniser.forget(state, 4, words[3].last_frame + 1)
    assert kind.recogniser.listening(state).words == words[4:]
    (state,) = kind.recogniser.hear_all([Hear(speech[90_000:100_000], state)])
    assert kind.recogniser.listening(state).words[0].text == words[4].text


def test_two_speakers_in_turn_are_two_apart_and_a_state_survives_a_snapshot(kind: Kind) -> None:
    one, speech = kind.recogniser, peers.two_cities()
    pieces = [(speech[at : at + 16_000], speech[at + 80_000 : at + 96_000]) for at in range(0, 64_000, 16_000)]
    apart = [one.init_state(), one.init_state()]
    turns = [one.init_state(), one.init_state()]
    for both in pieces:
        apart = [one.hear_all([Hear(pcm, state)])[0] for pcm, state in zip(both, apart, strict=True)]
        turns = one.hear_all([Hear(pcm, state) for pcm, state in zip(both, turns, strict=True)])
        turns = [from_bytes(WindowState, to_bytes(state), one.init_state()) for state in turns]
    for a, b in zip(apart, turns, strict=True):
        assert [word.text for word in one.listening(a).words] == [word.text for word in one.listening(b).words]
    assert one.listening(apart[0]).words != one.listening(apart[1]).words


def test_a_session_captions_and_translates_what_it_hears(kind: Kind) -> None:
    session = load(recogniser=kind.name).session(policy="local-agreement", chunk_ms=640, speech=False)
    events = [*session.push(peers.two_cities()[: 5 * 16_000]), *session.finish()]
    captions = [event for event in events if isinstance(event, Caption) and event.lang == "en"]
    assert "It was the best of times" in " ".join(caption.stable for caption in captions)
    assert any(isinstance(event, Words) for event in events)
