"""Training of the neural codec: crops of real speech, clean and noisy, at every bit rate and without quantisation."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamst.audio import read_blocks
from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.nn.vq import ResidualLearner
from streamst.train import pitch
from streamst.train.adversary import Adversary
from streamst.train.augment import through_microphone, through_telephone
from streamst.train.codec_ear import Ear
from streamst.train.losses import SpectralLoss

Pcm16 = NDArray[np.int16]


@dataclass(frozen=True)
class CodecData:
    """What to train on. Paths are relative to `root`, which is relative to the current directory."""

    root: str = "../shared/data"
    speech: tuple[str, ...] = ()  # folders with a manifest.tsv; its split `train` is used
    noise: tuple[str, ...] = ()  # folders of audio files
    cache: str = "runs/codec-cache"  # decoded audio, made on first use
    held_out: int = 48  # training clips kept for validation
    rows: int = 16  # crops a batch
    crop_frames: int = 64
    noisy_share: float = 0.25  # of the crops get noise
    lowest_snr_db: float = 5.0
    highest_snr_db: float = 25.0
    telephone_share: float = 0.0  # of the crops come through a telephone's band
    microphone_share: float = 0.0  # of the crops come through a cheap microphone
    lowest_level_db: float = -38.0  # RMS of a crop's recording below full scale
    highest_level_db: float = -18.0


@dataclass(frozen=True)
class CodecLosses:
    """Weights of the losses beside the spectral ones, and the schedule of the quantiser."""

    commitment: float = 0.25
    latents: float = 0.2  # quantised latents near the continuous ones
    quantiser_only_steps: int = 0  # at first only the quantiser learns
    width: float = 0.1  # keeps latents within about -4 .. 4
    unquantised_share: float = 0.3  # of the rows
    true_pitch_share: float = 0.5  # of the rows are rendered at the true pitch, the others at the encoder's
    restart_until_step: int = 2500  # unused codes restart on data until then
    adversarial: float = 0.0  # weight of what a judge of spectrograms says; 0: there is none
    adversarial_from_step: int = 0  # without it before
    start_from: str = ""  # directory of a trained codec to go on from
    freeze_encoder: bool = False  # keep its latents as they are (a voice may have learned them)
    freeze_quantiser: bool = False  # keep its codes as they are (what was coded with them can be decoded)
    keep_codes: bool = False  # of `start_from`, to go on from them; without it codes begin anew on data
    code_decay: float = 0.99  # a step, of what codes remember of their data
    ear: str = ""  # directory of a recogniser whose encoder listens (train/codec_ear.py); none
    ear_features: float = 1.0  # weight of the distance of its features
    ear_states: float = 1.0  # and of its states
    ear_bfloat16: bool = False


def decoded(root: Path, files: list[Path], cache: Path) -> tuple[Pcm16, list[tuple[int, int]]]:
    """All `files` (relative to `root`) at 16 kHz in one memory-mapped array, and each one's (start, end) in it.

    Decoded once; the cache is keyed by the list of files.
    """
    key = hashlib.sha256("\n".join(map(str, files)).encode()).hexdigest()[:16]
    data, index = cache / f"{key}.pcm", cache / f"{key}.json"
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        spans, total = [], 0
        with data.open("wb") as out:
            for name in files:
                pcm = _readable(root / name)
                level = float(np.sqrt(np.mean(np.square(pcm)))) if len(pcm) else 0.0
                if level < 1e-4:
                    raise InputError(f"{root / name} is silent; take it out of the training data")
                # quiet recordings keep their precision: every file is stored at the same level
                pcm = np.clip(pcm * (0.08 / level), -1, 1)
                out.write(np.rint(pcm * 32_767).astype("<i2").tobytes())
                spans.append((total, total + len(pcm)))
                total += len(pcm)
        index.write_text(json.dumps(spans), encoding="utf-8")
    spans = [(int(a), int(b)) for a, b in json.loads(index.read_text(encoding="utf-8"))]
    return np.memmap(data, np.dtype("<i2"), "r"), spans


def _readable(path: Path) -> NDArray[np.float32]:
    """The samples (samples,) of a file as far as it can be read; InputError when that is less than half a second."""
    blocks = [np.zeros(0, np.float32)]
    try:
        for block in read_blocks(path):
            blocks.append(block)
    except InputError:
        if sum(map(len, blocks)) < 8000:
            raise
    return np.concatenate(blocks)


def manifest_files(root: Path, folders: tuple[str, ...], split: str) -> list[Path]:
    """Audio files of `split` in the manifests of `folders`, relative to `root`."""
    found: list[Path] = []
    for folder in folders:
        manifest = root / folder / "manifest.tsv"
        if not manifest.exists():
            raise ConfigError(f"data.speech names {folder!r}, but {manifest} does not exist")
        with manifest.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            found += [Path(folder) / row["path"] for row in rows if row.get("split") == split]
    return found


@dataclass(frozen=True)
class Batch:
    """Crops: what the encoder hears and the decoder should say, and the clean speech that the pitch is taken from."""

    heard: Tensor  # (B, S)
    clean: Tensor  # (B, S)


class CodecModule(nn.Module):
    """The codec and what only training needs."""

    def __init__(self, config: NeuralCodecConfig, judged: bool = False, decay: float = 0.99) -> None:
        super().__init__()
        self.codec = NeuralCodec(config)
        self.learner = ResidualLearner(self.codec.quantiser.sizes, config.code_dim, decay)
        self.adversary = Adversary() if judged else None


@dataclass
class CodecTask:
    """The codec's `Task` (see train/loop.py)."""

    config: NeuralCodecConfig
    data: CodecData
    losses: CodecLosses
    device: str = "cpu"
    module: CodecModule = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(7)
        self.module = CodecModule(self.config, self.losses.adversarial > 0, self.losses.code_decay)
        if self.losses.start_from:
            self.module.codec.load_state_dict(NeuralCodec.load(Path(self.losses.start_from)).state_dict())
            if self.losses.keep_codes:
                self.module.learner.go_on(self.module.codec.quantiser, self.data.rows * self.data.crop_frames)
        self.module.codec.encoder.requires_grad_(not self.losses.freeze_encoder)
        self.module.codec.quantiser.requires_grad_(not self.losses.freeze_quantiser)
        self.spectral = SpectralLoss(self.config.sample_rate_hz).to(self.device)
        self.ear = Ear(Path(self.losses.ear), self.losses.ear_bfloat16).to(self.device) if self.losses.ear else None
        root, cache = Path(self.data.root), Path(self.data.cache)
        speech = manifest_files(root, self.data.speech, "train")
        noise = sorted(path.relative_to(root) for folder in self.data.noise for path in (root / folder).glob("*.ogg"))
        if not speech:
            raise ConfigError("data.speech names no training clips")
        self.speech, spans = decoded(root, speech, cache)
        order = np.random.default_rng(11).permutation(len(spans))
        held = min(self.data.held_out, len(spans) // 10)
        self.held_out = [spans[i] for i in order[:held]]
        self.spans = [spans[i] for i in order[held:]]
        self.noise, self.noise_spans = decoded(root, noise, cache) if noise else (self.speech, [])

    def batches(self, step: int) -> Iterator[Batch]:
        """Random crops, weighted by duration; the same from the same step on."""
        durations = np.array([end - start for start, end in self.spans], np.float64)
        weights = durations / durations.sum()
        while True:
            rng = np.random.default_rng((17, step))
            chosen = rng.choice(len(self.spans), self.data.rows, p=weights)
            rows = [self._crop(self.speech, self.spans[i], rng) for i in chosen]
            clean = torch.from_numpy(np.stack(rows))
            heard = clean.clone()
            for row in range(len(rows)):
                gain = 10 ** (rng.uniform(self.data.lowest_level_db, self.data.highest_level_db) / 20) / 0.08
                if self.noise_spans and rng.random() < self.data.noisy_share:
                    span = self.noise_spans[rng.integers(len(self.noise_spans))]
                    snr = 10 ** (rng.uniform(self.data.lowest_snr_db, self.data.highest_snr_db) / 20)
                    heard[row] += torch.from_numpy(self._crop(self.noise, span, rng)) / snr
                heard[row] = self._worse(heard[row], rng) * gain
            yield Batch(heard.clamp(-1, 1), clean)
            step += 1

    def _worse(self, row: Tensor, rng: np.random.Generator) -> Tensor:
        """row (S,) as it may come through a telephone or a cheap microphone."""
        if rng.random() < self.data.telephone_share:
            row = torch.from_numpy(through_telephone(row.numpy()))
        if rng.random() < self.data.microphone_share:
            row = torch.from_numpy(through_microphone(row.numpy(), rng))
        return row

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Spectral distance to what was heard, the judge's view, commitment and nearness of the quantised latents."""
        config, codec, losses = self.config, self.module.codec, self.losses
        heard = batch.heard.to(self.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not losses.freeze_encoder):
            latents = codec.encode(heard)
        rng = np.random.default_rng((23, step))
        keep = self._kept(rng, len(heard)).to(self.device)
        self.module.learner.train(self.module.training and not losses.freeze_quantiser)
        timbre, commitment = self.module.learner(
            codec.quantiser, latents[..., 1:], keep, step < losses.restart_until_step
        )
        nearness = (timbre - latents[..., 1:].detach()).square().mean()
        width = torch.relu(latents.abs() - 4).square().mean()
        total = losses.commitment * commitment + losses.latents * nearness + losses.width * width
        parts = {"commitment": float(commitment.detach()), "nearness": float(nearness.detach())}
        if step < losses.quantiser_only_steps:
            return total, parts

        level = codec.level_pitch(codec.pitch_level(latents[..., :1]))
        used = torch.cat([torch.where((keep > 0)[:, None, None], level, latents[..., :1]), timbre], dim=-1)
        with torch.no_grad():
            hz, voiced = pitch.track(codec.encoder.pitch.scores, batch.clean.to(self.device), config.hop_samples)
        teacher = torch.from_numpy(rng.random((len(heard), 1)) < losses.true_pitch_share).to(self.device)
        rendered = torch.where(teacher & voiced, hz.double(), codec.decoder.pitch_hz(used))
        state = codec.decoder.init_state(len(heard), heard.device, heard.dtype)
        output, _ = codec.decoder.step_at(used, rendered, state)
        hop = config.hop_samples
        spoken, wanted = output[:, 3 * hop :], heard[:, 2 * hop : -hop]
        spectral, distances = self.spectral(spoken, wanted)
        if self.module.adversary is not None and step >= losses.adversarial_from_step:
            deceived, judged = self.module.adversary(spoken, wanted, self.spectral)
            total = total + losses.adversarial * deceived + judged
            parts |= {"deceived": float(deceived.detach()), "judged": float(judged.detach())}
        if self.ear is not None:
            features, states = self.ear(spoken, wanted)
            total = total + losses.ear_features * features + losses.ear_states * states
            parts |= {"ear_features": float(features.detach()), "ear_states": float(states.detach())}
        off = (torch.log2(codec.decoder.pitch_hz(latents) / hz).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        return total + spectral, distances | parts | {"pitch_octaves": float(off)}

    def validate(self) -> dict[str, float]:
        """Spectral distance on held-out clips, continuous and at each bit rate, with the codec's own pitch."""
        codec, figures = self.module.codec, {}
        rng = np.random.default_rng(5)
        crops = [self._crop(self.speech, span, rng, 100) for span in self.held_out]
        clips = torch.from_numpy(np.stack(crops)).to(self.device)
        latents = codec.encode(clips)
        hop = self.config.hop_samples
        for stages in (0, *(n for n in (3, 6, 12) if n <= self.config.codebooks)):
            used = codec.quantise(latents, stages)[0] if stages else latents
            _, parts = self.spectral(codec.decode(used)[:, 3 * hop :], clips[:, 2 * hop : -hop])
            figures[f"mel_{stages}" if stages else "mel_continuous"] = parts["mel"]
            if self.ear is not None:
                apart = self.ear(codec.decode(used)[:, 3 * hop :], clips[:, 2 * hop : -hop])[1]
                figures[f"ear_{stages}" if stages else "ear_continuous"] = float(apart)
        return figures

    def export(self, directory: Path) -> None:
        """Write the codec, without what only training needs."""
        self.module.codec.save(directory)

    def _kept(self, rng: np.random.Generator, rows: int) -> Tensor:
        """Stages to keep for each row: none, one of the bit rates, or any number."""
        top = self.config.codebooks
        rates = [n for n in (3, 6, 12) if n <= top] or [top]
        kept = np.where(rng.random(rows) < 0.7, rng.choice(rates, rows), rng.integers(1, top + 1, rows))
        return torch.from_numpy(np.where(rng.random(rows) < self.losses.unquantised_share, 0, kept))

    def _crop(
        self, pcm: Pcm16, span: tuple[int, int], rng: np.random.Generator, frames: int = 0
    ) -> NDArray[np.float32]:
        """A random crop of the clip at `span`, padded with silence when it is short."""
        length = (frames or self.data.crop_frames) * self.config.hop_samples
        start = span[0] + int(rng.integers(0, max(1, span[1] - span[0] - length)))
        out = np.zeros(length, np.float32)
        piece = pcm[start : min(start + length, span[1])]
        out[: len(piece)] = piece / np.float32(32_767)
        return out


def task(recipe: dict[str, Any], device: str) -> CodecTask:
    """The task that the tables `model`, `data` and `losses` of a recipe describe."""
    return CodecTask(
        from_dict(NeuralCodecConfig, recipe.get("model", {}), "model"),
        from_dict(CodecData, recipe.get("data", {}), "data"),
        from_dict(CodecLosses, recipe.get("losses", {}), "losses"),
        device,
    )
