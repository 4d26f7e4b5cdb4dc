"""How soon the German voice speaks and what it costs on one core, beside its codec alone and espeak-ng, in one run.

    taskset -c 0 python tests/benchmarks/first_audio.py SENTENCES.tsv [--count 100]

SENTENCES: lines of English TAB German, the German is spoken, a word at a time. Times are from the commit of a word
that lets speech begin (the next word, or the end of the sentence) to the first sample. The codec alone decodes
latents of the same lengths, word by word. espeak-ng (`--voice espeak-ng`) speaks phrase by phrase: its time is from the
commit of the phrase's last word, and the words that it waits for come on top. Real-time factors: computing time over
the length of the speech.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamst import pipeline
from streamst.backends.espeak import espeak_voice
from streamst.errors import UnavailableError
from streamst.models.seam import Speak, Voice
from streamst.models.speak.voice import GermanVoice

WARM_UP = 5  # sentences


@dataclass
class Times:
    """Of one voice."""

    first_ms: list[float] = field(default_factory=list)  # of each sentence
    each_ms: list[float] = field(default_factory=list)  # of each commit that let speech begin
    spent_s: float = 0.0
    audio_s: float = 0.0
    waited: list[int] = field(default_factory=list)  # words of each sentence that had come when its speech began

    def told(self, name: str) -> str:
        """A row."""
        first, each = (np.percentile(values, [50, 95]) for values in (self.first_ms, self.each_ms))
        return (
            f"{name:24} {first[0]:8.1f} {first[1]:8.1f} {each[0]:10.1f} {each[1]:8.1f} {np.mean(self.waited):8.1f}"
            f" {self.spent_s / self.audio_s:9.4f} {self.audio_s:9.0f}"
        )


def spoken(voice: Voice[Any], sentences: Sequence[str]) -> tuple[Times, list[int]]:
    """Every sentence word by word; also the samples of each piece."""
    times, pieces = Times(), []
    for number, text in enumerate(sentences):
        words, state, silent = text.split(), voice.init_state(), True
        for index, word in enumerate(words):
            started = time.perf_counter()
            ((pcm, state),) = voice.speak_all([Speak((word,), state, index == len(words) - 1)])
            elapsed_s = time.perf_counter() - started
            if number < WARM_UP:
                continue
            times.spent_s += elapsed_s
            times.audio_s += len(pcm) / voice.sample_rate_hz
            if len(pcm):
                times.each_ms.append(1000 * elapsed_s)
                pieces.append(len(pcm))
                if silent:
                    times.first_ms.append(1000 * elapsed_s)
                    times.waited.append(index + 1)
                silent = False
    return times, pieces


@torch.inference_mode()
def decoded(voice: GermanVoice, pieces: Sequence[int]) -> Times:
    """The codec's decoder alone, on latents of these lengths [samples]."""
    times, state, hop = Times(), voice.decoder.init_state(1), 320
    latents = voice.network.frames.mean + 0.3 * torch.randn(1, 1000, len(voice.network.frames.mean))
    for samples in pieces:
        started = time.perf_counter()
        pcm, state = voice.decoder.step(latents[:, : samples // hop], state)
        elapsed_s = time.perf_counter() - started
        times.spent_s += elapsed_s
        times.audio_s += pcm.shape[1] / voice.sample_rate_hz
        times.each_ms.append(1000 * elapsed_s)
    times.first_ms, times.waited = times.each_ms, [1]
    return times


def main() -> None:
    """Read the options and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    voice = pipeline.load("en-de", "cpu").voice
    assert isinstance(voice, GermanVoice)
    lines = options.sentences.read_text(encoding="utf-8").splitlines()
    chosen = random.Random(1).sample(sorted({line.split("\t")[1] for line in lines}), options.count + WARM_UP)
    print("                         first audio [ms]      each word [ms]  words at")
    print("                              p50      p95        p50      p95    start       RTF  speech s")
    own, pieces = spoken(voice, chosen)
    print(own.told("our voice"), flush=True)
    unmarked = GermanVoice(voice.network, voice.decoder, voice.sample_rate_hz, marked=False)
    print(spoken(unmarked, chosen)[0].told("our voice, unmarked"), flush=True)
    print(decoded(voice, pieces).told("the codec's decoder"), flush=True)
    try:
        espeak = espeak_voice("de")
    except UnavailableError as error:
        print(error)
    else:
        print(spoken(espeak, chosen)[0].told("espeak-ng, phrases"), flush=True)


if __name__ == "__main__":
    main()
