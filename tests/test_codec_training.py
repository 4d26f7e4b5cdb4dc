"""The codec's recipe trains on real files, resumes, exports; losses measure what they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from streamst.codecs.neural import NeuralCodec
from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.models.whisper.decoder import DecoderConfig
from streamst.models.whisper.encoder import EncoderConfig
from streamst.models.whisper.recogniser import WhisperConfig, WhisperRecogniser
from streamst.models.whisper.store import save
from streamst.models.whisper.vocabulary import Vocabulary
from streamst.train.adversary import Adversary
from streamst.train.codec import decoded, task
from streamst.train.codec_ear import Ear
from streamst.train.loop import LoopConfig, train
from streamst.train.losses import SpectralLoss, mel_filters


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "speech"
    (folder / "audio").mkdir(parents=True)
    rows = ["path\tduration_s\tspeaker\tgender\tlang\ttext\tsplit"]
    for number in range(12):
        hz = 150 + 10 * number
        t = np.arange(16_000) / 16_000
        pcm = 0.05 * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 8)) + 0.003 * rng.standard_normal(16_000)
        soundfile.write(folder / "audio" / f"{number}.wav", pcm, 16_000)
        split = "test" if number == 11 else "train"
        rows.append(f'audio/{number}.wav\t1.0\ts\tF\ten\ta "quoted text\t{split}')
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {
        "model": {
            "encoder_dim": 16, "encoder_blocks": 1, "decoder_dim": 16, "decoder_blocks": 1, "codebooks": 3,
            "pulse_taps": 24, "noise_taps": 12,
        },
        "data": {
            "root": str(tmp_path / "data"), "speech": ["speech"], "cache": str(tmp_path / "cache"), "rows": 4,
            "crop_frames": 24, "held_out": 2,
        },
        "loop": {"steps": 6, "warmup_steps": 2, "log_every": 2, "validate_every": 4, "average_last": 0.4},
    }  # fmt: skip


def test_a_short_training_lowers_the_loss_resumes_and_exports_a_codec_that_loads(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    loop = from_dict(LoopConfig, recipe["loop"])
    train(task(recipe, "cpu"), loop, directory)
    resumed = from_dict(LoopConfig, {**recipe["loop"], "steps": 30})
    figures = train(task(recipe, "cpu"), resumed, directory, resume=True)
    lines = [json.loads(line) for line in (directory / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert [line["step"] for line in lines if line.get("exported")] == [6, 30]
    assert set(figures) == {"mel_continuous", "mel_3"}
    codec = NeuralCodec.load(directory / "model")
    assert codec.encode(torch.zeros(1, 3200)).shape == (1, 10, 64)


def test_the_same_step_gives_the_same_batch(recipe: dict[str, Any]) -> None:
    one, other = task(recipe, "cpu"), task(recipe, "cpu")
    batches = one.batches(0)
    third = [next(batches) for _ in range(3)][2]
    again = next(other.batches(2))
    assert torch.equal(third.heard, again.heard)
    assert torch.equal(third.clean, again.clean)
    assert not torch.equal(third.heard, next(other.batches(3)).heard)


def test_test_clips_are_not_trained_on(recipe: dict[str, Any]) -> None:
    made = task(recipe, "cpu")
    assert len(made.spans) + len(made.held_out) == 11


def test_a_frozen_encoder_stays_what_it_was(recipe: dict[str, Any], tmp_path: Path) -> None:
    start = task(recipe, "cpu").module.codec
    start.save(tmp_path / "start")
    recipe["losses"] = {"start_from": str(tmp_path / "start"), "freeze_encoder": True, "quantiser_only_steps": 2}
    train(task(recipe, "cpu"), from_dict(LoopConfig, recipe["loop"]), tmp_path / "run")
    before, after = NeuralCodec.load(tmp_path / "start"), NeuralCodec.load(tmp_path / "run" / "model")
    for name, value in before.encoder.state_dict().items():
        assert torch.equal(value, after.encoder.state_dict()[name])
    assert any(
        not torch.equal(value, after.decoder.state_dict()[name]) for name, value in before.decoder.state_dict().items()
    )


def test_decoder_and_judge_each_learn_from_their_own_loss_only() -> None:
    torch.manual_seed(0)
    adversary, spectra = Adversary(4), SpectralLoss(16_000)
    output, target = torch.randn(2, 4096, requires_grad=True), torch.randn(2, 4096)
    for_decoder, for_judges = adversary(output, target, spectra)
    for_judges.backward(retain_graph=True)
    assert output.grad is None
    weights = [value for value in adversary.parameters() if value.dim() > 1]
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in weights)
    adversary.zero_grad()
    for_decoder.backward()
    assert output.grad is not None
    assert output.grad.abs().sum() > 0
    assert all(value.grad is None for value in adversary.parameters())


def test_a_judge_learns_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    adversary, spectra = Adversary(4), SpectralLoss(16_000)
    optimizer = torch.optim.Adam(adversary.parameters(), 5e-3)
    tones = 0.1 * torch.sin(torch.arange(4096) * torch.rand(6, 1))
    noise = 0.1 * torch.randn(6, 4096)
    for_judges = torch.tensor(torch.inf)
    for _ in range(20):
        _, for_judges = adversary(noise, tones, spectra)
        optimizer.zero_grad()
        for_judges.backward()
        optimizer.step()
    deceived_by_noise, _ = adversary(noise, tones, spectra)
    deceived_by_tones, _ = adversary(tones, tones, spectra)
    assert for_judges.detach() < 1  # it began at 2
    assert deceived_by_noise.detach() > deceived_by_tones.detach() + 1


def test_a_recipe_with_a_judge_trains_and_exports_the_codec_alone(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["losses"] = {"adversarial": 0.1, "adversarial_from_step": 2}
    train(task(recipe, "cpu"), from_dict(LoopConfig, recipe["loop"]), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ["judged" in line for line in lines if "loss" in line] == [False, True, True]
    without = task({**recipe, "losses": {}}, "cpu").module.codec
    assert NeuralCodec.load(tmp_path / "run" / "model").state_dict().keys() == without.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"root": "/nowhere", "speech": ["speech"]}}, "'speech', but .* does not exist"),
        ({"data": {"speech": []}}, "names no training clips"),
        ({"data": {"sppech": ["speech"]}}, "unknown key 'sppech'"),
        ({"model": {"codebook_size": 100}}, "not a multiple of 128 pitch levels"),
    ],
)
def test_a_recipe_that_cannot_work_says_why(recipe: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task({**recipe, **change}, "cpu")


def test_audio_is_decoded_once_at_one_level(tmp_path: Path) -> None:
    quiet = 0.001 * np.sin(np.arange(16_000) / 5)
    soundfile.write(tmp_path / "quiet.wav", quiet, 16_000, subtype="FLOAT")
    pcm, spans = decoded(tmp_path, [Path("quiet.wav")], tmp_path / "cache")
    assert spans == [(0, 16_000)]
    assert float(np.sqrt(np.mean((pcm / 32_767.0) ** 2))) == pytest.approx(0.08, rel=0.01)
    (tmp_path / "quiet.wav").unlink()
    again, _ = decoded(tmp_path, [Path("quiet.wav")], tmp_path / "cache")
    assert np.array_equal(pcm, again)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InputError, match=r"silent\.wav is silent"):
        decoded(tmp_path, [Path("silent.wav")], tmp_path / "cache")


def test_spectral_loss_is_zero_for_equals_grows_with_the_difference_and_ignores_phase() -> None:
    loss = SpectralLoss(16_000)
    t = torch.arange(16_000) / 16_000
    tone = 0.1 * torch.sin(2 * torch.pi * 400 * t)[None]
    shifted = 0.1 * torch.cos(2 * torch.pi * 400 * t)[None]
    louder, other = 0.2 * torch.sin(2 * torch.pi * 400 * t)[None], 0.1 * torch.sin(2 * torch.pi * 900 * t)[None]
    same, phase, level, pitch = (float(loss(x, tone)[0]) for x in (tone, shifted, louder, other))
    assert 0 <= same < 1e-3
    assert phase < 0.05 < level < pitch


def test_a_unit_sinusoid_has_a_peak_of_one() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(4096) / 16_000)[None]
    for size in (256, 512, 1024):
        assert float(SpectralLoss(16_000).amplitude(tone, size).max()) == pytest.approx(1, rel=0.01)


def test_mel_filters_are_triangles_that_share_every_frequency() -> None:
    filters = mel_filters(40, 1024, 16_000)
    inside = filters.sum(1)[4:-40]
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-4, rtol=0)
    assert ((filters > 0).sum(0) > 0).all()


@pytest.fixture
def ear(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    config = WhisperConfig(
        encoder=EncoderConfig(dim=16, heads=2, layers=2),
        decoder=DecoderConfig(dim=16, heads=2, layers=1, tokens=8, places=16, alignment=()),
        prompt=(6,),
        suppressed_first=(),
    )
    save(WhisperRecogniser(config, Vocabulary([b" a", b"b", b"."])), tmp_path / "ear")
    return tmp_path / "ear"


def test_an_ear_hears_no_difference_between_equals_and_teaches_only_what_is_spoken(ear: Path) -> None:
    listening = Ear(ear)
    wanted = 0.1 * torch.randn(2, 6400)
    assert [float(apart) for apart in listening(wanted, wanted)] == [0, 0]
    slight, more = (wanted + level * torch.randn_like(wanted) for level in (0.01, 0.1))
    heard = [[float(apart) for apart in listening(spoken, wanted)] for spoken in (slight, more)]
    assert all(0 < little < much for little, much in zip(*heard, strict=True))
    spoken = slight.clone().requires_grad_()
    features, states = listening(spoken, wanted.requires_grad_())
    (features + states).backward()
    assert spoken.grad is not None
    assert spoken.grad.abs().sum() > 0
    assert wanted.grad is None
    assert all(value.grad is None for value in listening.parameters())
    narrow = Ear(ear, narrow=True)(more, wanted)
    assert float(narrow[1]) == pytest.approx(heard[1][1], rel=0.05)


def test_a_codec_that_is_trained_on_with_an_ear_keeps_its_latents_and_codes(
    recipe: dict[str, Any], ear: Path, tmp_path: Path
) -> None:
    start = task(recipe, "cpu").module.codec
    start.save(tmp_path / "start")
    recipe["losses"] = {
        "start_from": str(tmp_path / "start"), "freeze_encoder": True, "freeze_quantiser": True, "ear": str(ear),
    }  # fmt: skip
    figures = train(task(recipe, "cpu"), from_dict(LoopConfig, recipe["loop"]), tmp_path / "run")
    assert set(figures) == {"mel_continuous", "mel_3", "ear_continuous", "ear_3"}
    before, after = NeuralCodec.load(tmp_path / "start"), NeuralCodec.load(tmp_path / "run" / "model")
    same = {n: torch.equal(value, after.state_dict()[n]) for n, value in before.state_dict().items()}
    assert all(same[name] for name in same if not name.startswith("decoder."))
    assert not all(same.values())
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line["ear_states"] > 0 for line in lines if "loss" in line)


def test_kept_codes_are_gone_on_from(recipe: dict[str, Any], tmp_path: Path) -> None:
    task(recipe, "cpu").module.codec.save(tmp_path / "start")
    moved = []
    for keep in (True, False):
        recipe["losses"] = {"start_from": str(tmp_path / "start"), "keep_codes": keep, "restart_until_step": 0}
        made = task(recipe, "cpu")
        before = made.module.codec.quantiser.first(None)[0].codes.clone()
        made.loss(next(made.batches(0)), 0)
        moved.append(float((made.module.codec.quantiser.first(None)[0].codes - before).abs().max()))
    assert 0 < moved[0] < 0.2 < moved[1]


def test_telephones_and_microphones_change_what_is_heard_only(recipe: dict[str, Any]) -> None:
    recipe["data"] |= {"noisy_share": 0.0, "lowest_level_db": -22.0, "highest_level_db": -22.0}
    plain = next(task(recipe, "cpu").batches(0))
    recipe["data"] |= {"telephone_share": 1.0, "microphone_share": 1.0}
    worse = next(task(recipe, "cpu").batches(0))
    assert torch.equal(plain.clean, worse.clean)
    above = [float(torch.fft.rfft(b.heard).abs()[:, -200:].mean()) for b in (plain, worse)]  # the last 200 bins
    assert above[1] < 0.2 * above[0]
