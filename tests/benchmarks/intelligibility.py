"""How well the German voice is understood: character error rates of a recogniser that has never heard it.

    streamst train letters.toml                                            # the recogniser, once
    python tests/benchmarks/intelligibility.py RECOGNISER SENTENCES.tsv RECORDINGS.tsv [--people PEOPLE.tsv]

RECOGNISER: the recipe's `model` folder. SENTENCES: lines of English TAB German, of which `--count` are spoken.
RECORDINGS: the manifest of the voice's own speaker, of which the split `test` is used: as recorded, through our codec,
and the same sentences by our voice and by espeak-ng. PEOPLE: a manifest of other speakers, for the recogniser's error
on people that it does not know. Brackets: 95 % intervals, sentences drawn anew. Ratios are to the recordings' error.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jiwer import process_characters
from numpy.typing import NDArray

from streamst import pipeline
from streamst.audio import Pcm, read_audio, write_wav
from streamst.codecs.neural import NeuralCodec
from streamst.evaluate.run.voice import espeak
from streamst.models.listen.listener import Listener
from streamst.models.speak.aligner import HOP_SAMPLES
from streamst.models.speak.voice import GermanVoice, say
from streamst.train.letters import letters, load_recogniser, recognise
from streamst.train.manifest import read_manifest

ASSETS = Path(pipeline.__file__).parent / "assets"
RESAMPLES = 2000

Errors = NDArray[np.int64]  # (sentences, 2): edits and letters of each


def errors_of(model: Listener, spoken: Sequence[Pcm], texts: Sequence[str], show: int) -> Errors:
    """Edits and letters of each sentence; prints the first `show`."""
    rows = []
    for index, (pcm, text) in enumerate(zip(spoken, texts, strict=True)):
        truth, heard = letters(text), recognise(model, pcm)
        if index < show:
            print(f"  {truth}\n  {heard}")
        counts = process_characters(truth, heard)
        rows.append((counts.substitutions + counts.deletions + counts.insertions, len(truth)))
    return np.array(rows)


def resampled(errors: Errors, draw: np.random.Generator) -> NDArray[np.float64]:
    """(RESAMPLES,) error rates [%] of sentences drawn with replacement."""
    totals = errors[draw.integers(len(errors), size=(RESAMPLES, len(errors)))].sum(1)
    return 100 * totals[:, 0] / totals[:, 1]


def told(name: str, errors: Errors, reference: Errors | None = None) -> None:
    """Print a line: CER and, of the same sentences or of others, its ratio to the reference's."""
    rates = resampled(errors, np.random.default_rng(1))
    rate = 100 * errors[:, 0].sum() / errors[:, 1].sum()
    low, high = np.percentile(rates, [2.5, 97.5])
    line = f"{name:44} {len(errors):4} sentences  CER {rate:5.1f} % ({low:.1f}-{high:.1f})"
    if reference is not None:
        paired = len(reference) == len(errors) and bool((reference[:, 1] == errors[:, 1]).all())
        ratios = rates / resampled(reference, np.random.default_rng(1 if paired else 2))
        of = 100 * reference[:, 0].sum() / reference[:, 1].sum()
        line += "  ratio {:.2f} ({:.2f}-{:.2f})".format(rate / of, *np.percentile(ratios, [2.5, 97.5]))
    print(line, flush=True)


def main() -> None:
    """Read the options and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recogniser", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--people", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--model", type=Path, default=ASSETS, help="a model directory, with voice-de and codec")
    parser.add_argument("--show", type=int, default=0, help="sentences to print as they were said and heard")
    parser.add_argument("--wav", type=Path, help="write the speech into this folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, codec = load_recogniser(options.recogniser), NeuralCodec.load(options.model / "codec")
    voice = GermanVoice.load(options.model / "voice-de", codec)

    def coded(pcm: Pcm) -> Pcm:
        with torch.inference_mode():
            whole = torch.from_numpy(pcm[: len(pcm) // HOP_SAMPLES * HOP_SAMPLES])[None]
            return codec.decode(codec.encode(whole))[0].numpy()

    def measured(name: str, make: Callable[[int], Pcm], texts: Sequence[str], reference: Errors | None) -> Errors:
        spoken = [make(index) for index in range(len(texts))]
        if options.wav is not None:
            options.wav.mkdir(parents=True, exist_ok=True)
            for index, pcm in enumerate(spoken):
                write_wav(options.wav / f"{name.replace(' ', '-').replace(',', '')}-{index:03d}.wav", pcm, 16_000)
        errors = errors_of(model, spoken, texts, options.show)
        told(name, errors, reference)
        return errors

    rows = read_manifest(options.recordings, "test")
    texts = [row["text"] for row in rows]
    recorded = [read_audio(options.recordings.parent / row["path"]) for row in rows]
    reference = measured("recordings", lambda i: recorded[i], texts, None)
    measured("recordings through our codec", lambda i: coded(recorded[i]), texts, reference)
    measured("our voice, the recordings' sentences", lambda i: say(voice, texts[i]), texts, reference)
    measured("espeak-ng, the recordings' sentences", lambda i: espeak(texts[i]), texts, reference)
    lines = options.sentences.read_text(encoding="utf-8").splitlines()
    chosen = random.Random(1).sample(sorted({line.split("\t")[1] for line in lines}), options.count)
    measured("our voice, test sentences", lambda i: say(voice, chosen[i]), chosen, reference)
    measured("espeak-ng, test sentences", lambda i: espeak(chosen[i]), chosen, reference)
    if options.people is not None:
        people = read_manifest(options.people)
        clips = [read_audio(options.people.parent / row["path"]) for row in people]
        measured("people that the recogniser does not know", lambda i: clips[i], [p["text"] for p in people], None)


if __name__ == "__main__":
    main()
