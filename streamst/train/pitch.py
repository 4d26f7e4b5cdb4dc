"""Pitch of clean speech, as the teacher of the codec's pitch latent.

Autocorrelation divided by that of the window, and the best path through its peaks (Boersma, "Accurate short-term
analysis of the fundamental frequency", 1993), on a logarithmic grid and for a whole batch at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

VOICING_THRESHOLD = 0.42  # correlation below which a frame counts as unvoiced
OCTAVE_COST = 0.01  # per octave downwards: prefers the higher of equally good pitches
JUMP_COST = 1.2  # per octave between frames of 20 ms
SWITCH_COST = 0.2  # between voiced and unvoiced
OVERSAMPLING = 2  # of the lag axis


def track(
    pcm: Tensor, sample_rate_hz: int, hop_samples: int, lowest_hz: float, highest_hz: float, bins: int = 96
) -> tuple[Tensor, Tensor]:
    """Pitch and voicing of pcm (B, S) at the instants 0, hop, 2 * hop, ...: hz (B, T) and voiced (B, T) bool, T = S /
    hop.

    An unvoiced frame carries the pitch of the last voiced one (of the first to come at the beginning, or the middle
    of the range).
    """
    frames = pcm.shape[1] // hop_samples
    length = 3 * hop_samples
    size = 1 << (2 * length - 1).bit_length()
    device = pcm.device
    window = torch.hann_window(length, device=device)
    padded = torch.nn.functional.pad(pcm, (length // 2, length))
    pieces = padded.unfold(1, length, hop_samples)[:, :frames]
    pieces = (pieces - pieces.mean(-1, keepdim=True)) * window
    power = torch.fft.rfft(pieces, size).abs().square()
    own = torch.fft.irfft(torch.fft.rfft(window, size).abs().square(), size * OVERSAMPLING)
    correlation = torch.fft.irfft(power, size * OVERSAMPLING)
    energy = correlation[..., :1]
    longest = math.ceil(sample_rate_hz / lowest_hz * OVERSAMPLING * 1.05) + 2
    normalised = correlation[..., :longest] / (energy + 1e-6 * length) * (own[0] / own[:longest])

    step = math.log(highest_hz / lowest_hz) / (bins - 1)
    grid = lowest_hz * torch.exp(step * torch.arange(-1, bins + 1, device=device))  # one bin beyond either end
    lags = torch.round(sample_rate_hz / grid * OVERSAMPLING).long()
    octaves = torch.log2(grid[1:-1] / lowest_hz)
    around = normalised[..., lags.clamp(max=longest - 1)]
    inner = around[..., 1:-1]
    peak = (inner >= around[..., :-2]) & (inner >= around[..., 2:])
    voiced_score = torch.where(peak, inner + OCTAVE_COST * octaves, inner - 1)  # (B, T, bins)
    lags = lags[1:-1]
    audible = energy / length > 1e-7
    unvoiced_score = torch.where(audible, VOICING_THRESHOLD, 2.0)
    path = _best_path(torch.cat([voiced_score, unvoiced_score], dim=-1), octaves)
    voiced = path < bins
    lag = _refined(normalised, lags[path.clamp(max=bins - 1)])
    hz = (sample_rate_hz * OVERSAMPLING / lag).clamp(lowest_hz, highest_hz)
    return _held(hz, voiced, math.sqrt(lowest_hz * highest_hz)), voiced


def _best_path(score: Tensor, octaves: Tensor) -> Tensor:
    """Viterbi over score (B, T, bins + 1), whose last column is `unvoiced` -> states (B, T)."""
    bins = len(octaves)
    cost = torch.full((bins + 1, bins + 1), SWITCH_COST, device=score.device)
    cost[:bins, :bins] = JUMP_COST * (octaves[:, None] - octaves[None]).abs()
    cost[bins, bins] = 0
    best, came_from = score[:, 0], []
    for t in range(1, score.shape[1]):
        value, origin = (best[:, :, None] - cost).max(dim=1)
        best = value + score[:, t]
        came_from.append(origin)
    state = best.argmax(-1)
    states = [state]
    for origin in reversed(came_from):
        state = origin.gather(1, state[:, None])[:, 0]
        states.append(state)
    return torch.stack(states[::-1], 1)


def _refined(correlation: Tensor, lag: Tensor) -> Tensor:
    """The peak of correlation (B, T, L) near `lag` (B, T), between samples by a parabola."""
    offsets = torch.arange(-2, 3, device=lag.device)
    near = (lag[..., None] + offsets).clamp(1, correlation.shape[-1] - 2)
    peak = near.gather(-1, correlation.gather(-1, near).argmax(-1, keepdim=True))
    left, middle, right = (correlation.gather(-1, peak + d)[..., 0] for d in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = torch.where(bend < -1e-9, 0.5 * (left - right) / bend.clamp(max=-1e-9), torch.zeros_like(bend))
    return peak[..., 0] + shift.clamp(-1, 1)


def _held(hz: Tensor, voiced: Tensor, fallback: float) -> Tensor:
    """hz with unvoiced frames replaced by the last voiced one's value, at the start by the first one's."""
    number = torch.arange(hz.shape[1], device=hz.device)
    last = torch.where(voiced, number, -1).cummax(1).values
    first = torch.where(voiced.any(1), voiced.int().argmax(1), -1)
    index = torch.where(last < 0, first[:, None], last)
    return torch.where(index < 0, torch.full_like(hz, fallback), hz.gather(1, index.clamp(min=0)))
