"""Time and memory of long-form evaluation: `python tests/benchmarks/longform.py [words] [--omnisteval BIN]`.

A made-up talk at 150 words a minute with a reference segment every 20 words; the hypothesis loses a tenth of the words,
changes a fifth, and adds a tenth. Every re-segmenter and all metrics run on it, one after the other, in this process.

With BIN, the command of an installed OmniSTEval, both score the same log, each in a process of its own, one after the
other: `streamst bench score` with 1,000 bootstrap samples and every clock, `omnisteval longform --word_level` without
any; processor time and peak memory of each, and the ratios. Its figures stand beside ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from streamst.evaluate.formats.detect import Log
from streamst.evaluate.formats.export import export
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording as Logged
from streamst.evaluate.log.recording import replay
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


def log_of(recording: Recording) -> Log:
    """The talk as a run of raw events: a step a delay, 300 ms of computing in each that wrote."""
    steps: list[Step] = []
    for unit, delay in zip(recording.units, recording.delays_ms, strict=True):
        if steps and steps[-1].heard_ms == delay:
            steps[-1] = Step(delay, 300.0, (*steps[-1].written, unit))
        else:
            steps.append(Step(delay, 300.0, (unit,)))
    steps.append(Step(recording.source_ms, 0.0))
    units, delays = replay(steps, "made up")
    references = tuple(Reference(s.offset_ms, s.duration_ms, None, s.text) for s in recording.references)
    talked = Logged(0, "talk.wav", "made up:1", recording.source_ms, units, delays, references=references,
                    steps=tuple(steps))  # fmt: skip
    return Log(Path("made up"), "simulstream", (talked,), 0)


def measured(*words: object) -> tuple[float, float]:
    """(processor time [s], peak memory [MB]) of a command."""
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} failed with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def beside(recording: Recording, tool: Path) -> None:
    """Both scorers on one log."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        log = log_of(recording)
        export(log, "simulstream", ours)
        export(log, "omnisteval", theirs)
        rows = {
            "streamst": measured(
                sys.executable, "-m", "streamst", "bench", "score", ours / "metrics.jsonl", "--resamples", 1000,
                "--references", ours / "references.txt", "--segments", ours / "segments.yaml", "--json",
                ours / "report.json",
            ),
            "OmniSTEval": measured(
                tool, "longform", "--hypothesis_file", theirs / "hypothesis.jsonl", "--ref_sentences_file",
                theirs / "references.txt", "--speech_segmentation", theirs / "segments.yaml", "--word_level",
                "--output_folder", theirs / "scores",
            ),
        }  # fmt: skip
        for name, (cpu_s, peak_mb) in rows.items():
            print(f"{name}: {cpu_s:.1f} s of processor time, peak {peak_mb:.0f} MB")
        (mine_s, mine_mb), (their_s, their_mb) = rows.values()
        print(f"streamst / OmniSTEval: time 1 / {their_s / mine_s:.1f}, memory 1 / {their_mb / mine_mb:.2f}")
        metrics = json.loads((ours / "report.json").read_text(encoding="utf-8"))["metrics"]
        print(f"  {len(metrics)} metrics; LongYAAL_omnisteval {metrics['LongYAAL_omnisteval']['value']:.4f}")
        table = (theirs / "scores" / "scores.tsv").read_text(encoding="utf-8").splitlines()
        print("  " + "; ".join(line.replace("\t", " ") for line in table if line.startswith("LongYAAL")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="?", type=int, default=9000)
    parser.add_argument("--omnisteval", type=Path, help="the command, in an environment of its own")
    options = parser.parse_args()
    words, recording = options.words, talk(options.words)
    if options.omnisteval:
        beside(recording, options.omnisteval)
        return
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
