"""What a glossary changes in what is heard: `python tests/benchmarks/ear_terms.py MANIFEST TEXT... [--recogniser ear]`.

MANIFEST: a TSV with `path` and `text`. The terms are the rare words of its texts: five letters or more, at most six
times in the TEXTs, from which a thousand other words as rare are drawn. Prints WER, how many of the terms that were
said are heard, how many words of the glossary are heard where nobody said them, and RTF in processor time.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from recognisers import clips

from streamst import pipeline
from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_audio
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import edit_counts
from streamst.models.glossary import make_glossary
from streamst.models.offline import hear
from streamst.models.seam import Recogniser

RARE = 6


def words(text: str) -> Counter[str]:
    """How often each word stands in `text`."""
    return Counter(re.findall("[a-z]+", text.lower()))


def play(recogniser: Recogniser[Any], talks: Sequence[tuple[Pcm, str]], terms: Sequence[str], given: Sequence[str],
         name: str) -> None:  # fmt: skip
    """Print a line: `given` is the glossary, of `terms` it is told how many are heard."""
    glossary, begun_s = make_glossary([(word, word) for word in given]), time.process_time()
    edits = length = due = found = invented = 0
    for pcm, text in talks:
        state = hear(recogniser, pcm, 640, glossary)
        said = " ".join(word.text for word in recogniser.listening(state).words)
        wrong, of = edit_counts("WER", said, text, normaliser_for("en"))
        edits, length = edits + wrong, length + of
        heard, wanted = words(said), words(text)
        due += sum(term in wanted for term in terms)
        found += sum(term in wanted and term in heard for term in terms)
        invented += sum(heard[word] > wanted[word] for word in given)
    rtf = (time.process_time() - begun_s) * SAMPLE_RATE_HZ / sum(len(pcm) for pcm, _ in talks)
    wer = 100 * edits / length
    print(f"{name:24} WER {wer:.1f}   terms {found} of {due}, {invented} invented   RTF {rtf:.3f}", flush=True)


def main() -> None:
    """Read the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--recogniser", default="ear")
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts = sum((words(path.read_text("utf-8")) for path in options.texts), Counter[str]())
    talks = [(read_audio(path), text) for path, text in clips(options.manifest, "", options.count, 1)]
    spoken = sum((words(text) for _, text in talks), Counter[str]())
    terms = sorted(word for word in spoken if len(word) >= 5 and counts[word] <= RARE)
    pool = sorted(w for w, n in counts.items() if len(w) >= 5 and n <= RARE and w not in terms and w[-1] != "s")
    others = random.Random(3).sample(pool, min(1000, len(pool)))
    recogniser = pipeline.load("en-de", "cpu", recogniser=options.recogniser).recogniser
    for name, given in (("nothing", []), ("terms", terms), ("terms and others", [*terms, *others]), ("others", others)):
        play(recogniser, talks, terms, given, f"{name}: {len(given)}")


if __name__ == "__main__":
    main()
