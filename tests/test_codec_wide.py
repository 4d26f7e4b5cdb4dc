"""The neural codec speaking at 24 kHz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from streamst.audio import resample
from streamst.cli import main
from streamst.codecs.container import write_coded
from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.codecs.wide import FALL, WIDE_HZ, WideDecoder, widened
from streamst.errors import InputError

STATION = Path(__file__).parent / "data/station.flac"
TINY = NeuralCodecConfig(
    encoder_dim=16, encoder_blocks=1, decoder_dim=16, decoder_blocks=1, pulse_taps=24, noise_taps=12, codebooks=3
)


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    torch.manual_seed(4)
    module = NeuralCodec(TINY).eval()
    torch.nn.init.normal_(module.decoder.outward.weight, std=0.1)
    return module


def level(cepstrum: np.ndarray, hz: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Logarithmic amplitude of a filter at frequencies, straight from the definition of its cepstrum."""
    return np.cos(np.outer(hz, np.arange(len(cepstrum))) * 2 * np.pi / sample_rate_hz) @ cepstrum


def test_a_widened_filter_is_the_same_up_to_seven_kilohertz_and_goes_on_a_little_lower() -> None:
    cepstrum = np.random.default_rng(1).standard_normal(20) / (1 + np.arange(20))
    matrix, shift = widened(20, 240, 16_000)
    wide = cepstrum @ matrix.double().numpy() + shift.double().numpy()
    thinner = 0.5 * np.log(1.5)
    low = np.arange(100.0, 6_900, 50)
    assert level(wide, low, WIDE_HZ) == pytest.approx(level(cepstrum, low, 16_000) + thinner, abs=0.02)
    held = level(cepstrum, np.arange(6_000.0, 7_501, 25), 16_000).mean()
    assert level(wide, np.array([8_200.0, 11_900.0]), WIDE_HZ) == pytest.approx(held + thinner - FALL, abs=0.05)


@torch.inference_mode()
def test_chunked_equals_offline_at_24_khz(codec: NeuralCodec) -> None:
    wide = WideDecoder(codec.decoder)
    latents = torch.randn(3, 60, TINY.latent_dim)
    state, heard = wide.init_state(3), []
    for piece in latents.split([1, 7, 0, 22, 30], 1):
        samples, state = wide.step(piece, state)
        heard.append(samples)
    assert heard[0].shape == (3, 480)
    torch.testing.assert_close(torch.cat(heard, 1), wide(latents), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_both_rates_say_the_same_with_the_same_loudness(codec: NeuralCodec) -> None:
    speech = NeuralSpeechCodec(codec)
    time_s = np.arange(32_000) / 16_000
    pcm = (0.1 * np.sign(np.sin(2 * np.pi * 110 * time_s)) * (1 + np.sin(9 * time_s))).astype(np.float32)
    packet = speech.encoder().push(pcm)
    narrow, wide = speech.decoder().push(packet), speech.decoder(24_000).push(packet)
    assert len(wide) == 1.5 * len(narrow)
    again = resample(wide, 24_000, 16_000)
    loud = [np.sqrt(np.square(signal.reshape(20, -1)).mean(1)) for signal in (narrow, again[: len(narrow)])]
    assert 20 * np.log10(loud[1][2:] / loud[0][2:]) == pytest.approx(0, abs=2)


def test_lost_frames_at_24_khz_take_their_time(codec: NeuralCodec) -> None:
    decoder = NeuralSpeechCodec(codec).decoder(24_000)
    assert len(decoder.conceal(3)) == 3 * 480


def test_a_rate_that_nobody_speaks_at_is_refused(codec: NeuralCodec) -> None:
    with pytest.raises(InputError, match="22050 Hz; allowed: 16000 and 24000"):
        NeuralSpeechCodec(codec).decoder(22_050)


def test_a_file_is_decoded_at_24_khz_where_the_codec_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> int:
        try:
            main(["codec", *map(str, arguments)])
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    original = soundfile.info(STATION)
    assert run("encode", STATION, tmp_path / "coded") == 0
    assert run("decode", tmp_path / "coded", tmp_path / "out.wav", "--rate", "24000") == 0
    written = soundfile.info(tmp_path / "out.wav")
    assert written.samplerate == 24_000
    assert written.duration == pytest.approx(original.duration, abs=1e-3)
    write_coded(tmp_path / "opus", "opus", 320, [])
    assert run("decode", tmp_path / "opus", tmp_path / "no.wav", "--rate", "24000") == 2
    assert "opus does not speak at 24000 Hz; allowed: 16000" in capsys.readouterr().err
