"""First stage of the voice recipe: learns when each letter is spoken, and writes it into the recordings."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from streamst import checkpoint
from streamst.errors import CheckpointError
from streamst.models.speak.aligner import (
    Aligner,
    AlignerConfig,
    best_path,
    beta_binomial_prior,
    forward_sum,
    load_aligner,
    mel_frames,
    save_aligner,
)
from streamst.train.loop import LoopConfig, train
from streamst.train.voice_data import Recording, pad


@dataclass(frozen=True)
class Aligned:
    """A batch for the aligner: letters (B, N), mel (B, T, mels), prior (B, T, N) in logs, and lengths."""

    letters: Tensor
    mel: Tensor
    prior: Tensor
    letter_counts: tuple[int, ...]
    frame_counts: tuple[int, ...]


def flat(recording: Recording) -> list[int]:
    """All symbols of a recording."""
    return [symbol for word in recording.symbols for symbol in word]


class AlignerTask:
    """What the training loop needs to train the aligner."""

    def __init__(
        self, recordings: Sequence[Recording], validation: Sequence[Recording], config: AlignerConfig, rows: int = 16
    ) -> None:
        self.recordings, self.validation, self.config, self.rows = recordings, validation, config, rows
        self.aligner = Aligner(config)
        self.module: nn.Module = self.aligner
        self._priors: dict[tuple[int, int], Tensor] = {}

    def batches(self, step: int) -> Iterator[Aligned]:
        """Recordings of similar length together, in an order that the step decides."""
        shuffle = random.Random(step)
        while True:
            starts = list(range(0, len(self.recordings), self.rows))
            shuffle.shuffle(starts)
            for start in starts:
                yield self._batch(self.recordings[start : start + self.rows])

    def _batch(self, rows: Sequence[Recording]) -> Aligned:
        letters = [torch.tensor(flat(row)) for row in rows]
        mel = pad([mel_frames(row.samples()[None])[0] for row in rows])
        prior = torch.full((len(rows), mel.shape[1], max(map(len, letters))), -30.0)
        for index, (row, symbols) in enumerate(zip(rows, letters, strict=True)):
            key = (len(symbols), row.frames)
            if key not in self._priors:
                self._priors[key] = beta_binomial_prior(*key).clamp_min(-30)
            prior[index, : row.frames, : len(symbols)] = self._priors[key]
        return Aligned(pad(letters), mel, prior, tuple(map(len, letters)), tuple(row.frames for row in rows))

    def loss(self, batch: Aligned, step: int) -> tuple[Tensor, dict[str, float]]:  # noqa: ARG002  (the loop tells it)
        """The forward-sum loss per frame; later also the binarisation loss, which sharpens the best path."""
        device = next(self.module.parameters()).device
        raw = self.module(batch.letters.to(device), batch.mel.to(device)).float().cpu()
        scored = torch.log_softmax(raw + batch.prior, dim=-1)
        loss = (forward_sum(scored, batch.frame_counts, batch.letter_counts) / torch.tensor(batch.frame_counts)).mean()
        return loss, {"forward_sum": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Forward sum of held-out recordings per frame, with their own letters and with those of the reversed words."""
        true, other = [], []
        for start in range(0, len(self.validation), self.rows):
            rows = self.validation[start : start + self.rows]
            mel = pad([mel_frames(row.samples()[None])[0] for row in rows])
            for found, shuffled in ((true, False), (other, True)):
                words = [row.symbols[::-1] if shuffled else row.symbols for row in rows]
                letters = [torch.tensor([s for word in row for s in word]) for row in words]
                scores = (
                    self.module(
                        pad(letters).to(next(self.module.parameters()).device),
                        mel.to(next(self.module.parameters()).device),
                    )
                    .float()
                    .cpu()
                )
                frames = [row.frames for row in rows]
                value = forward_sum(scores, frames, [len(row) for row in letters]) / torch.tensor(frames)
                found.extend(value.tolist())
        wins = sum(a < b for a, b in zip(true, other, strict=True)) / len(true)
        return {"true": sum(true) / len(true), "shuffled": sum(other) / len(other), "wins": wins}

    def export(self, directory: Path) -> None:
        """Write the aligner."""
        save_aligner(directory, self.aligner)


@torch.no_grad()
def align(aligner: Aligner, recordings: Sequence[Recording]) -> None:
    """Set `durations` of every recording to the likeliest path."""
    for recording in recordings:
        symbols = flat(recording)
        mel = mel_frames(recording.samples()[None])
        scores = aligner(torch.tensor([symbols]), mel)[0]
        scores = scores + beta_binomial_prior(len(symbols), recording.frames).clamp_min(-30)
        recording.durations = torch.from_numpy(best_path(scores[: recording.frames].numpy()))


def align_recordings(
    recordings: Sequence[Recording], held_out: Sequence[Recording], loop: LoopConfig, directory: Path, device: str
) -> Aligner:
    """Align all recordings with the aligner in `directory`, trained (or trained further) where it is not finished."""
    model = directory / "model"
    try:
        aligner = load_aligner(model)
    except CheckpointError:
        task = AlignerTask(recordings, held_out, AlignerConfig())
        train(task, loop, directory, device, resume=(directory / "last.pt").exists())
        aligner = load_aligner(model)
    cache = directory / f"durations-{checkpoint.file_sha256(model / checkpoint.WEIGHTS)[:12]}.pt"
    known: dict[str, Tensor] = torch.load(cache, weights_only=True) if cache.exists() else {}
    everything = [*recordings, *held_out]
    for recording in everything:
        recording.durations = known.get(recording.id)
    align(aligner, [recording for recording in everything if recording.durations is None])
    torch.save({recording.id: recording.durations for recording in everything}, cache)
    return aligner
