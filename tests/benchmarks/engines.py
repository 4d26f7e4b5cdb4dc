"""The same networks in PyTorch and in ONNX Runtime, in turns in one process: processor time, and whether they agree.

    python tests/benchmarks/engines.py SENTENCES.tsv [--count 40] [--spoken 20] [--rounds 3]

SENTENCES: lines of English TAB German. The writer translates the English, a whole sentence at a time; the voice says
the German of the first --spoken ones, a word at a time. One thread; of each part the least of the rounds; differences
are the largest of all sentences.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import torch

from streamst import pipeline
from streamst.models.seam import ATTENTION, Speak, Voice, Write, Writer
from streamst.models.words import HeardWord

ENGINES = ("frozen", "onnx")


def said(voice: Voice[Any], sentences: Sequence[str]) -> list[np.ndarray]:
    """Each sentence's samples, its words one by one."""
    heard = []
    for text in sentences:
        words, state, pieces = text.split(), voice.init_state(), list[np.ndarray]()
        for index, word in enumerate(words):
            ((pcm, state),) = voice.speak_all([Speak((word,), state, index == len(words) - 1)])
            pieces.append(pcm)
        heard.append(np.concatenate(pieces))
    return heard


def translated(writer: Writer, sentences: Sequence[str]) -> list[str]:
    """Each sentence by itself."""
    found = []
    for text in sentences:
        words = tuple(HeardWord(word, 10 * at, 10 * at + 9) for at, word in enumerate(text.split()))
        (said,) = writer.write_all([Write(words, 10 * len(words), (), True, "de", ATTENTION)])
        found.append(writer.detokenize("de", said.tokens))
    return found


def in_turns(rounds: int, work: dict[str, Callable[[], Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Least processor seconds of each, and what it gave."""
    least, given = dict.fromkeys(work, float("inf")), dict[str, Any]()
    for _ in range(rounds):
        for name, do in work.items():
            begun_s = time.process_time()
            given[name] = do()
            least[name] = min(least[name], time.process_time() - begun_s)
    return least, given


def main() -> None:
    """Read the options and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--spoken", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lines = sorted(set(options.sentences.read_text(encoding="utf-8").splitlines()))
    pairs = [line.split("\t") for line in random.Random(1).sample(lines, options.count)]
    english, german = ([pair[side] for pair in pairs] for side in (0, 1))
    parts = {name: pipeline.load("en-de", "cpu", name) for name in ENGINES}
    torch.set_num_threads(1)
    work = {name: lambda w=part.writer: translated(w, english) for name, part in parts.items()}
    spent, texts = in_turns(options.rounds, work)
    scores = {name: sacrebleu.corpus_bleu(found, [german]).score for name, found in texts.items()}
    same = sum(a == b for a, b in zip(texts["frozen"], texts["onnx"], strict=True))
    print(
        f"writer: {spent['frozen'] / spent['onnx']:.2f} times as fast in ONNX Runtime: "
        f"{1000 * spent['frozen'] / len(english):.1f} -> {1000 * spent['onnx'] / len(english):.1f} ms a sentence; "
        f"{same} of {len(english)} texts the same, BLEU {scores['frozen']:.2f} -> {scores['onnx']:.2f}",
        flush=True,
    )
    german = german[: options.spoken]
    voices = {name: part.voice for name, part in parts.items() if part.voice is not None}
    spent, heard = in_turns(options.rounds, {name: lambda v=voice: said(v, german) for name, voice in voices.items()})
    audio_s = sum(map(len, heard["frozen"])) / 16_000
    lengths = sum(len(a) == len(b) for a, b in zip(heard["frozen"], heard["onnx"], strict=True))
    apart = max(
        float(np.abs(a - b).max()) for a, b in zip(heard["frozen"], heard["onnx"], strict=True) if len(a) == len(b)
    )
    print(
        f"voice: {spent['frozen'] / spent['onnx']:.2f} times as fast in ONNX Runtime: real-time factor "
        f"{spent['frozen'] / audio_s:.4f} -> {spent['onnx'] / audio_s:.4f} of {audio_s:.0f} s of speech; "
        f"{lengths} of {len(german)} sentences of the same length, samples at most {apart:.1e} apart"
    )


if __name__ == "__main__":
    main()
