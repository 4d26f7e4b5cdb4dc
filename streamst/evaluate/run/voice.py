"""How well the German voice speaks: figures that anybody can print again.

    python -m streamst.evaluate.run.voice MANIFEST --model DIR [--json FILE] [--wav DIR] [--picture FILE]

The listener is the voice's own aligner, trained on recordings only: it scores how well letters explain the audio, in
order. For each sentence: its own letters, those of its words in a random order, and those of another sentence. Beside
them the same figures for the original recordings and, where `espeak-ng` is installed, for it. Speed is measured word by
word.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from streamst.audio import Pcm, read_audio, write_wav
from streamst.codecs.neural import NeuralCodec
from streamst.errors import InputError
from streamst.evaluate.metrics.forced import at_level
from streamst.inventory import ASSETS
from streamst.languages.german.spoken import spoken_german
from streamst.languages.german.symbols import encode
from streamst.models.seam import Speak
from streamst.models.speak.aligner import HOP_SAMPLES, Aligner, forward_sum, load_aligner, mel_frames
from streamst.models.speak.voice import GermanVoice, say

from .codec_bench import draw


@dataclass(frozen=True)
class Heard:
    """How the aligner hears one piece of audio: nats per frame, lower is better."""

    own: float
    shuffled: float  # the same words in a random order
    other: float  # another sentence


def letters_of(words: Sequence[str]) -> list[int]:
    """Symbols of spoken words, as a phrase."""
    return [symbol for index, word in enumerate(words) for symbol in encode(word, index == 0)]


def unlikelihood(aligner: Aligner, pcm: Pcm, words: Sequence[str]) -> float:
    """Nats per frame of `words` under the aligner; infinity when there are fewer frames than letters."""
    symbols = letters_of(words)
    frames = len(pcm) // HOP_SAMPLES
    if frames < len(symbols):
        return float("inf")
    with torch.inference_mode():
        scores = aligner(torch.tensor([symbols]), mel_frames(torch.from_numpy(pcm[: frames * HOP_SAMPLES])[None]))
        return float(forward_sum(scores, [frames], [len(symbols)])[0]) / frames


def hear(aligner: Aligner, pcm: Pcm, words: Sequence[str], other: Sequence[str], seed: int) -> Heard:
    """The three likelihoods, the audio brought to the aligner's level."""
    pcm = at_level(pcm)
    shuffled = list(words)
    draw = random.Random(seed)
    while shuffled == list(words) and len(set(words)) > 1:
        draw.shuffle(shuffled)
    return Heard(*(unlikelihood(aligner, pcm, text) for text in (words, shuffled, other)))


def summary(heard: Sequence[Heard]) -> dict[str, float]:
    """Means, and the share of sentences whose own text wins."""
    finite = [h for h in heard if h.own < float("inf")]
    return {
        "own": statistics.fmean(h.own for h in finite),
        "shuffled": statistics.fmean(h.shuffled for h in finite),
        "other": statistics.fmean(h.other for h in finite if h.other < float("inf")),
        "wins": sum(h.own < h.shuffled and h.own < h.other for h in heard) / len(heard),
        "sentences": float(len(heard)),
    }


def speed(voice: GermanVoice, texts: Sequence[str]) -> dict[str, float]:
    """Word by word on this computer: time from a word's commit to its audio [ms], and compute over audio."""
    first, each, spent, audio_s = [], [], 0.0, 0.0
    for text in texts:
        words, state, heard = text.split(), voice.init_state(), False
        for index, word in enumerate(words):
            started = time.perf_counter()
            ((pcm, state),) = voice.speak_all([Speak((word,), state, index == len(words) - 1)])
            elapsed = time.perf_counter() - started
            spent += elapsed
            audio_s += len(pcm) / voice.sample_rate_hz
            if len(pcm):
                each.append(1000 * elapsed)
                if not heard:
                    first.append(1000 * elapsed)
                heard = True
    return {
        "first_audio_ms_median": statistics.median(first),
        "word_ms_median": statistics.median(each),
        "word_ms_p95": float(np.quantile(each, 0.95)),
        "rtf": spent / audio_s,
        "audio_s": audio_s,
    }


def espeak(text: str) -> Pcm:
    """The same text by espeak-ng at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.wav"
        subprocess.run(["espeak-ng", "-v", "de", "-w", str(path), text], check=True, capture_output=True)
        return read_audio(path)


def measure(
    manifest: Path, model: Path, codec: Path, limit: int, wavs: Path | None, picture: Path | None = None
) -> dict[str, dict[str, float]]:
    """All figures on the test sentences of `manifest`: ours, the recordings, these through the codec, espeak-ng.

    picture: an image file for the log-mel spectrograms of the first sentence; UnavailableError without matplotlib.
    """
    torch.set_num_threads(1)
    network = NeuralCodec.load(codec)
    voice, aligner = GermanVoice.load(model, network), load_aligner(model / "aligner")
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["split"] == "test"]
    rows = rows[:limit]
    if not rows:
        raise InputError(f"{manifest} has no rows whose split is 'test'")

    def coded(pcm: Pcm) -> Pcm:
        with torch.inference_mode():
            whole = torch.from_numpy(pcm[: len(pcm) // HOP_SAMPLES * HOP_SAMPLES])[None]
            return network.decode(network.encode(whole))[0].numpy()

    recordings = [read_audio(manifest.parent / row["path"]) for row in rows]
    sources: dict[str, Callable[[int], Pcm]] = {
        "voice": lambda i: say(voice, rows[i]["text"]),
        "recordings": lambda i: recordings[i],
        "recordings_through_codec": lambda i: coded(recordings[i]),
    }
    if shutil.which("espeak-ng"):
        sources["espeak_ng"] = lambda i: espeak(rows[i]["text"])
    texts = [spoken_german(row["text"]) for row in rows]
    if picture is not None:
        draw(picture, [(name.replace("_", " "), source(0)) for name, source in sources.items()])
    figures: dict[str, dict[str, float]] = {}
    for name, source in sources.items():
        heard = []
        for index, words in enumerate(texts):
            pcm = source(index)
            heard.append(hear(aligner, pcm, words, texts[(index + 1) % len(texts)], index))
            if wavs is not None:
                wavs.mkdir(parents=True, exist_ok=True)
                write_wav(wavs / f"{index:03d}_{name}.wav", pcm, voice.sample_rate_hz)
        figures[name] = summary(heard)
    figures["speed"] = speed(voice, [row["text"] for row in rows[:20]])
    return figures


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, default=ASSETS / "voice-de")
    parser.add_argument("--codec", type=Path, default=ASSETS / "codec")
    parser.add_argument("--limit", type=int, default=1000, help="test sentences to use")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--wav", type=Path, help="write the audio into this folder")
    parser.add_argument("--picture", type=Path, help="write spectrograms of the first sentence to this image file")
    options = parser.parse_args()
    figures = measure(options.manifest, options.model, options.codec, options.limit, options.wav, options.picture)
    for name, values in figures.items():
        sys.stdout.write(f"{name} {' '.join(f'{key} {value:.3f}' for key, value in values.items())}\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
