"""The neural codec's decoder at 24 kHz: the same codes, spoken with a wider band.

Nothing above 8 kHz is sent. The filters of the synthesis are known up to there; above they go on at the level that
they have between 6 and 7.5 kHz, a little lower, as speech does on average (measured on recordings at 24 kHz). Both are
linear in the logarithm, so a filter's cepstrum at 24 kHz is a matrix times that at 16 kHz.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from streamst.codecs.neural import CodecDecoder, DecoderState
from streamst.nn.source_filter import SourceFilter

WIDE_HZ = 24_000
HELD_HZ = (6_000.0, 7_500.0)  # whose mean level goes on above
HANDOVER_HZ = (7_000.0, 8_000.0)  # from the filter to what goes on
FALL = (0.6, 1.2)  # how much lower that is at 8 and at 12 kHz, in logarithmic amplitude


class WideDecoder(nn.Module):
    """Latents (B, T, latent_dim) -> samples at 24 kHz (B, T * 1.5 hop), one hop behind the frames' instants."""

    widen: Tensor
    lower: Tensor

    def __init__(self, decoder: CodecDecoder) -> None:
        super().__init__()
        config = decoder.config
        ratio = WIDE_HZ / config.sample_rate_hz
        pulse, noise = config.pulse_taps, config.noise_taps
        wide_pulse, wide_noise = round(pulse * ratio), round(noise * ratio)
        self.decoder = decoder
        self.synthesis = SourceFilter(WIDE_HZ, round(config.hop_samples * ratio), wide_pulse, wide_noise, config.gains)
        widen = torch.zeros(decoder.synthesis.controls, self.synthesis.controls)
        lower = torch.zeros(self.synthesis.controls)
        start = wide_start = 0
        for taps, wide in ((pulse, wide_pulse), (noise, wide_noise)):
            matrix, shift = widened(taps, wide, config.sample_rate_hz)
            widen[start : start + taps, wide_start : wide_start + wide] = matrix
            lower[wide_start : wide_start + wide] = shift
            start, wide_start = start + taps, wide_start + wide
        widen[start:, wide_start:] = torch.eye(2 * config.gains)
        self.register_buffer("widen", widen, persistent=False)
        self.register_buffer("lower", lower, persistent=False)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> DecoderState:
        """A fresh state for `batch` rows."""
        return DecoderState(
            self.decoder.stack.init_state(batch, device, dtype), self.synthesis.init_state(batch, device, dtype)
        )

    def step(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """latents (B, T, latent_dim), any T -> samples (B, T * 1.5 hop) and the state after them."""
        controls, stack = self.decoder.controls(latents, state.stack)
        hz = self.decoder.pitch_hz(latents)
        samples, synthesis = self.synthesis.step(controls @ self.widen + self.lower, hz, state.synthesis)
        return samples, DecoderState(stack, synthesis)

    def forward(self, latents: Tensor) -> Tensor:
        """Offline: the step from a fresh state."""
        return self.step(latents, self.init_state(latents.shape[0], latents.device, latents.dtype))[0]


def widened(taps: int, wide_taps: int, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Matrix (taps, wide_taps) and shift (wide_taps,) from a cepstrum at `sample_rate_hz` to the one at 24 kHz."""
    half = sample_rate_hz / 2
    hz = np.linspace(0, WIDE_HZ / 2, 1 + WIDE_HZ // 50)
    known = np.cos(np.outer(np.arange(taps), np.minimum(hz, half)) * math.pi / half)  # log level by coefficient
    held = known[:, (hz >= HELD_HZ[0]) & (hz <= HELD_HZ[1])].mean(1, keepdims=True)
    share = np.clip((hz - HANDOVER_HZ[0]) / (HANDOVER_HZ[1] - HANDOVER_HZ[0]), 0, 1)  # of what goes on
    level = known * (1 - share) + held * share
    fall = share * np.interp(hz, (half, WIDE_HZ / 2), FALL)
    weight = np.full(len(hz), 1 / (len(hz) - 1))
    weight[[0, -1]] /= 2
    angle = np.outer(np.arange(wide_taps), np.arange(len(hz))) * math.pi / (len(hz) - 1)
    back = np.cos(angle) * weight * np.where(np.arange(wide_taps) > 0, 2, 1)[:, None]
    shift = -back @ fall
    shift[0] += 0.5 * math.log(WIDE_HZ / sample_rate_hz)  # sources of unit power are thinner over a wider band
    return torch.tensor(level @ back.T, dtype=torch.float32), torch.tensor(shift, dtype=torch.float32)
