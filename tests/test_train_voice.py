"""Training the voice: the data it makes of recordings, the pieces of the loss, and a whole tiny run from its recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamst.audio import write_wav
from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.errors import ConfigError, InputError
from streamst.languages.german.spoken import spoken_german
from streamst.languages.german.symbols import INDEX, START
from streamst.models.speak.network import TtsConfig, TtsNetwork
from streamst.models.speak.voice import GermanVoice, say
from streamst.train.loop import LoopConfig, train
from streamst.train.voice import Phrase, VoiceTask, VoiceTraining, collate, cut, join, phrase_of, task
from streamst.train.voice_data import LEVEL, DataConfig, Recording, pad, pitch_and_energy, prepare, read_recordings

CODEC = NeuralCodecConfig(encoder_dim=16, encoder_blocks=1, decoder_dim=16, decoder_blocks=1)
SMALL = {"text_dim": 16, "word_blocks": 1, "phrase_blocks": 1, "frame_dim": 16, "frame_blocks": 1}


def tone(hz: float, seconds: float, loudness: float = 0.1) -> NDArray[np.float32]:
    t = np.arange(int(16_000 * seconds)) / 16_000
    harmonics = np.stack([np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6)])
    return (loudness * harmonics.sum(0)).astype(np.float32)


def recording(text: str, frames_each: int = 4) -> Recording:
    words = spoken_german(text)
    made = Recording("one", words, torch.zeros(0, dtype=torch.int16), torch.zeros(0), torch.zeros(0))
    symbols = sum(len(word) for word in made.symbols)
    pcm = tone(200, symbols * frames_each * 0.02)
    pitch, energy = pitch_and_energy(pcm)
    durations = torch.full((symbols,), frames_each)
    return Recording("one", words, torch.from_numpy((pcm * 32_767).astype(np.int16)), pitch, energy, durations)


def phrase(text: str) -> Phrase:
    made = recording(text)
    return phrase_of(made, torch.arange(made.frames)[:, None].float().expand(-1, 64))


@pytest.mark.parametrize("hz", [130.0, 170.0, 233.0, 310.0])
def test_the_pitch_of_a_harmonic_tone_is_found(hz: float) -> None:
    pitch, energy = pitch_and_energy(tone(hz, 1.0))
    inner = pitch[3:-3]
    assert (inner > 0).all()
    assert float(inner.exp2().median()) == pytest.approx(hz, rel=0.01)
    assert float(energy[10]) == pytest.approx(np.log(np.sqrt(np.square(tone(hz, 1.0)).mean()) + 1e-3), abs=0.05)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 16_000).astype(np.float32)
    assert float((pitch_and_energy(noise)[0] > 0).float().mean()) < 0.1
    assert float(pitch_and_energy(np.zeros(16_000, np.float32))[0].max()) == 0


def test_silence_around_the_speech_goes_and_the_level_becomes_that_of_all() -> None:
    quiet = np.zeros(16_000, np.float32)
    speech = np.concatenate([quiet, tone(200, 1.0, loudness=0.01), quiet])
    cut_out = prepare(speech, DataConfig(lead_ms=40, tail_ms=240))
    assert len(cut_out) % 320 == 0
    assert len(cut_out) / 16_000 == pytest.approx(1.28, abs=0.05)
    assert float(np.sqrt(np.square(cut_out[2000:14000]).mean())) == pytest.approx(LEVEL, rel=0.05)


def test_a_cut_phrase_is_the_beginning_of_the_whole() -> None:
    whole = phrase("Das ist ein Haus, oder?")
    part = cut(whole, 3)
    frames = sum(sum(word) for word in whole.durations[:3])
    assert part.words == whole.words[:3]
    assert len(part.target) == len(part.voiced) == frames == sum(sum(word) for word in part.durations)
    torch.testing.assert_close(part.target, whole.target[:frames])


def test_joined_phrases_have_one_beginning_and_lose_no_frame() -> None:
    first, second = phrase("Ja."), phrase("Das ist gut.")
    both = join(first, second)
    symbols = [symbol for word in both.words for symbol in word]
    assert symbols.count(INDEX[START]) == 1
    assert sum(sum(word) for word in both.durations) == len(both.target) == len(first.target) + len(second.target)
    assert both.durations[0][-1] == 8  # the pause after "ja." and the silence before "das"
    assert (
        [len(word) for word in both.words] == [len(word) for word in both.durations] == [len(p) for p in both.prosody]
    )
    assert second.words[1] == both.words[2]
    assert second.durations[0][0] == 4  # what was joined is unchanged


def test_a_batch_holds_each_phrase_and_nothing_else() -> None:
    phrases = [phrase("Das ist ein Haus."), cut(phrase("Ja, gut."), 1)]
    batch = collate(phrases)
    assert batch.letters.shape[:2] == (2, 5)
    assert bool((batch.letters[:, -1] == 0).all())
    assert batch.mask.sum(1).tolist() == [len(p.target) for p in phrases] == list(batch.frames)
    assert batch.durations.sum((1, 2)).tolist() == list(batch.frames)


def test_pitch_per_symbol_is_that_of_its_voiced_frames() -> None:
    made = recording("Das ist gut.")
    made.pitch = torch.zeros(made.frames)
    made.pitch[4:8], made.pitch[16:18] = 7.9, 7.4
    prosody = torch.cat(phrase_of(made, torch.zeros(made.frames, 64)).prosody)
    assert float(prosody[1, 0]) == pytest.approx(0.5, abs=1e-5)
    assert float(prosody[4, 0]) == pytest.approx(0.0, abs=1e-5)
    assert float(prosody[2, 0]) == pytest.approx(0.5 * 2 / 3, abs=1e-5)  # unvoiced: between its neighbours
    assert prosody[[1, 2, 4], 2].tolist() == pytest.approx([1.0, 0.1, 0.55])


def test_rows_are_padded_in_time_and_only_there() -> None:
    assert pad([torch.ones(2, 64)], 5).shape == (1, 5, 64)
    both = pad([torch.ones(2, 64), torch.ones(3, 64)])
    assert both.shape == (2, 3, 64)
    assert both.sum((1, 2)).tolist() == [128, 192]
    assert pad([torch.ones(7)], 5).shape == (1, 7)


@pytest.fixture
def small_task() -> VoiceTask:
    torch.manual_seed(0)
    made = recording("Das ist ein Haus.")
    codec = NeuralCodec(CODEC).eval()
    with torch.no_grad():
        target = codec.encode(made.samples()[None])[0]
    return VoiceTask([made], [made], {"one": target}, TtsConfig(**SMALL), VoiceTraining(batch_frames=200), codec)


def test_the_latents_of_one_recording_are_learned(small_task: VoiceTask, tmp_path: Path) -> None:
    small_task.options = replace(small_task.options, cut_share=0.0, joined_share=0.0, mel_weight=0.1)
    with torch.no_grad():
        before = small_task.validate()
    after = train(
        small_task, LoopConfig(steps=60, learning_rate=1e-2, warmup_steps=5, average_last=0.0), tmp_path / "run"
    )
    assert after["latents"] < 0.6 * before["latents"]
    assert after["durations"] < before["durations"]
    assert after["spectra"] < before["spectra"]


def test_the_codec_is_frozen_and_the_network_gets_every_gradient(small_task: VoiceTask) -> None:
    loss, figures = small_task.loss(collate([phrase("Das ist ein Haus.")]), 0)
    loss.backward()
    assert set(figures) == {"latents", "durations", "pitch", "energy", "spectra"}
    assert small_task.codec is not None
    assert all(p.grad is None for p in small_task.codec.parameters())
    without = [name for name, p in small_task.module.named_parameters() if p.grad is None]
    assert without == []


def test_batches_are_the_same_for_the_same_step(small_task: VoiceTask) -> None:
    one, two = next(small_task.batches(7)), next(small_task.batches(7))
    torch.testing.assert_close(one.target, two.target)
    assert one.frames == two.frames


def write_corpus(folder: Path) -> Path:
    texts = ["Das ist gut.", "Ja, das ist es.", "Es ist ein Haus.", "Das Haus ist gut.", "Ist es das?", "Es ist gut."]
    lines = ["path\tduration_s\tspeaker\tgender\tlang\ttext\tsplit"]
    for index, text in enumerate(texts):
        pcm = np.concatenate([tone(150 + 20 * (ord(letter) % 7), 0.06) for letter in text])
        write_wav(folder / f"{index}.wav", pcm, 16_000)
        lines.append(f"{index}.wav\t{len(pcm) / 16_000}\ta\tF\tde\t{text}\ttrain")
    manifest = folder / "manifest.tsv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def recipe_for(folder: Path) -> dict[str, object]:
    torch.manual_seed(0)
    NeuralCodec(CODEC).save(folder / "codec")
    return {
        "kind": "voice",
        "output": str(folder / "run"),
        "data": {"manifest": str(write_corpus(folder)), "validation_share": 0.3},
        "aligner": {"steps": 3},
        "model": SMALL,
        "train": {"codec": str(folder / "codec"), "batch_frames": 300},
        "loop": {"steps": 2},
    }


def test_one_recipe_aligns_trains_and_exports_a_voice_that_speaks(tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path)
    made = task(recipe, "cpu")
    assert isinstance(made, VoiceTask)
    train(made, LoopConfig(steps=2, warmup_steps=1), tmp_path / "run")
    codec = NeuralCodec.load(tmp_path / "codec")
    voice = GermanVoice.load(tmp_path / "run" / "model", codec)
    pcm = say(voice, "Das Haus ist gut.")
    assert len(pcm) > 0
    assert bool(np.isfinite(pcm).all())
    again = task(recipe, "cpu")  # recordings, aligner and targets are kept: nothing is trained again
    assert [p.durations for p in again.phrases] == [p.durations for p in made.phrases]


@pytest.mark.parametrize(
    ("table", "key", "value", "said"),
    [
        ("train", "target", "noise", '\'noise\'; use "latents" or "mel"'),
        ("model", "outputs", 32, "model.outputs is 32, but the target has 64"),
        ("data", "colour", 1, "unknown key 'colour'"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, table: str, key: str, value: object, said: str) -> None:
    recipe = recipe_for(tmp_path)
    entries = recipe[table]
    assert isinstance(entries, dict)
    with pytest.raises(ConfigError, match=said):
        task({**recipe, table: {**entries, key: value}}, "cpu")


def test_missing_recordings_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tsv does not exist"):
        read_recordings(DataConfig(manifest=str(tmp_path / "nowhere.tsv")), "train")


def test_a_second_run_begins_from_the_weights_that_fit(small_task: VoiceTask, tmp_path: Path) -> None:
    train(small_task, LoopConfig(steps=2, warmup_steps=1, average_last=0.0), tmp_path / "first")
    options = VoiceTraining(initial=str(tmp_path / "first" / "last.pt"))
    wider = VoiceTask([], [], {}, TtsConfig(**{**SMALL, "outputs": 70}), options, None)
    trained, taken = small_task.module, wider.module
    assert isinstance(trained, TtsNetwork)
    torch.testing.assert_close(taken.text.embedding.weight, trained.text.embedding.weight)
    assert taken.frames.outward.weight.shape != trained.frames.outward.weight.shape
