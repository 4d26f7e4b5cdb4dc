"""Our writer behind the seam: words with times become source tokens, the network writes, and says where it read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from streamst.languages.english import spoken_english
from streamst.models.glossary import Glossary, Terms
from streamst.models.seam import HeardWord, Write
from streamst.models.write.greedy import Continuation, Draft, write
from streamst.models.write.network import Writer
from streamst.models.write.steering import Steering
from streamst.models.write.taed import Taed
from streamst.policies.base import Decoding, Hypothesis, Need
from streamst.text import Tokenizer

ALWAYS: frozenset[Need] = frozenset({"source-ctc", "alignment", "attention", "log-probs"})  # with any heads


@dataclass(frozen=True)
class HeardToken:
    """A source token and the frames in which it was heard."""

    token: int
    first: int
    last: int


@dataclass(frozen=True)
class Source:
    """What is to be translated: source tokens with frames counted from `start`, of `frames` heard since then."""

    tokens: tuple[HeardToken, ...]
    start: int
    frames: int
    prefix: tuple[int, ...]
    final: bool
    target: str
    decoding: Decoding
    terms: Terms | None = None
    pooled: Tensor | None = None  # (tokens, D) mean encoder states, for a writer that reads them


def spread(ids: Sequence[int], first: int, last: int) -> list[HeardToken]:
    """The tokens of a word, its frames shared out among them."""
    edges = [first + (last + 1 - first) * i // len(ids) for i in range(len(ids) + 1)]
    return [HeardToken(t, edges[i], max(edges[i], edges[i + 1] - 1)) for i, t in enumerate(ids)]


def words_of(tokens: Sequence[HeardToken], tokenizer: Tokenizer) -> list[list[HeardToken]]:
    """The tokens of each word."""
    words: list[list[HeardToken]] = []
    for token in tokens:
        if not words or tokenizer.starts_word[token.token]:
            words.append([])
        words[-1].append(token)
    return words


class TokenWriter:
    """Implements `Writer` (models/seam.py) with the project's network."""

    def __init__(
        self, writer: Writer, source: Tokenizer, target: Tokenizer, targets: Sequence[str], taed: Taed | None = None,
        language: str = "en",
    ) -> None:  # fmt: skip
        for one in targets:
            writer.prompt_number(f"st:{one}")  # who cannot translate says so here, not in the first sentence
        self.network, self.taed = writer, taed
        self.source, self.targets = language, tuple(targets)
        self.source_tokenizer, self.target_tokenizer = source, target
        gated: frozenset[Need] = frozenset({"taed", "write-probability"})
        self.provides = ALWAYS if taed is None else ALWAYS | gated
        self._word_starts = torch.tensor(target.starts_word, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.source.weight.device

    def terms(self, glossary: Glossary) -> Terms | None:
        """`glossary` in tokens."""
        return Terms(glossary, self.source_tokenizer, self.target_tokenizer) if glossary else None

    def tokens(self, words: Sequence[HeardWord]) -> tuple[HeardToken, ...]:
        """The source tokens of words as they are spoken; a word without letters has none."""
        found: list[HeardToken] = []
        for word in words:
            ids = self.source_tokenizer.encode(spoken_english(word.text))
            found += spread(ids, word.first_frame, word.last_frame) if ids else []
        return tuple(found)

    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        """Greedy continuations, decoded together; nothing for a segment without words."""
        sources = [
            Source(self.tokens(w.words), 0, w.frames, w.prefix, w.final, w.target, w.decoding, w.terms) for w in work
        ]
        return self.write_sources(sources)

    @torch.inference_mode()
    def write_sources(self, work: Sequence[Source]) -> list[Hypothesis]:
        """`write_all` for words that are tokens already."""
        rows = [row for row, one in enumerate(work) if one.tokens]
        found = [Hypothesis((), finished=True)] * len(work)
        if rows:
            for row, hypothesis in zip(rows, self._written([work[row] for row in rows]), strict=True):
                found[row] = hypothesis
        return found

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of target tokens."""
        return self.target_tokenizer.decode(tokens)

    def _written(self, work: Sequence[Source]) -> list[Hypothesis]:
        ids = []
        for one in work:
            closing = [Tokenizer.end] if one.final else []
            ids.append(torch.tensor([Tokenizer.begin, *(t.token for t in one.tokens), *closing]))
        lengths = torch.tensor([len(row) for row in ids], device=self.device)
        tokens = pad_sequence(ids, batch_first=True, padding_value=Tokenizer.end).to(self.device)
        hidden = torch.arange(tokens.shape[1], device=self.device) >= lengths[:, None]
        pooled = None
        if self.network.config.reads_states:
            edges = [F.pad(one.pooled, (0, 0, 1, int(one.final))) for one in work if one.pooled is not None]
            pooled = pad_sequence(edges, batch_first=True)
        memory = self.network.memory(tokens, hidden, pooled)
        drafts = [
            self._draft(one, row[int(length) - 1]) for one, row, length in zip(work, memory, lengths, strict=True)
        ]
        written = write(self.network, memory, hidden, drafts)
        rows = zip(work, memory, lengths, drafts, written, strict=True)
        return [self._hypothesis(one, row[None, : int(n)], draft, found) for one, row, n, draft, found in rows]

    def _draft(self, work: Source, newest: Tensor) -> Draft:
        """What the policy, the glossary and what was said wish of a decode; newest: the memory's last vector (D,)."""
        gate: Any = None
        if work.decoding.mode == "taed" and self.taed is not None and not work.final:
            gate = partial(_gate, self.taed, newest[None], work.decoding.blank_penalty)
        return Draft(
            work.prefix,
            max(0, 2 * len(work.tokens) + 8 - len(work.prefix)),
            # What was said stays: after it comes a new word, never a piece that would change the last one.
            self._word_starts if work.prefix else None,
            self.network.prompt_number(f"st:{work.target}"),
            gate,
            self._steering(work),
        )

    def _hypothesis(self, work: Source, memory: Tensor, draft: Draft, found: Continuation) -> Hypothesis:
        """What was found, with where each token was read from."""
        decoding, tokens = work.decoding, found.tokens
        inner = found.attention[:, 1 : len(work.tokens) + 1]
        alignment = tuple(work.tokens[i].last - work.start for i in inner.argmax(1).tolist()) if tokens else ()
        # Where a trained lattice reads on, the sentence has not ended.
        finished = found.finished and draft.ending is None
        ends = self.target_tokenizer.word_ends(tokens, finished)
        writes: tuple[tuple[float, ...], ...] = ()
        if self.taed is not None and decoding.writes and not work.final:
            chances = self.taed.write_probability(self.network, memory, [*work.prefix, *tokens])[len(work.prefix) : -1]
            writes = tuple((chance,) for chance in chances)
        attention = _over_frames(inner, work) if decoding.attention and tokens else ()
        return Hypothesis(tokens, found.log_probs, alignment, attention, ends, finished, writes)

    def _steering(self, work: Source) -> Steering | None:
        """What the policy and the glossary wish of this decode."""
        wishes = ()
        if work.terms is not None:
            words, places, at = [], [], 1  # <begin> is first in the memory
            for word in words_of(work.tokens, self.source_tokenizer):
                words.append(self.source_tokenizer.decode([t.token for t in word]))
                places.append((at, at + len(word) - 1))
                at += len(word)
            wishes = work.terms.wishes(words, places)
        if not wishes and not work.decoding.bias:
            return None
        return Steering(len(work.prefix), work.decoding.bias, work.decoding.shown, wishes)


def _over_frames(weights: Tensor, work: Source) -> tuple[tuple[float, ...], ...]:
    """Weights (tokens, source tokens) as weights over the segment's frames, each source token's on its frames."""
    frames = torch.zeros(len(work.tokens), work.frames)
    for row, token in zip(frames, work.tokens, strict=True):
        first = max(token.first - work.start, 0)
        row[first : token.last - work.start + 1] = 1 / (token.last - work.start + 1 - first)
    spread_out = weights.float().cpu() @ frames
    return tuple(tuple(row) for row in (spread_out / spread_out.sum(1, keepdim=True).clamp(min=1e-9)).tolist())


def _gate(taed: Taed, newest: Tensor, blank_penalty: float, said: Tensor) -> Tensor:
    return taed(newest, said) - blank_penalty
