"""Streaming log-mel features: 80 bands every 10 ms, causal, with a global mean and variance that the model carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from streamst.nn.state import State


@dataclass(frozen=True)
class FeatureConfig:
    """Log-mel analysis."""

    sample_rate_hz: int = 16_000
    window_samples: int = 400  # 25 ms
    hop_samples: int = 160  # 10 ms
    fft_samples: int = 512
    bands: int = 80
    low_hz: float = 20.0
    high_hz: float = 7600.0
    floor: float = 1e-5  # smallest band energy, so that digital silence is finite


@dataclass(frozen=True)
class FeatureState(State):
    """previous: (B, window - hop) the last samples heard."""

    previous: Tensor


class LogMel(nn.Module):
    """PCM (B, S) to features (B, S // hop, bands). Frame t ends with sample (t + 1) * hop: no future is needed."""

    mean: Tensor
    deviation: Tensor
    _window: Tensor
    _filters: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.bands))
        self.register_buffer("deviation", torch.ones(config.bands))
        self.register_buffer("_window", torch.hann_window(config.window_samples, periodic=True), persistent=False)
        self.register_buffer("_filters", torch.from_numpy(mel_filters(config)), persistent=False)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> FeatureState:
        """Silence before the first sample."""
        overlap = self.config.window_samples - self.config.hop_samples
        return FeatureState(torch.zeros(batch, overlap, device=device, dtype=dtype))

    def step(self, x: Tensor, state: FeatureState) -> tuple[Tensor, FeatureState]:
        """x: (B, S) with S a multiple of the hop, -1..1; returns (B, S // hop, bands)."""
        c = self.config
        if x.shape[1] % c.hop_samples:
            raise ValueError(f"{x.shape[1]} samples are not a multiple of the hop of {c.hop_samples}")
        joined = torch.cat([state.previous, x], 1)
        after = FeatureState(joined[:, x.shape[1] :])
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], 0, c.bands), after
        frames = joined.unfold(1, c.window_samples, c.hop_samples) * self._window
        power = torch.view_as_real(torch.fft.rfft(frames, c.fft_samples)).square().sum(-1)
        mel = torch.log((power @ self._filters).clamp_min(c.floor))
        return (mel - self.mean) / self.deviation, after

    def forward(self, x: Tensor) -> Tensor:
        """The offline path: x (B, S), what is beyond the last whole hop is left out."""
        whole = x.shape[1] - x.shape[1] % self.config.hop_samples
        return self.step(x[:, :whole], self.init_state(x.shape[0], x.device, x.dtype))[0]


def mel_filters(config: FeatureConfig) -> np.ndarray:
    """Triangular filters (fft // 2 + 1, bands) on the HTK mel scale, m = 2595 log10(1 + f / 700), peak 1."""
    mel_low, mel_high = (2595 * np.log10(1 + f / 700) for f in (config.low_hz, config.high_hz))
    edges_hz = 700 * (10 ** (np.linspace(mel_low, mel_high, config.bands + 2) / 2595) - 1)
    bins_hz = np.arange(config.fft_samples // 2 + 1) * config.sample_rate_hz / config.fft_samples
    left, centre, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - left) / (centre - left)
    falling = (right - bins_hz[:, None]) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
