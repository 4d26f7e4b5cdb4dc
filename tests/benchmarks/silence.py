"""Words invented in ten minutes of silence and noise.

    python tests/benchmarks/silence.py [--minutes M] [--noise DIR] [--beats N]

A seventh of the time each: digital silence, a quiet room, white noise, brown noise, mains hum with clicks, bells, and
tunes like those of the training; with --noise, recordings of a folder in turn (cries and voices among them are people:
their words are counted apart); with --beats N, N sounds of each kind of noise in beats (tests/beats.py), each in a
session of its own.
It prints words a minute, and whether what a session holds has grown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from streamst.audio import Pcm, read_blocks
from streamst.errors import InputError
from streamst.events import Caption, Words
from streamst.pipeline import Pipeline, load
from streamst.train.augment import tune

sys.path.insert(0, str(Path(__file__).parents[1]))
import beats  # of the tests

HZ = 16_000


def synthetic(seconds: float) -> Iterator[tuple[str, Pcm]]:
    """Pieces of ten seconds with their names."""
    draw = np.random.default_rng(0)
    kinds = ("silence", "quiet room", "white noise", "brown noise", "hum and clicks", "bells", "tunes")
    pieces = max(1, round(seconds / 10 / len(kinds)))
    for kind in kinds:
        for _ in range(pieces):
            time_s = np.arange(10 * HZ) / HZ
            white = draw.standard_normal(len(time_s))
            if kind == "brown noise":
                walk = np.cumsum(white)
                walk -= np.convolve(walk, np.ones(800) / 800, "same")
                made = 0.05 * walk / walk.std()
            elif kind == "tunes":
                made = tune(len(time_s), draw)
            elif kind == "bells":
                made = bells(time_s, draw)
            else:
                made = {
                    "silence": 0.0 * white,
                    "quiet room": 3e-4 * white,
                    "white noise": 10 ** draw.uniform(-3, -0.7) * white,
                    "hum and clicks": 0.1 * np.sin(2 * np.pi * 50 * time_s)
                    + 0.8 * (np.arange(len(time_s)) % 9_000 == 0),
                }[kind]
            yield kind, made.astype(np.float32)


def bells(time_s: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """Four notes a second, each of four harmonics that fade."""
    out = np.zeros_like(time_s)
    for start_s in np.arange(0, time_s[-1], 0.25):
        hz, age_s = 220 * 2 ** (draw.integers(0, 24) / 12), time_s - start_s
        rings = np.where((age_s >= 0) & (age_s < 0.24), np.exp(-6 * age_s.clip(0)), 0)
        out += rings * sum(np.sin(2 * np.pi * hz * k * time_s) / k for k in range(1, 5))
    return 0.3 * out / np.abs(out).max()


def recorded(folder: Path) -> Iterator[tuple[str, Pcm]]:
    """The recordings of `folder`, as far as they can be read."""
    for path in sorted(folder.rglob("*.ogg")):
        blocks: list[Pcm] = []
        try:
            for block in read_blocks(path, HZ):
                blocks.append(block.astype(np.float32))
        except InputError:
            continue
        if blocks:
            yield path.stem, np.concatenate(blocks)


def count(pipeline: Pipeline, pieces: Iterator[tuple[str, Pcm]], title: str) -> None:
    """Play all pieces to one session, as one stream."""
    session = pipeline.session(latency="medium", speech=False)
    spoken: dict[str, list[str]] = {}
    heard_s, sizes = 0.0, []
    for name, pcm in pieces:
        events = session.push(pcm)
        heard_s += len(pcm) / HZ
        sizes.append(len(session.snapshot()))
        for event in events:
            if isinstance(event, Words):
                spoken.setdefault(name, []).extend(event.words)
            elif isinstance(event, Caption) and event.final and event.lang == "en":
                spoken.setdefault(f"{name} (English)", []).append(event.stable)
    session.finish()
    german = sum(len(words) for name, words in spoken.items() if not name.endswith("(English)"))
    print(f"{title}: {heard_s / 60:.1f} min, {german} German words, {60 * german / heard_s:.2f} a minute;", end=" ")
    print(f"a session holds {sizes[0] / 1000:.0f} kB at first, {max(sizes) / 1000:.0f} kB at most")
    for name, words in spoken.items():
        print(f"  {name}: {' '.join(words)}")


def count_beats(pipeline: Pipeline, each: int) -> None:
    """Print of how many sounds in beats words were made, and which."""
    sounds, found = 0, 0
    for name, pcm in beats.suite(each):
        session = pipeline.session(latency="medium", speech=False)
        events = [*session.push(pcm), *session.finish()]
        heard = [event.stable for event in events if isinstance(event, Caption) and event.final]
        sounds, found = sounds + 1, found + bool(heard)
        if heard:
            print(f"  {name}: {' / '.join(heard)}")
    print(f"beats: words in {found} of {sounds} sounds")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--beats", type=int, default=0)
    parser.add_argument("--model", default="en-de")
    parser.add_argument("--recogniser", default="own", help="own, phonemes, or whisper:DIR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load(options.model, "cpu", recogniser=options.recogniser)
    count(model, synthetic(60 * options.minutes), "synthetic")
    if options.noise is not None:
        count(model, recorded(options.noise), "recorded")
    if options.beats:
        count_beats(model, options.beats)
