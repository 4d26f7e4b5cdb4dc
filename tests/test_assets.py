"""The shipped model: whole, small enough, documented, silent where nobody speaks, talking where somebody does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import beats
import jiwer
import numpy as np
import pytest
import torch

from streamst.audio import read_audio
from streamst.errors import InputError
from streamst.events import Caption, Event, Speech, Words
from streamst.inventory import ASSETS
from streamst.languages.english import spoken_english
from streamst.models.offline import heard_text
from streamst.models.seam import Hear, HeardWord, Write
from streamst.models.whisper.recogniser import Ear, WhisperRecogniser
from streamst.models.whisper.store import load as load_ear
from streamst.models.write.store import load as load_pen
from streamst.nn.packing import from_bytes, to_bytes
from streamst.pipeline import Pipeline, load
from streamst.policies.base import Decoding
from streamst.policies.catalog import LATENCY_NAMES

MODELS = ("translator", "codec", "voice-de", "ear", "pen")
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def shipped() -> Pipeline:
    return load("en-de", "cpu")


@pytest.fixture(scope="module")
def own() -> Pipeline:
    return load("en-de", "cpu", recogniser="own")


def say(pipeline: Pipeline, audio: np.ndarray, policy: str = "wait-k") -> list[Event]:
    session = pipeline.session(policy=policy)
    return [*session.push(audio.astype(np.float32)), *session.finish()]


def test_the_weights_are_at_most_94_mebibytes() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) < 94 * 2**20


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_card_with_quality_data_licences_and_command(model: str) -> None:
    card = (ASSETS / model / "MODEL_CARD.md").read_text(encoding="utf-8").lower()
    for word in ("quality:", "data", "licen", "streamst train", "measured"):
        assert word in card, word


def noises() -> Iterator[tuple[str, np.ndarray]]:
    """Ten seconds of what is not speech."""
    rng = np.random.default_rng(0)
    white = rng.standard_normal(10 * RATE_HZ)
    yield "silence", np.zeros(10 * RATE_HZ)
    for level in (0.001, 0.01, 0.1):
        yield f"white noise at {level}", level * white
    yield "rumble", np.cumsum(white) / np.abs(np.cumsum(white)).max() * 0.3
    time_s = np.arange(10 * RATE_HZ) / RATE_HZ
    yield "mains hum", 0.1 * np.sin(2 * np.pi * 50 * time_s) + 0.05 * np.sin(2 * np.pi * 150 * time_s)
    notes = 220 * 2 ** (np.repeat(rng.integers(0, 24, 40), RATE_HZ // 4) / 12)
    fading = np.exp(-6 * (time_s % 0.25))
    yield "music", 0.1 * fading * sum(np.sin(2 * np.pi * k * notes * time_s) / k for k in range(1, 5))
    yield "clicks", (rng.random(10 * RATE_HZ) < 0.0002) * 0.5


@pytest.fixture(scope="module")
def ear() -> WhisperRecogniser:
    return load_ear(ASSETS / "ear")


def throbbing() -> Iterator[tuple[str, np.ndarray]]:
    """Noise that comes and goes like steps or sawing."""
    rng = np.random.default_rng(1)
    time_s = np.arange(10 * RATE_HZ) / RATE_HZ
    for hertz in (3, 5, 8):
        swing = 0.5 + 0.5 * np.sin(2 * np.pi * hertz * time_s)
        yield f"beats at {hertz} Hz", 0.1 * swing * rng.standard_normal(len(time_s))


@pytest.mark.parametrize(
    ("name", "audio"),
    [*noises(), *throbbing(), *beats.suite(1)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_ear_hears_nobody_where_nobody_speaks(ear: WhisperRecogniser, name: str, audio: np.ndarray) -> None:
    assert heard_text(ear, audio.astype(np.float32), 640) == "", name


def test_the_ear_hears_what_is_said_with_case_and_stops(ear: WhisperRecogniser) -> None:
    heard = heard_text(ear, read_audio(Path(__file__).parent / "data" / "station.flac", RATE_HZ), 640)
    assert jiwer.wer(spoken_english("Good morning. Where is the nearest train station?"), spoken_english(heard)) < 0.3
    assert heard[0].isupper()


def spoken() -> np.ndarray:
    """A recorded request, cut to its speech."""
    pcm = read_audio(Path(__file__).parent / "data" / "station.flac", RATE_HZ).astype(np.float32)
    loud = np.flatnonzero(np.abs(pcm) > 0.02)
    return pcm[loud[0] : loud[-1]]


@pytest.mark.parametrize(("times", "chunk_ms"), [(2, 480), (4, 320), (8, 640)])
def test_a_sentence_said_again_and_again_without_a_pause_is_heard_as_often(
    ear: WhisperRecogniser, times: int, chunk_ms: int
) -> None:
    heard = spoken_english(heard_text(ear, np.tile(spoken(), times), chunk_ms))
    assert jiwer.wer(" ".join(["good morning where is the nearest train station"] * times), heard) < 0.1


def test_speech_that_is_recorded_far_too_loud_is_written_all_the_same(ear: WhisperRecogniser) -> None:
    for loud in (20 * spoken(), np.clip(20 * spoken(), -1, 1)):  # beyond full scale, and clipped there
        assert 3 <= len(heard_text(ear, loud, 640).split()) <= 12


@torch.inference_mode()
def test_a_stream_that_is_cut_anywhere_goes_on_to_the_very_words(ear: WhisperRecogniser) -> None:
    pcm, size = np.pad(spoken(), (0, RATE_HZ // 2)), ear.chunk_samples(640)
    pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)]

    def listened(state: Ear, start: int) -> list[Ear]:
        states = []
        for number, piece in enumerate(pieces[start:], start + 1):
            (state,) = ear.hear_all([Hear(piece, state, number == len(pieces), size)])
            states.append(state)
        return states

    whole = listened(ear.init_state(), 0)
    for cut, state in enumerate(whole[:-1], 1):
        data = to_bytes(state)
        assert len(data) < 16_000 * 2 * 6  # as much as the utterance's audio, and far less than its states
        after = listened(from_bytes(Ear, data, ear.init_state()), cut)
        assert [ear.listening(one) for one in after] == [ear.listening(one) for one in whole[cut:]], cut
        for one, unbroken in zip(after, whole[cut:], strict=True):
            assert (one.certain, one.draft) == (unbroken.certain, unbroken.draft)  # with their probabilities
            made = [*one.encoder.tensors(), one.states, one.memory.whole(one.memory.open[:, :, :0])]
            like = [*unbroken.encoder.tensors(), unbroken.states, unbroken.memory.whole(unbroken.memory.open[:, :, :0])]
            assert all(torch.equal(a, b) for a, b in zip(made, like, strict=True)), cut


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"cuts": (8, 0, 8)}, "16 frames in 3 chunks"),
        ({"cuts": (1400, 128)}, "1528 frames in 2 chunks"),
        ({"cuts": (16,)}, "5120 samples and 17 frames of an utterance of 16"),
        ({"cuts": (17,)}, "5120 samples and 17 frames of an utterance of 17"),
    ],
)
def test_an_utterance_that_nobody_can_have_heard_is_refused(
    ear: WhisperRecogniser, wrong: dict[str, tuple[int, ...]], named: str
) -> None:
    begun = replace(ear.init_state(), pcm=torch.zeros(16 * 320))
    with pytest.raises(InputError, match=named):
        replace(begun, loud=torch.zeros(17, dtype=torch.bool), **wrong)


@pytest.mark.parametrize(("name", "audio"), list(noises()), ids=lambda value: value if isinstance(value, str) else "")
def test_nothing_is_said_where_nobody_speaks(shipped: Pipeline, name: str, audio: np.ndarray) -> None:
    said = [event for event in say(shipped, audio) if isinstance(event, Words | Speech)]
    assert not said, name


@pytest.mark.parametrize(
    ("name", "audio"), list(beats.suite()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_nothing_is_heard_or_said_in_beats_of_other_kinds_than_the_trainings(
    own: Pipeline, name: str, audio: np.ndarray
) -> None:
    said = [event for event in say(own, audio, "monotonic") if isinstance(event, Words | Speech | Caption)]
    assert not said, name


def test_who_speaks_after_beats_is_heard_and_the_session_can_be_moved_in_between(own: Pipeline) -> None:
    clip = read_audio(Path(__file__).parent / "data" / "station.flac").astype(np.float32)
    noise = next(audio for name, audio in beats.suite(1) if name == "tremolo 0")
    stayed = say(own, np.concatenate([noise, clip]))
    assert len(finals(stayed)) == len(finals(say(own, clip))) > 2
    assert "train station" in " ".join(finals(stayed))
    session = own.session(policy="wait-k")
    events = session.push(noise)
    moved = type(session).restore(session.snapshot(), session.models)
    assert finals([*events, *moved.push(clip), *moved.finish()]) == finals(stayed)


def finals(events: list[Event]) -> list[str]:
    return [event.stable for event in events if isinstance(event, Caption) and event.final]


def test_a_spoken_sentence_is_heard_written_and_spoken(shipped: Pipeline) -> None:
    clip = Path(__file__).parent / "data" / "station.flac"
    events = say(shipped, read_audio(clip))
    english = " ".join(e.stable for e in events if isinstance(e, Caption) and e.lang == "en" and e.final)
    truth = spoken_english("Good morning. Where is the nearest train station?")
    assert jiwer.wer(truth, english) < 0.7
    assert len([word for event in events if isinstance(event, Words) for word in event.words]) >= 4
    spoken = np.concatenate([event.pcm for event in events if isinstance(event, Speech)])
    assert len(spoken) > RATE_HZ
    assert np.sqrt(np.mean(spoken**2)) > 0.01


def test_the_dial_tuned_for_the_model_is_one_that_it_can_do_and_turns_towards_later(shipped: Pipeline) -> None:
    sessions = [shipped.session(latency=name, speech=False) for name in LATENCY_NAMES]
    assert len({(session.policy, session.chunk_ms) for session in sessions}) == len(LATENCY_NAMES)
    chunks = [session.chunk_ms for session in sessions]
    assert chunks == sorted(chunks)
    assert tuple(shipped.dial) == ("en-de",)


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("Where is the nearest train station?", "Wo ist der nächste Bahnhof?"),
        ("I don't know what to do.", "Ich weiß nicht, was ich tun soll."),
        ("i don't know what to do", "Ich weiß nicht, was ich tun soll."),
    ],
)
def test_the_pen_writes_what_is_written_and_what_is_heard(english: str, german: str) -> None:
    assert penned(english) == german


def test_who_shouts_is_understood() -> None:
    assert penned("WHERE IS THE NEAREST TRAIN STATION?") == penned("where is the nearest train station?")


def penned(english: str) -> str:
    """What the shipped pen makes of a whole sentence."""
    pen = load_pen(ASSETS / "pen")
    words = tuple(HeardWord(word, 4 * n, 4 * n + 3) for n, word in enumerate(english.split()))
    found = pen.write_all([Write(words, 4 * len(words), (), True, "de", Decoding())])[0]
    return pen.detokenize("de", found.tokens)


@pytest.mark.parametrize(
    ("english", "kept"),
    [
        ("You find it at https://example.org/a_b?c=1.", "https://example.org/a_b?c=1"),
        ("Please write to anna.schmidt@example.org today.", "anna.schmidt@example.org"),
        ("I met Krzysztof in the city.", "Krzysztof"),
        ("Please call 0171 2345678 in the evening.", "0171 2345678"),
        ("The car costs 12,500 dollars.", "12.500"),
        ("My friend Thị lives here.", "Thị"),
    ],
)
def test_addresses_and_rare_names_are_copied(english: str, kept: str) -> None:
    assert kept in penned(english)


@pytest.mark.parametrize(
    "english", ["...", "?! -", "word " * 2_000, "Hello, " * 60, "12 34 56", "Bonjour tout le monde."]
)
def test_odd_text_ends_and_goes_round_no_more_than_it_does_itself(english: str) -> None:
    german = penned(english)
    assert len(german.split()) <= 2 * len(english.split()) + 8
    assert german == "" or any(letter.isalnum() for letter in english)
