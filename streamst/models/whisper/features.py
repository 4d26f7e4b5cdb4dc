"""Whisper's log-mel features of a stream: 80 bands every 10 ms, floored at eight decades below the loudest band so far.

Whisper (Radford et al., 2022, section 2.2) looks at a whole clip: frames are centred, and the floor hangs on the clip's
maximum. A stream knows neither, so a frame ends with the last sample of its hop (the clip's frames, 200 samples later)
and the maximum is that of what was heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from streamst.nn.state import State

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
BANDS = 80
SMALLEST = -10.0  # log10 of the smallest energy of a band
DECADES = 8.0  # between the loudest band and the floor


@dataclass(frozen=True)
class MelState(State):
    """previous: (B, 400) the last samples heard; loudest: (B,) decades of the loudest band above `SMALLEST`."""

    previous: Tensor
    loudest: Tensor


class WhisperMel(nn.Module):
    """PCM (B, S), -1..1, to features (B, S // 160, 80)."""

    _window: Tensor
    _filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_window", torch.hann_window(WINDOW_SAMPLES, periodic=True), persistent=False)
        self.register_buffer("_filters", torch.from_numpy(slaney_filters()), persistent=False)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> MelState:
        """Digital silence before the first sample."""
        return MelState(
            torch.zeros(batch, WINDOW_SAMPLES, device=device, dtype=dtype),
            torch.zeros(batch, device=device, dtype=dtype),
        )

    def step(self, x: Tensor, state: MelState) -> tuple[Tensor, MelState]:
        """x: (B, S) with S a multiple of the hop. Frame t ends with sample (t + 1) * hop."""
        if x.shape[1] % HOP_SAMPLES:
            raise ValueError(f"{x.shape[1]} samples are not a multiple of the hop of {HOP_SAMPLES}")
        joined = torch.cat([state.previous, x], 1)
        if x.shape[1] == 0:
            return x.new_zeros(len(x), 0, BANDS), state
        frames = joined[:, HOP_SAMPLES:].unfold(1, WINDOW_SAMPLES, HOP_SAMPLES) * self._window
        power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1)
        mel = torch.log10((power @ self._filters).clamp_min(10**SMALLEST))
        loudest = torch.maximum(mel.amax(-1).cummax(1).values, state.loudest[:, None] + SMALLEST)
        after = MelState(joined[:, -WINDOW_SAMPLES:], loudest[:, -1] - SMALLEST)
        return (torch.maximum(mel, loudest[..., None] - DECADES) + 4) / 4, after

    def forward(self, x: Tensor) -> Tensor:
        """The offline path: x (B, S); what is beyond the last whole hop is left out."""
        whole = x.shape[1] - x.shape[1] % HOP_SAMPLES
        return self.step(x[:, :whole], self.init_state(len(x), x.device, x.dtype))[0]


def slaney_filters() -> np.ndarray:
    """Triangular filters (201, 80) on Slaney's mel scale from 0 to 8 kHz, each of area 1: linear below 1 kHz, 27 steps
    an octave and a half (log 6.4) above it (Slaney, Auditory Toolbox, 1998)."""

    def mel(hz: np.ndarray) -> np.ndarray:
        return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))

    def hertz(mels: np.ndarray) -> np.ndarray:
        return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))

    edges = hertz(np.linspace(0.0, float(mel(np.array(SAMPLE_RATE_HZ / 2))), BANDS + 2))
    bins = np.linspace(0, SAMPLE_RATE_HZ / 2, WINDOW_SAMPLES // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)).astype(np.float32)
