"""Beam search of many sentences at once: each row goes on from its own prefix over its own memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from streamst.text import Tokenizer

from .greedy import Continuation, Decoder, Draft, S, looping, next_scores, started
from .repeats import NOTHING, Written

LENGTH = 1.6  # power of the tokens by which a log-probability is divided: 1 would say too little


@dataclass(frozen=True)
class _Hypothesis:
    """One way to go on. row: of the decoder's state after its last token."""

    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    attention: tuple[Tensor, ...] = ()
    total: float = 0.0
    row: int = 0
    finished: bool = False
    written: Written = NOTHING  # where the draft minds repeats

    @property
    def score(self) -> float:
        return self.total / max(1, len(self.tokens) + self.finished) ** LENGTH


@torch.no_grad()
def search(decoder: Decoder[S], memory: Tensor, hidden: Tensor, drafts: Sequence[Draft]) -> list[Continuation]:
    """As `write`, with the best of `Draft.beams` ways to go on at each token; of complete ones, that with the best
    log-probability over its length to the power of `LENGTH`. Ways that go round in circles are left, and those that say
    again what `Draft.repeats` does not allow."""
    widest = max(draft.beams for draft in drafts)
    said, weights, state, prompts = started(decoder, memory, hidden, drafts)
    begun = [NOTHING if one.repeats is None else one.repeats.pieces.read(one.prefix) for one in drafts]
    open_ways = [[_Hypothesis(row=row, written=written)] for row, written in enumerate(begun)]
    ended: list[list[_Hypothesis]] = [[] for _ in drafts]
    while True:
        owners = [place for place, ways in enumerate(open_ways) for _ in ways]
        ways = [way for those in open_ways for way in those]
        scores = next_scores(decoder, said, weights, [drafts[o] for o in owners], [way.tokens for way in ways])
        best, tokens = scores.topk(min(widest + 1, scores.shape[1]), 1)
        found: list[list[_Hypothesis]] = [[] for _ in drafts]
        for place, (owner, way) in enumerate(zip(owners, ways, strict=True)):
            draft = drafts[owner]
            for score, token in zip(best[place].tolist(), tokens[place].tolist(), strict=True):
                longer = _longer(way, token, score, weights[place], place, draft)
                if longer is not None:
                    found[owner].append(longer)
        for owner, longer in enumerate(found):
            if longer:
                open_ways[owner] = _kept(longer, ended[owner], drafts[owner], decoder.max_tokens)
            else:  # no way goes on: the best of them ends before its last word
                ended[owner] = ended[owner] or [_cut(open_ways[owner][0], drafts[owner])]
                open_ways[owner] = []
        going = [way for those in open_ways for way in those]
        if not going:
            break
        rows = [way.row for way in going]
        kept = [place for place, those in enumerate(open_ways) for _ in those] == owners
        state = decoder.select(state, rows, kept)
        prompts = prompts[torch.tensor(rows, device=prompts.device)]
        place = 0
        for owner, those in enumerate(open_ways):
            open_ways[owner] = [replace(way, row=place + n) for n, way in enumerate(those)]
            place += len(those)
        inputs = torch.tensor([[way.tokens[-1]] for way in going], device=memory.device)
        said, weights, state = decoder.step(inputs, state, prompts)
    nothing = memory.new_zeros(0, memory.shape[1])
    return [_continuation(max(ways, key=lambda way: way.score), nothing) for ways in ended]


def _longer(way: _Hypothesis, token: int, score: float, weights: Tensor, row: int, draft: Draft) -> _Hypothesis | None:
    """`way` and `token`; None where that may not be."""
    if score == float("-inf"):
        return None
    written = way.written
    if draft.repeats is not None:
        written = draft.repeats.pieces.added(way.written, token)
        if len(written.words) > len(way.written.words) and not draft.repeats.allow(way.written, written):
            return None
    total = way.total + score
    if token == Tokenizer.end:
        return replace(way, total=total, row=row, finished=True)
    tokens = (*way.tokens, token)
    if looping([*draft.prefix, *tokens]):
        return None
    return _Hypothesis(tokens, (*way.log_probs, score), (*way.attention, weights), total, row, False, written)


def _whole(way: _Hypothesis, draft: Draft) -> _Hypothesis:
    """`way`, which ends since it is as long as it may be, without a last word that may not be said."""
    if draft.repeats is None:
        return way
    allowed = draft.repeats.allow(way.written, draft.repeats.pieces.added(way.written, Tokenizer.end))
    return way if allowed else _cut(way, draft)


def _cut(way: _Hypothesis, draft: Draft) -> _Hypothesis:
    """`way` without its last word, which would end one that is not to be said."""
    starts = [at for at, t in enumerate(way.tokens) if draft.repeats is None or draft.repeats.pieces.starts[t]]
    end = starts[-1] if starts else 0
    return replace(way, tokens=way.tokens[:end], log_probs=way.log_probs[:end], attention=way.attention[:end],
                   finished=True)  # fmt: skip


def _kept(found: list[_Hypothesis], ended: list[_Hypothesis], draft: Draft, max_tokens: int) -> list[_Hypothesis]:
    """The ways that go on; those at their end join `ended`."""
    beams = draft.beams
    found = sorted((way for way in found if len(way.tokens) <= draft.limit), key=lambda way: -way.total)
    going = []
    for place, way in enumerate(found[: 2 * beams]):
        full = len(way.tokens) >= draft.limit or len(draft.prefix) + len(way.tokens) >= max_tokens - 1
        if way.finished or full:
            ended += [way if way.finished else _whole(way, draft)] if place < beams else []
        elif len(going) < beams:
            going.append(way)
    best = max((way.score for way in ended if way.finished), default=float("-inf"))
    going = [way for way in going if replace(way, finished=True).score > best]  # what an end for nothing would give
    if not going and not ended:
        ended += found[:1] or [_Hypothesis()]
    return going


def _continuation(way: _Hypothesis, nothing: Tensor) -> Continuation:
    attention = torch.stack(way.attention) if way.attention else nothing
    return Continuation(way.tokens, way.log_probs, attention, way.finished)
