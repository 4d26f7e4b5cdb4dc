"""Where the ear's time goes: processor time a chunk by kind of work, alone and with others, beside another checkout.

    python tests/benchmarks/ear_cost.py MANIFEST [--streams 1 8 16] [--seconds 6] [--chunk-ms 640] [--rounds 3]
                                        [--beside CHECKOUT]

MANIFEST: a TSV with `path`; each stream hears a talk made of its clips. One thread, CPU time of the process, the least
of rounds in which the checkouts take turns, so that ratios hold on a busy machine; caches that others empty cost time
all the same. The kinds are calls of the networks, each without the calls within it; "the rest" is Python between them.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from beside import Worker

RATE_HZ = 16_000
ROOT = Path(__file__).parents[2]
# Of the modules of `streamst.models.whisper`: class, method, what it is called. What a checkout lacks is left out.
KINDS = (
    ("encoder", "WhisperEncoder", "step", "encoder: features, convolutions, blocks"),
    ("decoder", "WhisperDecoder", "heard", "memory: keys and values of the chunk"),
    ("memory", "Memory", "grown", "memory: what stays is kept"),
    ("memory", "Memory", "whole", "memory: what may change, and silence"),
    ("writing", "Writing", "__init__", "decoding: memories laid out"),
    ("decoder", "WhisperDecoder", "step", "decoder: tokens read"),
    ("decoder", "WhisperDecoder", "best", "decoder: the likeliest of 51,864 pieces"),
    ("writing", "Writing", "run", "decoding: Python"),
    ("recogniser", "WhisperRecogniser", "hear_all", "the rest"),
)


def talks(manifest: Path, count: int, seconds: float) -> list[np.ndarray]:
    """So many talks (samples,) of `seconds`, half a second between the clips."""
    from streamst.audio import read_audio

    with manifest.open(encoding="utf-8") as file:
        paths = [manifest.parent / row["path"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    made = []
    for number in range(count):
        pieces: list[np.ndarray] = []
        at = 7 * number
        while sum(map(len, pieces)) < seconds * RATE_HZ:
            pieces += [read_audio(paths[at % len(paths)]), np.zeros(RATE_HZ // 2, np.float32)]
            at += 1
        made.append(np.concatenate(pieces)[: int(seconds * RATE_HZ)])
    return made


class Meter:
    """CPU time and calls of each kind, those of calls within it left out."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside_s: list[float] = []
        for module, owner, method, kind in KINDS:
            try:
                found = __import__(f"streamst.models.whisper.{module}", fromlist=[owner])
            except ModuleNotFoundError:
                continue
            self._watch(getattr(found, owner), method, kind)

    def _watch(self, owner: Any, method: str, kind: str) -> None:
        function: Callable[..., Any] = getattr(owner, method)

        def watched(*args: Any, **named: Any) -> Any:
            self._inside_s.append(0.0)
            began_s = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                took_s = time.thread_time() - began_s
                self.spent_s[kind] += took_s - self._inside_s.pop()
                self.calls[kind] += 1
                if self._inside_s:
                    self._inside_s[-1] += took_s

        setattr(owner, method, watched)


def work(manifest: Path, counts: list[int], seconds: float, chunk_ms: int) -> None:
    """Hear for who asks, a line of so many streams after the other; answers are JSON."""
    import torch

    from streamst import pipeline
    from streamst.models.seam import Hear

    torch.set_num_threads(1)
    ear = pipeline.load("en-de", "cpu", recogniser="ear").recogniser
    size, meter, made = ear.chunk_samples(chunk_ms), Meter(), talks(manifest, max(counts), seconds)
    print("ready", flush=True)
    for line in sys.stdin:
        states = [ear.init_state() for _ in made[: int(line)]]
        meter.spent_s.clear()
        meter.calls.clear()
        began_s = time.process_time()
        for at in range(0, len(made[0]), size):
            final = at + size >= len(made[0])
            pieces = zip(made, states, strict=False)
            states = ear.hear_all([Hear(talk[at : at + size], state, final, size) for talk, state in pieces])
        took_s = time.process_time() - began_s
        texts = [" ".join(word.text for word in ear.listening(state).words) for state in states]
        print(json.dumps([took_s, meter.spent_s, meter.calls, texts]), flush=True)


def at_work(checkout: Path, options: argparse.Namespace) -> Worker:
    """Of `checkout`; it answers CPU seconds, those of each kind and its calls, texts."""
    given = ["--seconds", str(options.seconds), "--chunk-ms", str(options.chunk_ms)]
    return Worker(checkout, __file__, str(options.manifest), *given, "--streams", *map(str, options.streams))


def main() -> None:
    """Print a table for each number of streams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--chunk-ms", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.manifest, options.streams, options.seconds, options.chunk_ms)
        return
    workers = {"here": at_work(ROOT, options)}
    if options.beside:
        workers["beside"] = at_work(options.beside, options)
    for streams in options.streams:
        best: dict[str, list[Any]] = {}
        for _ in range(options.rounds):
            for name, worker in workers.items():
                best[name] = min(worker.hear(streams), best.get(name, [float("inf")]), key=itemgetter(0))
        report(streams, best, options)


def report(streams: int, best: dict[str, list[Any]], options: argparse.Namespace) -> None:
    """A table."""
    audio_s, chunks = streams * options.seconds, streams * options.seconds * 1000 / options.chunk_ms
    for name, (took_s, spent_s, calls, _) in best.items():
        print(f"{streams:2d} streams, {name}: RTF {took_s / audio_s:.4f} each, {1000 * took_s / chunks:.1f} ms a chunk")
        for kind, own_s in sorted(spent_s.items(), key=lambda item: -item[1]):
            share = f"{100 * own_s / took_s:3.0f} %"
            print(f"   {1000 * own_s / chunks:6.2f} ms {share}  {calls[kind] / chunks:5.2f} calls  {kind}")
    if "beside" in best:
        same = sum(a == b for a, b in zip(best["here"][3], best["beside"][3], strict=True))
        ratio = best["beside"][0] / best["here"][0]
        print(f"   beside takes {ratio:.2f} times as long; {same} of {streams} texts the same", flush=True)


if __name__ == "__main__":
    main()
