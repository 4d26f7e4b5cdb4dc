"""Noise is told from speech by the last frames that sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamst.checkpoint import WEIGHTS
from streamst.errors import CheckpointError, ConfigError
from streamst.inventory import ASSETS
from streamst.models.listen.evidence import NO_EVIDENCE, Evidence, EvidenceConfig, SpeechEvidence
from streamst.models.translator import SPEECH, SpeechTranslator
from streamst.models.whisper.store import load as load_ear
from streamst.train import evidence, recipe
from streamst.train.beats import KINDS, beats

JUDGE = SpeechEvidence(np.array([1.0, -1.0], np.float32), 0.5, EvidenceConfig(threshold=0.0, window=3))


def states(*values: float) -> np.ndarray:
    return np.array([[value, 0.0] for value in values], np.float32)


def test_evidence_is_the_mean_of_the_last_frames_that_sound() -> None:
    heard = JUDGE.hear(states(9.0, -1.0, 9.0), np.array([False, True, False]), NO_EVIDENCE)
    assert heard.scores == (-0.5,)
    assert not JUDGE.speech(heard)
    assert not JUDGE.noise(heard), "one frame is not enough to tell"
    heard = JUDGE.hear(states(-1.0, -1.0), np.array([True, True]), heard)
    assert JUDGE.noise(heard)
    heard = JUDGE.hear(states(2.0, 2.0), np.array([True, True]), heard)
    assert heard.scores == (-0.5, 2.5, 2.5)
    assert JUDGE.speech(heard)


def test_silence_is_neither_speech_nor_noise() -> None:
    heard = JUDGE.hear(states(5.0, 5.0), np.array([False, False]), NO_EVIDENCE)
    assert heard == Evidence()
    assert not JUDGE.speech(heard)
    assert not JUDGE.noise(heard)


def test_what_is_saved_is_loaded_and_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / SPEECH
    JUDGE.save(path)
    loaded = SpeechEvidence.load(path, 2, JUDGE.config)
    assert (loaded.weight.tolist(), loaded.bias) == ([1.0, -1.0], 0.5)
    with pytest.raises(CheckpointError, match=r"is of an encoder of shape \(2,\), not \(192,\)"):
        SpeechEvidence.load(path, 192, JUDGE.config)
    path.write_bytes(b"PK no such thing")
    with pytest.raises(CheckpointError, match="holds no evidence of speech"):
        SpeechEvidence.load(path, 2, JUDGE.config)


def test_the_regression_finds_the_direction_that_tells_two_kinds_apart() -> None:
    draw = np.random.default_rng(0)
    speech = np.arange(400) % 4 > 0  # three of speech to one of noise: both kinds count the same
    means = draw.normal(0, 1, (400, 3)).astype(np.float32)
    means[:, 1] += np.where(speech, 5, 1)
    weight, bias = evidence.fit(means, speech, decay=1e-3)
    assert np.abs(weight[[0, 2]]).max() < 0.3 * weight[1]
    assert ((means @ weight + bias > 0) == speech).mean() > 0.95
    assert -bias / weight[1] == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize("kind", KINDS)
def test_beats_are_sound_of_some_seconds_within_the_range(kind: str) -> None:
    first, second = (beats(kind, np.random.default_rng(seed)) for seed in (1, 2))
    assert first.dtype == np.float32
    assert 5 * 16_000 < len(first) < 11 * 16_000
    assert 0.02 < np.abs(first).max() <= 1
    assert not np.array_equal(first[: len(second)], second[: len(first)])


def test_a_recipe_gives_a_finished_translator_its_evidence(tmp_path: Path) -> None:
    for number in range(2):
        clip, rate = soundfile.read(Path(__file__).parent / "data/station.flac", dtype="float32")
        soundfile.write(tmp_path / f"{number}.wav", clip, rate)
    manifest = "path\ttext\tsplit\n0.wav\tGood morning.\ttrain\n1.wav\tGood morning.\ttrain\n"
    (tmp_path / "manifest.tsv").write_text(manifest, encoding="utf-8")
    told = f"""kind = "evidence"\noutput = "{tmp_path}/made"\nbase = "{ASSETS}/translator"
manifests = ["{tmp_path}/manifest.tsv"]\neach = 3\n[evidence]\nwindow = 8\n"""
    (tmp_path / "evidence.toml").write_text(told, encoding="utf-8")
    figures = recipe.run(tmp_path / "evidence.toml")
    assert set(figures) == {"speech", "noise"}
    assert min(figures.values()) > 90
    made = SpeechTranslator.load(tmp_path / "made")
    assert made.recogniser.evidence is not None
    assert made.config.evidence == EvidenceConfig(window=8)
    (tmp_path / "made" / SPEECH).write_bytes(b"another")
    with pytest.raises(CheckpointError, match="its configuration says"):
        SpeechTranslator.load(tmp_path / "made")


def test_a_recipe_gives_a_finished_ear_its_evidence_and_leaves_its_weights(tmp_path: Path) -> None:
    clip, rate = soundfile.read(Path(__file__).parent / "data/station.flac", dtype="float32")
    soundfile.write(tmp_path / "0.wav", clip, rate)
    (tmp_path / "manifest.tsv").write_text("path\ttext\tsplit\n0.wav\tGood morning.\ttrain\n", encoding="utf-8")
    told = f"""kind = "evidence"\noutput = "{tmp_path}/made"\nbase = "{ASSETS}/ear"
manifests = ["{tmp_path}/manifest.tsv"]\neach = 1\nlongest_s = 2.5\nleast = 8\nloud = 0.5\n[evidence]\nwindow = 30\n"""
    (tmp_path / "evidence.toml").write_text(told, encoding="utf-8")
    assert min(recipe.run(tmp_path / "evidence.toml").values()) > 90
    made = load_ear(tmp_path / "made", quick=False)
    assert made.evidence is not None
    assert made.config.evidence == EvidenceConfig(window=30)
    assert (tmp_path / "made" / WEIGHTS).read_bytes() == (ASSETS / "ear" / WEIGHTS).read_bytes()
    (tmp_path / "made" / SPEECH).write_bytes(b"another")
    with pytest.raises(CheckpointError, match="its configuration says"):
        load_ear(tmp_path / "made", quick=False)


def test_a_recipe_without_speech_is_refused(tmp_path: Path) -> None:
    told = f'kind = "evidence"\noutput = "{tmp_path}/made"\nbase = "{ASSETS}/translator"\neach = 1\n'
    (tmp_path / "evidence.toml").write_text(told, encoding="utf-8")
    with pytest.raises(ConfigError, match="speech and noise are needed"):
        recipe.run(tmp_path / "evidence.toml")
