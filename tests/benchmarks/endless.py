"""A talk without an end: `python tests/benchmarks/endless.py TEST.tsv --minutes 120 [--gap-ms 0] [--policy streamatt]`.

Joins the clips of a manifest, over and over, into one stream of that length, with silences of 0 to twice `--gap-ms`
between them (0: the speaker never pauses), and plays it to one session. Prints memory and real-time factor on the way,
their slopes after the first ten minutes, the largest snapshot, and quality and latency beside those of the same clips
with a session each; the text of both is cut to the references by the same aligner, since that alone costs BLEU.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch

from streamst.audio import read_blocks
from streamst.evaluate.log.manifest import read_manifest
from streamst.evaluate.metrics.latency import Utterance, corpus
from streamst.evaluate.metrics.longform import Recording, ReferenceSegment, long_corpus, resegment
from streamst.evaluate.metrics.quality import sacrebleu_score
from streamst.events import Event, Finished, Words
from streamst.pipeline import Pipeline, load
from streamst.session import Session

MIB = 1 << 20


class Ear:
    """Collects the words that a session commits, in a file: what is measured is the session's memory."""

    def __init__(self) -> None:
        self._file = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed where the session finishes)
        self.words: list[str] = []
        self.delays_ms: list[float] = []
        self.segments = self.calls = 0
        self.compute_s = 0.0

    def take(self, events: list[Event]) -> None:
        """Hear what a session says; `words` and `delays_ms` are there once it has finished."""
        for event in events:
            if isinstance(event, Words):
                self._file.writelines(f"{event.source_ms} {word}\n" for word in event.words)
            elif isinstance(event, Finished):
                self.segments, self.calls, self.compute_s = event.segments, event.decoder_calls, event.compute_s
                self._file.seek(0)
                for line in self._file:
                    delay, word = line.rstrip("\n").split(" ", 1)
                    self.words.append(word)
                    self.delays_ms.append(float(delay))
                self._file.close()


def memory_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def slope(times: list[float], values: list[float]) -> float:
    """Least squares, per unit of time; 0 where there are fewer than two values."""
    return float(np.polyfit(times, values, 1)[0]) if len(times) > 1 else 0.0


def hypotheses(
    words: list[str], delays_ms: list[float], references: list[ReferenceSegment], end_ms: float
) -> list[str]:
    """The words cut to the references."""
    recording = Recording(tuple(words), tuple(delays_ms), end_ms, tuple(references))
    return [segment.hypothesis for segment in resegment(recording)]


def segmented(pipeline: Pipeline, clips: list[np.ndarray], options: dict[str, Any]) -> list[Ear]:
    """Each clip with a session of its own."""
    ears = []
    for pcm in clips:
        ears.append(Ear())
        session = pipeline.session(speech=False, **options)
        ears[-1].take([*session.push(pcm), *session.finish()])
    return ears


@dataclass
class Endless:
    """One stream of clips: what it said, which clips it heard and when they began."""

    ear: Ear
    samples: int = 0
    order: list[int] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)


def endless(
    session: Session[Any, Any], clips: list[np.ndarray], rate: int, minutes: float, gap_ms: float
) -> tuple[Endless, list[tuple[float, float, float]]]:
    """Play `clips` to `session` for `minutes`; also minutes, MiB and the real-time factor since, at 20 places."""
    gaps, total = np.random.default_rng(1), round(minutes * 60 * rate)
    heard = Endless(Ear())
    snapshot = marked_samples = 0
    spent_s = marked_s = 0.0
    marks: list[tuple[float, float, float]] = []
    print("| minutes | memory MiB | snapshot kB | RTF |\n|---|---|---|---|")
    while heard.samples < total:
        index = len(heard.order) % len(clips)
        quiet = np.zeros(round(gaps.uniform(0, 2) * gap_ms * rate / 1000), np.float32)
        pcm = np.concatenate([clips[index], quiet])
        heard.begins.append(heard.samples)
        heard.order.append(index)
        begun_s = time.process_time()
        heard.ear.take(session.push(pcm))
        spent_s += time.process_time() - begun_s
        heard.samples += len(pcm)
        if heard.samples >= total * (len(marks) + 1) / 20:
            snapshot = max(snapshot, len(session.snapshot()))
            factor = (spent_s - marked_s) / ((heard.samples - marked_samples) / rate)
            marks.append((heard.samples / rate / 60, memory_bytes() / MIB, factor))
            marked_samples, marked_s = heard.samples, spent_s
            print(f"| {marks[-1][0]:.1f} | {marks[-1][1]:.1f} | {snapshot / 1000:.0f} | {factor:.3f} |", flush=True)
    heard.ear.take(session.finish())
    return heard, marks


def tell_quality(heard: Endless, alone: list[Ear], texts: list[str], recording: Recording) -> None:
    """BLEU and chrF of the stream beside those of a session a clip, whose text is cut alike."""
    words = [word for index in heard.order for word in alone[index].words]
    wanted = [texts[index] for index in heard.order]
    references = list(recording.references)
    one_stream = hypotheses(heard.ear.words, heard.ear.delays_ms, references, recording.source_ms)
    cut = hypotheses(words, [0.0] * len(words), references, recording.source_ms)
    for name in ("BLEU", "chrF"):
        pieces = sacrebleu_score(name, [" ".join(alone[index].words) for index in heard.order], wanted).value
        one, other = (sacrebleu_score(name, texts_, wanted).value for texts_ in (one_stream, cut))
        print(f"{name}: one stream {one:.2f}, a session a clip {other:.2f} cut alike ({pieces:.2f} as it is): "
              f"ratio {one / max(other, 1e-9):.3f}")  # fmt: skip
    print(f"words: one stream {len(heard.ear.words)}, a session a clip {len(words)}")


def tell_latency(recording: Recording, utterances: list[Utterance]) -> None:
    """Of the stream, and of a session a clip."""
    for name, segmenter in (("StreamLAAL_fbk", "aswer"), ("LongYAAL", "soft")):
        found = long_corpus(name, resegment(recording, segmenter), segmenter)
        print(f"{name}: {found.value:.0f} ms" if found else f"{name}: undefined")
    laal = corpus("LAAL", utterances)
    print(f"LAAL of a session a clip: {laal.value:.0f} ms" if laal else "LAAL undefined")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--gap-ms", type=float, default=700.0, help="silence between clips, on average")
    parser.add_argument("--policy", help="else the dial's")
    parser.add_argument("--latency", default="medium")
    parser.add_argument("--chunk-ms", type=int)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", default="en-de")
    parser.add_argument("--recogniser", help="else the model's: own, whisper:DIR, moonshine:DIR")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(1)
    pipeline = load(arguments.model, "cpu", recogniser=arguments.recogniser)
    rate = pipeline.sample_rate_hz
    options = {"policy": arguments.policy, "latency": arguments.latency, "chunk_ms": arguments.chunk_ms}
    manifest = read_manifest(arguments.manifest, arguments.limit)
    clips = [np.concatenate(list(read_blocks(clip.path, rate))) for clip in manifest.clips]
    texts = [" ".join(str(r.translation) for r in clip.references) for clip in manifest.clips]
    alone = segmented(pipeline, clips, options)
    session = pipeline.session(speech=False, **options)
    heard, marks = endless(session, clips, rate, arguments.minutes, arguments.gap_ms)
    late = [mark for mark in marks if mark[0] >= min(10.0, arguments.minutes / 4)]
    hours = [mark[0] / 60 for mark in late]
    print(f"memory slope {slope(hours, [mark[1] for mark in late]):+.2f} MiB an hour, "
          f"RTF slope {slope(hours, [mark[2] for mark in late]):+.4f} an hour")  # fmt: skip
    references = tuple(
        ReferenceSegment(1000 * begin / rate, 1000 * len(clips[index]) / rate, texts[index])
        for begin, index in zip(heard.begins, heard.order, strict=True)
    )
    ear, end_ms = heard.ear, 1000 * heard.samples / rate
    recording = Recording(tuple(ear.words), tuple(ear.delays_ms), end_ms, references)
    tell_quality(heard, alone, texts, recording)
    utterances = [
        Utterance(tuple(ear_.delays_ms), 1000 * len(pcm) / rate, len(text.split()))
        for ear_, pcm, text in zip(alone, clips, texts, strict=True)
    ]
    tell_latency(recording, utterances)
    seconds = sum(len(clips[index]) for index in heard.order) / rate
    calls = sum(alone[index].calls for index in heard.order)
    print(f"decodes a second of speech: one stream {ear.calls / seconds:.2f}, a session a clip {calls / seconds:.2f}; "
          f"RTF one stream {ear.compute_s / (end_ms / 1000):.3f}; captions {ear.segments}")  # fmt: skip


if __name__ == "__main__":
    main()
