"""Whether the German voice keeps up with a long talk: how far the listener is behind, minute by minute, and a plot.

    python tests/benchmarks/lag.py MANIFEST [--minutes 20] [--latency low] [--gap-s 0.3] [--voice own] [--plot lag.png]

The talk is the manifest's clips one after the other. Lag: of each piece of speech, when a listener hears its last
sample less when the session said it (source time), computing time left out: what the voice itself adds.

Where the manifest has translations, speech goes with the clip whose words it says (re-segmented as in `bench`), and
StartOffset, EndOffset, ATD and silences of a clip are printed as a listener has them: a piece begins when those before
it were heard, the earlier clips' included.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, cycle
from pathlib import Path

import numpy as np
import torch

from streamst.audio import read_audio
from streamst.cli.view import shown
from streamst.evaluate.metrics.longform import Recording, ReferenceSegment, resegment
from streamst.evaluate.metrics.speech import SpokenUtterance, playback
from streamst.evaluate.metrics.speech import corpus as speech_metric
from streamst.events import Speech, Words
from streamst.pipeline import load

Piece = tuple[str, float, float]  # words, when the session said it and how long it is [s]


def by_clip(pieces: Sequence[Piece], clips: Sequence[ReferenceSegment], heard_s: float) -> list[SpokenUtterance]:
    """The speech of each clip, in time from the clip's start; a piece is its first word's."""
    words = [(word, index) for index, (text, _, _) in enumerate(pieces) for word in text.split()]
    delays_ms = tuple(1000 * pieces[index][1] for _, index in words)
    talk = Recording(tuple(word for word, _ in words), delays_ms, 1000 * heard_s, tuple(clips))
    ends = list(accumulate(len(segment.hypothesis.split()) for segment in resegment(talk)))
    starts = playback([1000 * said for _, said, _ in pieces], [1000 * length for _, _, length in pieces])
    mine: list[list[int]] = [[] for _ in clips]
    owner, begun = 0, set[int]()
    for number, (_, index) in enumerate(words):
        if index not in begun:
            owner = bisect_right(ends, number)
            mine[owner].append(index)
            begun.add(index)
    return [
        SpokenUtterance(
            tuple(starts[index].start_ms - clip.offset_ms for index in own),
            tuple(1000 * pieces[index][2] for index in own),
            clip.duration_ms,
        )
        for clip, own in zip(clips, mine, strict=True)
    ]


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
    pipeline = load(device="cpu", voice=options.voice)
    session = pipeline.session(latency=options.latency)
    with options.manifest.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    at_s, lag_s, gap_s, words = [], [], [], 0
    pieces: list[Piece] = []
    clips: list[ReferenceSegment] = []
    until_s = heard_s = spoken_s = 0.0
    with shown("Talking"):
        for row in cycle(rows):
            if heard_s >= 60 * options.minutes:
                break
            clip = read_audio(options.manifest.parent / row["path"])
            clips.append(ReferenceSegment(1000 * heard_s, len(clip) / 16, row.get("translation") or ""))
            pcm = np.concatenate([clip, np.zeros(int(16_000 * options.gap_s), np.float32)])
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
                    if event.text:
                        pieces.append((event.text, said_s, length_s))
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
    if clips[0].text and pieces:
        spoken = by_clip(pieces, clips, heard_s)
        for name in ("StartOffset", "EndOffset", "ATD", "DiscontinuityNum", "DiscontinuitySum"):
            found = speech_metric(name, spoken)
            if found is not None:
                print(f"{name} of speech, mean of {len(spoken)} clips: {found.value:.1f} {found.unit}")
        silent = sum(not utterance.delays_ms for utterance in spoken)
        print(
            f"clips without speech: {silent}; length of a clip {statistics.fmean(c.duration_ms for c in clips):.0f} ms"
        )
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
