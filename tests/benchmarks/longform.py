"""Time and memory of long-form evaluation: `python tests/benchmarks/longform.py [words]`.

A made-up talk at 150 words a minute with a reference segment every 20 words; the hypothesis loses a tenth of the words,
changes a fifth, and adds a tenth. Every re-segmenter and all metrics run on it, one after the other, in this process.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from random import Random

from streamst.evaluate.metrics.longform import LONG_FORMULAS, Recording, ReferenceSegment, long_corpus, resegment

WORD_MS = 400.0
SEGMENT_WORDS = 20


def talk(words: int, seed: int = 1) -> Recording:
    """A recording of `words` reference words, its output two seconds and a bit behind."""
    random = Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzäöüß"
    vocabulary = ["".join(random.choices(letters, k=random.randint(2, 11))) for _ in range(2500)]
    spoken = random.choices(vocabulary, k=words)
    units: list[str] = []
    delays: list[float] = []
    for i, word in enumerate(spoken):
        delay = min(words * WORD_MS, (i + 1) * WORD_MS + 2000.0)
        kind = random.random()
        written = [] if kind < 0.1 else [random.choice(vocabulary)] if kind < 0.3 else [word]
        written += [random.choice(vocabulary)] if kind > 0.9 else []
        units += written
        delays += [delay] * len(written)
    segments = tuple(
        ReferenceSegment(i * WORD_MS, SEGMENT_WORDS * WORD_MS, " ".join(spoken[i : i + SEGMENT_WORDS]))
        for i in range(0, words, SEGMENT_WORDS)
    )
    elapsed = tuple(delay + 300.0 for delay in delays)
    return Recording(tuple(units), tuple(delays), words * WORD_MS, segments, elapsed)


def main() -> None:
    words = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    recording = talk(words)
    hours = recording.source_ms / 3.6e6
    print(f"{words} words, {len(recording.references)} segments, {hours:.2f} h; {platform.processor() or 'CPU'}")
    whole = time.perf_counter()
    for segmenter in ("aswer", "soft"):
        begin, busy = time.perf_counter(), time.process_time()
        segments = resegment(recording, segmenter)
        aligned, computed = time.perf_counter() - begin, time.process_time() - busy
        begin = time.perf_counter()
        found = {}
        for name in LONG_FORMULAS:
            for suffix in ("", "_CA_queue"):
                found[name + suffix] = long_corpus(name + suffix, segments, segmenter)
        scored = time.perf_counter() - begin
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{segmenter}: aligned in {aligned:.2f} s ({computed:.2f} s of CPU)", end=", ")
        print(f"{len(found)} metrics in {scored:.2f} s, peak {memory:.0f} MB")
        for name in ("StreamLAAL_fbk", "LongYAAL", "LongYAAL_CA_queue"):
            metric = found[name]
            print(f"  {name} {metric.value:.1f} {metric.unit}" if metric else f"  {name} undefined")
    print(f"together {time.perf_counter() - whole:.2f} s")


if __name__ == "__main__":
    main()
