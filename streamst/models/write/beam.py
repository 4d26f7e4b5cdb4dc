"""Beam search of many sentences at once: each row goes on from its own prefix over its own memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from streamst.text import Tokenizer

from .greedy import Array, Continuation, Decoder, Draft, S, looping, next_scores, started
from .repeats import NOTHING, Written

LENGTH = 1.6  # power of the tokens by which a log-probability is divided: 1 would say too little


@dataclass(frozen=True)
class _Hypothesis:
    """One way to go on. row: of the decoder's state after its last token."""

    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    attention: tuple[Array, ...] = ()
    total: float = 0.0
    row: int = 0
    finished: bool = False
    written: Written = NOTHING  # where the draft minds repeats

    @property
    def score(self) -> float:
        return self.total / max(1, len(self.tokens) + self.finished) ** LENGTH


class _Next(NamedTuple):
    """A token that could follow a way. row: of the way in the batch."""

    total: float
    way: _Hypothesis
    token: int
    score: float
    row: int


def search(decoder: Decoder[S], state: S, drafts: Sequence[Draft]) -> list[Continuation]:
    """As `write`, with the best of `Draft.beams` ways to go on at each token; of complete ones, that with the best
    log-probability over its length to the power of `LENGTH`. Ways that go round in circles are left, and those that say
    again what `Draft.repeats` does not allow."""
    widest = max(draft.beams for draft in drafts)
    read, state, prompts = started(decoder, state, drafts)
    nothing = read.weights[:0]
    begun = [NOTHING if one.repeats is None else one.repeats.pieces.read(one.prefix) for one in drafts]
    open_ways = [[_Hypothesis(row=row, written=written)] for row, written in enumerate(begun)]
    ended: list[list[_Hypothesis]] = [[] for _ in drafts]
    while True:
        owners = [place for place, ways in enumerate(open_ways) for _ in ways]
        ways = [way for those in open_ways for way in those]
        scores = next_scores(read, [drafts[o] for o in owners], [way.tokens for way in ways])
        found: list[list[_Next]] = [[] for _ in drafts]
        for place, (owner, way) in enumerate(zip(owners, ways, strict=True)):
            for score, token in _likeliest(scores[place], widest + 1):
                found[owner].append(_Next(way.total + score, way, token, score, place))
        for owner, draft in enumerate(drafts):
            if open_ways[owner]:
                longer = _longer(found[owner], read.weights, draft)
                open_ways[owner] = _kept(longer, open_ways[owner], ended[owner], draft, decoder.max_tokens)
        going = [way for those in open_ways for way in those]
        if not going:
            break
        rows = [way.row for way in going]
        kept = [place for place, those in enumerate(open_ways) for _ in those] == owners
        state = decoder.select(state, rows, kept)
        prompts = prompts[rows]
        place = 0
        for owner, those in enumerate(open_ways):
            open_ways[owner] = [replace(way, row=place + n) for n, way in enumerate(those)]
            place += len(those)
        read, state = decoder.step(np.array([[way.tokens[-1]] for way in going]), state, prompts)
    return [_continuation(max(ways, key=lambda way: way.score), nothing) for ways in ended]


def _likeliest(scores: Array, count: int) -> list[tuple[float, int]]:
    """The best of scores (V,), which are lost, and where they stand, as far as they may be."""
    found: list[tuple[float, int]] = []
    while len(found) < count:
        place = int(scores.argmax())
        if scores[place] == -np.inf:
            break
        found.append((float(scores[place]), place))
        scores[place] = -np.inf
    return found


def _longer(found: list[_Next], weights: Array, draft: Draft) -> list[_Hypothesis]:
    """The best twice as many ways as are kept, of those that may be."""
    longer: list[_Hypothesis] = []
    for one in sorted(found, key=lambda one: -one.total):
        way = _with(one, weights[one.row], draft)
        longer += [] if way is None else [way]
        if len(longer) == 2 * draft.beams:
            break
    return longer


def _with(one: _Next, weights: Array, draft: Draft) -> _Hypothesis | None:
    """A way and its next token; None where that may not be."""
    way, token = one.way, one.token
    written = way.written
    if draft.repeats is not None:
        written = draft.repeats.pieces.added(written, token)
        if len(written.words) > len(way.written.words) and not draft.repeats.allow(way.written, written):
            return None
    if token == Tokenizer.end:
        return replace(way, total=one.total, row=one.row, finished=True)
    tokens = (*way.tokens, token)
    if len(tokens) > draft.limit or looping([*draft.prefix, *tokens]):
        return None
    attention = (*way.attention, weights)
    return _Hypothesis(tokens, (*way.log_probs, one.score), attention, one.total, one.row, False, written)


def _kept(
    longer: list[_Hypothesis], before: list[_Hypothesis], ended: list[_Hypothesis], draft: Draft, max_tokens: int
) -> list[_Hypothesis]:
    """The ways that go on; those at their end join `ended`. before: which the `longer` ones go on from."""
    going = []
    for place, way in enumerate(longer):
        full = len(way.tokens) >= draft.limit or len(draft.prefix) + len(way.tokens) >= max_tokens - 1
        if way.finished or full:
            ended += [way if way.finished else _whole(way, draft)] if place < draft.beams else []
        elif len(going) < draft.beams:
            going.append(way)
    best = max((way.score for way in ended if way.finished), default=float("-inf"))
    going = [way for way in going if replace(way, finished=True).score > best]  # what an end for nothing would give
    if not going and not ended:  # no way may go on: the best ends, before a last word that no token could complete
        full = len(before[0].tokens) >= draft.limit
        ended += longer[:1] or [before[0] if full else replace(_cut(before[0], draft), finished=True)]
    return going


def _whole(way: _Hypothesis, draft: Draft) -> _Hypothesis:
    """`way`, which ends since it is as long as it may be, without a last word that may not be said."""
    if draft.repeats is None:
        return way
    allowed = draft.repeats.allow(way.written, draft.repeats.pieces.added(way.written, Tokenizer.end))
    return way if allowed else _cut(way, draft)


def _cut(way: _Hypothesis, draft: Draft) -> _Hypothesis:
    """`way` without its last word."""
    starts = [at for at, t in enumerate(way.tokens) if draft.repeats is None or draft.repeats.pieces.starts[t]]
    end = starts[-1] if starts else 0
    return replace(way, tokens=way.tokens[:end], log_probs=way.log_probs[:end], attention=way.attention[:end])


def _continuation(way: _Hypothesis, nothing: Array) -> Continuation:
    attention = np.stack(way.attention) if way.attention else nothing
    return Continuation(way.tokens, way.log_probs, attention, way.finished)
