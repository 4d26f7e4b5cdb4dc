"""Greedy decoding of many sentences at once: each row goes on from its own prefix over its own memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from streamst.text import Tokenizer

from .lexicon import Reading
from .repeats import Repeats

Array = np.ndarray[Any, Any]
S = TypeVar("S")
# (log-probabilities (target_tokens,), the tokens before, weights over the memory (S,)) -> log-probabilities
Steer = Callable[[Array, Sequence[int], Array], Array]


@dataclass(frozen=True)
class Draft:
    """What one sentence wishes of its continuation."""

    prefix: Sequence[int]
    limit: int  # tokens to add at most
    first: Array | None = None  # (target_tokens,) True for what may follow the prefix directly; the end always may
    prompt: int = 0  # a place in the writer's prompts
    lexical: Reading | None = None  # biases the logits by the weights over the memory
    ending: Callable[[Any], float] | None = None  # what a vector of `Read.states` adds to the logit of the end
    steer: Steer | None = None  # changes the log-probabilities of each step
    repeats: Repeats | None = None  # what may be said again (models/write/beam.py); None: anything
    beams: int = 1  # ways to go on that are kept (models/write/beam.py)


@dataclass(frozen=True)
class Continuation:
    """What greedy decoding wrote after a prefix."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    attention: Array  # (tokens, S) weights over the memory, <begin> and <end> included
    finished: bool


class Read(NamedTuple):
    """What a decoder has come to. logits: (B, target_tokens), which who asked may change; weights: (B, S) over the
    memory; states: (B, D) in arrays of its own."""

    logits: Array
    weights: Array
    states: Any


class Decoder(Protocol[S]):
    """What decoding needs of a network over a memory. inputs: (B, T) tokens; prompts: (B,); real: (B,) how many of the
    last tokens of each row are real, at the beginning only, None for all; `select` gives some rows, in this order, each
    of the memory that row was of before, where `same`."""

    @property
    def max_tokens(self) -> int: ...

    def step(self, inputs: Array, state: S, prompts: Array, real: Array | None = None) -> tuple[Read, S]: ...

    def select(self, state: S, rows: Sequence[int], same: bool = False) -> S: ...


@dataclass
class _Row:
    """A sentence that is being written."""

    draft: Draft
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    attention: list[Array] = field(default_factory=list)
    finished: bool = False

    def take(self, scores: Array, weights: Array, max_tokens: int) -> bool:
        """Write the best token; False where the sentence is at its end.

        What would go round in circles (see `looping`) ends the sentence, and is left out but for its first round.
        """
        draft = self.draft
        best = int(scores.argmax())
        self.finished = best == Tokenizer.end
        again = 0 if self.finished else looping([*draft.prefix, *self.tokens, best])
        if again:
            kept = max(0, len(self.tokens) + 1 - again)
            self.tokens, self.log_probs, self.attention = (
                self.tokens[:kept], self.log_probs[:kept], self.attention[:kept],
            )  # fmt: skip
            self.finished = True
        if self.finished or len(self.tokens) == draft.limit or len(draft.prefix) + len(self.tokens) >= max_tokens - 1:
            return False
        self.tokens.append(best)
        self.log_probs.append(float(scores[best]))
        self.attention.append(weights)
        return True

    def continuation(self, nothing: Array) -> Continuation:
        """What was written; nothing: (0, S)."""
        attention = np.stack(self.attention) if self.attention else nothing
        return Continuation(tuple(self.tokens), tuple(self.log_probs), attention, self.finished)


def write(decoder: Decoder[S], state: S, drafts: Sequence[Draft]) -> list[Continuation]:
    """Continue each draft over its row of the memory of a fresh `state`.

    Rows leave the batch as they end; what a row says does not depend on the others.
    """
    rows = [_Row(draft) for draft in drafts]
    read, state, prompts = started(decoder, state, drafts)
    nothing = read.weights[:0]
    open_rows = list(range(len(rows)))
    while True:
        writing = [rows[row] for row in open_rows]
        scores = next_scores(read, [one.draft for one in writing], [one.tokens for one in writing])
        going = [p for p, row in enumerate(writing) if row.take(scores[p], read.weights[p], decoder.max_tokens)]
        if not going:
            break
        if len(going) < len(open_rows):
            state, open_rows = decoder.select(state, going), [open_rows[place] for place in going]
            prompts = prompts[going]
        inputs = np.array([[rows[row].tokens[-1]] for row in open_rows])
        read, state = decoder.step(inputs, state, prompts)
    return [row.continuation(nothing) for row in rows]


def started(decoder: Decoder[S], state: S, drafts: Sequence[Draft]) -> tuple[Read, S, Array]:
    """The decoder after each prefix: what it has come to, what it carries on, prompts."""
    starts = [[Tokenizer.begin, *draft.prefix][-decoder.max_tokens :] for draft in drafts]
    longest = max(map(len, starts))
    inputs = np.array([[Tokenizer.begin] * (longest - len(s)) + s for s in starts])
    real = None
    if any(len(s) < longest for s in starts):
        real = np.array([len(s) for s in starts])
    prompts = np.array([draft.prompt for draft in drafts])
    return *decoder.step(inputs, state, prompts, real), prompts


def next_scores(read: Read, drafts: Sequence[Draft], after: Sequence[Sequence[int]]) -> Array:
    """Log-probabilities (B, target_tokens) of what comes next, as each draft wishes; `read.logits` become them.

    after: what was added to each draft's prefix.
    """
    scores, weights, states = read
    at = 0
    for _, same in groupby(drafts, key=id):  # the beams of a draft stand together
        rows = list(same)
        if rows[0].lexical is not None:
            rows[0].lexical.bias(scores[at : at + len(rows)], weights[at : at + len(rows)])
        at += len(rows)
    for place, draft in enumerate(drafts):
        if draft.ending is not None:
            scores[place, Tokenizer.end] += draft.ending(states[place])
    in_logs(scores)
    scores[:, : Tokenizer.end] = -np.inf
    for place, (draft, tokens) in enumerate(zip(drafts, after, strict=True)):
        if draft.first is not None and not tokens:
            scores[place, Tokenizer.end + 1 :][~draft.first[Tokenizer.end + 1 :]] = -np.inf
        if draft.steer is not None:
            scores[place] = draft.steer(scores[place], [*draft.prefix, *tokens], weights[place])
    return scores


def in_logs(scores: Array) -> None:
    """Scores (..., V), in place, as logarithms of probabilities."""
    scores -= scores.max(-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))


def looping(tokens: Sequence[int]) -> int:
    """How many of the last `tokens` repeat what was before them, where the end goes round in circles: one token six
    times in a row, two four times, three to eight three times. 0 where it does not."""
    for size in range(1, 9):
        times = {1: 6, 2: 4}.get(size, 3)
        if len(tokens) >= size * times and tokens[-1] == tokens[-1 - size]:
            end = list(tokens[-size * times :])
            if end == end[:size] * times:
                return size * (times - 1)
    return 0
