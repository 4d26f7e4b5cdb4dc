"""The pitch tracker against known pitches, and the state contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from streamst.nn.pitch import BINS, PitchScores, PitchTracker
from streamst.train.pitch import track

HOP, RATE, LOW, HIGH = 320, 16_000, 60.0, 500.0


def glide(start_hz: float, end_hz: float, seconds: float = 1.2) -> tuple[Tensor, np.ndarray]:
    """Harmonics gliding from one pitch to another (1, S), and the pitch (S,)."""
    hz = np.geomspace(start_hz, end_hz, round(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(hz / RATE)
    noise = np.random.default_rng(1).standard_normal(len(hz))
    pcm = 0.1 * sum(np.cos(k * phase) / k for k in range(1, 12)) + 0.003 * noise
    return torch.tensor(pcm[None], dtype=torch.float32), hz


def windows(pcm: Tensor) -> Tensor:
    return torch.nn.functional.pad(pcm, (2 * HOP, 0)).unfold(1, 3 * HOP, HOP)


@pytest.fixture(scope="module")
def tracker() -> PitchTracker:
    return PitchTracker(3 * HOP, RATE, LOW, HIGH)


@pytest.mark.parametrize(("start_hz", "end_hz"), [(80, 160), (150, 450), (400, 120), (70, 70)])
def test_the_best_path_follows_a_glide(tracker: PitchTracker, start_hz: float, end_hz: float) -> None:
    pcm, truth = glide(start_hz, end_hz)
    hz, voiced = track(tracker.scores, pcm, HOP)
    assert hz.shape == voiced.shape == (1, 60)
    assert voiced[0, 2:-2].all()
    octaves = np.abs(np.log2(hz[0].numpy() / truth[::HOP]))[2:-2]
    assert octaves.max() < 0.02


@pytest.mark.parametrize(("start_hz", "end_hz"), [(80, 160), (400, 120)])
def test_the_tracker_follows_a_glide_half_a_hop_behind(tracker: PitchTracker, start_hz: float, end_hz: float) -> None:
    pcm, truth = glide(start_hz, end_hz)
    octaves, _ = tracker.step(windows(pcm), tracker.init_state(1))
    hz = 2 ** octaves[0].numpy() * tracker.middle_hz
    centres = np.arange(60) * HOP - HOP // 2
    assert np.abs(np.log2(hz[3:] / truth[centres[3:]])).max() < 0.02


def test_noise_and_silence_are_unvoiced_and_hold_the_last_pitch(tracker: PitchTracker) -> None:
    pcm, _ = glide(200, 200, 0.4)
    noise = torch.randn(1, 6400, generator=torch.Generator().manual_seed(4)) * 0.1
    octaves, _ = tracker.step(windows(torch.cat([pcm, noise, torch.zeros(1, 6400)], 1)), tracker.init_state(1))
    assert (octaves[0, 25:] == octaves[0, 25]).all()
    assert 2 ** float(octaves[0, 25]) * tracker.middle_hz == pytest.approx(200, rel=0.02)
    _, voiced = track(tracker.scores, noise, HOP)
    assert not voiced.any()


def test_the_best_path_is_that_of_brute_force() -> None:
    scores = PitchScores(3 * HOP, RATE, LOW, HIGH)
    keep = torch.tensor([10, 11, 60, BINS])  # a grid of three pitches and `unvoiced`
    generator = torch.Generator().manual_seed(8)
    value = torch.full((1, 5, BINS + 1), -100.0)
    value[..., keep] = torch.rand(1, 5, 4, generator=generator)
    best, argbest = -1e9, []
    for choice in np.ndindex(4, 4, 4, 4, 4):
        path = keep[list(choice)]
        total = float(value[0, torch.arange(5), path].sum() - scores.cost[path[:-1], path[1:]].sum())
        if total > best:
            best, argbest = total, path.tolist()
    assert scores.best_path(value)[0].tolist() == argbest


def test_chunks_of_any_size_equal_offline_and_rows_are_independent(tracker: PitchTracker) -> None:
    a, b = windows(glide(90, 300)[0]), windows(glide(250, 110)[0])
    both = torch.cat([a, b])
    offline, _ = tracker.step(both, tracker.init_state(2))
    state, out = tracker.init_state(2), []
    for piece in both.split([1, 0, 7, 2, 20, 30], dim=1):
        octaves, state = tracker.step(piece, state)
        out.append(octaves)
    torch.testing.assert_close(torch.cat(out, 1), offline, atol=1e-5, rtol=0)
    alone, _ = tracker.step(b, state.reset([1]).select([1]))
    torch.testing.assert_close(alone[0], offline[1], atol=1e-5, rtol=0)
