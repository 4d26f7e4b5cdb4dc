"""Other people's voices speak phrase by phrase, keep what they hold, and say clearly what is missing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from seams import spoken_by, voice_named

from streamst import watermark
from streamst.audio import Pcm
from streamst.backends import huggingface
from streamst.backends.parts import chosen
from streamst.backends.phrases import PhraseState, PhraseVoice
from streamst.backends.voices import VOICES
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.events import Speech
from streamst.nn.packing import from_bytes, to_bytes
from streamst.pipeline import Pipeline
from streamst.session import Session

ESPEAK = ["espeak-ng"] if shutil.which("espeak-ng") else []


class Beeps:
    """A synthesis whose speech says how long its text was; remembers the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, rate: float) -> Pcm:
        self.texts.append(text)
        return np.full(round(100 * len(text) / rate), 0.1, np.float32)


@pytest.fixture
def beeps() -> Beeps:
    return Beeps()


def test_a_phrase_is_spoken_when_it_is_complete_and_never_twice(beeps: Beeps) -> None:
    voice = PhraseVoice(beeps, 16_000, "de", phrase_words=4, marked=False)
    state = voice.init_state()
    for word in ["Guten", "Tag,", "wie", "geht", "es", "Ihnen", "heute?"]:
        _, state = spoken_by(voice, [word], state, final=False)
    assert beeps.texts == ["Guten Tag,", "wie geht es Ihnen", "heute?"]
    pcm, state = spoken_by(voice, ["Mir", "gut"], state, final=True)
    assert beeps.texts[-1] == "Mir gut"
    assert len(pcm) == 700
    assert spoken_by(voice, [], state, final=True)[0].size == 0


def test_a_phrase_cannot_be_hurried_and_its_words_are_told(beeps: Beeps) -> None:
    voice = PhraseVoice(beeps, 16_000, "de", phrase_words=4)
    pcm, state = spoken_by(voice, ["Guten", "Tag"], voice.init_state(), final=False, hurried=True)
    assert len(pcm) == 0
    assert voice.held(state) == ("Guten", "Tag")
    assert beeps.texts == []


def test_any_cut_into_words_sounds_the_same(beeps: Beeps) -> None:
    voice = PhraseVoice(beeps, 16_000, "de")
    words = ["Das", "ist", "ein", "Satz,", "der", "weitergeht,", "und", "noch", "einer."]
    whole, _ = spoken_by(voice, words, voice.init_state(), final=True)
    state, pieces = voice.init_state(), []
    for place, word in enumerate(words):
        pcm, state = spoken_by(voice, [word], state, final=place == len(words) - 1)
        pieces.append(pcm)
    assert np.array_equal(np.concatenate(pieces), whole)


def test_a_state_goes_through_a_snapshot(beeps: Beeps) -> None:
    voice = PhraseVoice(beeps, 16_000, "de")
    _, state = spoken_by(voice, ["Ja,", "das", "ist"], voice.init_state(), final=False)
    restored = from_bytes(PhraseState, to_bytes(state), voice.init_state())
    own, _ = spoken_by(voice, ["gut."], state, final=True)
    other, _ = spoken_by(voice, ["gut."], restored, final=True)
    assert np.array_equal(own, other)


def test_nothing_speakable_is_silence_and_an_impossible_rate_an_error(beeps: Beeps) -> None:
    voice = PhraseVoice(beeps, 16_000, "de", marked=False)
    assert spoken_by(voice, ["…", "🙂"], voice.init_state(), final=True)[0].size == 0
    assert beeps.texts == []
    with pytest.raises(InputError, match=r"0\.8 to 1\.25"):
        spoken_by(voice, ["Ja"], voice.init_state(), final=True, rate=2.0)


@pytest.mark.parametrize("name", ["alien", "hf:", ""])
def test_a_voice_that_there_is_not_is_told_with_what_there_is(name: str) -> None:
    with pytest.raises(InputError, match="allowed: own"):
        voice_named(name, "de")


def test_missing_programs_and_packages_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UnavailableError, match="apt install espeak-ng"):
        voice_named("espeak-ng", "de")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UnavailableError, match=r"streamst\[hf\]"):
        voice_named("hf:facebook/mms-tts-deu", "de")


@pytest.mark.parametrize("name", ESPEAK)
def test_espeak_speaks_in_a_session_with_the_mark_and_at_the_rate_asked_for(name: str, tiny_pipeline: Pipeline) -> None:
    voice = voice_named(name, "de")
    assert isinstance(voice, PhraseVoice)
    text = ["Heute", "scheint", "die", "Sonne,", "und", "morgen", "wird", "es", "regnen."]
    slow, _ = spoken_by(voice, text, voice.init_state(), final=True, rate=0.8)
    fast, _ = spoken_by(voice, text, voice.init_state(), final=True, rate=1.25)
    assert len(slow) > 1.2 * len(fast) > voice.sample_rate_hz
    assert np.abs(slow).max() > 0.1
    assert watermark.detect(slow, voice.sample_rate_hz).marked
    session = Session(replace(tiny_pipeline.models, voice=voice), tiny_pipeline.session().policy)
    rng = np.random.default_rng(1)
    loud = np.repeat(rng.uniform(0.02, 0.3, 20) * (rng.random(20) > 0.3), 8000)
    noise = (rng.standard_normal(160_000) * loud).astype(np.float32)
    said = [event for event in (*session.push(noise), *session.finish()) if isinstance(event, Speech)]
    assert sum(len(event.pcm) for event in said) > 0
    with pytest.raises(InputError, match="cannot speak 'klingonese'"):
        voice_named(name, "klingonese")


@pytest.fixture(scope="module")
def vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VITS model with random weights."""
    transformers, folder = huggingface.library(), tmp_path_factory.mktemp("vits")
    letters = [" ", *"abcdefghijklmnopqrstuvwxyzäöüß", "<unk>"]
    (folder / "vocab.json").write_text(json.dumps({c: n for n, c in enumerate(letters)}), encoding="utf-8")
    tokenizer = transformers.VitsTokenizer(str(folder / "vocab.json"), language="deu", phonemize=False, pad_token=" ")
    tokenizer.save_pretrained(folder)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32, "flow_size": 16}
    config = transformers.VitsConfig(vocab_size=len(letters), upsample_initial_channel=32, spectrogram_bins=20, **small)
    transformers.VitsModel(config).save_pretrained(folder)
    return folder


def test_a_vits_model_from_a_folder_speaks(vits: Path) -> None:
    voice = voice_named(f"hf:{vits}", "de")
    pcm, _ = spoken_by(voice, ["guten", "morgen"], voice.init_state(), final=True)
    assert pcm.dtype == np.float32
    assert len(pcm) > 0
    with pytest.raises(UnavailableError, match="could not be loaded"):
        voice_named(f"hf:{vits}/nothing", "de")


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([], "config.json"),
        (["config.json"], "vocab.json"),
        (["config.json", "vocab.json"], "model.safetensors or pytorch_model.bin"),
    ],
)
def test_a_folder_that_holds_no_vits_voice_is_told_by_the_file_that_it_lacks(
    there: list[str], missing: str, tmp_path: Path
) -> None:
    for name in there:
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{tmp_path} is not a VITS voice: {missing} is missing"):
        chosen("voice", f"hf:{tmp_path}", VOICES)


def test_a_torchaudio_that_does_not_load_hinders_no_voice(vits: Path, tmp_path: Path) -> None:
    (tmp_path / "torchaudio.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    program = f"from streamst.backends.huggingface import vits_voice; print(vits_voice({str(vits)!r}).sample_rate_hz)"
    paths = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert run.stdout.strip() == "16000", run.stderr
