"""Latency of speech output, and ATD for speech and text: token times, the playback timeline, its silences.

ATD: Kano et al. 2023 ("Average Token Delay", Interspeech), with the conventions that make text and speech comparable.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamst.errors import InputError
from streamst.evaluate.latency import Utterance

TOKEN_MS = 300.0  # length of a speech token, source and target


@dataclass(frozen=True)
class SpokenUtterance:
    """When the chunks of synthetic speech for one source segment were ready.

    delays_ms: (chunks,) source audio heard when chunk i was ready [ms].
    durations_ms: (chunks,) its length in playback [ms], >= 0.
    source_ms: X, length of the source [ms].
    elapsed_ms: (chunks,) or empty; readiness on a clock that counts computation too [ms].

    Raises InputError for unequal lengths, NaN or negative durations, as `latency.Utterance` does.
    """

    delays_ms: tuple[float, ...]
    durations_ms: tuple[float, ...]
    source_ms: float
    elapsed_ms: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.as_utterance()
        if len(self.durations_ms) != len(self.delays_ms):
            raise InputError(f"{len(self.delays_ms)} delays but {len(self.durations_ms)} durations: they must be equal")
        for i, duration in enumerate(self.durations_ms):
            if not (math.isfinite(duration) and duration >= 0):
                raise InputError(f"durations_ms[{i}] is {duration!r}; it must be finite and >= 0")

    def as_utterance(self, reference_units: int | None = None) -> Utterance:
        """Chunks as units, for AL and relatives (the convention of SimulEval: a chunk counts like a word)."""
        return Utterance(self.delays_ms, self.source_ms, reference_units, self.elapsed_ms)


@dataclass(frozen=True)
class Interval:
    """One chunk in playback."""

    start_ms: float
    end_ms: float


def playback(delays_ms: Sequence[float], durations_ms: Sequence[float]) -> tuple[Interval, ...]:
    """When each chunk is heard: start_i = max(end_{i-1}, d_i), end_i = start_i + duration_i [ms].

    On a CA clock give its times as `delays_ms`.
    """
    intervals: list[Interval] = []
    end = -math.inf
    for delay, duration in zip(delays_ms, durations_ms, strict=True):
        start = max(end, delay)
        end = start + duration
        intervals.append(Interval(start, end))
    return tuple(intervals)


def silences(intervals: Sequence[Interval]) -> tuple[float, ...]:
    """Length of every gap between successive chunks in playback, positive ones only [ms]."""
    gaps = (after.start_ms - before.end_ms for before, after in itertools.pairwise(intervals))
    return tuple(gap for gap in gaps if gap > 0)


@dataclass(frozen=True)
class Discontinuity:
    """Silences in playback: how many, how long together, how long on average (0 without any) [ms]."""

    count: int
    sum_ms: float
    mean_ms: float


def discontinuity(u: SpokenUtterance) -> Discontinuity | None:
    """None without output."""
    if not u.delays_ms:
        return None
    gaps = silences(playback(u.delays_ms, u.durations_ms))
    total = math.fsum(gaps)
    return Discontinuity(len(gaps), total, total / len(gaps) if gaps else 0.0)


def end_offset(u: SpokenUtterance) -> float | None:
    """EndOffset of speech = end of playback - X [ms]. None without output."""
    return playback(u.delays_ms, u.durations_ms)[-1].end_ms - u.source_ms if u.delays_ms else None


def average_token_delay(u: Utterance | SpokenUtterance, *, source_is_text: bool = False) -> float | None:
    """ATD = mean over target tokens of T(y_t) - T(x_a(t)) [ms, or source words when `source_is_text`].

    Source tokens: 300 ms pieces of each interval between successive distinct delays, the remainder is one of its own.
    Target tokens: text has one of length 0 a unit; speech has the 300 ms pieces of all that one delay brought.
    `source_is_text` (text to text): delays count words and every token, source and target, is 1 long.
    With `elapsed_ms` the value is computation-aware: the first token of a write waits for the time computed since the
    write before. None without output.
    """
    source_ends: list[float] = []
    differences: list[float] = []
    heard = written = 0.0
    cost_before = 0.0
    targets_before = 0
    for delay, elapsed, pieces in _writes(u, source_is_text):
        sources_before = len(source_ends)
        source_ends.extend(_piece_ends(heard, delay, 1.0 if source_is_text else TOKEN_MS))
        heard = max(heard, delay)
        cost = elapsed - delay
        compute, cost_before = cost - cost_before, cost
        shift = max(0, targets_before - sources_before)
        for position, length in enumerate(pieces):
            written = max(delay, written) + length + (compute if position == 0 else 0.0)
            aligned = min(targets_before + position + 1 - shift, len(source_ends))
            differences.append(written - (source_ends[aligned - 1] if aligned else 0.0))
        targets_before += len(pieces)
    return math.fsum(differences) / len(differences) if differences else None


def _writes(u: Utterance | SpokenUtterance, source_is_text: bool) -> Iterator[tuple[float, float, list[float]]]:
    """(delay, elapsed, target token lengths) of each run of equal delays."""
    elapsed = u.elapsed_ms or u.delays_ms
    durations = u.durations_ms if isinstance(u, SpokenUtterance) else None
    for delay, run in itertools.groupby(range(len(u.delays_ms)), key=lambda i: u.delays_ms[i]):
        members = list(run)
        if durations is None:
            pieces = [1.0 if source_is_text else 0.0] * len(members)
        else:
            total = math.fsum(durations[i] for i in members)
            ends = _piece_ends(0.0, total, TOKEN_MS)
            pieces = [end - start for start, end in itertools.pairwise([0.0, *ends])]
        yield delay, elapsed[members[-1]], pieces


def _piece_ends(start: float, end: float, piece: float) -> list[float]:
    """Ends of the pieces of [start, end), the last one shorter."""
    whole = int((end - start) // piece)
    ends = [start + piece * (k + 1) for k in range(whole)]
    return ends if start + whole * piece >= end else [*ends, end]
