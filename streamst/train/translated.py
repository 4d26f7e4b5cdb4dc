"""Recipes of kind "translated": sentence pairs from sentences of one language, translated by a text writer.

Of the target language, translated backwards, they are back-translation (Sennrich et al. 2016, arXiv:1511.06709): what
is learned is right, and what it is learned from need not be. Of the source language they are sequence-level
distillation (Kim and Rush 2016, arXiv:1606.07947). Other writers choose among the n best translations, of the same
direction (an ensemble) and of the opposite one (noisy channel); the least likely pairs are left out.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.languages.english import spoken_english
from streamst.models.write import store
from streamst.models.write.network import Writer
from streamst.text import Tokenizer, plain_marks, shorter_case
from streamst.train.n_best import Ids, likelihoods, n_best
from streamst.train.pairs import fits, usable
from streamst.train.synthesis import read_pairs

PAIRS = "pairs.tsv"
TOGETHER = 64  # sentences that are translated at once


@dataclass(frozen=True)
class TranslatedConfig:
    """Which sentences, and who translates and judges them. Writers are folders of `text-writer` recipes' `model`."""

    sentences: tuple[str, ...] = ()  # files of one sentence a line, in the language that `writer` reads
    excluded: tuple[str, ...] = ()  # files of English TAB German: sentences of either column are left out
    writer: str = ""
    judges: tuple[str, ...] = ()  # writers of either direction
    beams: int = 4  # translations of a sentence that are judged
    kept: float = 0.9  # share of the pairs, the likeliest
    longest: int = 96  # tokens of a sentence
    limit: int = 0  # sentences, drawn from all; 0: all

    def __post_init__(self) -> None:
        if not 1 <= self.beams <= 16 or not 0 < self.kept <= 1 or self.longest < 1 or self.limit < 0:
            raise ConfigError(
                f"beams {self.beams}, kept {self.kept}, longest {self.longest}, limit {self.limit}; "
                "allowed: beams 1 to 16, kept above 0 to 1, longest from 1, limit from 0"
            )


@dataclass(frozen=True)
class Judge:
    """A network, its vocabulary, and the language that it reads."""

    network: Writer
    tokenizer: Tokenizer
    source: str
    target: str

    @classmethod
    def of(cls, folder: str) -> Judge:
        source, targets = store.languages(Path(folder))
        writer = store.load(Path(folder))
        return cls(writer.network, writer.target_tokenizer, source, targets[0])

    def judge(self, source: str, texts: Sequence[str], translations: Sequence[str]) -> torch.Tensor:
        """Log-probability a token of each pair (B,). source: language of `texts`; of a judge that reads the other one,
        that of the text given its translation."""
        read, wrote = (texts, translations) if source == self.source else (translations, texts)
        return likelihoods(self.network, self.sources(read), [self.tokenizer.encode(one) for one in wrote])

    def sources(self, texts: Sequence[str]) -> list[Ids]:
        """The tokens that the network reads."""
        return [self.tokenizer.encode(shorter_case(text, self.tokenizer)) for text in texts]


def run(recipe: dict[str, object]) -> dict[str, float]:
    """Write `pairs.tsv` (English TAB German) into the recipe's output; returns how many pairs, and their mean score."""
    told = {key: value for key, value in recipe.items() if key not in ("kind", "output")}
    config = from_dict(TranslatedConfig, told)
    writer, judges = Judge.of(config.writer), [Judge.of(folder) for folder in config.judges]
    for folder, judge in zip(config.judges, judges, strict=True):
        if {judge.source, judge.target} != {writer.source, writer.target}:
            raise ConfigError(
                f"judges: {folder!r} reads {judge.source} and writes {judge.target}; "
                f"allowed: {writer.source} and {writer.target}, either way"
            )
    sentences = _sentences(config, writer.tokenizer)
    starts = range(0, len(sentences), TOGETHER)
    batches = [sentences[at : at + TOGETHER] for at in starts]
    random.Random(1).shuffle(batches)  # long ones are spread, so that the time that is left can be told
    found: list[tuple[float, str, str]] = []
    for texts in track(batches, description="Translating"):
        found += chosen(texts, writer, judges, config.beams)
    pairs = found if writer.source == "en" else [(score, said, heard) for score, heard, said in found]
    pairs = sorted((one for one in pairs if fits(*one[1:])), reverse=True)
    if not pairs:
        raise ConfigError("sentences: none has a translation that fits")
    pairs = pairs[: max(1, round(config.kept * len(pairs)))]
    output = Path(str(recipe["output"]))
    output.mkdir(parents=True, exist_ok=True)
    lines = (f"{english}\t{german}\n" for _, english, german in pairs)
    (output / PAIRS).write_text("".join(lines), encoding="utf-8")
    return {"pairs": len(pairs), "score": sum(score for score, _, _ in pairs) / len(pairs)}


def chosen(texts: Sequence[str], writer: Judge, judges: Iterable[Judge], beams: int) -> list[tuple[float, str, str]]:
    """Score, text and translation of each of `texts` that has a translation: the one that writer and judges, on
    average, think likeliest. The score is that average [nats a token]."""
    ways = n_best(writer.network, writer.sources(texts), beams)
    said, wrote, scores = [], [], []
    for text, those in zip(texts, ways, strict=True):
        for way in those:
            said.append(text)
            wrote.append(writer.tokenizer.decode(way.tokens))
            scores.append(way.score)
    if not said:
        return []
    judged = [torch.tensor(scores), *(one.judge(writer.source, said, wrote).cpu() for one in judges)]
    best: dict[str, tuple[float, str, str]] = {}
    for total, text, translation in zip(torch.stack(judged).mean(0).tolist(), said, wrote, strict=True):
        if text not in best or total > best[text][0]:
            best[text] = total, text, translation
    return list(best.values())


def _sentences(config: TranslatedConfig, tokenizer: Tokenizer) -> list[str]:
    """The sentences that count, each once, short ones first."""
    pairs = (pair for path in config.excluded for pair in read_pairs(Path(path)))
    banned = {spoken_english(plain_marks(side)) for pair in pairs for side in pair}
    found: dict[str, int] = {}
    for path in config.sentences:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"sentences {path}: {error}") from error
        for line in map(plain_marks, map(str.strip, lines)):
            if usable(line) and spoken_english(line) not in banned:
                found[line] = len(tokenizer.encode(line))
    kept = sorted((line for line, size in found.items() if size <= config.longest), key=lambda line: found[line])
    if not kept:
        raise ConfigError(f"sentences {list(config.sentences)} hold no usable sentence")
    if config.limit:
        kept = sorted(random.Random(1).sample(kept, min(config.limit, len(kept))), key=lambda line: found[line])
    return kept
