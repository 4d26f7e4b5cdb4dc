"""Speech from a pitch contour and two filters: pulses and noise, filtered frame by frame, exactly streamable.

The source-filter model (Fant 1960) with differentiable filters (Engel et al., DDSP, 2020): a network says, 50 times a
second,
how pulses at the pitch and how noise are to be shaped; the phase of the pulses is carried from frame to frame instead
of being guessed, so voiced speech stays coherent with little training. Filters are causal cepstra, hence minimum-phase
(Oppenheim & Schafer, Discrete-Time Signal Processing, 3rd ed., section 13.5). Between two frames the output
crossfades from one filter to the next; a filter rings at most one hop beyond its input.

Frame t describes the instant t * hop; step t completes the hop that ends there, so the output runs one hop behind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from streamst.nn.state import State

NOISE_HOPS = 499  # length of the noise table; a prime, about ten seconds
QUIET = math.log(1e-4)  # log magnitude of a filter whose controls are zero, so that a fresh state is all but silent


@dataclass(frozen=True)
class SynthesisState(State):
    """What the synthesis remembers of one stream."""

    hz: Tensor  # (B,) float64, pitch of the last frame; 0 before the first
    phase: Tensor  # (B,) float64, pulse phase there in cycles, 0 <= phase < 1
    hops: Tensor  # (B,) int64, hops done, modulo the noise table
    controls: Tensor  # (B, controls) filters of the last frame
    ringing: Tensor  # (B, hop) what the filters still owe the next hop


def pulses(phase: Tensor, harmonics: Tensor) -> Tensor:
    """Sum of cosines at 1 .. `harmonics` times `phase` [cycles], scaled to unit power; both broadcast.

    The closed form of the sum (Dirichlet's kernel), evaluated around the nearest pulse where it is well conditioned.
    """
    centred = phase - torch.round(phase)
    below = torch.sin(math.pi * centred)
    odd = 2 * harmonics + 1
    at_pulse = below.abs() < 1e-4
    kernel = torch.sin(odd * math.pi * centred) / torch.where(at_pulse, 1.0, below)
    kernel = torch.where(at_pulse, odd, kernel)
    return (kernel - 1) / 2 * torch.sqrt(2 / harmonics)


class SourceFilter(nn.Module):
    """Controls (B, T, controls) and pitch (B, T) [Hz] -> samples (B, T * hop). Holds no trained weights.

    Zero controls are all but silence (`QUIET`). Controls of a frame: `pulse_taps` and `noise_taps` cepstral
    coefficients of the two filters, then `gains` log-gains of
    the pulses and `gains` of the noise at equal steps through the hop that the frame ends.
    """

    waves: Tensor
    noise: Tensor
    ramp: Tensor
    fades: Tensor

    def __init__(self, sample_rate_hz: int, hop_samples: int, pulse_taps: int, noise_taps: int, gains: int) -> None:
        super().__init__()
        self.sample_rate_hz, self.hop = sample_rate_hz, hop_samples
        self.pulse_taps, self.noise_taps, self.gains = pulse_taps, noise_taps, gains
        self.controls = pulse_taps + noise_taps + 2 * gains
        angle = np.outer(np.arange(max(pulse_taps, noise_taps)), np.arange(hop_samples + 1)) * math.pi / hop_samples
        noise = np.random.Generator(np.random.PCG64(20)).standard_normal((NOISE_HOPS, hop_samples))
        rising = (np.arange(hop_samples) + 0.5) / hop_samples
        position = (np.arange(hop_samples) + 1) / hop_samples * gains
        knots = np.clip(1 - np.abs(position[None] - np.arange(gains + 1)[:, None]), 0, None)  # linear interpolation
        for name, values in (
            ("waves", np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)), ("noise", noise), ("ramp", knots),
            ("fades", np.stack([1 - rising, rising])),
        ):  # fmt: skip
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> SynthesisState:
        """A fresh state for `batch` rows."""
        double = torch.zeros(batch, device=device, dtype=torch.float64)
        hops = torch.zeros(batch, device=device, dtype=torch.int64)
        controls = torch.zeros(batch, self.controls, device=device, dtype=dtype)
        return SynthesisState(double, double, hops, controls, torch.zeros(batch, self.hop, device=device, dtype=dtype))

    def step(self, controls: Tensor, hz: Tensor, state: SynthesisState) -> tuple[Tensor, SynthesisState]:
        """controls (B, T, controls), hz (B, T) float64, any T -> samples (B, T * hop) and the state after them."""
        batch, frames, _ = controls.shape
        if frames == 0:
            return controls.new_zeros(batch, 0), state
        first = torch.where(state.hz > 0, state.hz, hz[:, 0])
        hz_before = torch.cat([first[:, None], hz[:, :-1]], dim=1)
        voiced, phase = self._pulses(hz_before, hz, state.phase)
        number = (state.hops[:, None] + torch.arange(frames, device=hz.device)) % NOISE_HOPS
        unvoiced = self.noise[number]

        all_controls = torch.cat([state.controls[:, None], controls], dim=1)
        cepstra, gains = all_controls.split([self.pulse_taps + self.noise_taps, 2 * self.gains], dim=-1)
        sources = torch.stack([voiced, unvoiced.expand_as(voiced)], dim=2) * self._gain(gains)
        spectrum = self._filtered(sources, self._response(cepstra))
        pieces = torch.fft.irfft(spectrum, n=2 * self.hop).split(self.hop, dim=-1)
        ringing = torch.cat([state.ringing[:, None], pieces[1][:, :-1]], dim=1)
        samples = (pieces[0] + ringing).reshape(batch, frames * self.hop)
        hops = (state.hops + frames) % NOISE_HOPS
        return samples, SynthesisState(hz[:, -1], phase, hops, controls[:, -1], pieces[1][:, -1])

    def _pulses(self, before: Tensor, after: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-power pulses (B, T, hop) as the pitch goes from `before` to `after` (B, T), and the phase at the end."""
        advance = (before + after) / 2 * self.hop / self.sample_rate_hz
        total = phase[:, None] + advance.cumsum(1)
        start = torch.remainder(torch.cat([phase[:, None], total[:, :-1]], dim=1), 1).float()
        n = torch.arange(1, self.hop + 1, device=before.device, dtype=torch.float32)
        slope = ((after - before) / (2 * self.hop * self.sample_rate_hz)).float()
        within = (before / self.sample_rate_hz).float()[..., None] * n + slope[..., None] * n * n
        harmonics = torch.floor(0.49 * self.sample_rate_hz / torch.maximum(before, after)).float()
        return pulses(start[..., None] + within, harmonics[..., None]), torch.remainder(total[:, -1], 1)

    def _gain(self, log_gains: Tensor) -> Tensor:
        """log_gains (B, 1 + T, 2 * gains), the frame before first -> gains of each sample of both (B, T, 2, hop)."""
        both = log_gains.unflatten(-1, (2, self.gains))
        knots = torch.cat([both[:, :-1, :, -1:], both[:, 1:]], dim=-1)
        return torch.exp((knots @ self.ramp).clamp(-12, 6))

    def _response(self, cepstra: Tensor) -> Tensor:
        """Causal cepstra (B, 1 + T, taps of both) -> minimum-phase responses (B, 1 + T, 2, hop + 1), complex."""
        pulse, noise = cepstra.split([self.pulse_taps, self.noise_taps], dim=-1)
        longest = len(self.waves)
        both = torch.stack([nn.functional.pad(taps, (0, longest - taps.shape[-1])) for taps in (pulse, noise)], dim=2)
        size, angle = (both @ self.waves).chunk(2, dim=-1)
        return torch.polar(torch.exp((size + QUIET).clamp(-16, 5)), angle)

    def _filtered(self, sources: Tensor, responses: Tensor) -> Tensor:
        """Spectrum (B, T, hop + 1) of the sources (B, T, 2, hop), each fading from the filter before to its own."""
        spectra = torch.fft.rfft(sources[:, :, :, None] * self.fades, n=2 * self.hop)
        filtered = spectra[:, :, :, 0] * responses[:, :-1] + spectra[:, :, :, 1] * responses[:, 1:]
        return filtered[:, :, 0] + filtered[:, :, 1]
