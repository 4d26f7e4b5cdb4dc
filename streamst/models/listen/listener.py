"""What hears: features, encoder and source CTC; with a phoneme head that only training uses."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from streamst.features import FeatureConfig, FeatureState, LogMel
from streamst.nn.state import State

from .conformer import Conformer, ConformerConfig, EncoderState


@dataclass(frozen=True)
class ListenerConfig:
    """Everything between PCM and source token probabilities."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    encoder: ConformerConfig = field(default_factory=ConformerConfig)
    source_tokens: int = 500
    phonemes: int = 42  # classes of the companion head, blank included
    phonemes_per_frame: int = 2


@dataclass(frozen=True)
class ListenerState(State):
    """features: tail of the waveform; encoder: caches."""

    features: FeatureState
    encoder: EncoderState


class Listener(nn.Module):
    """PCM to encoder states and source CTC log-probabilities, one chunk a step."""

    def __init__(self, config: ListenerConfig) -> None:
        super().__init__()
        self.config = config
        self.features = LogMel(config.features)
        self.encoder = Conformer(config.encoder)
        self.source = nn.Linear(config.encoder.dim, config.source_tokens)
        self.phonemes = nn.Linear(config.encoder.dim, config.phonemes * config.phonemes_per_frame)

    @property
    def frame_samples(self) -> int:
        """PCM samples an encoder frame covers."""
        return self.config.features.hop_samples * self.config.encoder.subsampling

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> ListenerState:
        """A fresh stream."""
        return ListenerState(
            self.features.init_state(batch, device, dtype), self.encoder.init_state(batch, device, dtype)
        )

    def step(self, x: Tensor, state: ListenerState) -> tuple[Tensor, ListenerState]:
        """x: (B, S), one chunk, S a multiple of `frame_samples`; returns encoder states (B, T, D)."""
        mel, features = self.features.step(x, state.features)
        y, encoder = self.encoder.step(mel, state.encoder)
        return y, ListenerState(features, encoder)

    def source_log_probs(self, states: Tensor) -> Tensor:
        """(B, T, D) to (B, T, source_tokens)."""
        return self.source(states).log_softmax(-1)

    def phoneme_log_probs(self, middle: Tensor) -> Tensor:
        """States of the middle layer (B, T, D) to (B, T * phonemes_per_frame, phonemes)."""
        logits = self.phonemes(middle).unflatten(-1, (self.config.phonemes_per_frame, self.config.phonemes))
        return logits.flatten(1, 2).log_softmax(-1)
