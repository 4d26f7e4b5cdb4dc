"""Trains the writer on sentence pairs of many registers, English as it is written and as it is heard.

A source is written English, or what a listener hears (lower case, no punctuation, some of it wrong), or written with
words in it that sound like those that were said; whole, or cut short as in mid-sentence. Source and target share one
vocabulary, in which every letter can be spelled.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from torch import Tensor

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.languages.english import spoken_english
from streamst.models.write import store
from streamst.models.write.decoding import TensorDecoder
from streamst.models.write.greedy import Draft, write
from streamst.models.write.network import Writer, WriterConfig
from streamst.text import Tokenizer, plain_marks, shorter_case, train_tokenizer
from streamst.train.alignment import Alignment
from streamst.train.cross_entropy import projected_cross_entropy
from streamst.train.loop import Task
from streamst.train.misheard import Misheard
from streamst.train.pairs import Corpus, Pair, drawn, read_corpora
from streamst.train.synthesis import read_pairs
from streamst.train.word_counts import word_table
from streamst.train.writer import TextBatch, padded

Row = tuple[list[int], list[int]]  # source and target
Ids = Sequence[int]
FEWEST = 4  # times that a word occurs which another may be taken for
TOGETHER = 32  # sentences that validation writes at once


@dataclass(frozen=True)
class RegistersConfig:
    """Which sentence pairs, and what is done to them."""

    corpora: tuple[Corpus, ...] = ()
    added: tuple[Corpus, ...] = ()  # more of them, which no table of words is made of: what a writer wrote
    excluded: tuple[str, ...] = ()  # files whose English (first column) never trains
    validation: tuple[str, ...] = ()  # files of English TAB German, a BLEU each
    validation_count: int = 200  # sentences of each, evenly taken
    batch_tokens: int = 6000  # source and target together, padding included
    longest: int = 96  # tokens of either side
    heard: float = 0.45  # share of sources as a listener hears them
    error_share: float = 0.5  # of those: with recognition errors
    error_rate: float = 0.15  # of their words, at most
    misheard: float = 0.0  # share of all sources, written ones too, with words taken for others that sound like them
    misheard_rate: float = 0.25  # of their words, at most
    open_share: float = 0.25  # sources cut short, without <end>
    joined: float = 0.1  # two sentences as one
    label_smoothing: float = 0.1
    aligned: int = 150_000  # sentences from which the alignment is learned
    reversed: bool = False  # German to English, for back-translation
    guidance: float = 0.3  # weight of the attention's cross-entropy with the alignment [nats a token]


@dataclass(frozen=True)
class Reading:
    """How an epoch reads a pair: alone or before another, as written or as heard."""

    place: int
    joined: int | None
    heard: bool


class RegistersTask:
    """The `Task` of recipes of kind "text-writer"."""

    def __init__(self, model: Writer, tokenizer: Tokenizer, pairs: Sequence[Pair], data: RegistersConfig, seed: int):
        self.module, self.tokenizer, self.config, self.seed = model, tokenizer, data, seed
        if (tokenizer.size, tokenizer.size) != (model.config.source_tokens, model.config.target_tokens):
            raise ConfigError(
                f"the tokenizer has {tokenizer.size} tokens, the writer {model.config.source_tokens} and "
                f"{model.config.target_tokens}"
            )
        encoded = [(_encode(tokenizer, p, data.reversed), p.weight) for p in pairs]
        kept = [(row, w) for row, w in encoded if max(map(len, row)) <= data.longest and row[1] and row[2]]
        self.rows, self.weights = [row for row, _ in kept], [w for _, w in kept]
        if not self.rows:
            raise ConfigError(f"no sentence pair has at most {data.longest} tokens")
        self.words = [row[1] for row in self.rows if len(row[1]) < 4]  # what a listener puts in the place of others
        self._mishear = self._likeness(pairs) if data.misheard else None
        self.alignment = Alignment(tokenizer.size)
        draw = random.Random(seed)
        learned = draw.sample(self.rows, min(data.aligned, len(self.rows)))
        self.alignment.learn([(row[draw.random() < data.heard], row[2]) for row in learned])
        self.table: Sequence[str] = ()  # lines for `WordTable`
        self.validation = {Path(path).name: _validation(Path(path), data) for path in data.validation}

    def batches(self, step: int) -> Iterator[TextBatch]:
        """Batches of like length from `step` on."""
        done, epoch = 0, 0
        while True:
            draw = random.Random(self.seed * 1000 + epoch)
            for chosen in self._epoch(draw):
                if done >= step:
                    vary = random.Random(self.seed + 7919 * done)
                    yield padded([self._varied(one, vary) for one in chosen])
                done += 1
            epoch += 1

    def _epoch(self, draw: random.Random) -> list[list[Reading]]:
        """Readings of all pairs, in batches of like length."""
        sized = []
        for place in drawn(self.weights, draw):
            reading = self._reading(place, draw)
            source, target = self._row(reading)
            sized.append((len(source) + 2, len(target) + 1, reading))
        sized.sort(key=lambda one: (one[1] // 3, one[0]))
        batches: list[list[Reading]] = [[]]
        wide, high = 0, 0
        for source, target, reading in sized:
            wide, high = max(wide, source), max(high, target)
            if batches[-1] and (wide + high) * (len(batches[-1]) + 1) > self.config.batch_tokens:
                batches.append([])
                wide, high = source, target
            batches[-1].append(reading)
        draw.shuffle(batches)
        return batches

    def _reading(self, place: int, draw: random.Random) -> Reading:
        c, other = self.config, None
        if draw.random() < c.joined and len(self.rows[place][2]) < c.longest // 2:
            other = draw.randrange(len(self.rows))
            if len(self.rows[other][2]) >= c.longest // 2:
                other = None
        return Reading(place, other, draw.random() < c.heard)

    def _row(self, reading: Reading) -> Row:
        """Source and target of a reading, before it is cut and misheard."""
        written, heard, target = self.rows[reading.place]
        source = heard if reading.heard else written
        if reading.joined is None:
            return list(source), list(target)
        written, heard, more = self.rows[reading.joined]
        return [*source, *(heard if reading.heard else written)], [*target, *more]

    def _varied(self, reading: Reading, draw: random.Random) -> Row:
        """The source with its <begin>, and its <end> where it is whole; the target."""
        c = self.config
        source, target = self._row(reading)
        ending = [Tokenizer.end]
        if draw.random() < c.open_share:
            source, target, ending = *self._cut(source, target, draw), []
        if self._mishear is not None and draw.random() < c.misheard:
            source = self._mishear(source, draw.random() * c.misheard_rate, draw)
        elif reading.heard and draw.random() < c.error_share:
            source = self._misheard(source, draw.random() * c.error_rate, draw)
        return [Tokenizer.begin, *source, *ending], target

    def _likeness(self, pairs: Sequence[Pair]) -> Misheard:
        """What the words of `pairs` that are not the rarest are taken for."""
        counts = Counter(word for pair in pairs for word in pair.heard.split())
        words = sorted(word for word, count in counts.items() if count >= FEWEST)
        return Misheard(words, self.tokenizer.encode, self.tokenizer.starts_word)

    def _cut(self, source: list[int], target: list[int], draw: random.Random) -> Row:
        """The first words of both, as many of the target as those of the source allow."""
        starts = self.tokenizer.starts_word
        cut = draw.randint(1, len(source))
        while cut < len(source) and not starts[source[cut]]:
            cut += 1
        keep = min(self.alignment.known(source, target, cut), -(-len(target) * cut // len(source)))
        while 0 < keep < len(target) and not starts[target[keep]]:
            keep -= 1
        return source[:cut], target[:keep]

    def _misheard(self, source: list[int], rate: float, draw: random.Random) -> list[int]:
        """Words replaced by others, left out, or put in; rate: of the words."""
        starts = self.tokenizer.starts_word
        found: list[int] = []
        kept = True
        for token in source:
            if starts[token]:
                kind = draw.random() / rate if rate else 1.0
                kept = not kind < 0.7
                if kind < 0.5 or 0.7 <= kind < 0.9:
                    found += draw.choice(self.words)
            if kept:
                found.append(token)
        return found

    def loss(self, batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Label-smoothed cross-entropy, and that of the exported attention with the alignment."""
        del step
        device = self.module.target.weight.device
        hidden, targets = batch.hidden.to(device), batch.targets.to(device)
        memory = self.module.memory(batch.source.to(device), hidden)
        said, attention = self.module.decoder_states(memory, hidden, batch.inputs.to(device))
        known, lexicon = targets >= 0, self.module.lexicon
        bias = None
        if lexicon is not None:
            tokens, shares = lexicon.spread(batch.source.to(device))
            bias = tokens[known.nonzero()[:, 0]], lexicon(attention, shares)[known]
        entropy = projected_cross_entropy(
            said[known], self.module.target.weight, targets[known], self.config.label_smoothing, bias
        )
        found = self.alignment.posterior(batch.source.masked_fill(batch.hidden, -1), batch.targets).to(device)
        guided = found.sum(-1) > 0.5
        apart = -(found * (attention.float() + 1e-6).log()).sum(-1)[guided].sum() / guided.sum().clamp_min(1)
        figures = {"entropy": float(entropy.detach()), "apart": float(apart.detach()), "tokens": float(known.sum())}
        return entropy + self.config.guidance * apart, figures

    def translated(self, sentences: Sequence[str]) -> list[str]:
        """Greedy translations of whole sentences."""
        device, found = self.module.target.weight.device, []
        for at in range(0, len(sentences), TOGETHER):
            texts = [shorter_case(sentence, self.tokenizer) for sentence in sentences[at : at + TOGETHER]]
            sources = [self.tokenizer.encode(text) for text in texts]
            batch = padded([([Tokenizer.begin, *source, Tokenizer.end], []) for source in sources])
            hidden = batch.hidden.to(device)
            state = self.module.begin(self.module.memory(batch.source.to(device), hidden), hidden)
            drafts = [
                Draft([], 2 * len(source) + 8, lexical=self.module.lexical(tokens))
                for source, tokens in zip(sources, batch.source.tolist(), strict=True)
            ]
            written = write(TensorDecoder(self.module), state, drafts)
            found += [self.tokenizer.decode(one.tokens) for one in written]
        return found

    def validate(self) -> dict[str, float]:
        """BLEU and chrF of each validation file, written sources, and BLEU of the first one's as they are heard."""
        figures: dict[str, float] = {}
        for number, (name, (sentences, references)) in enumerate(self.validation.items()):
            short = name.removesuffix(".tsv")
            said = self.translated(sentences)
            figures[f"BLEU {short}"] = sacrebleu.corpus_bleu(said, [references]).score
            figures[f"chrF {short}"] = sacrebleu.corpus_chrf(said, [references]).score
            if not number and not self.config.reversed:
                said = self.translated([spoken_english(s) for s in sentences])
                figures[f"BLEU {short} heard"] = sacrebleu.corpus_bleu(said, [references]).score
        return figures

    def export(self, directory: Path) -> None:
        """Write the writer and its tokenizer."""
        languages = ("de", ("en",)) if self.config.reversed else ("en", ("de",))
        store.save(directory, self.module, self.tokenizer, words=self.table, languages=languages)


def _encode(tokenizer: Tokenizer, pair: Pair, backwards: bool) -> tuple[Ids, Ids, Ids]:
    """Written source, heard source, target; nobody has heard the German of a pair backwards."""
    texts = (pair.german, pair.german, pair.english) if backwards else (pair.english, pair.heard, pair.german)
    written, heard = (array("H", tokenizer.encode(shorter_case(text, tokenizer))) for text in texts[:2])
    return written, heard, array("H", tokenizer.encode(texts[2]))


def _validation(path: Path, data: RegistersConfig) -> tuple[list[str], list[str]]:
    """Sentences and references."""
    pairs = [(plain_marks(e), g) for e, g in read_pairs(path)]
    if not pairs or data.validation_count < 1:
        raise ConfigError(f"data.validation {str(path)!r} holds no sentence pair, or validation_count is 0")
    pairs = pairs[:: max(1, len(pairs) // data.validation_count)][: data.validation_count]
    english, german = [e for e, _ in pairs], [g for _, g in pairs]
    return (german, english) if data.reversed else (english, german)


def _weights(base: Path, config: WriterConfig) -> dict[str, Tensor]:
    """Those of a finished text writer; ConfigError where it has another shape."""
    network = store.load(base).network
    if network.config != config:
        wrong = next(f.name for f in fields(config) if getattr(config, f.name) != getattr(network.config, f.name))
        here, there = getattr(config, wrong), getattr(network.config, wrong)
        raise ConfigError(f"model: {wrong} = {here!r}; base = {str(base)!r} has {there!r}")
    return network.state_dict()


def task(recipe: dict[str, Any], device: str) -> Task:
    """Build the task of a recipe of kind "text-writer"."""
    del device
    config = from_dict(WriterConfig, recipe.get("model", {}), "model")
    data = from_dict(RegistersConfig, recipe.get("data", {}), "data")
    pairs = read_corpora(data.corpora, data.excluded)
    added = read_corpora(data.added, data.excluded) if data.added else []
    path, base = Path(str(recipe["output"])) / store.TOKENS, recipe.get("base")
    if base and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.load(Path(base)).target_tokenizer.model.read_bytes())
    if path.exists():
        tokenizer = Tokenizer(path)
    else:
        lines = [text for p in pairs for text in (p.english, p.heard, p.german, p.german)]
        tokenizer = train_tokenizer(lines, config.target_tokens, path, digits=True, fallback=True)
    torch.manual_seed(1)
    made = RegistersTask(Writer(config), tokenizer, [*pairs, *added], data, seed=1)
    if base:
        made.module.load_state_dict(_weights(Path(base), config))
    if made.module.lexicon is not None:
        made.module.lexicon.fill(made.alignment.table.view(tokenizer.size, tokenizer.size))
        made.table = () if data.reversed else word_table(pairs, tokenizer)
    return made
