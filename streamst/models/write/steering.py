"""What a session wishes of decoding beyond the network's opinion: calm captions, and the terms of its glossary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamst.policies.base import still_following

BEGIN = 10.0  # nats that a term's first token gains, times the attention on its source words
GO_ON = 8.0  # nats that the next token of a term that was begun gains, where a third of the attention is there

VERBATIM = 30.0  # the same, of a copy
USUAL = 0.6  # nats that a token of a word's usual translation gains, times log(1 + share read / USUAL_FLOOR)
USUAL_FLOOR = 0.01
READ = 0.05  # attention on a word below which its usual translation is left alone


@dataclass(frozen=True)
class Wish:
    """A term that was heard: the places of its source tokens in the memory, and the target tokens to say for it."""

    first: int
    last: int
    tokens: tuple[int, ...]
    verbatim: bool = False  # a copy of the source: half of it says nothing
    share: float = 0.0  # of all translations of the word, where this is only the usual one


@dataclass(frozen=True)
class Steering:
    """A `Steer` (models/write/greedy.py).

    prefix: how many tokens were committed. bias and shown: as in `Decoding`. wishes: in the order heard.
    """

    prefix: int
    bias: float = 0.0
    shown: tuple[int, ...] = ()
    wishes: tuple[Wish, ...] = ()

    def __call__(self, scores: Tensor, said: Sequence[int], attention: Tensor) -> Tensor:
        """scores: (target_tokens,) log-probabilities; attention: (S,) over the memory."""
        if self.wishes:
            scores = self._with_terms(scores, said, attention)
        kept = still_following(self.shown, said[self.prefix :]) if self.bias else None
        if kept is None:
            return scores
        chosen = scores.exp() * (1 - self.bias)
        chosen[kept] += self.bias
        return chosen.log()

    def _with_terms(self, scores: Tensor, said: Sequence[int], attention: Tensor) -> Tensor:
        """Each term may be said as often as it was heard: it is begun where the decoder reads its source words, and
        what was begun is completed."""
        gains: dict[int, float] = {}
        times: dict[tuple[int, ...], int] = {}
        reads = attention.tolist()
        for wish in self.wishes:
            times[wish.tokens] = times.get(wish.tokens, 0) + 1
            if occurrences(wish.tokens, said) >= times[wish.tokens]:
                continue
            begun = overlap(wish.tokens, said)
            read = sum(reads[wish.first : wish.last + 1])
            if wish.share:
                gain = USUAL * math.log1p(wish.share * read / USUAL_FLOOR) if read >= READ else 0.0
            else:
                surely = VERBATIM if wish.verbatim else GO_ON * min(1.0, 3 * read)
                gain = surely if begun else BEGIN * read
            if gain:
                gains[wish.tokens[begun]] = max(gain, gains.get(wish.tokens[begun], 0.0))
        if not gains:
            return scores
        scores = scores.clone()
        places = torch.tensor(list(gains), device=scores.device)
        scores[places] += torch.tensor(list(gains.values()), device=scores.device)
        return scores.log_softmax(-1)


def occurrences(term: Sequence[int], said: Sequence[int]) -> int:
    """How often `term` is in `said`."""
    if term[0] not in said:
        return 0
    n, wanted = len(term), list(term)
    return sum(first == wanted[0] and list(said[i : i + n]) == wanted for i, first in enumerate(said))


def overlap(term: Sequence[int], said: Sequence[int]) -> int:
    """How many tokens of `term`, not all, `said` ends with."""
    longest = min(len(term) - 1, len(said))
    return next((n for n in range(longest, 0, -1) if list(said[-n:]) == list(term[:n])), 0)
