"""What the shipped model does with what is no clean speech: no invented text, no growth, no crash, or a clear error."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soxr

from streamst.audio import Pcm, read_blocks
from streamst.errors import CheckpointError, ConfigError
from streamst.events import Caption, Event, Words
from streamst.languages.english import spoken_english
from streamst.model_file import ModelFile
from streamst.models.whisper.encoder import FRAME_SAMPLES
from streamst.models.whisper.recogniser import WhisperRecogniser
from streamst.pipeline import Pipeline, load

HZ = 16_000
SAID = {"good", "morning", "where", "is", "the", "nearest", "train", "station"}


@pytest.fixture(scope="module")
def shipped() -> Pipeline:
    return load()


@pytest.fixture(scope="module")
def station() -> Pcm:
    path = Path(__file__).parent / "data/station.flac"
    return np.concatenate(list(read_blocks(path, HZ))).astype(np.float32)


def noise(kind: str, seconds: float) -> Pcm:
    """Noises by name, at the levels of a quiet room up to a loud one."""
    draw = np.random.default_rng(0)
    time_s = np.arange(int(seconds * HZ)) / HZ
    white = draw.standard_normal(len(time_s))
    if kind == "brown":
        walk = np.cumsum(white)
        walk -= np.convolve(walk, np.ones(800) / 800, "same")
        return (0.05 * walk / walk.std()).astype(np.float32)
    made = {
        "silence": 0.0 * white, "quiet": 1e-4 * white, "white": 0.01 * white, "loud": 0.2 * white,
        "hum": 0.1 * np.sin(2 * np.pi * 50 * time_s), "click": (np.arange(len(time_s)) % 8_000 == 0) * 0.8,
        "offset": 0.3 + 0.0 * white,
    }[kind]  # fmt: skip
    return made.astype(np.float32)


def melody(seconds: float) -> Pcm:
    """Four plucked notes a second, each with three overtones."""
    draw = np.random.default_rng(1)
    time_s = np.arange(int(seconds * HZ)) / HZ
    total = np.zeros(len(time_s))
    for number in range(int(4 * seconds)):
        since = time_s - number / 4
        envelope = np.exp(-6 * since) * ((since >= 0) & (since < 0.24))
        pitch_hz = 220 * 2 ** (draw.integers(0, 24) / 12)
        total += envelope * sum(np.sin(2 * np.pi * pitch_hz * k * since) / k for k in (1, 2, 3, 4))
    return (0.3 * total / np.abs(total).max()).astype(np.float32)


def run(pipeline: Pipeline, pcm: Pcm) -> list[Event]:
    session = pipeline.session(latency="low", speech=False)
    return [*session.push(pcm), *session.finish()]


def heard(events: list[Event]) -> list[str]:
    """Words of the final English captions."""
    finals = [e for e in events if isinstance(e, Caption) and e.final and e.lang == "en"]
    return " ".join(e.stable for e in finals).split()


def said(events: list[Event]) -> list[str]:
    return [word for e in events if isinstance(e, Words) for word in e.words]


@pytest.mark.parametrize("kind", ["silence", "quiet", "white", "loud", "brown", "hum", "click", "offset"])
def test_nothing_is_invented_on_silence_and_noise(shipped: Pipeline, kind: str) -> None:
    events = run(shipped, noise(kind, 3.0))
    assert heard(events) == []
    assert said(events) == []


def test_a_melody_is_not_taken_for_a_talk(shipped: Pipeline) -> None:
    events = run(shipped, melody(6.0))
    assert len(heard(events)) <= 4
    assert len(said(events)) <= 6


def test_clipped_and_telephone_speech_is_translated_without_an_error(shipped: Pipeline, station: Pcm) -> None:
    telephone = np.asarray(soxr.resample(soxr.resample(station, HZ, 8_000), 8_000, HZ), np.float32)
    assert len(SAID & set(spoken_english(" ".join(heard(run(shipped, telephone)))).split())) >= 2
    for loud in (
        np.clip(20 * station, -1, 1).astype(np.float32),
        20 * station,
    ):  # clipped by the recorder, and beyond full scale
        events = run(shipped, loud)
        assert 0 < len(heard(events)) <= 15
        assert len(said(events)) <= 20


def test_two_speakers_at_once_give_no_more_text_than_they_said(shipped: Pipeline, station: Pcm) -> None:
    pause = np.zeros(HZ // 2, np.float32)
    both = np.concatenate([station, pause]) + np.concatenate([pause, station])
    events = run(shipped, np.asarray(both / 2, np.float32))
    assert len(heard(events)) <= 2 * len(SAID) + 4
    assert len(said(events)) <= 30


def test_speech_without_a_pause_neither_grows_nor_stops(shipped: Pipeline, station: Pcm) -> None:
    running = np.tile(station[4_000:44_000], 3)  # 7.5 s, without the silence at both ends
    session = shipped.session(latency="low", speech=False)
    words, sizes = [], []
    for _ in range(6):
        events = session.push(running)
        words.append(len(said(events)))
        sizes.append(len(session.snapshot()))
    assert min(words[1:]) > 0
    assert isinstance(shipped.recogniser, WhisperRecogniser)
    utterance = 2 * FRAME_SAMPLES * shipped.recogniser.config.longest  # bytes of the audio that is heard again
    assert max(sizes) < utterance + 200_000
    rate = sum(words) / 45.0
    assert rate < 8  # words a second: nobody speaks so fast, a loop would


def test_a_stream_of_noise_holds_no_more_after_half_a_minute_than_after_ten_seconds(shipped: Pipeline) -> None:
    session, sizes = shipped.session(latency="high", speech=False), []
    for _ in range(3):
        session.push(noise("white", 9.6))  # whole chunks
        sizes.append(len(session.snapshot()))
    assert max(sizes) <= sizes[0] + 10_000


def spoiled(tiny_model: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "translator"
    shutil.copytree(tiny_model / "translator", copy)
    ModelFile("spoiled", "en", ("de",), {"own": "translator"}, {"own": "translator"}).write(tmp_path)
    return copy


def test_weights_that_are_not_those_of_the_configuration_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    weights = spoiled(tiny_model, tmp_path) / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"SHA-256 [0-9a-f]{64}, its configuration says"):
        load(str(tmp_path), "cpu")


@pytest.mark.parametrize(("place", "where"), [((), "TranslatorConfig"), (("writer",), "TranslatorConfig.writer"),
                                             (("heads",), "TranslatorConfig.heads")])  # fmt: skip
def test_an_unknown_key_of_a_checkpoint_is_named(
    tiny_model: Path, tmp_path: Path, place: tuple[str, ...], where: str
) -> None:
    path = spoiled(tiny_model, tmp_path) / "config.json"
    described = json.loads(path.read_text())
    table = described["config"]
    for name in place:
        table = table[name]
    table["colour"] = "red"
    path.write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=f"{where}: unknown key 'colour'; allowed:"):
        load(str(tmp_path), "cpu")


def test_a_checkpoint_from_before_the_heads_loads(tiny_model: Path, tmp_path: Path) -> None:
    path = spoiled(tiny_model, tmp_path) / "config.json"
    described = json.loads(path.read_text())
    del described["config"]["heads"]
    del described["config"]["writer"]["prompts"]
    path.write_text(json.dumps(described))
    pipeline = load(str(tmp_path), "cpu")
    assert pipeline.recogniser.provides == frozenset()
    assert "taed" not in pipeline.provides
