"""Latency of speech output, and ATD for speech and text: token times, the playback timeline, its silences.

ATD: Kano et al. 2023 ("Average Token Delay", Interspeech), with the conventions that make text and speech comparable.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from streamst.errors import InputError

from .latency import Utterance
from .result import Metric, signature

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
    """Silences in playback: how many, how long together, on average and at most (0 without any) [ms]."""

    count: int
    sum_ms: float
    mean_ms: float
    max_ms: float


def discontinuity(u: SpokenUtterance) -> Discontinuity | None:
    """None without output."""
    if not u.delays_ms:
        return None
    gaps = silences(playback(u.delays_ms, u.durations_ms))
    total = math.fsum(gaps)
    return Discontinuity(len(gaps), total, total / len(gaps) if gaps else 0.0, max(gaps, default=0.0))


def end_offset(u: SpokenUtterance) -> float | None:
    """EndOffset of speech = end of playback - X [ms]. None without output."""
    return playback(u.delays_ms, u.durations_ms)[-1].end_ms - u.source_ms if u.delays_ms else None


def average_token_delay(
    u: Utterance | SpokenUtterance, clock: str = "none", *, source_is_text: bool = False
) -> float | None:
    """ATD = mean over target tokens of T(y_t) - T(x_a(t)) [ms, or source words when `source_is_text`].

    Source tokens: 300 ms pieces of each interval between successive distinct delays, the remainder is one of its own.
    Target tokens: text has one of length 0 a unit; speech has the 300 ms pieces of all that one delay brought.
    `source_is_text` (text to text): delays count words and every token, source and target, is 1 long.

    clock: "none" reads `delays_ms`. On "simuleval", whose elapsed times add up all computation, a token waits for what
    was computed since the token before: T(y_t) = max(d_t, T(y_t-1)) + length + computed. On any other clock a token is
    there at its elapsed time: T(y_t) = max(e_t, T(y_t-1)) + length.

    None without output. Raises InputError where a clock is named but there are no elapsed times.
    """
    if clock != "none" and u.delays_ms and not u.elapsed_ms:
        raise InputError(f"ATD on the clock {clock!r} needs elapsed_ms; this utterance has only delays_ms")
    source_ends: list[float] = []
    differences: list[float] = []
    heard = written = spent = 0.0
    targets_before = 0
    for delay, pieces, ready in _writes(u, clock, source_is_text):
        sources_before = len(source_ends)
        source_ends.extend(_piece_ends(heard, delay, 1.0 if source_is_text else TOKEN_MS))
        heard = max(heard, delay)
        shift = max(0, targets_before - sources_before)
        for position, length in enumerate(pieces):
            available, computed = ready[position], 0.0
            if clock == "simuleval":
                available, computed, spent = delay, ready[position] - delay - spent, ready[position] - delay
            written = max(available, written) + length + computed
            aligned = min(targets_before + position + 1 - shift, len(source_ends))
            differences.append(written - (source_ends[aligned - 1] if aligned else 0.0))
        targets_before += len(pieces)
    return math.fsum(differences) / len(differences) if differences else None


def _writes(
    u: Utterance | SpokenUtterance, clock: str, source_is_text: bool
) -> Iterator[tuple[float, list[float], list[float]]]:
    """(delay, lengths of the target tokens, when each is there) of each run of equal delays."""
    times = u.delays_ms if clock == "none" else u.elapsed_ms
    for delay, run in itertools.groupby(range(len(u.delays_ms)), key=lambda i: u.delays_ms[i]):
        members = list(run)
        if isinstance(u, SpokenUtterance):
            ends = _piece_ends(0.0, math.fsum(u.durations_ms[i] for i in members), TOKEN_MS)
            pieces = [end - start for start, end in itertools.pairwise([0.0, *ends])]
            yield delay, pieces, [times[members[-1]]] * len(pieces)
        else:
            yield delay, [1.0 if source_is_text else 0.0] * len(members), [times[i] for i in members]


def _piece_ends(start: float, end: float, piece: float) -> list[float]:
    """Ends of the pieces of [start, end), the last one shorter."""
    whole = int((end - start) // piece)
    ends = [start + piece * (k + 1) for k in range(whole)]
    return ends if start + whole * piece >= end else [*ends, end]


def _on_clock(u: SpokenUtterance, clock: str) -> SpokenUtterance:
    if clock == "none":
        return u
    if u.delays_ms and not u.elapsed_ms:
        raise InputError(f"the clock {clock!r} needs elapsed_ms; this utterance has only delays_ms")
    return replace(u, delays_ms=u.elapsed_ms, elapsed_ms=())


CONTINUOUS_MS = 100.0  # the longest silence that C100 allows
SPEECH_UNITS = {
    "StartOffset": "ms",
    "EndOffset": "ms",
    "NumChunks": "chunks",
    "DiscontinuityNum": "silences",
    "DiscontinuitySum": "ms",
    "DiscontinuityMean": "ms",
    "DiscontinuityMax": "ms",
    "C100": "%",
}


def _speech_value(base: str, u: SpokenUtterance) -> float | None:
    if base == "StartOffset":
        return u.delays_ms[0] if u.delays_ms else None
    if base == "EndOffset":
        return end_offset(u)
    if base == "NumChunks":
        return float(len(u.delays_ms)) if u.delays_ms else None
    gaps = discontinuity(u)
    if gaps is None:
        return None
    return {
        "DiscontinuityNum": float(gaps.count),
        "DiscontinuitySum": gaps.sum_ms,
        "DiscontinuityMean": gaps.mean_ms,
        "DiscontinuityMax": gaps.max_ms,
        "C100": 100.0 if gaps.max_ms <= CONTINUOUS_MS else 0.0,
    }[base]


def per_utterance(name: str, utterances: Iterable[Utterance | SpokenUtterance]) -> list[float | None]:
    """ATD of text or speech, or a key of SPEECH_UNITS of speech, each also as NAME_CA_<clock>; None where undefined.

    Raises InputError for an unknown name, and for a speech metric of text.
    """
    base, convention = _split_name(name)
    values: list[float | None] = []
    for u in utterances:
        if base == "ATD":
            values.append(average_token_delay(u, convention))
        elif isinstance(u, SpokenUtterance):
            values.append(_speech_value(base, _on_clock(u, convention)))
        else:
            raise InputError(f"{name} of speech output needs chunk durations; for text see metrics.latency")
    return values


def corpus(name: str, utterances: Sequence[Utterance | SpokenUtterance]) -> Metric | None:
    """The plain mean of `per_utterance` over the utterances that define it; None when none does."""
    base, convention = _split_name(name)
    values = per_utterance(name, utterances)
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    spoken = any(isinstance(u, SpokenUtterance) for u in utterances)
    fields: dict[str, object] = {"output": "speech" if spoken else "text"}
    if base == "ATD":
        fields |= {"source_token": f"{TOKEN_MS:g}ms", "target_token": f"{TOKEN_MS:g}ms" if spoken else "unit,0ms"}
    fields |= {"ca": convention, "n": len(values), "empty": len(values) - len(defined)}
    return Metric(math.fsum(defined) / len(defined), SPEECH_UNITS.get(base, "ms"), signature(fields))


def _split_name(name: str) -> tuple[str, str]:
    base, _, convention = name.partition("_CA_")
    if (base != "ATD" and base not in SPEECH_UNITS) or (not convention and base != name):
        raise InputError(f"unknown metric {name!r}; known: ATD, {', '.join(SPEECH_UNITS)}, also as NAME_CA_<clock>")
    return base, convention or "none"
