"""Spectral distances between signals, at several resolutions.

Yamamoto et al., Parallel WaveGAN (2020), eq. 3-5 for the linear spectrum; log-mel as in Kong et al., HiFi-GAN (2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FLOOR = 1e-4  # amplitude below which spectra count as silent (-80 dB of full scale)


def mel_filters(bins: int, n_fft: int, sample_rate_hz: int) -> Tensor:
    """Triangular filters of unit peak on the HTK mel scale, (n_fft / 2 + 1, bins)."""
    top = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bins + 2, dtype=torch.float64) / 2595) - 1)
    hz = torch.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


class SpectralLoss(nn.Module):
    """L1 between log-mel and log-linear amplitudes plus spectral convergence, averaged over window sizes."""

    def __init__(
        self, sample_rate_hz: int, windows: tuple[int, ...] = (256, 512, 1024), mels: tuple[int, ...] = (40, 80, 128)
    ) -> None:
        super().__init__()
        self.windows = windows
        for size, bins in zip(windows, mels, strict=True):
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            filters = mel_filters(bins, size, sample_rate_hz)
            self.register_buffer(f"mel_{size}", filters / filters.sum(0).clamp_min(1e-3).sqrt(), persistent=False)

    def amplitude(self, signal: Tensor, size: int) -> Tensor:
        """Amplitudes (B, frames, size / 2 + 1) of signal (B, S), every half window; a unit sinusoid has a peak of 1."""
        window = self.get_buffer(f"window_{size}")
        spectrum = torch.fft.rfft(signal.unfold(1, size, size // 2) * window)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.sqrt(power + 1e-9) * (2 / float(window.sum()))

    def forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, float]]:
        """output, target (B, S) -> the loss, and its parts to log."""
        mel, linear, convergence = output.new_zeros(()), output.new_zeros(()), output.new_zeros(())
        for size in self.windows:
            filters = self.get_buffer(f"mel_{size}")
            ours, theirs = self.amplitude(output, size), self.amplitude(target, size)
            our_mel, their_mel = ((x.square() @ filters + 1e-12).sqrt() for x in (ours, theirs))
            mel = mel + _log_distance(our_mel, their_mel)
            linear = linear + _log_distance(ours, theirs)
            error = (ours - theirs).square().sum((1, 2)).add(1e-8).sqrt()
            convergence = convergence + (error / theirs.square().sum((1, 2)).add(1e-2).sqrt()).mean()
        count = len(self.windows)
        named = {"mel": mel, "linear": linear, "convergence": convergence}
        parts = {name: float(value.detach()) / count for name, value in named.items()}
        return (mel + 0.5 * linear + 0.5 * convergence) / count, parts


def _log_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    return (torch.log(ours + FLOOR) - torch.log(theirs + FLOOR)).abs().mean()
