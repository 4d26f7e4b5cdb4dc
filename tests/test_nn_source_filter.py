"""Pulses against a sum of cosines; filters against what their cepstra say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from streamst.nn.source_filter import NOISE_HOPS, QUIET, SourceFilter, pulses

HOP, RATE = 320, 16_000


@pytest.fixture(scope="module")
def synthesis() -> SourceFilter:
    return SourceFilter(RATE, HOP, pulse_taps=24, noise_taps=12, gains=4)


def controls(frames: int, pulse_level: float = 0.0, noise_level: float = 0.0) -> torch.Tensor:
    """Flat filters of the given log level; 0 is silence."""
    values = torch.zeros(1, frames, 24 + 12 + 8)
    values[..., 0], values[..., 24] = pulse_level, noise_level
    return values


@pytest.mark.parametrize("harmonics", [1, 7, 80])
def test_pulses_are_the_sum_of_their_cosines_at_unit_power(harmonics: int) -> None:
    phase = torch.linspace(-2, 3, 4001, dtype=torch.float64)
    expected = sum(torch.cos(2 * math.pi * k * phase) for k in range(1, harmonics + 1)) * math.sqrt(2 / harmonics)
    torch.testing.assert_close(pulses(phase, torch.tensor(float(harmonics))), expected, atol=2e-3, rtol=0)
    one_cycle = pulses(torch.arange(1000, dtype=torch.float64) / 1000, torch.tensor(float(harmonics)))
    assert float(one_cycle.square().mean()) == pytest.approx(1, abs=0.01)


def test_a_steady_pitch_sounds_at_its_harmonics_and_keeps_its_phase_across_steps(synthesis: SourceFilter) -> None:
    hz = torch.full((1, 60), 200.0, dtype=torch.float64)
    state, out = synthesis.init_state(1), []
    for start in range(0, 60, 7):
        piece = slice(start, min(60, start + 7))
        samples, state = synthesis.step(controls(60, pulse_level=-QUIET)[:, piece], hz[:, piece], state)
        out.append(samples)
    audio = torch.cat(out, 1)[0, 4 * HOP :].numpy()
    audio = audio[: len(audio) // 80 * 80]  # whole cycles
    spectrum = np.abs(np.fft.rfft(audio)) ** 2
    at_harmonics = spectrum[:: len(audio) // 80]
    assert at_harmonics.sum() / spectrum.sum() > 0.999
    assert at_harmonics[1:30] == pytest.approx(at_harmonics[1], rel=0.02)


def test_a_filter_has_the_spectrum_of_its_cepstrum(synthesis: SourceFilter) -> None:
    values = controls(400, noise_level=-QUIET)
    values[..., 25] = 1.0  # log magnitude cos(w): e at 0 Hz, 1/e at 8 kHz
    hz = torch.full((1, 400), 100.0, dtype=torch.float64)
    audio = synthesis.step(values, hz, synthesis.init_state(1))[0][0, 2 * HOP :]
    power = torch.stft(audio, 512, window=torch.hann_window(512), return_complex=True).abs().square().mean(-1)
    noise = synthesis.noise[:398].reshape(-1)
    flat = torch.stft(noise, 512, window=torch.hann_window(512), return_complex=True).abs().square().mean(-1)
    # two fading copies of the same noise through the same filter are that noise through that filter
    expected = torch.cos(torch.linspace(0, math.pi, 257))
    ratio = 0.5 * torch.log(power / flat)
    smooth = ratio[1:-1].unfold(0, 15, 15).mean(-1)
    torch.testing.assert_close(smooth, expected[1:-1].unfold(0, 15, 15).mean(-1), atol=0.05, rtol=0)


def test_zero_controls_are_all_but_silence(synthesis: SourceFilter) -> None:
    audio, _ = synthesis.step(controls(20), torch.full((1, 20), 120.0, dtype=torch.float64), synthesis.init_state(1))
    assert 0 < float(audio.square().mean().sqrt()) < 2e-4


def test_long_and_short_steps_agree_beyond_the_noise_table(synthesis: SourceFilter) -> None:
    frames = NOISE_HOPS + 30
    generator = torch.Generator().manual_seed(0)
    values = controls(frames, 6.0, 5.0) + 0.2 * torch.randn(1, frames, 44, generator=generator)
    hz = (100 * 2 ** torch.rand(1, frames, generator=generator)).double()
    whole, _ = synthesis.step(values, hz, synthesis.init_state(1))
    state, out = synthesis.init_state(1), []
    for part, pitch in zip(values.split(50, 1), hz.split(50, 1), strict=True):
        samples, state = synthesis.step(part, pitch, state)
        out.append(samples)
    torch.testing.assert_close(torch.cat(out, 1), whole, atol=1e-4, rtol=0)
    assert int(state.hops[0]) == 30


def test_nothing_in_is_nothing_out_and_the_state_stays(synthesis: SourceFilter) -> None:
    state = synthesis.init_state(2)
    samples, after = synthesis.step(torch.zeros(2, 0, 44), torch.zeros(2, 0, dtype=torch.float64), state)
    assert samples.shape == (2, 0)
    assert after is state
