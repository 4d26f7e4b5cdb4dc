"""Sentence ends found in words alone: `python tests/benchmarks/sentences.py PAIRS.tsv [--pause-ms 0] [--limit 1200]`.

Joins the English sides of a file of pairs (English TAB German) in random order, hands the words over one by one as a
recogniser would, and prints how many of the ends are found and how many places inside sentences are taken for one.
`--pause-ms` puts that silence between sentences.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from streamst.checkpoint import read_config
from streamst.config import from_dict
from streamst.languages.english import spoken_english
from streamst.models.listen.search import Word, WordSearch
from streamst.models.listen.sentences import SentenceEnds
from streamst.models.translator import WORDS, TranslatorConfig

FRAME_MS, WORD_FRAMES = 40.0, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--pause-ms", type=float, default=0.0)
    parser.add_argument("--limit", type=int, default=1200)
    parser.add_argument("--translator", type=Path, default=Path("streamst/assets/translator"))
    arguments = parser.parse_args()
    config = from_dict(TranslatorConfig, read_config(arguments.translator, "translator"))
    search = WordSearch.load(arguments.translator / WORDS, config.search)
    ends = SentenceEnds(search.model, config.sentences, FRAME_MS)
    numbers = {word: number for number, word in enumerate(search.lexicon.words)}
    lines = arguments.pairs.read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(filter(None, (spoken_english(line.split("\t")[0]) for line in lines))))
    random.Random(1).shuffle(texts)
    texts = texts[: arguments.limit]
    heard: list[Word] = []
    wanted, found, frame, begun = set[int](), set[int](), 0, 0
    for text in texts:
        for word in text.split():
            heard.append(Word(numbers.get(word, 0), frame, frame + WORD_FRAMES - 1))
            frame += WORD_FRAMES
            while count := ends.first(heard[begun:]):
                begun += count
                found.add(begun)
        wanted.add(len(heard))
        frame += round(arguments.pause_ms / FRAME_MS)
    inside = len(heard) - len(wanted)
    print(f"{len(wanted)} sentences of {len(heard)} words: {100 * len(wanted & found) / len(wanted):.1f} % of the ends "
          f"found, {100 * len(found - wanted) / inside:.2f} % of the places inside taken for ends")  # fmt: skip


if __name__ == "__main__":
    main()
