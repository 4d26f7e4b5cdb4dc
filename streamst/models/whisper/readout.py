"""The likeliest of 51,864 tokens without a product with each: a few are found roughly, in 8 bits, and weighed exactly.

Rough scores are taken in few dimensions, those in which the scores of real states differ most: for states x of second
moment L L^T and readout W, with V the first right singular vectors of W L, W x is nearly (W L V)(V^T L^-1 x), the best
approximation of that rank in the mean over x (Eckart and Young, 1936). Here `sketch` is (2, rank, D): V^T L^-1 and
V^T L^T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from streamst.nn.eight_bits import RowLinear

LIKELY, LIKELY_ROUGHLY = 16, 128  # tokens that are weighed exactly, sought in all dimensions and in few
TABLE = 24  # rows of the table in which they are sought
NO_MORE: Mapping[int, Tensor] = {}


class Readout:
    """States (N, D) to tokens, a row's numbers the same in any company."""

    def __init__(self, weight: Tensor, sketch: Tensor | None = None) -> None:
        """weight: (tokens, D); sketch: (2, rank, D), or None to seek in all dimensions."""
        self.weight, self._rough_states = weight, None if sketch is None else sketch[0].contiguous()
        self._count = LIKELY if sketch is None else LIKELY_ROUGHLY
        rough = weight.detach() if sketch is None else weight.detach() @ sketch[1].T
        linear = nn.Linear(rough.shape[1], len(rough), bias=False, device="meta")
        linear.weight = nn.Parameter(rough, requires_grad=False)
        self._rough = RowLinear(linear)

    def best(self, states: Tensor, allowed: Tensor, more: Mapping[int, Tensor] = NO_MORE) -> tuple[Tensor, Tensor]:
        """The likeliest token of each state, and the logarithm of its probability; allowed: (tokens,) 0, or -inf for
        what may not be written; more: likewise, of single states."""
        scores = self._scores(states) + allowed
        for place, forbidden in more.items():
            scores[place] += forbidden
        few, exact, total = self._weighed(scores, states)
        top = exact.max(-1, keepdim=True)
        return few.gather(-1, top.indices)[:, 0], top.values[:, 0] - total

    def likelihoods(self, states: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logarithm of the probability of a token after each of the states, as (N,)."""
        exact = (self.weight[list(tokens)] * states).sum(-1)
        return exact - self._weighed(self._scores(states), states)[2]

    def _scores(self, states: Tensor) -> Tensor:
        """Rough logits (N, tokens)."""
        if self._rough_states is not None:  # a product of several rows at once would round otherwise
            states = torch.stack([self._rough_states @ state for state in states])
        return self._rough(states)

    def _weighed(self, scores: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest tokens (N, count) by `scores`, their exact logits, and the logarithm (N,) of all tokens' sum
        of exponentials, these in place of the rough ones."""
        few = likeliest(scores, self._count)
        exact = torch.stack([self.weight[some] @ state for some, state in zip(few, states, strict=True)])
        exact = exact.masked_fill(scores.gather(-1, few).isneginf(), float("-inf"))
        return few, exact, scores.scatter(-1, few, exact).logsumexp(-1)


def likeliest(scores: Tensor, count: int) -> Tensor:
    """The places (N, count) of the largest of scores (N, V), in any order: they stand in those columns of a table
    whose largest are the largest."""
    rows, whole = scores.shape[-1] // TABLE, scores.shape[-1] // TABLE * TABLE
    if rows < count or whole < scores.shape[-1]:
        return scores.topk(min(count, scores.shape[-1]), -1).indices
    table = scores.unflatten(-1, (TABLE, rows))
    columns = table.amax(1).topk(count, -1).indices
    inside = table.gather(2, columns[:, None].expand(-1, TABLE, -1)).flatten(1).topk(count, -1).indices
    return inside // count * rows + columns.gather(-1, inside % count)


def sketch_of(weight: Tensor, moment: Tensor, rank: int) -> Tensor:
    """The sketch (2, rank, D) of a readout (tokens, D) for states of second moment (D, D)."""
    dim = len(moment)
    moment = moment.double() + 1e-3 * moment.diagonal().mean() * torch.eye(dim, dtype=torch.float64)
    root = torch.linalg.cholesky(moment)
    gram = root.T @ (weight.T @ weight).double() @ root
    most = torch.linalg.eigh(gram).eigenvectors[:, -rank:]
    asked = torch.linalg.solve_triangular(root.T, most, upper=True)
    return torch.stack([asked.T, (root @ most).T]).float()
