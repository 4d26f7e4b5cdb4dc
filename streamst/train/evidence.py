"""Recipes of kind "evidence": what tells noise from speech in a finished recogniser (models/listen/evidence.py).

A logistic regression on means of the encoder's states over a few frames that sound: of speech with noise, rooms and
telephones, and of noise in beats, recorded noise and tunes. The encoder itself is not changed. It takes some minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch.nn import functional as F

from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_audio
from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.models.listen.evidence import EvidenceConfig, SpeechEvidence
from streamst.models.listen.lexicon import BLANK
from streamst.models.translator import SpeechTranslator
from streamst.models.whisper import store
from streamst.models.whisper.encoder import FRAME_SAMPLES
from streamst.models.whisper.recogniser import WhisperRecogniser
from streamst.train.augment import AugmentConfig, Augmenter, tune
from streamst.train.base import base_translator, describe, save
from streamst.train.beats import KINDS, beats
from streamst.train.manifest import read_manifest

Floats = NDArray[np.float32]
LONGEST_S = 10.0
CHUNKS, EAR_CHUNKS = (4, 6, 8), (8, 16, 24, 32)  # frames of a chunk
LEAST_FRAMES = 2  # of a mean


@dataclass(frozen=True)
class FitConfig:
    """Which sounds, and how many of them. Paths are relative to the current directory."""

    base: str = ""  # an exported translator with a word search, or a Whisper ear
    manifests: tuple[str, ...] = ()  # of speech; their `train` split
    recordings: int = 150  # of each manifest
    noises: str = ""  # folder of recorded noise
    people: str = "baby"  # names of these recordings are left out: people are in them
    responses: str = ""  # folder of impulse responses
    each: int = 120  # noises of each kind of beats, and a third as many tunes
    loud: float = 0.0  # share of sounds that clip, by 10 to 36 dB
    longest_s: float = LONGEST_S
    least: int = LEAST_FRAMES  # of a mean
    means: int = 3  # drawn of each recording
    decay: float = 0.01  # of the weights
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


def run(recipe: dict[str, object]) -> dict[str, float]:
    """Write the base with its evidence into the recipe's output; returns shares of means on the right side [%]."""
    told = {key: value for key, value in recipe.items() if key not in ("kind", "output")}
    config = from_dict(FitConfig, told)
    output = Path(str(recipe["output"]))
    if (Path(config.base) / store.PIECES).is_file():
        ear = store.load(Path(config.base))
        means, speech = _means(partial(_ear_sounding, ear), EAR_CHUNKS, config)
        weight, bias = fit(means, speech, config.decay)
        ear.evidence = SpeechEvidence(weight, bias, config.evidence)
        ear.config = replace(ear.config, evidence=config.evidence)
        store.save_evidence(ear, Path(config.base), output)
    else:
        translator = base_translator(recipe, "cpu")
        if translator.search is None:
            raise ConfigError(f"base = {config.base!r} searches for no words: there is nothing to doubt")
        means, speech = _means(partial(_sounding, translator), CHUNKS, config)
        weight, bias = fit(means, speech, config.decay)
        translator.config = replace(translator.config, evidence=config.evidence)
        translator.evidence = SpeechEvidence(weight, bias, config.evidence)
        save(translator, output)
    describe(output, recipe)
    right = (means @ weight + bias >= config.evidence.threshold) == speech
    return {"speech": 100 * float(right[speech].mean()), "noise": 100 * float(right[~speech].mean())}


def fit(means: Floats, speech: NDArray[np.bool_], decay: float) -> tuple[Floats, float]:
    """Weight (D,) and bias of the log-odds of `speech` (N,), given `means` (N, D); both classes count the same."""
    centre, deviation = means.mean(0), means.std(0) + 1e-3
    x, y = torch.from_numpy((means - centre) / deviation), torch.from_numpy(speech.astype(np.float32))
    counts = torch.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        own = F.binary_cross_entropy_with_logits(x @ weight + bias, y, reduction="none")
        loss = (counts * own).sum() + decay * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    scaled = (weight.detach().numpy() / deviation).astype(np.float32)
    return scaled, float(bias.item() - centre @ scaled)


def _means(
    hear: Callable[[Pcm, int], Floats], chunks: tuple[int, ...], config: FitConfig
) -> tuple[Floats, NDArray[np.bool_]]:
    """Means (N, D) of states over some frames that sound, and whether each is of speech. hear: (pcm, frames of a chunk)
    to the states of those frames."""
    draw = np.random.default_rng(1)
    means: list[Floats] = []
    speech: list[bool] = []
    for pcm, is_speech in track(_sounds(config, draw), "hearing"):
        if config.loud and draw.random() < config.loud:
            pcm = np.clip(pcm * np.float32(10 ** (draw.uniform(10, 36) / 20)), -1, 1)
        states = hear(pcm, int(draw.choice(chunks)))
        for _ in range(config.means if len(states) else 0):
            size = int(draw.integers(config.least, config.evidence.window + 1))
            start = int(draw.integers(0, max(1, len(states) - size + 1)))
            means.append(states[start : start + size].mean(0))
            speech.append(is_speech)
    if len(set(speech)) < 2:
        raise ConfigError(f"manifests = {config.manifests!r}: speech and noise are needed")
    return np.stack(means), np.array(speech)


def _sounds(config: FitConfig, draw: np.random.Generator) -> Iterator[tuple[Pcm, bool]]:
    """Recordings, and whether each is speech."""
    noises = sorted(path for path in Path(config.noises).rglob("*.ogg") if config.people not in path.name)
    responses = sorted(Path(config.responses).glob("*.flac"))
    augmenter = Augmenter(config.augment, noises, responses)
    longest = int(config.longest_s * SAMPLE_RATE_HZ)
    for manifest in config.manifests:
        rows = read_manifest(Path(manifest), "train")
        for at in draw.permutation(len(rows))[: config.recordings]:
            pcm = read_audio(Path(manifest).parent / rows[at]["path"])[:longest]
            yield augmenter.wave(pcm, draw), True
    for _ in range(config.each):
        yield from ((beats(kind, draw)[:longest], False) for kind in KINDS)
        yield augmenter.noise(longest, draw), False
    for _ in range(config.each // 3):
        yield tune(longest, draw), False


@torch.inference_mode()
def _sounding(translator: SpeechTranslator, pcm: Pcm, chunk: int) -> Floats:
    """States (T, D) of the frames in which a phoneme is heard."""
    listener, search = translator.listener, translator.search
    assert search is not None
    tail = int(translator.config.tail_ms * SAMPLE_RATE_HZ / 1000)
    samples = torch.from_numpy(np.pad(pcm, (0, tail + -(len(pcm) + tail) % listener.frame_samples)))
    mel = listener.features(samples[None].float())
    states, _ = listener.encoder(mel, None, chunk, listener.config.encoder.left_frames)
    best = listener.phoneme_log_probs(states)[0].argmax(-1).numpy()
    sounding = ~np.isin(best, (BLANK, search.silence)).reshape(states.shape[1], -1)
    return states[0].numpy()[sounding.any(1)]


def _ear_sounding(ear: WhisperRecogniser, pcm: Pcm, chunk: int) -> Floats:
    """States (T, D) of the frames that are not silent, as the ear keeps them."""
    size = chunk * FRAME_SAMPLES
    heard = ear.encoded(torch.from_numpy(np.pad(pcm, (0, -len(pcm) % size)).astype(np.float32)), size)
    return heard.states[heard.loud].float().numpy()
