"""Steps of networks as frozen graphs: the same numbers without Python between the operations.

A stream's step is some hundred small operations; starting them from Python takes as long as doing them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from streamst.nn.state import State


def frozen(
    module: nn.Module, step: Callable[..., tuple[Any, ...]], *example: Tensor, state: State | None = None
) -> Callable[..., tuple[Any, ...]]:
    """`step(*inputs, state)`, which gives tensors and the state after it, as one graph; making it takes a second or so.
    Without a state: `step(*inputs)`, which gives tensors.

    module: whose weights `step` uses. example, state: of any sizes; the graph takes others as well.
    """
    with quietly():
        flat = _Flat(module, step, state).eval()
        held = [] if state is None else state.tensors()
        traced = torch.jit.trace(flat, (*example, *held), check_trace=False)
        graph = torch.jit.freeze(cast(torch.jit.ScriptModule, traced))
        for _ in range(3):  # the first runs of a graph compile it
            graph(*example, *held)
    if state is None:
        return graph

    def run(*arguments: Any) -> tuple[Any, ...]:
        *inputs, before = arguments
        held = before.tensors()
        found = graph(*inputs, *held)
        after = iter(found[-len(held) :])
        return (*found[: -len(held)], before.map(lambda _: next(after)))

    return run


@contextmanager
def quietly() -> Iterator[None]:
    """For tracing and scripting: no gradients, no warnings."""
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit announces its end, and that sizes were seen to be numbers
        yield


class _Flat(nn.Module):
    """A step between plain tensors, the state's among them; `layout` is any state, or None where there is none."""

    def __init__(self, module: nn.Module, step: Callable[..., tuple[Any, ...]], layout: State | None) -> None:
        super().__init__()
        self.module, self._step, self._layout = module, step, layout

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Inputs and the state's tensors -> outputs and those of the state after it."""
        if self._layout is None:
            return self._step(*tensors)
        count = len(self._layout.tensors())
        before = iter(tensors[-count:])
        *found, after = self._step(*tensors[:-count], self._layout.map(lambda _: next(before)))
        return (*found, *after.tensors())
