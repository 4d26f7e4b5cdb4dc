"""A small judge of spectrograms, which a decoder learns to deceive.

Hinge losses (Lim & Ye, Geometric GAN, 2017) and distances between the judge's features (Kumar et al., MelGAN, 2019), on
logarithmic spectra at several resolutions as in Zeghidour et al., SoundStream (2021), here of amplitudes alone: the
codec sends no phase.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from streamst.train.losses import FLOOR, SpectralLoss

WINDOWS = (256, 512, 1024)


class Judge(nn.Module):
    """Log spectrogram (B, frames, bins) -> features of each layer, the last of them the verdict (B, 1, T, F)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = [1, channels, channels, 2 * channels, 2 * channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (3, 7), stride=(1, 3), padding=(1, 3))
            for before, after in itertools.pairwise(sizes)
        )
        self.verdict = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, spectrum: Tensor) -> list[Tensor]:
        """All layers' outputs."""
        x, found = spectrum[:, None], []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found.append(x)
        return [*found, self.verdict(x)]


class Adversary(nn.Module):
    """A judge for each resolution; it learns in the same backward pass as the decoder that it judges."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.judges = nn.ModuleList(Judge(channels) for _ in WINDOWS)

    def forward(self, output: Tensor, target: Tensor, spectra: SpectralLoss) -> tuple[Tensor, Tensor]:
        """output, target (B, S) -> what the decoder is to lower, and what the judges are.

        The first has no gradient for the judges, the second none for the output.
        """
        for_decoder, for_judges = output.new_zeros(()), output.new_zeros(())
        for judge, size in zip(self.judges, WINDOWS, strict=True):
            ours, theirs = (torch.log(spectra.amplitude(x, size) + FLOOR) / 3 + 2 for x in (output, target))
            *_, said_false = judge(ours.detach())
            *true, said_true = judge(theirs.detach())
            for_judges = for_judges + F.relu(1 - said_true).mean() + F.relu(1 + said_false).mean()
            fixed = {name: value.detach() for name, value in judge.named_parameters()}
            *false, verdict = functional_call(judge, fixed, (ours,))
            apart = [(a - b.detach()).abs().mean() for a, b in zip(false, true, strict=True)]
            for_decoder = for_decoder + F.relu(1 - verdict).mean() + 2 * torch.stack(apart).mean()
        count = len(WINDOWS)
        return for_decoder / count, for_judges / count
