"""Which letter is spoken when: a small soft-attention aligner, its forward-sum loss and its best monotonic path.

Method: "One TTS Alignment To Rule Them All" (Badlani et al., 2021): squared distances between an encoding of the
letters and one of the mel frames, softmax over letters, the likelihood of all monotonic paths as the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.features import FeatureConfig, LogMel
from streamst.languages.german.symbols import SYMBOLS

KIND = "aligner"
HOP_SAMPLES = 320  # 20 ms at 16 kHz
MELS = FeatureConfig(window_samples=640, hop_samples=HOP_SAMPLES, fft_samples=1024)
MEL_MEAN, MEL_DEVIATION = -3.3, 4.0  # roughly those of speech at the level of the voice


@dataclass(frozen=True)
class AlignerConfig:
    """Sizes of the aligner."""

    symbols: int = len(SYMBOLS) + 1
    mels: int = 80
    width: int = 128
    sharpness: float = 0.08  # factor on the squared distances


class Aligner(nn.Module):
    """Letters (B, N) and mel frames (B, T, mels) to the log-probability that frame t speaks letter n."""

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embedding = nn.Embedding(config.symbols, width, padding_idx=0)
        self.text = nn.Sequential(
            nn.Conv1d(width, 2 * width, 5, padding=2), nn.ReLU(), nn.Conv1d(2 * width, width, 1)
        )  # fmt: skip
        self.audio = nn.Sequential(
            nn.Conv1d(config.mels, 2 * width, 5, padding=2), nn.ReLU(),
            nn.Conv1d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Conv1d(width, width, 1),
        )  # fmt: skip

    def forward(self, letters: Tensor, mel: Tensor) -> Tensor:
        """Log-probabilities (B, T, N), normalised over the letters that are not padding."""
        keys = self.text(self.embedding(letters).transpose(1, 2)).transpose(1, 2)  # (B, N, D)
        queries = self.audio(mel.transpose(1, 2)).transpose(1, 2)  # (B, T, D)
        distance = torch.cdist(queries, keys).square()
        scores = (-self.config.sharpness * distance).masked_fill((letters == 0)[:, None], -1e4)
        return F.log_softmax(scores, dim=-1)


def save_aligner(directory: Path, aligner: Aligner) -> None:
    """Write an aligner."""
    checkpoint.save(directory, KIND, to_dict(aligner.config), aligner)


def load_aligner(directory: Path) -> Aligner:
    """The aligner in `directory`, in eval mode; CheckpointError when it is missing, damaged or something else."""
    aligner = Aligner(from_dict(AlignerConfig, checkpoint.read_config(directory, KIND)))
    checkpoint.load_weights(directory, aligner)
    return aligner.eval()


def mel_frames(samples: Tensor) -> Tensor:
    """Samples (B, S) at 16 kHz to mel frames (B, S // HOP_SAMPLES, 80) of about zero mean and unit variance."""
    with torch.no_grad():
        return (_analysis(samples.device)(samples) - MEL_MEAN) / MEL_DEVIATION


@cache
def _analysis(device: torch.device) -> LogMel:
    return LogMel(MELS).to(device)


def beta_binomial_prior(letters: int, frames: int, concentration: float = 1.0) -> Tensor:
    """Log-prior (frames, letters) that favours the diagonal (section 2.2 of the paper)."""
    t = torch.arange(1, frames + 1, dtype=torch.float64)[:, None]
    k = torch.arange(letters, dtype=torch.float64)[None]
    a, b, n = concentration * t, concentration * (frames + 1 - t), torch.tensor(float(letters - 1), dtype=torch.float64)
    choose = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    beta = torch.lgamma(k + a) + torch.lgamma(n - k + b) - torch.lgamma(n + a + b)
    return (choose + beta + torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)).float()


def forward_sum(log_probs: Tensor, frames: Sequence[int], letters: Sequence[int]) -> Tensor:
    """Negative log-likelihood (B,) of all monotonic paths through every letter in order, each for at least one frame.

    log_probs: (B, T, N), rows normalised over the letters; row b counts up to frames[b], letters[b]. It is the CTC loss
    of the sequence 1 .. N with a blank that is never taken. Rows with fewer frames than letters count 0.
    """
    counts = torch.as_tensor(list(letters))
    targets = torch.arange(1, log_probs.shape[2] + 1).expand(len(counts), -1)
    with_blank = F.pad(log_probs, (1, 0), value=-1e4).transpose(0, 1)
    loss = F.ctc_loss(
        with_blank, targets, torch.as_tensor(list(frames)), counts, blank=0, reduction="none", zero_infinity=True
    )  # fmt: skip
    return loss


def best_path(log_probs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Frames per letter (N,) on the likeliest monotonic path through log_probs (T, N), at least one each.

    Raises ValueError when there are fewer frames than letters.
    """
    frames, letters = log_probs.shape
    if frames < letters:
        raise ValueError(f"{letters} letters do not fit into {frames} frames")
    best = np.full(letters, -np.inf)
    best[0] = log_probs[0, 0]
    moved = np.zeros((frames, letters), dtype=bool)
    for t in range(1, frames):
        step = np.concatenate([[-np.inf], best[:-1]])
        moved[t] = step > best
        best = np.maximum(step, best) + log_probs[t]
    durations = np.zeros(letters, dtype=np.int64)
    letter = letters - 1
    for t in range(frames - 1, -1, -1):
        durations[letter] += 1
        letter -= int(moved[t, letter])
    return durations
