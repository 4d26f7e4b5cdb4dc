"""Latency of written units: AP, AL, LAAL, DAL, YAAL, offsets. Pure functions of delays for reports and live meters.

Notation of the docstrings: X = `source_ms`, d_i = `delays_ms[i]`, Y_h = emitted units, Y_r = reference units.
The computation-aware (CA) counterpart of every function is the same function on `computation_aware(u)`, whose
delays are the times of one named clock (`streamst.evaluate.log.clock`).

Sources: AP Cho and Esipova 2016; AL Ma et al. 2019 (ACL P19-1289, eq. 8); DAL Cherry and Foster 2019; LAAL Papi et al.
2022 and Polak et al. 2022; YAAL Polak et al. 2025.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from streamst.errors import InputError

from .result import Metric, signature


@dataclass(frozen=True)
class Utterance:
    """When the units of one source segment were written.

    delays_ms: (Y_h,) source audio heard when unit i was written, the chunk just read included [ms].
    source_ms: X, length of the source [ms], >= 0.
    reference_units: Y_r >= 0, counted like the hypothesis (`units.split_units`); None: unknown, Y_h stands in for it.
    elapsed_ms: (Y_h,) or empty; the same units on a clock that counts computation too [ms].

    Raises InputError for unequal lengths, NaN or infinite times and negative lengths. Delays that go backwards or
    past the end are legal here (re-translation, padded logs): `check` rejects them.
    """

    delays_ms: tuple[float, ...]
    source_ms: float
    reference_units: int | None = None
    elapsed_ms: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_times("delays_ms", self.delays_ms)
        _check_times("elapsed_ms", self.elapsed_ms)
        if not (math.isfinite(self.source_ms) and self.source_ms >= 0):
            raise InputError(f"source_ms is {self.source_ms!r}; it must be finite and >= 0")
        if self.reference_units is not None and self.reference_units < 0:
            raise InputError(f"reference_units is {self.reference_units}; it must be >= 0")
        if self.elapsed_ms and len(self.elapsed_ms) != len(self.delays_ms):
            raise InputError(f"{len(self.delays_ms)} delays but {len(self.elapsed_ms)} elapsed times: one each needed")


def check(u: Utterance, where: str = "", units: int | None = None) -> None:
    """Raise InputError, its message beginning with `where`, unless `u` is what a live system can have produced.

    Rejects delays that go backwards or are negative, elapsed times before their delays, and, where `units` is given,
    another number of delays than units. Delays past the end of the source are scored as they stand: `past_end`.
    """
    where = f"{where}: " if where else ""
    if units is not None and units != len(u.delays_ms):
        raise InputError(f"{where}{units} units but {len(u.delays_ms)} delays: they must be equal")
    previous = 0.0
    for i, delay in enumerate(u.delays_ms):
        if delay < previous:
            raise InputError(f"{where}delay {i} is {delay:g} ms after {previous:g} ms: delays must not go backwards")
        previous = delay
    for i, (delay, elapsed) in enumerate(zip(u.delays_ms, u.elapsed_ms, strict=False)):
        if elapsed < delay - 1e-6 * max(1.0, delay):
            raise InputError(f"{where}elapsed {i} is {elapsed:g} ms, before its delay {delay:g} ms")


def past_end(u: Utterance) -> bool:
    """Whether a unit has a delay past the end of the source: a log's rounding, or two lengths of one recording."""
    return max(u.delays_ms, default=0.0) > u.source_ms + 1e-6 * max(1.0, u.source_ms)


def computation_aware(u: Utterance) -> Utterance:
    """`u` on its CA clock: delays_ms = elapsed_ms. Raises InputError where units have no elapsed times."""
    if u.delays_ms and not u.elapsed_ms:
        raise InputError("computation-aware latency needs elapsed_ms; this utterance has only delays_ms")
    return replace(u, delays_ms=u.elapsed_ms, elapsed_ms=())


def average_proportion(u: Utterance) -> float | None:
    """AP = sum_i d_i / (X * Y_r), all units; over-generation can give > 1. None without output, reference or source."""
    reference = _reference(u)
    if not u.delays_ms or not reference or not u.source_ms:
        return None
    return math.fsum(u.delays_ms) / (u.source_ms * reference)


def average_lagging(u: Utterance) -> float | None:
    """AL = mean over i <= tau of d_i - (i-1) X / Y_r; tau = first i with d_i >= X, inclusive [ms].

    The value is d_1 when d_1 > X. None without output or with an empty reference.
    """
    reference = _reference(u)
    return _lagging(u, reference) if u.delays_ms and reference else None


def length_adaptive_average_lagging(u: Utterance) -> float | None:
    """LAAL: AL with X / max(Y_h, Y_r) [ms]. None without output."""
    return _lagging(u, max(len(u.delays_ms), _reference(u))) if u.delays_ms else None


def differentiable_average_lagging(u: Utterance) -> float | None:
    """DAL = mean of g_i - (i-1) X / Y_h; g_1 = d_1, g_i = max(d_i, g_{i-1} + X / Y_h) [ms]. None without output."""
    if not u.delays_ms:
        return None
    pace = u.source_ms / len(u.delays_ms)
    paced = -math.inf
    lags = []
    for i, delay in enumerate(u.delays_ms):
        paced = max(delay, paced + pace)
        lags.append(paced - i * pace)
    return math.fsum(lags) / len(lags)


def yet_another_average_lagging(u: Utterance, end_ms: float | None = None) -> float | None:
    """YAAL = mean of d_i - (i-1) X / max(Y_h, Y_r) over the units before the first with d_i >= end [ms].

    end_ms: X when None; LongYAAL gives the end of the recording, `math.inf` for none. None without a unit before it.
    """
    end_ms = u.source_ms if end_ms is None else end_ms
    pace = u.source_ms / max(len(u.delays_ms), _reference(u), 1)
    lags = []
    for i, delay in enumerate(u.delays_ms):
        if delay >= end_ms:
            break
        lags.append(delay - i * pace)
    return math.fsum(lags) / len(lags) if lags else None


def start_offset(u: Utterance) -> float | None:
    """StartOffset = d_1 [ms]. None without output."""
    return u.delays_ms[0] if u.delays_ms else None


def end_offset(u: Utterance) -> float | None:
    """EndOffset of text = d_last - X [ms]; of speech: `speech.end_offset`. None without output."""
    return u.delays_ms[-1] - u.source_ms if u.delays_ms else None


def num_chunks(u: Utterance) -> float | None:
    """NumChunks = number of delays: units of text, chunks of speech. None without output."""
    return float(len(u.delays_ms)) if u.delays_ms else None


@dataclass(frozen=True)
class Formula:
    """One metric by name: its function, the unit of its value, and the rules that its signature states."""

    compute: Callable[[Utterance], float | None]
    unit: str
    tau: str = ""  # which unit is the last to count
    reflen: str = ""  # which length the ideal policy has


FORMULAS: dict[str, Formula] = {
    "AP": Formula(average_proportion, "ratio", "all", "ref"),
    "AL": Formula(average_lagging, "ms", "first>=X,inclusive", "ref"),
    "LAAL": Formula(length_adaptive_average_lagging, "ms", "first>=X,inclusive", "max(hyp,ref)"),
    "DAL": Formula(differentiable_average_lagging, "ms", "all", "hyp"),
    "YAAL": Formula(yet_another_average_lagging, "ms", "first>=X,exclusive", "max(hyp,ref)"),
    "StartOffset": Formula(start_offset, "ms"),
    "EndOffset": Formula(end_offset, "ms"),
    "NumChunks": Formula(num_chunks, "chunks"),
}


def split_name(name: str) -> tuple[str, str]:
    """("LAAL", "queue") of "LAAL_CA_queue", ("LAAL", "none") of "LAAL". Raises InputError for an unknown metric."""
    base, _, convention = name.partition("_CA_")
    if base not in FORMULAS or (not convention and base != name):
        raise InputError(f"unknown latency metric {name!r}; known: {', '.join(FORMULAS)}, each also as NAME_CA_<clock>")
    return base, convention or "none"


def per_utterance(name: str, utterances: Iterable[Utterance]) -> list[float | None]:
    """The metric `name` (its CA form reads `elapsed_ms`) of each utterance, None where it is undefined."""
    base, convention = split_name(name)
    compute = FORMULAS[base].compute
    return [compute(u if convention == "none" else computation_aware(u)) for u in utterances]


def corpus(name: str, utterances: Sequence[Utterance], text_unit: str = "word") -> Metric | None:
    """The plain mean of a metric over the utterances that define it; None when none does.

    name: a key of FORMULAS, or NAME_CA_<clock>: then `elapsed_ms` must hold that clock's times.
    The signature counts utterances (`n`), empty outputs (`empty`) and others without a value (`undefined`).
    """
    base, convention = split_name(name)
    formula = FORMULAS[base]
    values = per_utterance(name, utterances)
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    empty = sum(not u.delays_ms for u in utterances)
    fields: dict[str, object] = {"unit": text_unit}
    if formula.tau:
        fields |= {"tau": formula.tau, "reflen": formula.reflen}
    fields |= {"ca": convention, "n": len(values), "empty": empty, "undefined": len(values) - len(defined) - empty}
    return Metric(math.fsum(defined) / len(defined), formula.unit, signature(fields))


def count_empty(utterances: Sequence[Utterance]) -> Metric:
    """`empty`: how many utterances have no output at all. They count nowhere else: an empty output is not fast."""
    empty = sum(not u.delays_ms for u in utterances)
    return Metric(float(empty), "segments", signature({"n": len(utterances)}))


def running(name: str, delays_ms: Sequence[float], heard_ms: float) -> float | None:
    """The live meter: a metric of an unfinished stream, source length = audio heard so far, no reference [ms].

    LongYAAL counts every word: it stops at the end of the recording, which is not known yet.
    """
    if name == "LongYAAL":
        return yet_another_average_lagging(Utterance(tuple(delays_ms), heard_ms), math.inf)
    base, _ = split_name(name)
    return FORMULAS[base].compute(Utterance(tuple(delays_ms), heard_ms))


def _reference(u: Utterance) -> int:
    return len(u.delays_ms) if u.reference_units is None else u.reference_units


def _lagging(u: Utterance, length: int) -> float:
    if u.delays_ms[0] > u.source_ms:
        return u.delays_ms[0]
    pace = u.source_ms / length
    lags = []
    for i, delay in enumerate(u.delays_ms):
        lags.append(delay - i * pace)
        if delay >= u.source_ms:
            break
    return math.fsum(lags) / len(lags)


def _check_times(name: str, times: Sequence[float]) -> None:
    for i, value in enumerate(times):
        if not math.isfinite(value):
            raise InputError(f"{name}[{i}] is {value!r}; times must be finite numbers of milliseconds")
