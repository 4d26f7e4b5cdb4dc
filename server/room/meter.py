"""The live latency meter: the same functions as in a report, over what was said so far.

While a stream runs nobody knows its reference or its end. The running values are therefore defined so: the reference
has as many words as were written so far, the source is as long as the audio heard so far.

    stream_laal_ms  LAAL of the whole stream under that definition: what a report says of a recording at its end
    laal_ms, al_ms  the mean over the segments that wrote something, delays and length counted from where a segment's
                    speech begins (StreamLAAL without a reference): a pause between two sentences is not a lead
    long_yaal_ms    as laal_ms, but of every word: it ends with the recording, LAAL with the audio heard so far
    laal_ca_ms      as laal_ms, on the `queue` clock: finish_j = max(arrival_j, finish_{j-1}) + compute_j
    lag_ms          from the arrival at the server of the last audio that was heard until its words left the model
    start_offset_ms audio heard when the first word was written
    split           network and playback as the client told them; buffer: how long the last audio waited for the model;
                    compute: of the last words; policy: from where the words were heard until they were committed, or
                    laal_ms where the model does not tell where it heard them
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamst.codecs.rate import RoundTrips
from streamst.evaluate.metrics.latency import running
from streamst.events import Caption, Words
from streamst.server.wire.seam import Latency
from streamst.server.wire.summary import Lags, Lateness

RECENT = 50  # words that the shares of the delay are averaged over
REMEMBERED = 5000  # words whose lags the percentiles of the summary are taken from, and words of one segment


Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class MeterKept:
    """What a meter knows of its stream, to be kept; not what it knows of a client's connection."""

    source_ms: float
    compute_ms: float
    words: int
    finish_ms: float
    segment_number: int
    segment_start_ms: float
    segment_heard_ms: float
    delays_ms: Numbers
    segment_delays_ms: Numbers
    segment_elapsed_ms: Numbers
    lags_ms: Numbers
    recent_compute_ms: Numbers
    recent_policy_ms: Numbers
    closed: tuple[Numbers, ...]  # of each metric


@dataclass
class _Segment:
    """When one segment's words were written, from where its speech begins [ms]."""

    start_ms: float
    delays_ms: list[float] = field(default_factory=list)
    elapsed_ms: list[float] = field(default_factory=list)
    heard_ms: float = 0.0

    def value(self, name: str, aware: bool = False) -> float | None:
        """A metric of this segment, its source being what was heard of it."""
        return running(name, self.elapsed_ms if aware else self.delays_ms, self.heard_ms)


class Meter:
    """One stream's latency. Grows by one number a word, for at most REMEMBERED words of a segment."""

    def __init__(self) -> None:
        self.source_ms = 0.0  # audio heard
        self.compute_ms = 0.0  # spent on it
        self.words = 0
        self.buffer_ms: float | None = None  # how long the last audio waited for the model
        self.network_ms: float | None = None  # one way, told by the client
        self.round_trips = RoundTrips()
        self.playback_ms: float | None = None
        self._finish_ms = 0.0  # of the `queue` clock
        self._delays_ms: list[float] = []
        self._segment: _Segment | None = None
        self._segment_number = -1
        self._starts_ms: dict[int, float] = {}
        self._closed: dict[str, list[float]] = {"LAAL": [], "AL": [], "CA": [], "LongYAAL": []}
        self._lags_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._compute_ms: deque[float] = deque(maxlen=RECENT)
        self._policy_ms: deque[float] = deque(maxlen=RECENT)

    def caption(self, caption: Caption) -> None:
        """Learn where a segment's speech begins."""
        if caption.segment > self._segment_number:
            self._starts_ms[caption.segment] = caption.start_ms

    def written(self, words: Words, lag_ms: float) -> None:
        """Count the words that one push wrote, before `heard` tells of that push. lag_ms: see the module."""
        if self._segment is None or words.segment != self._segment_number:
            self._begin(words)
        segment = self._segment
        assert segment is not None
        begun_ms = max(words.source_ms, self._finish_ms)
        for i, _ in enumerate(words.words):
            if len(segment.delays_ms) < REMEMBERED:
                segment.delays_ms.append(max(0.0, words.source_ms - segment.start_ms))
                segment.elapsed_ms.append(max(0.0, begun_ms + words.compute_ms - segment.start_ms))
            self._delays_ms.append(words.source_ms)
            self._lags_ms.append(lag_ms)
            self._compute_ms.append(words.compute_ms)
            if i < len(words.aligned_ms):
                self._policy_ms.append(words.source_ms - words.aligned_ms[i])
        self.words += len(words.words)
        segment.heard_ms = max(segment.heard_ms, words.source_ms - segment.start_ms)

    def heard(self, source_ms: float, compute_ms: float) -> None:
        """One push is done: `source_ms` of audio heard since the stream's start, `compute_ms` spent on this push."""
        self._finish_ms = max(source_ms, self._finish_ms) + compute_ms
        self.source_ms = source_ms
        self.compute_ms += compute_ms

    def measured(self, rtt_ms: float | None, playback_ms: float | None) -> None:
        """The client measured a round trip, or how much waits in its player."""
        if rtt_ms is not None:
            self.network_ms = rtt_ms / 2
            self.round_trips.add(rtt_ms)
        if playback_ms is not None:
            self.playback_ms = playback_ms

    def reading(self) -> Latency:
        """The values now."""
        delays = self._delays_ms
        laal_ms, policy_ms = self._mean("LAAL"), _average(self._policy_ms)
        return Latency(
            laal_ms=laal_ms,
            al_ms=self._mean("AL"),
            stream_laal_ms=running("LAAL", delays, self.source_ms),
            laal_ca_ms=self._mean("CA"),
            start_offset_ms=delays[0] if delays else None,
            lag_ms=self._lags_ms[-1] if self._lags_ms else None,
            words=self.words,
            source_ms=self.source_ms,
            rtf=self.rtf,
            split={
                "network": self.network_ms,
                "buffer": self.buffer_ms,
                "policy": laal_ms if policy_ms is None else policy_ms,
                "compute": _average(self._compute_ms),
                "playback": self.playback_ms,
            },
            long_yaal_ms=self._mean("LongYAAL"),
        )

    @property
    def rtf(self) -> float | None:
        """Compute time over audio time."""
        return self.compute_ms / self.source_ms if self.source_ms else None

    def summary(self) -> Lateness:
        """What the end of a stream says about its latency."""
        now = self.reading()
        return Lateness(
            audio_ms=self.source_ms,
            words=self.words,
            compute_ms=self.compute_ms,
            rtf=self.rtf,
            laal_ms=now.laal_ms,
            al_ms=now.al_ms,
            stream_laal_ms=now.stream_laal_ms,
            laal_ca_ms=now.laal_ca_ms,
            long_yaal_ms=now.long_yaal_ms,
            start_offset_ms=now.start_offset_ms,
            lag_ms=_percentiles(sorted(self._lags_ms)),
        )

    def keep(self) -> MeterKept:
        """What `go_on` takes."""
        segment = self._segment or _Segment(0.0)
        return MeterKept(
            self.source_ms, self.compute_ms, self.words, self._finish_ms,
            self._segment_number if self._segment else -1, segment.start_ms, segment.heard_ms,
            _array(self._delays_ms), _array(segment.delays_ms), _array(segment.elapsed_ms), _array(self._lags_ms),
            _array(self._compute_ms), _array(self._policy_ms), tuple(map(_array, self._closed.values())),
        )  # fmt: skip

    def go_on(self, kept: MeterKept) -> None:
        """Know what another meter knew."""
        self.source_ms, self.compute_ms, self.words = kept.source_ms, kept.compute_ms, kept.words
        self._finish_ms, self._segment_number = kept.finish_ms, kept.segment_number
        self._delays_ms = kept.delays_ms.tolist()
        if kept.segment_number >= 0:
            self._segment = _Segment(
                kept.segment_start_ms, kept.segment_delays_ms.tolist(), kept.segment_elapsed_ms.tolist(),
                kept.segment_heard_ms,
            )  # fmt: skip
        self._lags_ms.extend(kept.lags_ms.tolist())
        self._compute_ms.extend(kept.recent_compute_ms.tolist())
        self._policy_ms.extend(kept.recent_policy_ms.tolist())
        self._closed = {name: values.tolist() for name, values in zip(self._closed, kept.closed, strict=True)}

    def _begin(self, words: Words) -> None:
        """Close the segment before and open that of `words`."""
        if self._segment is not None:
            for name, value in self._values(self._segment).items():
                self._closed[name].append(value)
        start_ms = self._starts_ms.get(words.segment, 0.0)
        self._starts_ms = {n: at for n, at in self._starts_ms.items() if n > words.segment}
        self._segment = _Segment(start_ms=min(start_ms, words.source_ms))
        self._segment_number = words.segment

    @staticmethod
    def _values(segment: _Segment) -> dict[str, float]:
        values = {name: segment.value(name) for name in ("LAAL", "AL", "LongYAAL")}
        values["CA"] = segment.value("LAAL", aware=True)
        return {name: value for name, value in values.items() if value is not None}

    def _mean(self, name: str) -> float | None:
        """Over the closed segments and the one that is open."""
        values = self._closed[name] + ([] if self._segment is None else [*_only(self._values(self._segment), name)])
        return statistics.fmean(values) if values else None


def _array(values: Iterable[float]) -> Numbers:
    return np.fromiter(values, np.float32)


def _only(values: dict[str, float], name: str) -> list[float]:
    return [values[name]] if name in values else []


def _percentiles(lags_ms: list[float]) -> Lags | None:
    """Nearest rank, of ascending values."""

    def at(percent: int) -> float:
        return lags_ms[max(0, -(-len(lags_ms) * percent // 100) - 1)]

    return Lags(p50=at(50), p95=at(95), p99=at(99)) if lags_ms else None


def _average(values: deque[float]) -> float | None:
    return statistics.fmean(values) if values else None
