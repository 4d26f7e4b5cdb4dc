"""Trains a recogniser of German letters, which hears what a voice says and belongs to none: a judge of voices.

The translator's encoder learns German letters with CTC, from recordings of people and from `espeak-ng`, never from our
own voice and never from our codec. Greedy letters, no dictionary and no language model: what is not said clearly is
not guessed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.errors import ConfigError
from streamst.languages.german.spoken import spoken_german
from streamst.languages.german.symbols import LETTERS
from streamst.models.listen.conformer import ConformerConfig
from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.translator import SpeechTranslator
from streamst.train.cuts import ShardWriter, Utterance, merge_manifests
from streamst.train.human import load
from streamst.train.listener import ctc
from streamst.train.loop import LoopConfig
from streamst.train.manifest import read_manifest
from streamst.train.speech import SpeechBatch, SpeechBatches, SpeechDataConfig
from streamst.train.synthesis import Take, read_pairs, speak

KIND = "letters"
ALPHABET = " " + LETTERS.replace("-", "")  # label 0 is CTC's blank, label n is ALPHABET[n - 1]
PER_FRAME = 4  # letters an encoder frame may hold: one every 20 ms
VARIANTS = ("+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8", "+Annie",
            "+Andrea", "+Michael", "+Steph", "+Alex", "+John", "+Lee", "+Gene", "+Denis", "+linda",
            "+anika")  # fmt: skip


@dataclass(frozen=True)
class LettersRecipe:
    """A recipe of kind "letters"."""

    kind: str = KIND
    output: str = "runs/letters-de"
    encoder: str = "streamst/assets/translator"  # whose encoder learning starts from
    recordings: str = "../shared/data/speech/de/kerstin"  # folder with manifest.tsv; its split `test` is for testing
    sentences: str = "../shared/data/parallel/tatoeba_en-de.train.tsv"  # spoken by `espeak-ng`
    excluded: tuple[str, ...] = ()  # sentence pairs and manifests whose German is never spoken in training
    synthetic: int = 3000  # sentences
    repeat: int = 2  # how often an epoch has each recording
    data: SpeechDataConfig = field(default_factory=SpeechDataConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


class Alphabet:
    """Text to labels, as a tokenizer's `encode`."""

    def encode(self, text: str) -> list[int]:
        """Labels of letters; others are left out."""
        return [ALPHABET.index(letter) + 1 for letter in letters(text) if letter in ALPHABET]


class LettersTask:
    """The `Task` of recipes of kind "letters"."""

    def __init__(self, model: Listener, data: SpeechDataConfig, held_out: Sequence[tuple[NDArray[np.float32], str]]):
        self.module = model
        self.data = SpeechBatches(data, Alphabet(), 1, model.frame_samples)
        self.held_out = held_out

    def batches(self, step: int) -> Iterator[SpeechBatch]:
        """Speech batches from `step` on."""
        return self.data.batches(step)

    def loss(self, batch: SpeechBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """CTC a letter, with all of the utterance visible."""
        model, device = self.module, self.module.phonemes.weight.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            mel = model.features(batch.pcm.to(device))
            mel = self.data.augmenter.mask(mel, batch.samples // 160, np.random.default_rng((7, step)))
        frames = (batch.samples // model.frame_samples).to(device)
        _, middle = model.encoder(mel, frames)
        log_probs = model.phoneme_log_probs(middle.float())
        loss = ctc(log_probs, batch.tokens, frames * PER_FRAME, batch.token_counts)
        return loss, {"audio_s": float(batch.samples.sum()) / 16_000}

    def validate(self) -> dict[str, float]:
        """Character error rate [%] on the recordings kept for testing."""
        heard = [recognise(self.module, pcm) for pcm, _ in self.held_out]
        return {"CER": 100 * float(jiwer.cer([text for _, text in self.held_out], heard))}

    def export(self, directory: Path) -> None:
        """Write the recogniser."""
        checkpoint.save(directory, KIND, to_dict(self.module.config), self.module)


def letters(text: str) -> str:
    """The spoken form of German `text`: lower case, words of letters with one space between them."""
    said = "".join(c if c in ALPHABET else " " for c in " ".join(spoken_german(text)).replace("-", ""))
    return " ".join(said.split())


@torch.inference_mode()
def recognise(model: Listener, pcm: NDArray[np.float32]) -> str:
    """Greedy letters of `pcm` (samples,) at 16 kHz, brought to the level of the training data."""
    pcm = pcm * np.float32(0.07 / max(1e-4, float(np.sqrt(np.mean(np.square(pcm))))))
    padded = F.pad(torch.from_numpy(pcm)[None], (0, 5120 - len(pcm) % 2560))
    _, middle = model.encoder(model.features(padded.to(model.phonemes.weight.device)))
    best = torch.unique_consecutive(model.phoneme_log_probs(middle)[0].argmax(-1)).tolist()
    return " ".join("".join(ALPHABET[label - 1] for label in best if label != BLANK).split())


def load_recogniser(directory: Path) -> Listener:
    """The recogniser that a run wrote; CheckpointError where there is none."""
    model = Listener(from_dict(ListenerConfig, checkpoint.read_config(directory, KIND)))
    checkpoint.load_weights(directory, model)
    return model.eval()


def task(recipe: dict[str, Any], device: str) -> LettersTask:
    """The task of a recipe of kind "letters"; speech that is not there yet is made first."""
    del device
    config = from_dict(LettersRecipe, recipe, "recipe")
    output = Path(config.output)
    human, synthetic = prepare_recordings(config, output / "human"), prepare_sentences(config, output / "synthetic")
    data = SpeechDataConfig(**{**config.data.__dict__, "cuts": (*[str(human)] * config.repeat, str(synthetic))})
    folder = Path(config.recordings)
    test = [(load(folder / r["path"]), letters(r["text"])) for r in read_manifest(folder / "manifest.tsv", "test")]
    torch.manual_seed(1)
    return LettersTask(start_from(Path(config.encoder)), data, test)


def start_from(directory: Path) -> Listener:
    """A recogniser with the features and the encoder of the translator in `directory`, and a new head."""
    heard = SpeechTranslator.load(directory).listener
    encoder = ConformerConfig(**{**heard.config.encoder.__dict__, "middle": heard.config.encoder.layers})
    made = Listener(ListenerConfig(heard.config.features, encoder, 1, len(ALPHABET) + 1, PER_FRAME))
    made.features.load_state_dict(heard.features.state_dict())
    made.encoder.load_state_dict(heard.encoder.state_dict())
    with torch.no_grad():
        made.phonemes.bias.zero_().unflatten(0, (PER_FRAME, -1))[:, BLANK] = 2.0
    return made


def prepare_recordings(config: LettersRecipe, directory: Path) -> Path:
    """The split `train` of the recordings as cuts; returns their manifest."""
    manifest = directory / "cuts.jsonl.gz"
    if not manifest.exists():
        directory.mkdir(parents=True, exist_ok=True)
        folder = Path(config.recordings)
        with ShardWriter(directory / "recordings") as writer:
            for row in read_manifest(folder / "manifest.tsv", "train"):
                text = letters(row["text"])
                writer.write(load(folder / row["path"]), Utterance(Path(row["path"]).stem, text, row["speaker"]))
        merge_manifests([directory / "recordings"], manifest)
    return manifest


def prepare_sentences(config: LettersRecipe, directory: Path) -> Path:
    """`config.synthetic` sentences by variants of espeak-ng's German voice, but not by the plain one, as cuts."""
    manifest = directory / "cuts.jsonl.gz"
    if not manifest.exists():
        directory.mkdir(parents=True, exist_ok=True)
        banned = {letters(text) for path in config.excluded for text in german(Path(path))}
        chosen = dict.fromkeys(letters(text) for _, text in read_pairs(Path(config.sentences)))
        usable = [text for text in chosen if text not in banned and 3 <= len(text.split()) <= 18]
        draw = random.Random(1)
        with ShardWriter(directory / "espeak") as writer:
            for number, text in enumerate(draw.sample(usable, min(config.synthetic, len(usable)))):
                voice, rate, pitch = f"de{draw.choice(VARIANTS)}", draw.uniform(0.75, 1.15), draw.randint(25, 75)
                take = Take(f"de{number}", text, "", "espeak-ng", voice, rate, pitch)
                writer.write(speak(take)[0], Utterance(take.id, text, f"espeak-ng:{voice}"))
        merge_manifests([directory / "espeak"], manifest)
    return manifest


def german(path: Path) -> list[str]:
    """The German of a manifest with a `text` column, or of English TAB German."""
    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split("\t")
    if "text" in header:
        return [row["text"] for row in read_manifest(path)]
    if len(header) < 2:
        raise ConfigError(f"{path}: expected a manifest or English TAB German")
    return [text for _, text in read_pairs(path)]
