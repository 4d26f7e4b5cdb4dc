"""Whether the German voice keeps up with a long talk: how far the listener is behind, minute by minute, and a plot.

    python tests/benchmarks/lag.py MANIFEST [--minutes 20] [--latency low] [--gap-s 0.3] [--voice own] [--plot lag.png]

The talk is the manifest's clips one after the other. Lag: of each piece of speech, when a listener hears its last
sample less when the session said it (source time), computing time left out: what the voice itself adds.
"""

from __future__ import annotations

import argparse
import csv
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from streamst.audio import read_audio
from streamst.cli_view import shown
from streamst.events import Speech, Words
from streamst.pipeline import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--latency", default="low")
    parser.add_argument("--gap-s", type=float, default=0.3)
    parser.add_argument("--voice", default="own")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = load(device="cpu", voice_name=options.voice)
    session = pipeline.session(latency=options.latency)
    with options.manifest.open(encoding="utf-8") as file:
        paths = [options.manifest.parent / row["path"] for row in csv.DictReader(file, delimiter="\t")]
    at_s, lag_s, gap_s, words = [], [], [], 0
    until_s = heard_s = spoken_s = 0.0
    with shown("Talking"):
        for path in cycle(paths):
            if heard_s >= 60 * options.minutes:
                break
            pcm = np.concatenate([read_audio(path), np.zeros(int(16_000 * options.gap_s), np.float32)])
            heard_s += len(pcm) / 16_000
            for event in session.push(pcm):
                words += len(event.words) if isinstance(event, Words) else 0
                if isinstance(event, Speech):
                    said_s, length_s = event.source_ms / 1000, len(event.pcm) / event.sample_rate_hz
                    gap_s.append(max(0.0, said_s - until_s))
                    until_s = max(until_s, said_s) + length_s
                    spoken_s += length_s
                    at_s.append(said_s)
                    lag_s.append(until_s - said_s)
    minutes = np.array(at_s) / 60
    print(f"{heard_s / 60:.1f} min heard, {words} words, {spoken_s / 60:.1f} min spoken, {len(at_s)} pieces of speech")
    print(f"silences between pieces: {sum(g > 0 for g in gap_s)}, {sum(gap_s) / 60:.1f} min together")
    for first, last in ((0, 2), (2, 4), (options.minutes - 2, options.minutes)):
        inside = np.array(lag_s)[(minutes >= first) & (minutes < last)]
        if len(inside):
            low, high = np.percentile(inside, [50, 95])
            print(f"minutes {first:g}-{last:g}: lag p50 {low:.2f} s, p95 {high:.2f} s")
    slope = float(np.polyfit(minutes, lag_s, 1)[0]) * 60
    print(f"slope {slope:+.3f} s an hour")
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(minutes, lag_s, ".", markersize=2)
        axes.set_xlabel("talk [min]")
        axes.set_ylabel("speech still to be heard [s]")
        axes.set_ylim(bottom=0)
        figure.savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
