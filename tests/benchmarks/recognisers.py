"""Word error rate of our captions beside pocketsphinx and beside other checkpoints of ours, on the same recordings.

    python tests/benchmarks/recognisers.py MANIFEST … [--split test] [--count N] [--model DIR …] [--recogniser NAME …]
                                           [--chunk-ms N] [--no-peer]

MANIFEST: a TSV with `path` and `text` (and `split`). Each system hears the same 16 kHz audio once, alone on one thread;
RTF is its processor time over the audio's. pocketsphinx (`pip install pocketsphinx`, its own English model) runs where
it is installed. Differences are paired bootstrap tests against the first model.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from streamst import pipeline
from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_audio
from streamst.evaluate.metrics.confidence import mean_interval, paired_difference
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import edit_counts
from streamst.models.offline import heard_text

Recogniser = Callable[[Pcm], str]


def ours(model: str, name: str, chunk_ms: int) -> Recogniser:
    """The recogniser of that name of a shipped model, or of a directory with `translator/`."""
    recogniser = pipeline.load(model, "cpu", recogniser=name).recogniser

    def recognise(pcm: Pcm) -> str:
        return heard_text(recogniser, pcm, chunk_ms)

    return recognise


def sphinx() -> Recogniser:
    """pocketsphinx with its own English model and language model."""
    from pocketsphinx import Decoder  # type: ignore[import-not-found]  # installed only to be compared with

    decoder = Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")

    def recognise(pcm: Pcm) -> str:
        decoder.start_utt()
        decoder.process_raw((np.clip(pcm, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return "" if found is None else found.hypstr

    return recognise


def clips(manifest: Path, split: str, count: int | None) -> list[tuple[Path, str]]:
    """(audio, text) of the manifest's rows, those of `split` where it has splits."""
    with manifest.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    wanted = [row for row in rows if not split or row.get("split", split) == split]
    return [(manifest.parent / row["path"], row["text"]) for row in wanted][:count]


def errors(found: Sequence[str], references: Sequence[str]) -> list[float]:
    """A value a clip whose mean is the corpus WER [%]."""
    counts = [edit_counts("WER", *pair, normaliser_for("en")) for pair in zip(found, references, strict=True)]
    words = sum(length for _, length in counts) / len(counts)
    return [100 * edits / words for edits, _ in counts]


def compare(manifest: Path, systems: dict[str, Recogniser], split: str, count: int | None) -> None:
    """Print one line a system."""
    chosen = clips(manifest, split, count)
    audio = [read_audio(path) for path, _ in chosen]
    references = [text for _, text in chosen]
    seconds = sum(map(len, audio)) / SAMPLE_RATE_HZ
    print(f"\n{manifest.parent.name}: {len(chosen)} clips, {seconds / 60:.1f} minutes")
    first: list[float] = []
    for name, recognise in systems.items():
        begun_s = time.process_time()
        found = [recognise(pcm) for pcm in audio]
        rtf = (time.process_time() - begun_s) / seconds
        rates = errors(found, references)
        wer = mean_interval(rates)
        assert wer is not None
        line = f"  {name:30} WER {wer.value:5.1f} ({wer.low:.1f} to {wer.high:.1f})   RTF {rtf:.3f}"
        change = paired_difference(rates, first) if first else None
        if change is not None:
            span = f"({change.low:+.1f} to {change.high:+.1f}), p {change.p_value:.3f}"
            line += f"   minus the first {change.value:+.1f} {span}"
        print(line, flush=True)
        first = first or rates


def main() -> None:
    """Read the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", nargs="+", type=Path)
    parser.add_argument("--split", default="")
    parser.add_argument("--count", type=int)
    parser.add_argument("--model", action="append", default=None, help="en-de, or a directory; several to compare")
    parser.add_argument("--recogniser", action="append", default=None, help="own, ear, whisper:DIR; several to compare")
    parser.add_argument("--chunk-ms", type=int, default=640)
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="without pocketsphinx")
    options = parser.parse_args()
    torch.set_num_threads(1)
    systems = {
        f"{model} {name}": ours(model, name, options.chunk_ms)
        for model in options.model or ["en-de"]
        for name in options.recogniser or ["own"]
    }
    if options.peer and importlib.util.find_spec("pocketsphinx"):
        systems["pocketsphinx"] = sphinx()
    for manifest in options.manifest:
        compare(manifest, systems, options.split, options.count)


if __name__ == "__main__":
    main()
