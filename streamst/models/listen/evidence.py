"""Whether what sounds is speech: a linear opinion on the encoder's states, over the last frames that sound.

A phoneme head takes noise that comes in beats for syllables, and the word search makes words of them; the states below
that head tell it from a voice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from streamst.errors import CheckpointError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EvidenceConfig:
    """When sounds are taken for speech."""

    threshold: float = 0.0  # mean evidence of a frame from which they are speech [nats]
    window: int = 16  # frames that sound, of which the mean is taken at most


@dataclass(frozen=True)
class Evidence:
    """What one stream has come to."""

    scores: tuple[float, ...] = ()  # of the last frames that sounded, newest last [nats]


NO_EVIDENCE = Evidence()


class SpeechEvidence:
    """Stateless. weight: (dim,), bias: of the log-odds of speech, given a state of the encoder."""

    def __init__(self, weight: Floats, bias: float, config: EvidenceConfig) -> None:
        self.weight, self.bias, self.config = weight, bias, config

    @classmethod
    def load(cls, path: Path, dim: int, config: EvidenceConfig) -> SpeechEvidence:
        """From a file that `save` wrote; CheckpointError when it is none, or of another encoder."""
        try:
            with np.load(path, allow_pickle=False) as file:
                weight, bias = file["weight"].astype(np.float32), float(file["bias"])
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise CheckpointError(f"{path} holds no evidence of speech: {error}") from error
        if weight.shape != (dim,):
            raise CheckpointError(f"{path} is of an encoder of shape {weight.shape}, not ({dim},)")
        return cls(weight, bias, config)

    def save(self, path: Path) -> None:
        """What `load` reads."""
        np.savez(path, weight=self.weight, bias=np.float32(self.bias))

    def hear(self, states: Floats, sounding: NDArray[np.bool_], before: Evidence) -> Evidence:
        """states: (T, dim); sounding: (T,) whether a phoneme is heard in each."""
        scores = (states[sounding] @ self.weight + self.bias).tolist()
        return Evidence((*before.scores, *scores)[-self.config.window :])

    def speech(self, heard: Evidence) -> bool:
        """Whether the sounds are speech."""
        return bool(heard.scores) and sum(heard.scores) / len(heard.scores) >= self.config.threshold

    def noise(self, heard: Evidence) -> bool:
        """Whether they are not, and enough of them were heard to tell."""
        return len(heard.scores) == self.config.window and not self.speech(heard)
