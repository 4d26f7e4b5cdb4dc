"""Training the German voice: letters with known times to the codec's latents, as a session would ask for them.

Half of the phrases are cut at a word, so that the network learns to speak without knowing how the sentence goes on;
some are joined, so that it learns to go on after a full stop and after a pause. The loss is L1 on the latents and, on
short pieces, between the log-mel spectra of what the frozen decoder makes of them; durations, pitch and energy have
their own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamst import checkpoint
from streamst.codecs.neural import PITCH_SCALE, NeuralCodec
from streamst.config import from_dict, to_dict
from streamst.errors import ConfigError
from streamst.features import FeatureConfig, LogMel
from streamst.languages.german.symbols import INDEX, START
from streamst.models.speak.aligner import HOP_SAMPLES, Aligner, mel_frames, save_aligner
from streamst.models.speak.network import TtsConfig, TtsNetwork, batch_of, beside, lay_out
from streamst.train.loop import LoopConfig
from streamst.train.voice_align import align_recordings
from streamst.train.voice_data import DataConfig, Recording, load_or_read, pad

MIDDLE_PITCH = 7.4  # log2 Hz, about 170 Hz
MIDDLE_ENERGY = -3.0  # log RMS
SPECTRA = ((512, 128), (1024, 320), (2048, 640))  # window and hop [samples] of the spectra compared


@dataclass(frozen=True)
class VoiceTraining:
    """What is optimised."""

    codec: str = "streamst/assets/codec"
    target: str = "latents"  # or "mel": log-mel frames and pitch, for a first stage without a codec
    initial: str = ""  # a run's `last.pt` whose weights are taken over where their shapes fit
    batch_frames: int = 2000
    cut_share: float = 0.5
    joined_share: float = 0.35
    mel_weight: float = 0.3
    mel_frames: int = 48  # decoded per phrase
    mel_rows: int = 4
    pitch_weight: float = 4.0  # of the pitch latent against any other
    prosody_weight: float = 0.3


@dataclass(frozen=True)
class VoiceRecipe:
    """The whole recipe file."""

    kind: str
    output: str
    data: DataConfig = field(default_factory=DataConfig)
    aligner: LoopConfig = field(default_factory=LoopConfig)
    model: TtsConfig = field(default_factory=TtsConfig)
    train: VoiceTraining = field(default_factory=VoiceTraining)
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass
class Phrase:
    """Words in order with what was heard of each symbol."""

    words: list[list[int]]
    durations: list[list[int]]  # frames per symbol
    prosody: list[Tensor]  # per word (symbols, 3): pitch, energy, weight of the pitch
    target: Tensor  # (frames, outputs)
    voiced: Tensor  # (frames,) 0 or 1


@dataclass(frozen=True)
class Batch:
    """letters (P, W + 1, L); durations (P, W, L); prosody (P, W, L, 3); target (P, T, outputs); voiced, mask (P, T)."""

    letters: Tensor
    durations: Tensor
    prosody: Tensor
    target: Tensor
    voiced: Tensor
    mask: Tensor
    frames: tuple[int, ...] = field(default=())


class VoiceTask:
    """Recordings with durations and targets (frames, outputs), and a network to train on them."""

    def __init__(
        self, recordings: Sequence[Recording], validation: Sequence[Recording], targets: Mapping[str, Tensor],
        model: TtsConfig, options: VoiceTraining, codec: NeuralCodec | None, aligner: Aligner | None = None,
    ) -> None:  # fmt: skip
        self.options, self.codec, self.aligner = options, codec, aligner
        self.module = TtsNetwork(model)
        if options.initial:
            _take_over(self.module, Path(options.initial))
        if targets:
            every = torch.cat(list(targets.values()))
            self.module.frames.mean.copy_(every.mean(0))
            self.module.frames.deviation.copy_(every.std(0).clamp_min(1e-2))
        self.phrases = [phrase_of(recording, targets[recording.id]) for recording in recordings]
        self.validation = [phrase_of(recording, targets[recording.id]) for recording in validation]
        self.spectra = [
            LogMel(
                FeatureConfig(
                    window_samples=window, hop_samples=hop, fft_samples=max(window, 512), bands=60, floor=1e-4
                )
            )
            for window, hop in SPECTRA
        ]
        if codec is not None:
            codec.requires_grad_(False).eval()

    def batches(self, step: int) -> Iterator[Batch]:
        """Phrases of similar length, cut and joined at random as the step decides."""
        draw = random.Random(step)
        while True:
            order = sorted(range(len(self.phrases)), key=lambda i: len(self.phrases[i].target) * draw.uniform(0.7, 1.3))
            groups, rows, width = [], [], 0
            for index in order:
                phrase = self.phrases[index]
                if draw.random() < self.options.joined_share:
                    phrase = join(self.phrases[draw.randrange(len(self.phrases))], phrase)
                if draw.random() < self.options.cut_share:
                    phrase = cut(phrase, draw.randrange(1, len(phrase.words) + 1))
                wider = max(width, len(phrase.target))
                if rows and wider * (len(rows) + 1) > self.options.batch_frames:
                    groups.append(rows)
                    rows, wider = [], len(phrase.target)
                rows.append(phrase)
                width = wider
            groups.append(rows)
            draw.shuffle(groups)
            for group in groups:
                yield collate(group)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Latents, spectra, durations, pitch and energy."""
        device = next(self.module.parameters()).device
        batch = Batch(*(getattr(batch, name).to(device) for name in list(vars(batch))[:-1]), frames=batch.frames)
        predicted, prosody = self.predict(batch)
        figures = self.distances(batch, predicted, prosody)
        loss = figures["latents"] + self.options.prosody_weight * (
            figures["durations"] + 3 * figures["pitch"] + 0.5 * figures["energy"]
        )
        if self.codec is not None and self.options.mel_weight:
            figures["spectra"] = self.spectral_distance(batch, predicted, random.Random(step))
            loss = loss + self.options.mel_weight * figures["spectra"]
        return loss, {name: float(value.detach()) for name, value in figures.items()}

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs (P, T, outputs) laid out by the recorded prosody, and the predicted prosody (P, W, L, 3)."""
        text = self.module.text
        state = text.init_state(len(batch.letters), batch.letters.device)
        encodings, prosody, _ = text.step(batch.letters, state)
        own = batch.letters[:, :-1] > 0
        rows = own.flatten(0, 1)
        figures = beside(batch.prosody[..., :2].flatten(0, 1), rows.sum(1)).reshape(*own.shape, -1)
        frames = lay_out(encodings[own], figures[own], batch.durations[own])
        padded = pad(frames.split(list(batch.frames)))
        return self.module.frames(padded), prosody

    def distances(self, batch: Batch, predicted: Tensor, prosody: Tensor) -> dict[str, Tensor]:
        """Each part of the loss but the spectra."""
        own = batch.letters[:, :-1] > 0
        error = (predicted - batch.target).abs() / self.module.frames.deviation
        pitch = error[..., 0] * torch.where(batch.voiced > 0, self.options.pitch_weight, 0.2)
        latents = (error[..., 1:].mean(-1) + pitch / 10)[batch.mask].mean()
        log_frames = prosody[own][:, 0].clamp_max(5.0)
        frames = batch.durations[own].float()
        durations = (log_frames.exp() - frames * log_frames + torch.xlogy(frames, frames) - frames).mean()
        heard = batch.prosody[own]
        pitch_error = (prosody[own][:, 1] - heard[:, 0]).square() * heard[:, 2]
        energy = (prosody[own][:, 2] - heard[:, 1]).square().mean()
        return {
            "latents": latents,
            "durations": durations,
            "pitch": pitch_error.sum() / heard[:, 2].sum(),
            "energy": energy,
        }

    def spectral_distance(self, batch: Batch, predicted: Tensor, draw: random.Random) -> Tensor:
        """L1 between log-mel spectra of the decoded prediction and of the decoded target, on random pieces."""
        assert self.codec is not None
        length, pieces = self.options.mel_frames, []
        for row in draw.sample(range(len(batch.frames)), min(self.options.mel_rows, len(batch.frames))):
            start = draw.randint(0, max(0, batch.frames[row] - length))
            pieces.append((row, start))
        mine = pad([predicted[row, start : start + length] for row, start in pieces], length)
        true = pad([batch.target[row, start : start + length] for row, start in pieces], length)
        mine = torch.cat([true[..., :1], mine[..., 1:]], -1).float()  # on the recorded pitch, so that harmonics compare
        spoken = self.codec.decoder(mine)
        with torch.no_grad():
            wanted = self.codec.decoder(true)
        total = [(s.to(spoken.device)(spoken) - s(wanted)).abs().mean() for s in self.spectra]
        return torch.stack(total).mean()

    def validate(self) -> dict[str, float]:
        """The parts of the loss on held-out recordings, the error in length, and what a constant would reach."""
        sums: dict[str, float] = {}
        for phrase in self.validation:
            batch = collate([phrase])
            batch = Batch(
                *(getattr(batch, n).to(next(self.module.parameters()).device) for n in list(vars(batch))[:-1]),
                frames=batch.frames,
            )
            predicted, prosody = self.predict(batch)
            figures = {name: float(value) for name, value in self.distances(batch, predicted, prosody).items()}
            if self.codec is not None:
                figures["spectra"] = float(self.spectral_distance(batch, predicted, random.Random(1)))
            own = batch.letters[:, :-1] > 0
            said = float(prosody[own][:, 0].exp().sum())
            figures["length"] = abs(said / sum(batch.frames) - 1)
            deviation = self.module.frames.deviation
            figures["timbre"] = float(((predicted - batch.target).abs() / deviation)[..., 1:].mean())
            constant = (batch.target - batch.target.mean(1, keepdim=True)).abs() / deviation
            figures["constant"] = float(constant[..., 1:].mean())
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value / len(self.validation)
        return sums

    def export(self, directory: Path) -> None:
        """Write the voice, and the aligner that judges it in `streamst.evaluate.run.voice`."""
        checkpoint.save(directory, TtsNetwork.KIND, to_dict(self.module.config), self.module)
        if self.aligner is not None:
            save_aligner(directory / "aligner", self.aligner)


def task(recipe: dict[str, Any], device: str) -> VoiceTask:
    """The task of a recipe of kind "voice": reads and aligns the recordings first (kept in the run's folder)."""
    settings = from_dict(VoiceRecipe, recipe, "recipe")
    options, output = settings.train, Path(settings.output)
    if options.target not in ("latents", "mel"):
        raise ConfigError(f'train.target is {options.target!r}; use "latents" or "mel"')
    recordings = load_or_read(settings.data, "train", output / "recordings.pt")
    every = max(2, round(1 / settings.data.validation_share))
    held_out = recordings[::every]
    recordings = [recording for index, recording in enumerate(recordings) if index % every]
    aligner = align_recordings(recordings, held_out, settings.aligner, output / "aligner", device)
    codec = NeuralCodec.load(Path(options.codec)) if options.target == "latents" else None
    outputs = codec.config.latent_dim if codec is not None else 81
    if settings.model.outputs != outputs:
        raise ConfigError(f"model.outputs is {settings.model.outputs}, but the target has {outputs}")
    weights = Path(options.codec) / checkpoint.WEIGHTS
    name = "mel" if codec is None else f"latents-{checkpoint.file_sha256(weights)[:12]}"
    targets = load_or_make_targets([*recordings, *held_out], codec, output / f"{name}.pt")
    codec = codec.to(device) if codec is not None else None
    return VoiceTask(recordings, held_out, targets, settings.model, options, codec, aligner)


def load_or_make_targets(recordings: Sequence[Recording], codec: NeuralCodec | None, cache: Path) -> dict[str, Tensor]:
    """What the network shall say for each recording, kept in the file `cache`."""
    if cache.exists():
        return torch.load(cache, weights_only=True)
    targets = {row.id: target_of(row, codec) for row in recordings}
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save(targets, cache)
    return targets


@torch.no_grad()
def target_of(recording: Recording, codec: NeuralCodec | None) -> Tensor:
    """Codec latents (frames, 64), or without a codec pitch and log-mel frames (frames, 81)."""
    samples = recording.samples()[None]
    if codec is not None:
        return codec.encode(samples)[0]
    pitch = (recording.pitch - MIDDLE_PITCH) * (recording.pitch > 0) * PITCH_SCALE
    return torch.cat([pitch[:, None], mel_frames(samples)[0]], 1)


def phrase_of(recording: Recording, target: Tensor) -> Phrase:
    """A whole recording; pitch and energy are averaged over each symbol, the pitch of unvoiced ones interpolated."""
    assert recording.durations is not None
    assert len(target) == recording.frames == len(recording.pcm) // HOP_SAMPLES
    durations = recording.durations
    symbol = torch.repeat_interleave(torch.arange(len(durations)), durations)
    voiced = (recording.pitch > 0).float()
    zeros = torch.zeros(len(durations))
    voiced_frames = zeros.index_add(0, symbol, voiced)
    pitch = zeros.index_add(0, symbol, (recording.pitch - MIDDLE_PITCH) * voiced) / voiced_frames.clamp_min(1)
    energy = zeros.index_add(0, symbol, recording.energy - MIDDLE_ENERGY) / durations.clamp_min(1)
    known = voiced_frames > 0
    prosody = torch.stack([_fill(pitch, known), energy, voiced_frames / durations.clamp_min(1) * 0.9 + 0.1], 1)
    words = recording.symbols
    counts = [len(word) for word in words]
    split = [part.tolist() for part in durations.split(counts)]
    return Phrase(words, split, list(prosody.split(counts)), target, voiced)


def cut(phrase: Phrase, words: int) -> Phrase:
    """The first `words` words."""
    frames = sum(sum(word) for word in phrase.durations[:words])
    return Phrase(
        phrase.words[:words],
        phrase.durations[:words],
        phrase.prosody[:words],
        phrase.target[:frames],
        phrase.voiced[:frames],
    )


def join(first: Phrase, second: Phrase) -> Phrase:
    """Two phrases as one: the silence before the second becomes part of the pause after the first."""
    durations = [list(word) for word in (*first.durations, *second.durations)]
    words, prosody = [*first.words, *second.words], [*first.prosody, *second.prosody]
    start = len(first.words)
    if words[start][0] == INDEX[START]:
        durations[start - 1][-1] += durations[start].pop(0)
        words[start], prosody[start] = words[start][1:], prosody[start][1:]
    target, voiced = torch.cat([first.target, second.target]), torch.cat([first.voiced, second.voiced])
    return Phrase(words, durations, prosody, target, voiced)


def collate(phrases: Sequence[Phrase]) -> Batch:
    """Phrases as one padded batch."""
    letters = batch_of([phrase.words for phrase in phrases], 1 + max(len(phrase.words) for phrase in phrases))
    _, more, longest = letters.shape
    durations = torch.zeros(len(phrases), more - 1, longest, dtype=torch.long)
    prosody = torch.zeros(len(phrases), more - 1, longest, 3)
    for row, phrase in enumerate(phrases):
        for index, (frames, figures) in enumerate(zip(phrase.durations, phrase.prosody, strict=True)):
            durations[row, index, : len(frames)] = torch.tensor(frames)
            prosody[row, index, : len(frames)] = figures
    frames = tuple(len(phrase.target) for phrase in phrases)
    mask = torch.arange(max(frames)) < torch.tensor(frames)[:, None]
    target, voiced = pad([phrase.target for phrase in phrases]), pad([phrase.voiced for phrase in phrases])
    return Batch(letters, durations, prosody, target, voiced, mask, frames)


def _fill(values: Tensor, known: Tensor) -> Tensor:
    """Values (N,) with the unknown ones interpolated between their neighbours."""
    places = torch.arange(len(values)).double().numpy()
    if not bool(known.any()):
        return torch.zeros_like(values)
    filled = np.interp(places, places[known.numpy()], values[known].double().numpy())
    return torch.from_numpy(filled).float()


def _take_over(module: TtsNetwork, run: Path) -> None:
    """Weights of another run where name and shape fit."""
    saved = torch.load(run, map_location="cpu", weights_only=True)
    found = saved["average"] if saved["averaged"] else saved["model"]
    own = module.state_dict()
    module.load_state_dict(
        {
            name: found[name].to(value) if name in found and found[name].shape == value.shape else value
            for name, value in own.items()
        }
    )
