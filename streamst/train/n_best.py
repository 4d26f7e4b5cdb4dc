"""Many sentences with their n best translations, and how likely one network thinks the translations of another are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from streamst.models.write.greedy import looping
from streamst.models.write.network import Writer
from streamst.text import Tokenizer
from streamst.train.writer import padded

Ids = Sequence[int]


class Translation(NamedTuple):
    """One translation. score: log-probability a token, the end's included."""

    tokens: tuple[int, ...]
    score: float


@dataclass
class _Sentence:
    """Ways to translate one sentence. ways: those that go on, best first, at most as many as beams."""

    limit: int
    ways: list[tuple[int, ...]]
    totals: list[float]
    ended: list[Translation]

    def grow(self, totals: Sequence[float], parents: Sequence[int], tokens: Sequence[int], beams: int) -> list[int]:
        """Take the best next tokens, best first; returns the way that each one that goes on goes on from."""
        ways, kept, rows = [], [], []
        for total, parent, token in zip(totals, parents, tokens, strict=True):
            before = self.ways[parent]
            if token == Tokenizer.end:
                self.ended.append(Translation(before, total / (len(before) + 1)))
            elif len(before) < self.limit and not looping([*before, token]) and len(ways) < beams:
                ways.append((*before, token))
                kept.append(total)
                rows.append(parent)
            if len(ways) == beams:
                break
        self.ways, self.totals = ways, kept
        return rows

    def over(self, beams: int) -> bool:
        return not self.ways or len(self.ended) >= beams


@torch.no_grad()
def n_best(writer: Writer, sources: Sequence[Ids], beams: int) -> list[list[Translation]]:
    """At most `beams` translations of each source (tokens without <begin> and <end>), best first; none where nothing
    came to an end within twice the source's length."""
    device = writer.target.weight.device
    batch = padded([([Tokenizer.begin, *source, Tokenizer.end], []) for source in sources])
    source, hidden = batch.source.to(device).repeat_interleave(beams, 0), batch.hidden.to(device)
    memory = writer.memory(batch.source.to(device), hidden).repeat_interleave(beams, 0)
    state = writer.begin(memory, hidden.repeat_interleave(beams, 0))
    lexical = None if writer.lexicon is None else writer.lexicon.spread(source)
    found = [_Sentence(2 * len(one) + 8, [()] * beams, [0.0] + [float("-inf")] * (beams - 1), []) for one in sources]
    going = list(range(len(found)))
    inputs = source.new_full((len(source), 1), Tokenizer.begin)
    while going:
        said, attention, state = writer.step(inputs, state)
        scores = _scores(writer, said[:, None], attention[:, None], lexical)[:, 0]
        scores[:, : Tokenizer.end] = float("-inf")
        totals = scores.new_tensor([t for place in going for t in found[place].totals])
        best, where = (scores + totals[:, None]).view(len(going), -1).topk(2 * beams)
        parents, tokens = where // scores.shape[1], where % scores.shape[1]
        rows, after = [], []
        grown = zip(going, best.tolist(), parents.tolist(), tokens.tolist(), strict=True)
        for at, (place, sums, from_ways, by_tokens) in enumerate(grown):
            one = found[place]
            kept = one.grow(sums, from_ways, by_tokens, beams)
            if not one.over(beams):
                lacking = beams - len(kept)
                one.ways += [one.ways[0]] * lacking
                one.totals += [float("-inf")] * lacking
                rows += [at * beams + parent for parent in kept + kept[:1] * lacking]
                after.append(place)
        same = len(after) == len(going)
        going, state = after, writer.select(state, rows, same)
        if lexical is not None and not same:
            lexical = lexical[0][rows], lexical[1][rows]
        inputs = source.new_tensor([[way[-1]] for place in going for way in found[place].ways])
    return [sorted(one.ended, key=lambda t: -t.score)[:beams] for one in found]


@torch.no_grad()
def likelihoods(writer: Writer, sources: Sequence[Ids], targets: Sequence[Ids]) -> Tensor:
    """Log-probability a token, the end's included, of each target given its source: (B,)."""
    device = writer.target.weight.device
    rows = [([Tokenizer.begin, *s, Tokenizer.end], list(t)) for s, t in zip(sources, targets, strict=True)]
    batch = padded(rows)
    source, hidden, wanted = batch.source.to(device), batch.hidden.to(device), batch.targets.to(device)
    said, attention = writer.decoder_states(writer.memory(source, hidden), hidden, batch.inputs.to(device))
    lexical = None if writer.lexicon is None else writer.lexicon.spread(source)
    scores = _scores(writer, said, attention, lexical)
    known = wanted >= 0
    found = scores.gather(-1, wanted.clamp_min(0)[..., None])[..., 0].masked_fill(~known, 0.0)
    return found.sum(1) / known.sum(1)


def _scores(writer: Writer, said: Tensor, attention: Tensor, lexical: tuple[Tensor, Tensor] | None) -> Tensor:
    """Log-probabilities (B, T, size) of decoder states (B, T, D) that read with `attention` (B, T, S)."""
    logits = writer.logits(said).float()
    if lexical is not None and writer.lexicon is not None:
        tokens, shares = lexical
        where = tokens[:, None].expand(-1, logits.shape[1], -1)
        logits = logits.scatter_add(2, where, writer.lexicon(attention, shares).to(logits.dtype))
    return logits.log_softmax(-1)
