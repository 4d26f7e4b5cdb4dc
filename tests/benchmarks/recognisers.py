"""Errors, lag, erasure, cost and memory of captions, recogniser by recogniser, on the same recordings.

    python tests/benchmarks/recognisers.py MANIFEST … [--split test] [--count N] [--every N] [--model DIR …]
                                           [--recogniser NAME …] [--chunk-ms N] [--no-peer] [--keep FILE]
                                           [--telephone] [--noise DIR [--snr-db 10]]

MANIFEST: a TSV with `path` and `text` (and `split`). Each system hears the same 16 kHz audio once, alone on one thread;
RTF is its processor time over the audio's. LAAL: of words that will not change; "as shown": of words from when on they
stood there, with all before them, as they do in the end; erasure: words taken back of those shown, over the words in
the end; memory: the process' peak so far, so that one recogniser a call tells its own. "whole"
is the same model on whole recordings, where it can (Whisper, Moonshine). pocketsphinx (`pip install pocketsphinx`, its
own English model) runs where it is installed. With --telephone all hear it a second time, sampled at 8 kHz on the way,
with --noise once more, in recorded noise of DIR, a piece a clip in turn, so many dB below the clip. Differences are
paired bootstrap tests against the first model. With --keep, what was heard is a line of FILE and is not heard again by
a later run.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from streamst import pipeline
from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_audio
from streamst.backends.moonshine import MoonshineRecogniser
from streamst.backends.whisper import WhisperRecogniser
from streamst.evaluate.metrics.confidence import mean_interval, paired_difference
from streamst.evaluate.metrics.latency import Utterance, length_adaptive_average_lagging
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import edit_counts
from streamst.models.seam import Hear, Recogniser


@dataclass(frozen=True)
class Heard:
    """What one recording became. delays_ms: of each word, the audio heard when it would not change any more."""

    text: str
    delays_ms: tuple[float, ...] = ()
    shown_ms: tuple[float, ...] = ()  # of each, the audio heard when it stood there as it does in the end
    erased: int = 0  # words that were shown and taken back
    spent_s: float = 0.0  # of the processor
    peak_mb: float = 0.0  # of the process, so far


Recognise = Callable[[Pcm], Heard]
System = tuple[tuple[str, ...], Callable[[], list[Recognise]]]  # its ways of hearing by name, "" in chunks; all of them


def ours(recogniser: Recogniser[Any], chunk_ms: int) -> Recognise:
    """A recogniser in chunks, as a session hears and shows it."""
    size = recogniser.chunk_samples(chunk_ms)

    def recognise(pcm: Pcm) -> Heard:
        state, erased = recogniser.init_state(), 0
        shown: tuple[str, ...] = ()
        delays_ms: list[float] = []
        shown_ms: list[float] = []
        for at in range(0, len(pcm) + 1, size):
            final = at + size > len(pcm)
            (state,) = recogniser.hear_all([Hear(pcm[at : at + size], state, final, size)])
            heard = recogniser.listening(state)
            now_ms = 1000 * min(at + size, len(pcm)) / recogniser.sample_rate_hz
            words = tuple(word.text for word in heard.words)
            delays_ms += [now_ms] * ((len(words) if final else heard.certain) - len(delays_ms))
            pairs = enumerate(zip(shown, words, strict=False))
            kept = next((n for n, (a, b) in pairs if a != b), min(len(shown), len(words)))
            erased += len(shown) - kept
            shown_ms[kept:] = [now_ms] * (len(words) - kept)
            shown = words
        return Heard(" ".join(shown), tuple(delays_ms), tuple(shown_ms), erased)

    return recognise


WHOLE = ("whisper:", "moonshine:")  # names of those that can hear whole recordings


def offline(recogniser: Recogniser[Any]) -> Recognise | None:
    """The same model on whole recordings; None where it hears in chunks only."""
    if isinstance(recogniser, WhisperRecogniser):
        model = recogniser.model
        return lambda pcm: Heard(" ".join(word.text for word in model.hear(pcm, "", recogniser.language).words))
    if isinstance(recogniser, MoonshineRecogniser):
        return lambda pcm: Heard(" ".join(recogniser.transcribe(pcm)))
    return None


def sphinx() -> Recognise:
    """pocketsphinx with its own English model and language model."""
    from pocketsphinx import Decoder  # type: ignore[import-not-found]  # installed only to be compared with

    decoder = Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")

    def recognise(pcm: Pcm) -> Heard:
        decoder.start_utt()
        decoder.process_raw((np.clip(pcm, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return Heard("" if found is None else found.hypstr)

    return recognise


class Kept:
    """What was heard before, in a file of a JSON object a line; nothing is kept without a file."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.known = file, dict[tuple[str, str, str], Heard]()
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                system, way, clip, heard = json.loads(line)
                self.known[system, way, clip] = Heard(**heard)

    def hear(self, system: str, way: str, clip: str, recognise: Callable[[], Recognise], pcm: Pcm) -> Heard:
        """What `system` hears of a clip, now or before; `recognise` is called for where it is now."""
        key = (system, way, clip)
        if key not in self.known:
            heard = timed(recognise(), pcm)
            self.known[key] = heard
            if self.file is not None:
                with self.file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([*key, asdict(heard)]) + "\n")
        return self.known[key]


def timed(recognise: Recognise, pcm: Pcm) -> Heard:
    """With processor time and memory."""
    begun_s = time.process_time()
    heard = recognise(pcm)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return replace(heard, spent_s=time.process_time() - begun_s, peak_mb=peak_mb)


def clips(manifest: Path, split: str, count: int | None, every: int) -> list[tuple[Path, str]]:
    """(audio, text) of the manifest's rows, those of `split` where it has splits, one of `every`, `count` at most."""
    with manifest.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    wanted = [row for row in rows if not split or row.get("split", split) == split]
    return [(manifest.parent / row["path"], row["text"]) for row in wanted[::every]][:count]


def errors(found: Sequence[str], references: Sequence[str]) -> list[float]:
    """A value a clip whose mean is the corpus WER [%]."""
    counts = [edit_counts("WER", *pair, normaliser_for("en")) for pair in zip(found, references, strict=True)]
    words = sum(length for _, length in counts) / len(counts)
    return [100 * edits / words for edits, _ in counts]


def by_telephone(pcm: Pcm) -> Pcm:
    """Sampled at 8 kHz on the way."""
    narrow = soxr.resample(pcm, SAMPLE_RATE_HZ, 8_000)
    return np.asarray(soxr.resample(narrow, 8_000, SAMPLE_RATE_HZ), np.float32)


def in_noise(audio: Sequence[Pcm], folder: Path, snr_db: float) -> list[Pcm]:
    """Each with a recording of `folder`, repeated where it is shorter."""
    files = sorted(folder.rglob("*.ogg"))
    mixed = []
    for number, pcm in enumerate(audio):
        noise = np.resize(read_audio(files[number % len(files)]), len(pcm))
        gain = np.sqrt(np.mean(pcm**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-snr_db / 20)
        mixed.append((pcm + gain * noise).astype(np.float32))
    return mixed


def compare(manifest: Path, systems: dict[str, System], options: argparse.Namespace, kept: Kept) -> None:
    """Print one line a system, and one for the same on whole recordings, for each way that the audio came."""
    chosen = clips(manifest, options.split, options.count, options.every)
    audio = [read_audio(path) for path, _ in chosen]
    tell(manifest.parent.name, "", chosen, audio, systems, kept)
    if options.telephone:
        tell(manifest.parent.name, ", by telephone", chosen, [by_telephone(pcm) for pcm in audio], systems, kept)
    if options.noise:
        noisy = in_noise(audio, options.noise, options.snr_db)
        tell(manifest.parent.name, f", in {options.snr_db:g} dB of noise", chosen, noisy, systems, kept)


def tell(
    title: str, through: str, chosen: list[tuple[Path, str]], audio: list[Pcm], systems: dict[str, System], kept: Kept
) -> None:
    """Print what each system makes of `audio`."""
    references = [text for _, text in chosen]
    seconds = sum(map(len, audio)) / SAMPLE_RATE_HZ
    print(f"\n{title}{through}: {len(chosen)} clips, {seconds / 60:.1f} minutes")
    first: list[float] = []
    for name, (ways, load) in systems.items():
        for number, way in enumerate(ways):
            found = [
                kept.hear(name, way, path.name + through, lambda load=load, number=number: load()[number], pcm)
                for (path, _), pcm in zip(chosen, audio, strict=True)
            ]
            rtf = sum(heard.spent_s for heard in found) / seconds
            rates = errors([heard.text for heard in found], references)
            wer = mean_interval(rates)
            assert wer is not None
            line = f"  {way or name:30} WER {wer.value:5.1f} ({wer.low:.1f} to {wer.high:.1f})   RTF {rtf:.3f}"
            line += captions(found, audio, references)
            change = paired_difference(rates, first) if first else None
            if change is not None:
                span = f"({change.low:+.1f} to {change.high:+.1f}), p {change.p_value:.3f}"
                line += f"   minus the first {change.value:+.1f} {span}"
            print(line, flush=True)
            first = first or rates


def captions(found: Sequence[Heard], audio: Sequence[Pcm], references: Sequence[str]) -> str:
    """LAAL and erasure of what came in chunks, and memory."""
    peak_mb = max(heard.peak_mb for heard in found)
    certain_ms = mean_lag([heard.delays_ms for heard in found], audio, references)
    if certain_ms is None:
        return f"   {peak_mb:.0f} MB"
    shown_ms = mean_lag([heard.shown_ms for heard in found], audio, references)
    words = sum(len(heard.delays_ms) for heard in found)
    erasure = sum(heard.erased for heard in found) / max(1, words)
    return f"   LAAL {certain_ms:.0f} ms, as shown {shown_ms:.0f} ms   erasure {erasure:.2f}   {peak_mb:.0f} MB"


def mean_lag(delays_ms: Sequence[tuple[float, ...]], audio: Sequence[Pcm], references: Sequence[str]) -> float | None:
    """Mean LAAL of the recordings with words [ms]; None without any."""
    utterances = [
        Utterance(delays, 1000 * len(pcm) / SAMPLE_RATE_HZ, len(text.split()))
        for delays, pcm, text in zip(delays_ms, audio, references, strict=True)
        if delays
    ]
    lags = [lag for one in utterances if (lag := length_adaptive_average_lagging(one)) is not None]
    return sum(lags) / len(lags) if lags else None


def main() -> None:
    """Read the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", nargs="+", type=Path)
    parser.add_argument("--split", default="")
    parser.add_argument("--count", type=int)
    parser.add_argument("--every", type=int, default=1, help="one clip of so many")
    parser.add_argument("--keep", type=Path, help="a file of what was heard, to go on with")
    parser.add_argument("--model", action="append", default=None, help="en-de, or a directory; several to compare")
    parser.add_argument(
        "--recogniser", action="append", default=None, help="own, ear, moonshine:DIR; several to compare"
    )
    parser.add_argument("--chunk-ms", type=int, default=640)
    parser.add_argument("--telephone", action="store_true", help="sampled at 8 kHz, too")
    parser.add_argument("--noise", type=Path, help="a folder of recorded noise (.ogg) to hear it in, too")
    parser.add_argument("--snr-db", type=float, default=10.0)
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="without pocketsphinx")
    options = parser.parse_args()
    torch.set_num_threads(1)

    def system(model: str, name: str) -> System:
        @cache
        def load() -> list[Recognise]:
            recogniser = pipeline.load(model, "cpu", recogniser=name).recogniser
            whole = offline(recogniser)
            return [ours(recogniser, options.chunk_ms), *([whole] if whole else [])]

        return ("", "  whole") if name.startswith(WHOLE) else ("",), load

    systems: dict[str, System] = {
        f"{model} {name}": system(model, name)
        for model in options.model or ["en-de"]
        for name in options.recogniser or ["own"]
    }
    if options.peer and importlib.util.find_spec("pocketsphinx"):
        systems["pocketsphinx"] = ("",), cache(lambda: [sphinx()])
    kept = Kept(options.keep)
    for manifest in options.manifest:
        compare(manifest, systems, options, kept)


if __name__ == "__main__":
    main()
