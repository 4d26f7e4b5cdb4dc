"""Recipes of kind "words": the lexicon and the language model with which the translator searches for words.

Pronunciations are flite's dictionary and letter-to-sound rules: of the word by itself and, for frequent words, inside a
sentence, where `a` and `the` lose their vowel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.models.lexicon import Lexicon
from streamst.models.ngram import NGram, estimate
from streamst.models.search import SearchConfig, WordSearch
from streamst.text import spoken_english
from streamst.train.manifest import read_manifest
from streamst.train.prepare import english
from streamst.train.speech import PAUSE, PHONEMES
from streamst.train.synthesis import phonemes

SPECIAL = ("<unk>", "<s>", "</s>")
CARRIER = ("say", "now")  # words around a frequent word when it is pronounced inside a sentence


@dataclass(frozen=True)
class WordsConfig:
    """Texts to learn words from, and how many."""

    pairs: tuple[str, ...] = ()  # files of English TAB German
    manifests: tuple[str, ...] = ()  # of recordings; their `train` split
    development: str = ""  # a file of pairs, for the perplexity
    vocabulary: int = 40_000  # the most frequent words
    carried: int = 1500  # of these, so many are also pronounced inside a sentence
    keep: int = 2  # trigrams seen less often are left out
    workers: int = 2


def run(recipe: dict[str, object]) -> dict[str, float]:
    """Write `words.npz` into the recipe's output; returns figures of the vocabulary and the language model."""
    config = from_dict(WordsConfig, {k: v for k, v in recipe.items() if k not in ("kind", "output")})
    output = Path(str(recipe["output"]))
    output.mkdir(parents=True, exist_ok=True)
    sentences = read_sentences(config)
    if not sentences:
        raise ConfigError("pairs and manifests are empty: name at least one text to learn words from")
    counts = Counter(word for sentence in sentences for word in sentence.split())
    words = [*SPECIAL, *(word for word, _ in counts.most_common(config.vocabulary))]
    lexicon = Lexicon.build(words, pronounce(words[len(SPECIAL) :], config.carried, config.workers))
    numbers = {word: number for number, word in enumerate(words)}
    model = estimate(([numbers.get(w, 0) for w in s.split()] for s in sentences), len(words), config.keep)
    WordSearch(lexicon, model, SearchConfig(), PAUSE).save(output / "words.npz")
    figures = {"words": float(len(words)), "bigrams": float(len(model.bigram)), "trigrams": float(len(model.trigram))}
    if config.development:
        figures |= perplexity(model, numbers, [spoken_english(text) for text in english(Path(config.development))])
    return figures


def read_sentences(config: WordsConfig) -> list[str]:
    """Every distinct sentence of each text, as it is spoken."""
    sentences: list[str] = []
    for path in config.pairs:
        sentences += dict.fromkeys(map(spoken_english, english(Path(path))))
    for path in config.manifests:
        sentences += dict.fromkeys(spoken_english(row["text"]) for row in read_manifest(Path(path), "train"))
    return [sentence for sentence in sentences if sentence]


def pronounce(words: Sequence[str], carried: int, workers: int) -> dict[str, list[list[int]]]:
    """Label sequences of every word; of the first `carried` also as they sound between two other words."""
    before, after = (len(phonemes(word)) for word in CARRIER)

    def sounds(item: tuple[int, str]) -> list[list[int]]:
        rank, word = item
        found = [phonemes(word)]
        if rank < carried:
            found.append(phonemes(f"{CARRIER[0]} {word} {CARRIER[1]}")[before:-after])
        return [[PHONEMES.index(p) for p in one] for one in dict.fromkeys(map(tuple, found)) if one]

    with ThreadPoolExecutor(workers) as pool:
        spelled = track(pool.map(sounds, enumerate(words)), "pronouncing", len(words), transient=True)
        return dict(zip(words, spelled, strict=True))


def perplexity(model: NGram, numbers: dict[str, int], sentences: Sequence[str]) -> dict[str, float]:
    """Of the known words, and the share of words [%] that are not in the vocabulary."""
    rows = []
    for sentence in sentences:
        padded = [1, 1, *(numbers.get(word, 0) for word in sentence.split())]
        rows += list(zip(padded, padded[1:], padded[2:], strict=False))
    first, second, word = np.array(rows, np.int64).T
    known = word != 0
    nats = -model.score(first, second, word)[known].mean()
    return {"perplexity": math.exp(nats), "unknown words [%]": 100 * float((~known).mean())}
