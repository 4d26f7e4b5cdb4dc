"""Greedy decoding of many sentences at once: each row goes on from its own prefix over its own memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from streamst.nn.state import State
from streamst.text import Tokenizer

from .lexicon import Reading
from .repeats import Repeats

S = TypeVar("S", bound=State)
# (log-probabilities (target_tokens,), the tokens before, weights over the memory (S,)) -> log-probabilities
Steer = Callable[[Tensor, Sequence[int], Tensor], Tensor]


@dataclass(frozen=True)
class Draft:
    """What one sentence wishes of its continuation."""

    prefix: Sequence[int]
    limit: int  # tokens to add at most
    first: Tensor | None = None  # (target_tokens,) True for what may follow the prefix directly; the end always may
    prompt: int = 0  # a place in the writer's prompts
    lexical: Reading | None = None  # biases the logits by the weights over the memory
    ending: Callable[[Tensor], Tensor] | None = None  # what decoder states (1, 1, D) add to the logit of the end (1, 1)
    steer: Steer | None = None  # changes the log-probabilities of each step
    repeats: Repeats | None = None  # what may be said again (models/write/beam.py); None: anything
    beams: int = 1  # ways to go on that are kept (models/write/beam.py)


@dataclass(frozen=True)
class Continuation:
    """What greedy decoding wrote after a prefix."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    attention: Tensor  # (tokens, S) weights over the memory, <begin> and <end> included
    finished: bool


class Decoder(Protocol[S]):
    """What decoding needs of a network (`Writer`)."""

    @property
    def max_tokens(self) -> int: ...

    def begin(self, memory: Tensor, hidden: Tensor) -> S: ...

    def step(
        self, inputs: Tensor, state: S, prompts: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Tensor, S]: ...

    def logits(self, said: Tensor) -> Tensor: ...

    def select(self, state: S, rows: Sequence[int], same: bool = False) -> S: ...


@dataclass
class _Row:
    """A sentence that is being written."""

    draft: Draft
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    attention: list[Tensor] = field(default_factory=list)
    finished: bool = False

    def take(self, scores: Tensor, weights: Tensor, max_tokens: int) -> bool:
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

    def continuation(self, nothing: Tensor) -> Continuation:
        """What was written; nothing: (0, S)."""
        attention = torch.stack(self.attention) if self.attention else nothing
        return Continuation(tuple(self.tokens), tuple(self.log_probs), attention, self.finished)


@torch.no_grad()
def write(decoder: Decoder[S], memory: Tensor, hidden: Tensor, drafts: Sequence[Draft]) -> list[Continuation]:
    """Continue each draft over its row of `memory` (B, S, D); hidden: (B, S) True at padding.

    Rows leave the batch as they end; what a row says does not depend on the others.
    """
    rows = [_Row(draft) for draft in drafts]
    said, weights, state, prompts = started(decoder, memory, hidden, drafts)
    open_rows = list(range(len(rows)))
    while True:
        writing = [rows[row] for row in open_rows]
        scores = next_scores(decoder, said, weights, [one.draft for one in writing], [one.tokens for one in writing])
        going = [p for p, row in enumerate(writing) if row.take(scores[p], weights[p], decoder.max_tokens)]
        if not going:
            break
        if len(going) < len(open_rows):
            state, open_rows = decoder.select(state, going), [open_rows[place] for place in going]
            prompts = prompts[torch.tensor(going, device=prompts.device)]
        inputs = torch.tensor([[rows[row].tokens[-1]] for row in open_rows], device=memory.device)
        said, weights, state = decoder.step(inputs, state, prompts)
    return [row.continuation(memory.new_zeros(0, memory.shape[1])) for row in rows]


def started(
    decoder: Decoder[S], memory: Tensor, hidden: Tensor, drafts: Sequence[Draft]
) -> tuple[Tensor, Tensor, S, Tensor]:
    """The decoder after each prefix: its states (B, D), weights over the memory (B, S), what it carries on, prompts."""
    starts = [[Tokenizer.begin, *draft.prefix][-decoder.max_tokens :] for draft in drafts]
    longest = max(map(len, starts))
    inputs = torch.tensor([[Tokenizer.begin] * (longest - len(s)) + s for s in starts], device=memory.device)
    real = None
    if any(len(s) < longest for s in starts):
        real = torch.tensor([len(s) for s in starts], device=memory.device)
    prompts = torch.tensor([draft.prompt for draft in drafts], device=memory.device)
    return *decoder.step(inputs, decoder.begin(memory, hidden), prompts, real), prompts


def next_scores(
    decoder: Decoder[S], said: Tensor, weights: Tensor, drafts: Sequence[Draft], after: Sequence[Sequence[int]]
) -> Tensor:
    """Log-probabilities (B, target_tokens) of what comes next, as each draft wishes.

    said: (B, D) decoder states; weights: (B, S) over the memory; after: what was added to each draft's prefix.
    """
    logits = decoder.logits(said)
    at = 0
    for _, same in groupby(drafts, key=id):  # the beams of a draft stand together
        rows = list(same)
        if rows[0].lexical is not None:
            rows[0].lexical.bias(logits[at : at + len(rows)], weights[at : at + len(rows)])
        at += len(rows)
    for place, draft in enumerate(drafts):
        if draft.ending is not None:
            logits[place, Tokenizer.end] += draft.ending(said[place][None, None])[0, 0]
    scores = logits.log_softmax(-1)
    scores[:, : Tokenizer.end] = float("-inf")
    for place, (draft, tokens) in enumerate(zip(drafts, after, strict=True)):
        if draft.first is not None and not tokens:
            scores[place, Tokenizer.end + 1 :].masked_fill_(~draft.first[Tokenizer.end + 1 :], float("-inf"))
        if draft.steer is not None:
            scores[place] = draft.steer(scores[place], [*draft.prefix, *tokens], weights[place])
    return scores


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
