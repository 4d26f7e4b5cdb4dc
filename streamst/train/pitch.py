"""The pitch that training renders with: the best path over a whole crop of clean speech (see `nn/pitch.py`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from streamst.nn.pitch import BINS, PitchScores


def track(scores: PitchScores, pcm: Tensor, hop_samples: int) -> tuple[Tensor, Tensor]:
    """Pitch and voicing of pcm (B, S) at the instants 0, hop, 2 * hop, ...: hz and voiced (bool), both (B, S / hop).

    An unvoiced frame carries the pitch of the last voiced one; the first one's before it, the middle of the range if
    there is none.
    """
    length = len(scores.window)
    padded = nn.functional.pad(pcm, (length // 2, length))
    windows = padded.unfold(1, length, hop_samples)[:, : pcm.shape[1] // hop_samples]
    score, correlation = scores(windows)
    path = scores.best_path(score)
    voiced = path < BINS
    hz = scores.refined_hz(correlation, path)
    number = torch.arange(hz.shape[1], device=hz.device)
    last = torch.where(voiced, number, -1).cummax(1).values
    first = torch.where(voiced.any(1), voiced.int().argmax(1), -1)
    index = torch.where(last < 0, first[:, None], last)
    middle = torch.full_like(hz, math.sqrt(scores.lowest_hz * scores.highest_hz))
    return torch.where(index < 0, middle, hz.gather(1, index.clamp(min=0))), voiced
