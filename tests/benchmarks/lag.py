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
from dataclasses import dataclass, field
from itertools import accumulate, cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamst.audio import read_audio
from streamst.cli.view import shown
from streamst.evaluate.metrics.longform import Recording, ReferenceSegment, resegment
from streamst.evaluate.metrics.speech import SpokenUtterance, playback
from streamst.evaluate.metrics.speech import corpus as speech_metric
from streamst.events import Event, Speech, Words
from streamst.pipeline import load
from streamst.session import Session

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


@dataclass
class Talk:
    """What a listener of one long talk has, piece by piece [s]."""

    heard_s: float = 0.0
    spoken_s: float = 0.0
    words: int = 0
    at_s: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    clips: list[ReferenceSegment] = field(default_factory=list)
    _until_s: float = 0.0

    def take(self, event: Event) -> None:
        self.words += len(event.words) if isinstance(event, Words) else 0
        if not isinstance(event, Speech):
            return
        said_s, length_s = event.source_ms / 1000, len(event.pcm) / event.sample_rate_hz
        self.gap_s.append(max(0.0, said_s - self._until_s))
        self._until_s = max(self._until_s, said_s) + length_s
        self.spoken_s += length_s
        self.at_s.append(said_s)
        self.lag_s.append(self._until_s - said_s)
        if event.text:
            self.pieces.append((event.text, said_s, length_s))


def talked(session: Session[Any, Any], manifest: Path, minutes: float, pause_s: float) -> Talk:
    """Play the clips to `session`, over and over."""
    with manifest.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    talk = Talk()
    for row in cycle(rows):
        if talk.heard_s >= 60 * minutes:
            break
        clip = read_audio(manifest.parent / row["path"])
        talk.clips.append(ReferenceSegment(1000 * talk.heard_s, len(clip) / 16, row.get("translation") or ""))
        pcm = np.concatenate([clip, np.zeros(int(16_000 * pause_s), np.float32)])
        talk.heard_s += len(pcm) / 16_000
        for event in session.push(pcm):
            talk.take(event)
    return talk


def tell(talk: Talk, length: float) -> None:
    """The lag in some stretches of a talk of `length` minutes."""
    minutes = np.array(talk.at_s) / 60
    print(
        f"{talk.heard_s / 60:.1f} min heard, {talk.words} words, {talk.spoken_s / 60:.1f} min spoken, "
        f"{len(talk.at_s)} pieces of speech"
    )
    print(f"silences between pieces: {sum(g > 0 for g in talk.gap_s)}, {sum(talk.gap_s) / 60:.1f} min together")
    for first, last in ((0, 2), (2, 4), (length - 2, length)):
        inside = np.array(talk.lag_s)[(minutes >= first) & (minutes < last)]
        if len(inside):
            low, high = np.percentile(inside, [50, 95])
            print(f"minutes {first:g}-{last:g}: lag p50 {low:.2f} s, p95 {high:.2f} s")
    print(f"slope {float(np.polyfit(minutes, talk.lag_s, 1)[0]) * 60:+.3f} s an hour")


def tell_clips(talk: Talk) -> None:
    """Offsets and silences of the clips, as their listener has them."""
    spoken = by_clip(talk.pieces, talk.clips, talk.heard_s)
    for name in ("StartOffset", "EndOffset", "ATD", "DiscontinuityNum", "DiscontinuitySum"):
        found = speech_metric(name, spoken)
        if found is not None:
            print(f"{name} of speech, mean of {len(spoken)} clips: {found.value:.1f} {found.unit}")
    silent = sum(not utterance.delays_ms for utterance in spoken)
    length_ms = statistics.fmean(clip.duration_ms for clip in talk.clips)
    print(f"clips without speech: {silent}; length of a clip {length_ms:.0f} ms")


def draw(talk: Talk, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(np.array(talk.at_s) / 60, talk.lag_s, ".", markersize=2)
    axes.set_xlabel("talk [min]")
    axes.set_ylabel("speech still to be heard [s]")
    axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


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
    session = load(device="cpu", voice=options.voice).session(latency=options.latency)
    with shown("Talking"):
        talk = talked(session, options.manifest, options.minutes, options.gap_s)
    tell(talk, options.minutes)
    if talk.clips[0].text and talk.pieces:
        tell_clips(talk)
    if options.plot:
        draw(talk, options.plot)


if __name__ == "__main__":
    main()
