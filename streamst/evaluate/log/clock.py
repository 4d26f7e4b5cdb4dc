"""Computation-aware time: every published convention, derived from the raw events of a run.

A run is a list of steps: a chunk of audio was heard, something was computed, units were written or withdrawn. Each
convention turns that into one time for every unit that stayed, on a clock that starts with the recording:

queue        finish_j = max(arrival_j, finish_{j-1}) + compute_j: what a live listener gets, the default
wallclock    the time measured in a real-time paced run
simuleval    arrival_j + all computation so far (SimulEval's `elapsed`): grows with the length of a talk
simulstream  arrival_j + compute_j: as if no chunk ever waited for another
omnisteval   e'_i = max(e'_{i-1}, e_i - e_{i-1} + d_{i-1}) over the units' times e of `simuleval`
fbk          d_i + the computation since the unit before (FBK's StreamLAAL), a unit of the same write copies that cost
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streamst.errors import InputError

CONVENTIONS = ("queue", "wallclock", "simuleval", "simulstream", "omnisteval", "fbk")
FROM_ELAPSED = ("simuleval", "omnisteval", "fbk")  # what a log with nothing but delays and elapsed times allows


@dataclass(frozen=True)
class Step:
    """One chunk of audio and what came of it.

    heard_ms: audio heard, this chunk included; in real time it is there at exactly this time.
    compute_ms: how long computing took [ms], >= 0.
    written: units written in this step, after `deleted` were withdrawn.
    deleted: units withdrawn, the last of those that stood (re-translation).
    wall_ms: when the units were out, measured from the recording's start in a real-time paced run; None elsewhere.
    """

    heard_ms: float
    compute_ms: float
    written: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    wall_ms: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("heard_ms", self.heard_ms), ("compute_ms", self.compute_ms), ("wall_ms", self.wall_ms)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value!r}; it must be finite and >= 0")


@dataclass(frozen=True)
class Written:
    """The units that stood at the end, and for each the index of the step that wrote it."""

    units: tuple[str, ...]
    steps: tuple[int, ...]

    def delays_ms(self, steps: Sequence[Step]) -> tuple[float, ...]:
        """(units,) audio heard when each was written."""
        return tuple(steps[j].heard_ms for j in self.steps)


def final_units(steps: Sequence[Step]) -> Written:
    """Apply all deletions. Raises InputError, naming the step, where audio runs backwards or other units are deleted
    than those that stand last."""
    units: list[str] = []
    origins: list[int] = []
    heard = 0.0
    for j, step in enumerate(steps):
        if step.heard_ms < heard:
            raise InputError(f"step {j}: {step.heard_ms:g} ms heard after {heard:g} ms: audio must not go backwards")
        heard = step.heard_ms
        if step.deleted:
            standing = tuple(units[-len(step.deleted) :])
            if standing != step.deleted:
                raise InputError(f"step {j} deletes {list(step.deleted)}, but the last units are {list(standing)}")
            del units[-len(step.deleted) :], origins[-len(step.deleted) :]
        units += step.written
        origins += [j] * len(step.written)
    return Written(tuple(units), tuple(origins))


def step_times(steps: Sequence[Step], convention: str) -> tuple[float, ...]:
    """(steps,) when what a step wrote is out [ms], for the conventions that are defined by step.

    Raises InputError for another convention, and for `wallclock` where a step has no measured time.
    """
    times: list[float] = []
    finish = spent = 0.0
    for j, step in enumerate(steps):
        finish = max(step.heard_ms, finish) + step.compute_ms
        spent += step.compute_ms
        if convention == "queue":
            times.append(finish)
        elif convention == "simuleval":
            times.append(step.heard_ms + spent)
        elif convention == "simulstream":
            times.append(step.heard_ms + step.compute_ms)
        elif convention == "wallclock":
            if step.wall_ms is None:
                raise InputError(f"step {j} has no measured time: `wallclock` needs a real-time paced run")
            times.append(step.wall_ms)
        else:
            raise InputError(f"clock {convention!r} is not defined by step; allowed: {', '.join(CONVENTIONS[:4])}")
    return tuple(times)


def unit_times(steps: Sequence[Step], convention: str = "queue") -> tuple[float, ...]:
    """(units,) the time of every unit that stayed, on the clock `convention` [ms]. Raises InputError as above."""
    if convention not in CONVENTIONS:
        raise InputError(f"unknown clock {convention!r}; allowed: {', '.join(CONVENTIONS)}")
    written = final_units(steps)
    by_step = step_times(steps, "simuleval" if convention in FROM_ELAPSED else convention)
    times = tuple(by_step[j] for j in written.steps)
    return times if convention not in FROM_ELAPSED else from_elapsed(written.delays_ms(steps), times, convention)


def from_elapsed(delays_ms: Sequence[float], elapsed_ms: Sequence[float], convention: str) -> tuple[float, ...]:
    """(units,) times of `omnisteval`, `fbk` or `simuleval` itself from SimulEval's `elapsed` of a recording.

    Raises InputError for unequal lengths and for clocks that need to know of every step (`queue` and others).
    """
    if len(delays_ms) != len(elapsed_ms):
        raise InputError(f"{len(delays_ms)} delays but {len(elapsed_ms)} elapsed times: they must be equal")
    if convention == "simuleval":
        return tuple(elapsed_ms)
    if convention not in FROM_ELAPSED:
        raise InputError(f"clock {convention!r} cannot be had from elapsed times; allowed: {', '.join(FROM_ELAPSED)}")
    times: list[float] = []
    for i, (delay, elapsed) in enumerate(zip(delays_ms, elapsed_ms, strict=True)):
        if i == 0:
            times.append(elapsed)
        elif convention == "fbk" and elapsed == elapsed_ms[i - 1]:
            times.append(times[-1] - delays_ms[i - 1] + delay)
        else:
            since = elapsed - elapsed_ms[i - 1] + delays_ms[i - 1]
            times.append(since if convention == "fbk" else max(times[-1], since))
    return tuple(times)


def compute_rtf(steps: Sequence[Step], source_ms: float) -> float:
    """Compute time / audio time; never playback length / source length. Raises InputError without audio."""
    if not source_ms > 0:
        raise InputError(f"source_ms is {source_ms!r}; RTF needs a recording longer than 0 ms")
    return math.fsum(step.compute_ms for step in steps) / source_ms
