"""How surely synthetic speech is told from recordings, and what the mark costs.

    python tests/benchmarks/watermark.py SENTENCES.tsv RECORDINGS [--count 100] [--clips 500]

SENTENCES: lines of English TAB German, the German is spoken; RECORDINGS: a folder of real speech, with all that
is below it. Opus: 24 kbit/s. PESQ-WB (where `pesq` is installed) is of the marked speech against the same unmarked.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
from pathlib import Path

import numpy as np
import torch

from streamst import pipeline, watermark
from streamst.audio import Pcm, read_audio
from streamst.codecs.opus import OpusCodec
from streamst.models.speak.voice import GermanVoice, say


def through_opus(pcm: Pcm) -> Pcm:
    """Encoded at 24 kbit/s and decoded."""
    codec = OpusCodec()
    encoder, decoder = codec.encoder(24_000), codec.decoder()
    return np.concatenate([decoder.push(packet) for packet in (encoder.push(pcm), encoder.flush()) if packet])


def told(name: str, findings: list[watermark.Finding]) -> None:
    """Print a line."""
    margins = [finding.score - finding.needed for finding in findings]
    found = sum(finding.marked for finding in findings)
    print(f"{name:28} marked {found} of {len(findings)}, score above need {min(margins):+.1f} to {max(margins):+.1f}")


def main() -> None:
    """Read the options and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--clips", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    voice = pipeline.load("en-de", "cpu").voice
    assert isinstance(voice, GermanVoice)
    plain = GermanVoice(voice.network, voice.decoder, voice.sample_rate_hz, marked=False)
    lines = options.sentences.read_text(encoding="utf-8").splitlines()
    chosen = random.Random(1).sample(sorted({line.split("\t")[1] for line in lines}), options.count)
    spoken = [(say(plain, text), say(voice, text)) for text in chosen]
    told("spoken", [watermark.detect(marked) for _, marked in spoken])
    told("spoken, through Opus", [watermark.detect(through_opus(marked)) for _, marked in spoken])
    told("spoken without the mark", [watermark.detect(unmarked) for unmarked, _ in spoken])
    files = sorted(path for path in options.recordings.rglob("*") if path.suffix in (".ogg", ".flac", ".wav"))
    clips = random.Random(1).sample(files, min(options.clips, len(files)))
    told("recordings of people", [watermark.detect(read_audio(path)) for path in clips])
    if importlib.util.find_spec("pesq"):
        from streamst.evaluate.metrics.codec_quality import pesq_mos

        values = [pesq_mos(unmarked, marked) for unmarked, marked in spoken[:20]]
        print(f"PESQ-WB of the marked speech {np.mean([v for v in values if v is not None]):.2f} of 4.64")


if __name__ == "__main__":
    main()
