"""The voice in ONNX Runtime: what PyTorch says, word by word, with states that go from one to the other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from seams import spoken_by

from streamst.cli import main
from streamst.codecs.export import SOUND, export_sound
from streamst.codecs.neural import NeuralCodec
from streamst.errors import CheckpointError
from streamst.inventory import ASSETS
from streamst.models.seam import Speak
from streamst.models.speak.export import FRAMES, TEXT, export
from streamst.models.speak.voice import GermanVoice
from streamst.nn.graph_session import WEIGHTS, GraphSession

VOICE, CODEC = ASSETS / "voice-de", ASSETS / "codec"
TEXT_SAID = "Am 3. Mai um 14:30 Uhr regnete es, und A niemand kam. Wo ist er? Ja"


@pytest.fixture(scope="module")
def plain() -> GermanVoice:
    return GermanVoice.load(VOICE, NeuralCodec.load(CODEC))


@pytest.fixture(scope="module")
def quick() -> GermanVoice:
    voice = GermanVoice.load(VOICE, NeuralCodec.load(CODEC))
    voice.by_graphs(VOICE, CODEC)
    return voice


def word_by_word(voices: list[GermanVoice]) -> np.ndarray:
    """Each word by the next of `voices`, over one state."""
    words, state, pieces = TEXT_SAID.split(), voices[0].init_state(), list[np.ndarray]()
    for index, word in enumerate(words):
        voice = voices[index % len(voices)]
        pcm, state = spoken_by(voice, [word], state, final=index == len(words) - 1)
        pieces.append(pcm)
    return np.concatenate(pieces)


def test_the_graphs_say_what_pytorch_says_and_a_state_goes_from_one_to_the_other(
    plain: GermanVoice, quick: GermanVoice
) -> None:
    expected = word_by_word([plain])
    assert np.abs(expected).max() > 0.1
    for voices in ([quick], [quick, plain]):
        np.testing.assert_allclose(word_by_word(voices), expected, atol=2e-4, rtol=0)


def test_three_speakers_together_sound_as_each_alone(quick: GermanVoice) -> None:
    lines = [text.split() for text in ("Das ist gut, aber es regnet.", "Ja.", "Sie hat 3 Kinder.")]
    states: list[Any] = [quick.init_state() for _ in lines]
    together = quick.speak_all([Speak(tuple(line), s, True) for line, s in zip(lines, states, strict=True)])
    for line, (pcm, _) in zip(lines, together, strict=True):
        alone, _ = spoken_by(quick, line, quick.init_state(), final=True)
        np.testing.assert_array_equal(pcm, alone)


def test_the_shipped_graphs_are_those_that_the_command_writes(tmp_path: Path) -> None:
    for folder in (VOICE, CODEC):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("*.onnx"))
    for made in (export_sound(tmp_path / CODEC.name), *export(tmp_path / VOICE.name)):
        shipped = (ASSETS / made.parent.name / made.name).read_bytes()
        assert onnx.load_from_string(shipped, "protobuf").graph == onnx.load(made, load_external_data=False).graph
        GraphSession(made)
    assert sorted(path.name for path in tmp_path.rglob("*.onnx")) == sorted([FRAMES, SOUND, TEXT])


def test_a_graph_of_other_weights_and_one_that_is_missing_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FRAMES).write_bytes((VOICE / FRAMES).read_bytes())
    with pytest.raises(CheckpointError):
        GraphSession(tmp_path / FRAMES)  # without any
    (tmp_path / WEIGHTS).write_bytes((CODEC / WEIGHTS).read_bytes())
    with pytest.raises(CheckpointError, match=r"frames\.onnx"):
        GraphSession(tmp_path / FRAMES)
    with pytest.raises(CheckpointError, match="is missing; it is written by: streamst export"):
        GraphSession(tmp_path / TEXT)
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path)])
    assert "model.json is missing" in capsys.readouterr().err
