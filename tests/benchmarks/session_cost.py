"""What whole sessions cost, hearing, writing and speaking, alone and together, beside another checkout or precision.

    python tests/benchmarks/session_cost.py MANIFEST [--streams 1 4] [--seconds 12] [--rounds 2] [--precision auto]
                                            [--beside CHECKOUT] [--beside-precision auto] [--captions]

MANIFEST: a TSV with `path`; each stream hears a talk made of its clips, in pieces of 160 ms; alike work of all of them
goes through the networks together, as in the engine. One thread, CPU time of the process, the least of rounds in which
both take turns, so that ratios hold on a busy machine. Words and samples of speech are compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from beside import Worker
from ear_cost import ROOT, talks

PIECE = 2560  # samples


class Crowd:
    """Sessions that are driven together."""

    def __init__(self, pipeline: Any, made: list[np.ndarray], speech: bool) -> None:
        self._models, self._made = pipeline.models, made
        self._sessions = [pipeline.session(latency="low", speech=speech) for _ in made]
        self.words: list[list[str]] = [[] for _ in made]
        self.samples = [0] * len(made)
        self.spent_s: dict[str, float] = defaultdict(float)

    def run(self) -> None:
        """Hear everything."""
        for at in range(0, len(self._made[0]), PIECE):
            pieces = zip(self._sessions, self._made, strict=True)
            self._drive([session.hearing(talk[at : at + PIECE]) for session, talk in pieces])
        self._drive([session.ending() for session in self._sessions])

    def _drive(self, steps: list[Any]) -> None:
        from streamst.models.seam import KINDS, perform_all

        waiting = {row: work for row, one in enumerate(steps) if (work := self._advance(row, one, None)) is not None}
        while waiting:
            kinds: dict[str, list[int]] = defaultdict(list)
            for row, work in waiting.items():
                kinds[KINDS[type(work)]].append(row)
            kind, rows = max(kinds.items(), key=lambda item: len(item[1]))
            begun_s = time.process_time()
            results = perform_all([waiting.pop(row) for row in rows], self._models)
            self.spent_s[kind] += time.process_time() - begun_s
            for row, result in zip(rows, results, strict=True):
                work = self._advance(row, steps[row], result)
                if work is not None:
                    waiting[row] = work

    def _advance(self, row: int, steps: Any, result: Any) -> Any:
        from streamst.events import Speech, Words

        try:
            return steps.send(result)
        except StopIteration as stop:
            for event in stop.value:
                if isinstance(event, Words):
                    self.words[row] += event.words
                if isinstance(event, Speech):
                    self.samples[row] += len(event.pcm)
            return None


def work(options: argparse.Namespace) -> None:
    """Hear for who asks, a line of so many streams after the other; answers are JSON."""
    import torch

    from streamst import pipeline

    torch.set_num_threads(1)
    loaded = pipeline.load("en-de", "cpu", options.precision)
    made = talks(options.manifest, max(options.streams), options.seconds)
    Crowd(loaded, [talk[: 3 * PIECE * 5] for talk in made[:1]], not options.captions).run()  # who is warm
    print("ready", flush=True)
    for line in sys.stdin:
        crowd = Crowd(loaded, made[: int(line)], not options.captions)
        begun_s = time.process_time()
        crowd.run()
        print(json.dumps([time.process_time() - begun_s, crowd.spent_s, crowd.words, crowd.samples]), flush=True)


def at_work(checkout: Path, precision: str, options: argparse.Namespace) -> Worker:
    """Of `checkout`; it answers CPU seconds, those of each kind, words and samples of each stream."""
    captions = ["--captions"] if options.captions else []
    given = ["--seconds", str(options.seconds), "--precision", precision, *captions]
    return Worker(checkout, __file__, str(options.manifest), *given, "--streams", *map(str, options.streams))


def main() -> None:
    """Print a line for each number of streams and checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--beside", type=Path, default=ROOT)
    parser.add_argument("--beside-precision", default="auto")
    parser.add_argument("--captions", action="store_true", help="no speech")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return
    workers = {
        "here": at_work(ROOT, options.precision, options),
        "beside": at_work(options.beside, options.beside_precision, options),
    }
    for streams in options.streams:
        best: dict[str, list[Any]] = {}
        for _ in range(options.rounds):
            for name, worker in workers.items():
                found = worker.hear(streams)
                known = best.get(name, found)
                least = {kind: min(spent, known[1].get(kind, spent)) for kind, spent in found[1].items()}
                best[name] = [min(found[0], known[0]), least, *found[2:]]
        for name, (took_s, spent_s, _, _) in best.items():
            talked_s = streams * options.seconds
            kinds = ", ".join(f"{kind} {1000 * spent / talked_s:.1f}" for kind, spent in spent_s.items())
            print(f"{streams:2d} streams, {name}: {1000 * took_s / talked_s:.1f} ms for a second of talk: {kinds}")
        here, beside = best["here"], best["beside"]
        ratios = ", ".join(f"{kind} {beside[1][kind] / spent:.2f}" for kind, spent in here[1].items() if spent)
        words, samples = (sum(a == b for a, b in zip(here[n], beside[n], strict=True)) for n in (2, 3))
        print(
            f"   beside takes {beside[0] / here[0]:.2f} times as long ({ratios}); words of {words} and lengths of "
            f"speech of {samples} of {streams} the same",
            flush=True,
        )


if __name__ == "__main__":
    main()
