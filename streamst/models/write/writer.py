"""Our writer behind the seam: words with times become source tokens, the network writes, and says where it read.

Implements `Writer` (models/seam.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamst.languages.english import spoken_english
from streamst.models.glossary import Glossary
from streamst.models.seam import Write
from streamst.models.words import HeardWord
from streamst.policies.base import Hypothesis, Need
from streamst.text import Tokenizer

from .beam import search
from .copies import copied
from .decoding import Reader, TensorDecoder
from .graphs import GraphDecoder
from .greedy import Array, Continuation, Draft, write
from .network import Writer
from .repeats import Pieces, Repeats
from .steering import Steering
from .taed import Taed
from .terms import Terms
from .word_table import WordTable

ALWAYS: frozenset[Need] = frozenset({"alignment", "attention", "log-probs"})  # without any head


@dataclass(frozen=True)
class SourceToken:
    """A token of a word, and the frames of the segment in which it was heard."""

    token: int
    first: int
    last: int


@dataclass(frozen=True)
class Source:
    """What is to be translated in tokens; words: the memory's places of each word's first and last token."""

    work: Write
    tokens: tuple[SourceToken, ...]
    words: tuple[tuple[int, int], ...]


class WordWriter:
    """The project's network; stateless."""

    def __init__(
        self, network: Writer, source: Tokenizer, target: Tokenizer, languages: tuple[str, tuple[str, ...]],
        taed: Taed | None = None, spelling: Callable[[str], str] = spoken_english, beams: int = 1,
        words: WordTable | None = None,
    ) -> None:  # fmt: skip
        """languages: that it reads, and those that it writes; ConfigError for one that the network has no prompt of.

        spelling: of a heard word, as the network knows words. beams: ways to go on that are kept at each token; who has
        more than one never says again what the source does not (`Repeats`). words: usual translations of rare ones.
        """
        self.network, self.taed, self.beams, self._words = network, taed, beams, words
        self.source, self.targets = languages
        for one in self.targets:
            network.prompt_number(f"st:{one}")  # who cannot translate says so here, not in the first sentence
        self.source_tokenizer, self.target_tokenizer, self._spelling = source, target, spelling
        gated: frozenset[Need] = frozenset({"taed", "write-probability"})
        self.provides: frozenset[Need] = ALWAYS if taed is None else ALWAYS | gated
        self._decoder: Reader[Any] = TensorDecoder(network)
        self._word_starts = np.array(target.starts_word)
        self._pieces = Pieces(target)
        inner = [not target.starts_word[n] and any(c.isalnum() for c in piece) for n, piece in enumerate(target.pieces)]
        self._inner = np.array(inner)
        self._ids = lru_cache(maxsize=65_536)(self._spell)
        self._terms = lru_cache(maxsize=8)(self._compile)  # sessions of one customer bring the same glossary

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.target.weight.device

    def by_graphs(self, directory: Path) -> None:
        """Write in ONNX Runtime from now on, by the graphs in the writer's folder; errors as `GraphSession`."""
        seldom = () if self.network.seldom is None else self.network.seldom.tolist()
        self._decoder = GraphDecoder(directory, self.network.config, seldom)

    def terms(self, glossary: Glossary) -> Terms | None:
        """`glossary` in tokens; InputError for a term that cannot be written."""
        return self._terms(glossary) if glossary else None

    def _compile(self, glossary: Glossary) -> Terms:
        return Terms(glossary, self.target_tokenizer)

    def detokenize(self, target: str, tokens: Sequence[int]) -> str:
        """The text of target tokens; one vocabulary is for all targets."""
        del target
        return self.target_tokenizer.decode(tokens)

    @torch.inference_mode()
    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        """Greedy continuations, decoded together."""
        sources = [self._source(one) for one in work]
        rows = [row for row, one in enumerate(sources) if one.tokens]
        found = [Hypothesis((), finished=True)] * len(work)
        if rows:
            for row, hypothesis in zip(rows, self._written([sources[row] for row in rows]), strict=True):
                found[row] = hypothesis
        return found

    def _spell(self, text: str) -> tuple[int, ...]:
        return tuple(self.source_tokenizer.encode(self._spelling(text)))

    def _source(self, work: Write) -> Source:
        """The tokens of words as they are spelled; where nothing has a letter or a digit there are none."""
        tokens: list[SourceToken] = []
        places = []
        shouted = _shouted(work.words)
        spoken = any(letter.isalnum() for word in work.words for letter in word.text)
        for word in work.words:
            ids = self._ids(word.text.lower() if shouted else word.text) if spoken else ()
            places.append((len(tokens) + 1, len(tokens) + max(1, len(ids))))  # <begin> is first in the memory
            tokens += _spread(ids, word)
        return Source(work, tuple(tokens), tuple(places))

    def _written(self, sources: Sequence[Source]) -> list[Hypothesis]:
        ids = []
        for one in sources:
            closing = [Tokenizer.end] if one.work.final else []
            ids.append([Tokenizer.begin, *(t.token for t in one.tokens), *closing])
        memories, state = self._decoder.read(ids)
        drafts = [self._draft(*one) for one in zip(sources, memories, ids, strict=True)]
        written = (write if self.beams == 1 else search)(self._decoder, state, drafts)
        return [self._hypothesis(*one) for one in zip(sources, memories, ids, drafts, written, strict=True)]

    def _draft(self, source: Source, memory: Any, tokens: Sequence[int]) -> Draft:
        """What the policy, the glossary and what was said wish of a decode. memory: (S, D) of `tokens`."""
        work, gate = source.work, None
        if work.decoding.mode == "taed" and self.taed is not None and not work.final:
            gate = partial(_gate, self.taed, torch.as_tensor(memory[-1:]), work.decoding.blank_penalty)
        return Draft(
            work.prefix,
            max(0, 2 * len(source.tokens) + 8 - len(work.prefix)),
            # What was said stays: after it comes a new word, never a piece that would change the last one.
            self._word_starts if work.prefix else None,
            self.network.prompt_number(f"st:{work.target}"),
            self.network.lexical(tokens),
            gate,
            self._steering(source),
            None if self.beams == 1 else Repeats(" ".join(word.text for word in work.words), self._pieces),
            1 if gate is not None else self.beams,  # the gate's end is "read on", which no other way outbids
        )

    def _steering(self, source: Source) -> Steering | None:
        """What the policy and the glossary wish of this decode, and what is copied."""
        work = source.work
        read = [word.text for word in work.words]
        known = None if self._words is None else self._words.translates
        wishes = copied(read, source.words, self.target_tokenizer, known)
        if work.terms is not None:
            wishes = (*work.terms.wishes([spoken_english(word.text) for word in work.words], source.words), *wishes)
        if self._words is not None:
            wishes = (*wishes, *self._words.wishes(read, source.words, wishes))
        if not wishes and not work.decoding.bias:
            return None
        return Steering(len(work.prefix), work.decoding.bias, work.decoding.shown, wishes, self._inner)

    def _hypothesis(
        self, source: Source, memory: Any, ids: Sequence[int], draft: Draft, found: Continuation
    ) -> Hypothesis:
        """What was found, with where each token was read from. memory: (S, D) of the tokens `ids`."""
        work, tokens = source.work, found.tokens
        inner = found.attention[:, 1 : len(source.tokens) + 1]
        alignment = tuple(source.tokens[i].last for i in inner.argmax(1).tolist()) if tokens else ()
        # Where a trained lattice reads on, the sentence has not ended.
        finished = found.finished and draft.ending is None
        ends = self.target_tokenizer.word_ends(tokens, finished)
        writes: tuple[tuple[float, ...], ...] = ()
        if self.taed is not None and work.decoding.writes and not work.final:
            read, prefix = torch.as_tensor(memory)[None], [*work.prefix, *tokens]
            chances = self.taed.write_probability(self.network, read, prefix, torch.tensor(ids, device=self.device))
            chances = chances[len(work.prefix) : -1]
            writes = tuple((chance,) for chance in chances)
        attention = _over_frames(inner, source) if work.decoding.attention and tokens else ()
        return Hypothesis(tokens, found.log_probs, alignment, attention, ends, finished, writes)


def _shouted(words: Sequence[HeardWord]) -> bool:
    """Whether all is in capital letters, two words of two letters or more among it."""
    capital = sum(len(word.text) > 1 and word.text.isupper() for word in words)
    return capital > 1 and not any(letter.islower() for word in words for letter in word.text)


def _spread(ids: Sequence[int], word: HeardWord) -> list[SourceToken]:
    """The tokens of a word, its frames shared out among them."""
    first, frames = word.first_frame, word.last_frame + 1 - word.first_frame
    edges = [first + frames * i // len(ids) for i in range(len(ids) + 1)] if ids else []
    return [SourceToken(t, edges[i], max(edges[i], edges[i + 1] - 1)) for i, t in enumerate(ids)]


def _over_frames(weights: Array, source: Source) -> tuple[tuple[float, ...], ...]:
    """Weights (tokens, source tokens) as weights over the segment's frames, each source token's on its frames."""
    frames = np.zeros((len(source.tokens), source.work.frames), np.float32)
    for row, token in zip(frames, source.tokens, strict=True):
        first = max(token.first, 0)
        row[first : token.last + 1] = 1 / (token.last + 1 - first)
    spread = weights @ frames
    return tuple(tuple(row) for row in (spread / np.maximum(spread.sum(1, keepdims=True), 1e-9)).tolist())


def _gate(taed: Taed, newest: torch.Tensor, blank_penalty: float, said: Any) -> float:
    return float(taed(newest, torch.as_tensor(said)[None, None])) - blank_penalty
