"""When each unit of a recording was out, on a clock of `clock.py` or on the one that its log brings along."""

from __future__ import annotations

from collections.abc import Sequence

from streamst.errors import InputError

from .clock import FROM_ELAPSED, from_elapsed, unit_times
from .recording import Recording

BY_STEP = ("queue", "simuleval", "simulstream", "omnisteval", "fbk")
LOG_CLOCK = "log"  # times that a log brings along, on a clock that only its writer knows


def clocks_of(recordings: Sequence[Recording], log_format: str) -> tuple[str, ...]:
    """The computation-aware clocks that every recording with text allows."""
    texts = [r for r in recordings if r.output != "speech"]
    if not texts:
        return ()
    if all(r.steps for r in texts):
        return (*BY_STEP, "wallclock") if all(r.paced for r in texts) else BY_STEP
    if all(r.elapsed_ms or not r.units for r in texts) and any(r.elapsed_ms for r in texts):
        return FROM_ELAPSED if log_format == "simuleval" else (LOG_CLOCK,)
    return ()


def elapsed_of(recording: Recording, clock: str) -> tuple[float, ...]:
    """(U,) when each unit was out on `clock` [ms]; counted once. InputError when the log does not allow that clock."""
    kept = recording.clocked_ms
    if clock not in kept:
        kept[clock] = _elapsed(recording, clock)
    return kept[clock]


def _elapsed(recording: Recording, clock: str) -> tuple[float, ...]:
    if recording.steps:
        return unit_times(recording.steps, clock)
    if not recording.units:
        return ()
    if not recording.elapsed_ms:
        raise InputError(f"{recording.where}: the log has no computation times, so no clock {clock!r}")
    if clock == LOG_CLOCK:
        return recording.elapsed_ms
    return from_elapsed(recording.delays_ms, recording.elapsed_ms, clock)
