"""What a session wishes of decoding beyond the network's opinion: calm captions, and the terms of its glossary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from streamst.policies.base import still_following

Array = np.ndarray[Any, Any]

BEGIN = 10.0  # nats that a term's first token gains, times the attention on its source words
GO_ON = 8.0  # nats that the next token of a term that was begun gains, where a third of the attention is there

VERBATIM = 30.0  # the same, of a copy
USUAL = 0.6  # nats that a token of a word's usual translation gains, times log(1 + share read / USUAL_FLOOR)
USUAL_FLOOR = 0.01
READ = 0.05  # attention on a word below which its usual translation is left alone


@dataclass(frozen=True)
class Wish:
    """Something that was heard: the places of its source tokens in the memory, and the target tokens to say for it.

    kind: a "term" of the glossary; a "copy", half of which says nothing; a "number", which is copied once it was begun;
    or only the "usual" translation of a word, with its share of all.
    """

    first: int
    last: int
    tokens: tuple[int, ...]
    kind: Literal["term", "copy", "number", "usual"] = "term"
    share: float = 0.0

    def gain(self, begun: int, read: float) -> float:
        """What the next token gains [nats], `begun` of them being said; read: the attention on the source tokens."""
        if self.kind == "usual":
            return USUAL * math.log1p(self.share * read / USUAL_FLOOR) if read >= READ else 0.0
        surely = GO_ON * min(1.0, 3 * read)
        if self.kind == "number":  # its first token is that of any number
            return (0.0, surely)[begun] if begun < 2 else VERBATIM
        if not begun:
            return BEGIN * read
        return VERBATIM if self.kind == "copy" else surely


@dataclass(frozen=True)
class Steering:
    """A `Steer` (models/write/greedy.py).

    prefix: how many tokens were committed. bias and shown: as in `Decoding`. wishes: in the order heard.
    """

    prefix: int
    bias: float = 0.0
    shown: tuple[int, ...] = ()
    wishes: tuple[Wish, ...] = ()
    inner: Array | None = None  # (target_tokens,) letters and digits that go on a word; none may go on a copy

    def __call__(self, scores: Array, said: Sequence[int], attention: Array) -> Array:
        """scores: (target_tokens,) log-probabilities; attention: (S,) over the memory."""
        if self.wishes:
            scores = self._with_terms(scores, said, attention)
        kept = still_following(self.shown, said[self.prefix :]) if self.bias else None
        if kept is None:
            return scores
        chosen = scores + math.log1p(-self.bias) if self.bias < 1 else np.full_like(scores, -np.inf)
        chosen[kept] = math.log(math.exp(chosen[kept]) + self.bias)
        return chosen

    def _with_terms(self, scores: Array, said: Sequence[int], attention: Array) -> Array:
        """Each term may be said as often as it was heard: it is begun where the decoder reads its source words, and
        what was begun is completed."""
        gains: dict[int, float] = {}
        times: dict[tuple[int, ...], int] = {}
        reads, whole, copying = attention.tolist(), False, False
        for wish in self.wishes:
            times[wish.tokens] = times.get(wish.tokens, 0) + 1
            exact = wish.kind in ("copy", "number")
            whole = whole or (exact and tuple(said[-len(wish.tokens) :]) == wish.tokens)
            if occurrences(wish.tokens, said) >= times[wish.tokens]:
                continue
            begun = overlap(wish.tokens, said)
            copying = copying or (exact and begun > 0)
            gain = wish.gain(begun, sum(reads[wish.first : wish.last + 1]))
            if gain:
                gains[wish.tokens[begun]] = max(gain, gains.get(wish.tokens[begun], 0.0))
        whole = whole and not copying and self.inner is not None
        if not gains and not whole:
            return scores
        scores = scores.copy()
        if whole:
            scores[self.inner] -= VERBATIM
        for place, gain in gains.items():
            scores[place] += gain
        scores -= scores.max()
        scores -= np.log(np.exp(scores).sum())
        return scores


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
