"""Pitch of speech, frame by frame: autocorrelation and the best path through its peaks, over the state contract.

Boersma, "Accurate short-term analysis of the fundamental frequency" (1993): the autocorrelation of a window is divided
by that of the window function, and a path through its peaks pays for octave jumps and for switching between voiced and
unvoiced. Here on a logarithmic grid and for a batch at once; the tracker takes the best end of all paths at each frame
(no looking back), `best_path` the best whole path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamst.nn.state import State

VOICING_THRESHOLD = 0.42  # correlation below which a frame counts as unvoiced
OCTAVE_COST = 0.01  # per octave downwards: prefers the higher of equally good pitches
JUMP_COST = 1.2  # per octave between frames of 20 ms
SWITCH_COST = 0.2  # between voiced and unvoiced
OVERSAMPLING = 2  # of the lag axis
BINS = 96  # of the pitch grid


@dataclass(frozen=True)
class PitchState(State):
    """What the tracker remembers of one stream."""

    scores: Tensor  # (B, BINS + 1) of the best path to each pitch and to `unvoiced`, the best of them 0
    octaves: Tensor  # (B,) last pitch, in octaves from the middle of the range


def power_spectrum(signal: Tensor, size: int) -> Tensor:
    """|rfft|^2 (..., size / 2 + 1) of signal (..., S), zero-padded to `size`."""
    spectrum = torch.fft.rfft(signal, size)
    return spectrum.real.square() + spectrum.imag.square()


class PitchScores(nn.Module):
    """Windows (B, T, length) -> how well each pitch of the grid explains them."""

    window: Tensor
    lags: Tensor
    octaves: Tensor
    cost: Tensor
    weight: Tensor

    def __init__(self, length: int, sample_rate_hz: int, lowest_hz: float, highest_hz: float) -> None:
        super().__init__()
        self.sample_rate_hz, self.lowest_hz, self.highest_hz = sample_rate_hz, lowest_hz, highest_hz
        self.size = 1 << (2 * length - 1).bit_length()
        window = torch.hann_window(length, dtype=torch.float64)
        own = torch.fft.irfft(torch.fft.rfft(window, self.size).abs().square(), self.size * OVERSAMPLING)
        self.longest = math.ceil(sample_rate_hz / lowest_hz * OVERSAMPLING * 1.05) + 2
        step = math.log(highest_hz / lowest_hz) / (BINS - 1)
        grid = lowest_hz * torch.exp(step * torch.arange(-1, BINS + 1, dtype=torch.float64))  # one more at either end
        octaves = torch.log2(grid[1:-1] / lowest_hz).float()
        cost = torch.full((BINS + 1, BINS + 1), SWITCH_COST)
        cost[:BINS, :BINS] = JUMP_COST * (octaves[:, None] - octaves[None]).abs()
        cost[BINS, BINS] = 0
        lags = torch.round(sample_rate_hz / grid * OVERSAMPLING).long().clamp(max=self.longest - 1)
        for name, values in (
            ("window", window.float()), ("weight", (own[0] / own[: self.longest]).float()), ("lags", lags),
            ("octaves", octaves), ("cost", cost),
        ):  # fmt: skip
            self.register_buffer(name, values, persistent=False)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """windows (B, T, length) -> scores (B, T, BINS + 1), the last `unvoiced`; and the correlation (B, T, lags)."""
        length = windows.shape[-1]
        pieces = (windows - windows.mean(-1, keepdim=True)) * self.window
        power = power_spectrum(pieces, self.size)
        correlation = torch.fft.irfft(power, self.size * OVERSAMPLING)[..., : self.longest]
        energy = correlation[..., :1]
        normalised = correlation / (energy + 1e-6 * length) * self.weight
        around = normalised[..., self.lags]
        inner = around[..., 1:-1]
        peak = (inner >= around[..., :-2]) & (inner >= around[..., 2:])
        voiced = torch.where(peak, inner + OCTAVE_COST * self.octaves, inner - 1)
        unvoiced = torch.where(energy / length > 1e-7, VOICING_THRESHOLD, 2.0)
        return torch.cat([voiced, unvoiced], dim=-1), normalised

    def refined_hz(self, correlation: Tensor, path: Tensor) -> Tensor:
        """Hz (B, T) at the peak of `correlation` near the grid's `path` (B, T), between lags by a parabola."""
        lag = self.lags[1:-1][path.clamp(max=BINS - 1)]
        offsets = torch.arange(-2, 3, device=lag.device)
        near = (lag[..., None] + offsets).clamp(1, correlation.shape[-1] - 2)
        peak = near.gather(-1, correlation.gather(-1, near).argmax(-1, keepdim=True))
        left, middle, right = (correlation.gather(-1, peak + d)[..., 0] for d in (-1, 0, 1))
        bend = left - 2 * middle + right
        shift = torch.where(bend < -1e-9, 0.5 * (left - right) / bend.clamp(max=-1e-9), torch.zeros_like(bend))
        hz = self.sample_rate_hz * OVERSAMPLING / (peak[..., 0] + shift.clamp(-1, 1))
        return hz.clamp(self.lowest_hz, self.highest_hz)

    def best_path(self, scores: Tensor) -> Tensor:
        """The whole path through scores (B, T, BINS + 1) with the highest sum -> (B, T), BINS for `unvoiced`."""
        best, came_from = scores[:, 0], []
        for t in range(1, scores.shape[1]):
            value, origin = (best[:, :, None] - self.cost).max(dim=1)
            best = value + scores[:, t]
            came_from.append(origin)
        state = best.argmax(-1)
        states = [state]
        for origin in reversed(came_from):
            state = origin.gather(1, state[:, None])[:, 0]
            states.append(state)
        return torch.stack(states[::-1], 1)


def best_ends(scores: Tensor, cost: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Where the best path ends at each frame (B, T), and the scores of the paths to each pitch after the last.

    scores (B, T, N), cost (N, N), symmetric, best (B, N): of the paths before the first frame.
    """
    ends = torch.zeros(scores.shape[0], scores.shape[1], dtype=torch.int64, device=scores.device)
    for t in range(scores.shape[1]):
        best = (best[:, None] - cost).amax(dim=2) + scores[:, t]  # the cost of a way is that of the way back
        best = best - best.amax(dim=1, keepdim=True)
        ends[:, t] = best.argmax(-1)
    return ends, best


class PitchTracker(nn.Module):
    """Windows (B, T, length) -> pitch (B, T) in octaves from mid-range; unvoiced frames hold the last one."""

    def __init__(self, length: int, sample_rate_hz: int, lowest_hz: float, highest_hz: float) -> None:
        super().__init__()
        self.scores = PitchScores(length, sample_rate_hz, lowest_hz, highest_hz)
        self.middle_hz = math.sqrt(lowest_hz * highest_hz)
        self.best_ends = best_ends

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> PitchState:
        """A fresh state for `batch` rows."""
        scores = torch.zeros(batch, BINS + 1, device=device, dtype=dtype)
        return PitchState(scores, torch.zeros(batch, device=device, dtype=dtype))

    @torch.no_grad()
    def step(self, windows: Tensor, state: PitchState) -> tuple[Tensor, PitchState]:
        """windows (B, T, length), any T -> octaves (B, T) and the state after them. Carries no gradient."""
        if windows.shape[1] == 0:
            return windows.new_zeros(windows.shape[:2]), state
        scores, correlation = self.scores(windows)
        chosen, best = self.best_ends(scores, self.scores.cost, state.scores)
        octaves = torch.log2(self.scores.refined_hz(correlation, chosen) / self.middle_hz)
        padded = torch.cat([state.octaves[:, None], octaves], dim=1)
        number = torch.arange(1, padded.shape[1], device=chosen.device)
        last = torch.where(chosen < BINS, number, 0).cummax(dim=1).values
        held = padded.gather(1, last)
        return held, PitchState(best, held[:, -1])
