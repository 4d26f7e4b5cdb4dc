"""The state contract: a network never holds a session.

A streaming module offers

    state = module.init_state(batch, device, dtype)   # a fresh state is all zeros
    y, state = module.step(x, state)                  # no mutation of the state that was passed in
    y = module(x)                                     # offline: the same arithmetic from a fresh state

A state is a dataclass (subclass of `State`) whose fields are tensors with the batch in dimension 0, other states, or
tuples of
these. Rows are sessions: `select` gathers some, `assign` scatters them back, `reset` makes some fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

S = TypeVar("S", bound="State")


@dataclass(frozen=True)
class State:
    """Tensors of shape (B, ...), nested states, or tuples of them; all zeros when fresh."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """A state of the same shape whose every tensor went through `function`."""
        return self._zip(lambda tensors: function(tensors[0]))

    def select(self, rows: Sequence[int]) -> Self:
        """The states of `rows`, in that order (a copy)."""
        index = torch.as_tensor(list(rows), dtype=torch.long)
        return self.map(lambda t: t.index_select(0, index.to(t.device)))

    def assign(self, rows: Sequence[int], other: Self) -> Self:
        """A state in which `rows` are replaced by the rows of `other`."""
        index = torch.as_tensor(list(rows), dtype=torch.long)
        return self._zip(lambda ts: ts[0].index_copy(0, index.to(ts[0].device), ts[1].to(ts[0])), other)

    def reset(self, rows: Sequence[int]) -> Self:
        """A state in which `rows` are fresh."""
        index = torch.as_tensor(list(rows), dtype=torch.long)
        return self.map(lambda t: t.index_fill(0, index.to(t.device), 0))

    def tensors(self) -> list[Tensor]:
        """Every tensor, in field order."""
        found: list[Tensor] = []
        self.map(lambda t: found.append(t) or t)
        return found

    def _zip(self, function: Callable[[list[Tensor]], Tensor], *others: State) -> Self:
        changed = {
            f.name: _combine(function, [getattr(state, f.name) for state in (self, *others)]) for f in fields(self)
        }
        return replace(self, **changed)


def stacked(states: Sequence[S]) -> S:
    """The rows of `states` one after the other, as one state."""
    first, *others = states
    return first._zip(torch.cat, *others) if others else first


def _combine(function: Callable[[list[Tensor]], Tensor], values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return function(values)
    if isinstance(first, State):
        return first._zip(function, *values[1:])
    if isinstance(first, tuple):
        return tuple(_combine(function, list(column)) for column in zip(*values, strict=True))
    raise TypeError(f"a state holds tensors, states and tuples of them, not {type(first).__name__}")
