"""Several settings on one recording: what their sessions ask of the parts in the same state is computed once.

Every session is charged for what it did not have to compute: on the clock `Shared.now` it takes the time that it takes
alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from streamst.models.glossary import Glossary
from streamst.models.seam import Hear, Read, Write
from streamst.policies.base import Decoding

STEPS = frozenset({"init_state", "hear_all", "read_all", "write_all", "forget"})  # remembered


class Shared:
    """What the sessions of one recording, one after the other, have had computed."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """clock: counts seconds of computing."""
        self._clock = clock
        # The arguments are kept with the result: a state is known by its identity, which must stay taken.
        self._known: dict[tuple[Any, ...], tuple[Any, float, Any]] = {}
        self._saved_s = 0.0

    def now(self) -> float:
        """Seconds of computing, those saved included."""
        return self._clock() + self._saved_s

    def __len__(self) -> int:
        """How many results are held."""
        return len(self._known)

    def next_recording(self) -> None:
        """Forget what only the last recording needed."""
        self._known.clear()

    def part(self, part: Any) -> Any:
        """Stands for a recogniser or a writer (models/seam.py) whose steps are remembered."""
        return _Part(part, self)

    def remembered(self, key: tuple[Any, ...], step: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """What `step` makes of `arguments`; `key` tells this from other steps."""
        if key in self._known:
            result, cost_s, _ = self._known[key]
            self._saved_s += cost_s
        else:
            begun_s = self._clock()
            result = step(*arguments)
            self._known[key] = result, self._clock() - begun_s, (step, arguments)
        return result


class _Part:
    def __init__(self, part: Any, shared: Shared) -> None:
        self._part, self._shared = part, shared

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in STEPS:
            return found
        who = id(self._part)
        return lambda *given: self._shared.remembered((who, name, *map(_place, given)), found, given)


def _place(value: Any) -> Any:
    """What tells an argument from others: audio, work and plain values by value, states by identity."""
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, Hear | Read | Write):
        return (type(value), *(_place(getattr(value, one.name)) for one in fields(value)))
    if isinstance(value, list):
        return tuple(map(_place, value))
    return value if isinstance(value, int | float | str | tuple | Decoding | Glossary) else id(value)
