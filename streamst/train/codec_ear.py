"""What a recogniser hears of decoded speech: its features and its encoder's states, beside those of the original.

The feature-matching of MelGAN (Kumar et al., 2019), with a frozen recogniser in the judge's place, as in Zeghidour et
al., SoundStream (2021), where the judge is trained: words are kept where a network that reads them sees no difference.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.models.whisper.store import load


class Ear(nn.Module):
    """The frozen encoder of the ear in `directory` (`models/whisper/`); CheckpointError where there is none.

    In 16 bits where `narrow`, which is as good and, on processors that can, faster.
    """

    def __init__(self, directory: Path, narrow: bool = False) -> None:
        super().__init__()
        self.encoder = load(directory, quick=False).encoder.float().requires_grad_(False).eval()
        self.narrow = narrow

    def states(self, pcm: Tensor) -> tuple[Tensor, list[Tensor]]:
        """pcm (B, S) at 16 kHz -> features (B, S // 160, 80), and each layer's normalised states (B, S // 320, D)."""
        features = self.encoder.features(pcm)
        found: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, __, output: found.append(output[0]))
            for block in self.encoder.blocks[:-1]
        ]
        try:
            with torch.autocast(pcm.device.type, torch.bfloat16, enabled=self.narrow):
                last = self.encoder(features)
        finally:
            for hook in hooks:
                hook.remove()
        return features, [*(F.layer_norm(x.float(), x.shape[-1:]) for x in found), last.float()]

    def forward(self, spoken: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """spoken, wanted (B, S) -> distance of the features, in decades, and of the states, 0 for equals."""
        with torch.no_grad():
            wanted_features, wanted_states = self.states(wanted)
        features, states = self.states(spoken)
        apart = [
            (ours - theirs).square().mean() / theirs.square().mean()
            for ours, theirs in zip(states, wanted_states, strict=True)
        ]
        return 4 * (features - wanted_features).abs().mean(), torch.stack(apart).mean()
