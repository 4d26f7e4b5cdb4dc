"""What Prometheus sees at /metrics: counts and times, never text, audio or tokens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import streamst
from streamst.server.wire.summary import Summary

_SIZES = (1, 2, 4, 8, 16, 32)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LATENCIES_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
QUANTILES = (0.5, 0.95, 0.99)
RECENT_WORDS = 2000  # that the percentiles of lag are of

# Histograms of sessions that ended: name, what of, where the report has it, what makes its unit the metric's, buckets.
_OF_SESSIONS: tuple[tuple[str, str, Callable[[Summary], float | None], float, tuple[float, ...]], ...] = (
    ("laal_seconds", "Length-adaptive average lagging", lambda one: one.laal_ms, 1e-3, _LATENCIES_S),
    ("long_yaal_seconds", "LongYAAL, without a reference", lambda one: one.long_yaal_ms, 1e-3, _LATENCIES_S),
    ("laal_ca_seconds", "The same with computation", lambda one: one.laal_ca_ms, 1e-3, _LATENCIES_S),
    (
        "start_offset_seconds", "From the begin of speech to the first word",
        lambda one: one.start_offset_ms, 1e-3, _LATENCIES_S,
    ),
    (
        "first_word_seconds", "From the first audio until the first word",
        lambda one: one.first_word_ms, 1e-3, _LATENCIES_S,
    ),
    (
        "first_audio_seconds", "From the first audio until the first speech",
        lambda one: one.first_audio_ms, 1e-3, _LATENCIES_S,
    ),
    ("rtf", "Real-time factor: time computed for a second of audio", lambda one: one.rtf, 1.0, _FACTORS),
)  # fmt: skip


class Metrics:
    """One server's metrics, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        r = self.registry
        Gauge("streamst_build_info", "Always 1", ["version"], registry=r).labels(streamst.__version__).set(1)
        self.max_sessions = Gauge("streamst_sessions_max", "Places for sessions", registry=r)
        self.errors = Counter("streamst_errors", "Connections that ended with an error", ["code", "name"], registry=r)
        self.dropped_s = Counter("streamst_audio_dropped_seconds", "Source audio that was not heard", registry=r)
        self.concealed_s = Counter(
            "streamst_audio_concealed_seconds", "Source audio that was lost on its way, and filled", registry=r
        )
        self._of_sessions = [
            (Histogram(f"streamst_session_{name}", f"{about}, of sessions", buckets=buckets, registry=r), of, unit)
            for name, about, of, unit, buckets in _OF_SESSIONS
        ]
        self.sessions = Gauge("streamst_sessions", "Sessions that are open now", registry=r)
        self.ended = Counter("streamst_sessions_ended", "Sessions by how they ended", ["code", "name"], registry=r)
        self.refused = Counter("streamst_sessions_refused", "Handshakes that were refused", ["why"], registry=r)
        self.heard_s = Counter("streamst_audio_heard_seconds", "Source audio translated", registry=r)
        self.spoken_s = Counter("streamst_audio_spoken_seconds", "Target speech sent", registry=r)
        self.words = Counter("streamst_words", "Target words committed", registry=r)
        self.bytes_in = Counter("streamst_bytes_in", "Websocket payload received", registry=r)
        self.bytes_out = Counter("streamst_bytes_out", "Websocket payload sent", registry=r)
        self.queue_s = _histogram(r, "streamst_queue_seconds", "How long a step waited for the networks")
        self.compute_s = _histogram(r, "streamst_compute_seconds", "How long a batch of steps took")
        self.batch_size = Histogram(
            "streamst_batch_size", "Sessions that went through a network together", ["kind"], buckets=_SIZES, registry=r
        )
        self.resumed = Counter("streamst_sessions_resumed", "Returns of clients whose connection dropped", registry=r)
        self.parked = Gauge("streamst_sessions_parked", "Sessions that wait for their client's return", registry=r)
        self.gaps = Counter("streamst_speech_gaps", "Times a listener had nothing to hear between speech", registry=r)
        self.underruns = Counter("streamst_speech_underruns", "Gaps where speech should have gone on", registry=r)
        self.rate_changes = Counter("streamst_speech_rate_changes", "Times the voice changed its pace", registry=r)
        self.lag_s = Lags(r)
        self._count_listeners(r)

    def _count_listeners(self, r: CollectorRegistry) -> None:
        """What is known of rooms."""
        self.rooms = Gauge("streamst_rooms", "Rooms of speakers who are there or awaited", registry=r)
        self.listeners = Gauge("streamst_listeners", "Listeners in all rooms", registry=r)
        self.listeners_refused = Counter("streamst_listeners_refused", "Listeners not let in", ["why"], registry=r)
        self.jumps = Counter(
            "streamst_listener_jumps", "Times a listener was so far behind as to jump to the present", registry=r
        )
        self.listener_lag_s = _histogram(
            r, "streamst_listener_lag_seconds", "From an event until it was handed to a listener's connection"
        )
        self.uncoded_s = Counter(
            "streamst_room_speech_uncoded_seconds", "Speech that listeners missed as coding it fell behind", registry=r
        )

        self.snapshots = Counter("streamst_snapshots", "Times a session was written to the store", registry=r)
        self.snapshot_bytes = Counter("streamst_snapshot_bytes", "What that wrote", registry=r)
        self.store_errors = Counter("streamst_store_errors", "Times the store did not answer, or refused", registry=r)
        self.restored = Counter("streamst_sessions_restored", "Sessions of other nodes that went on here", registry=r)
        self.fenced = Counter("streamst_sessions_fenced", "Sessions that another node went on with", registry=r)

    def end(self, code: int, name: str, fault: bool) -> None:
        """A connection ended with this close code. fault: that is an error, and no mere going."""
        self.ended.labels(code=str(code), name=name).inc()
        if fault:
            self.errors.labels(code=str(code), name=name).inc()

    def report(self, summary: Summary) -> None:
        """A session is over: count what its report says of quality."""
        for histogram, of, unit in self._of_sessions:
            value = of(summary)
            if value is not None:
                histogram.observe(value * unit)
        self.gaps.inc(summary.gaps.count)
        self.underruns.inc(summary.underruns)
        self.rate_changes.inc(summary.rate_changes)
        self.dropped_s.inc(summary.dropped_ms / 1000)
        self.concealed_s.inc(summary.concealed_ms / 1000)

    def exposition(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)


def _histogram(registry: CollectorRegistry, name: str, about: str) -> Histogram:
    return Histogram(name, about, buckets=_SECONDS, registry=registry)


class Lags(Collector):
    """How long words took from the arrival of their audio: a histogram, and percentiles of the latest ones."""

    def __init__(self, registry: CollectorRegistry) -> None:
        about = "From the arrival of audio until its words left the model"
        self._histogram = _histogram(registry, "streamst_lag_seconds", about)
        self._recent: deque[float] = deque(maxlen=RECENT_WORDS)
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, seconds: float) -> None:
        """One word, or several at once."""
        self._histogram.observe(seconds)
        with self._lock:
            self._recent.append(seconds)

    def recent(self, quantile: float) -> float | None:
        """A percentile of the latest ones, nearest rank; None before the first."""
        with self._lock:
            lags = sorted(self._recent)
        return lags[max(0, -(-len(lags) * round(quantile * 100) // 100) - 1)] if lags else None

    def collect(self) -> Iterator[Metric]:
        """The percentiles, nearest rank."""
        found = GaugeMetricFamily(
            "streamst_lag_recent_seconds", f"Percentiles of the last {RECENT_WORDS} lags", labels=["quantile"]
        )
        for quantile in QUANTILES:
            value = self.recent(quantile)
            if value is not None:
                found.add_metric([str(quantile)], value)
        yield found


class Tally:
    """Stands for `Metrics` in another process: remembers what to tell the real ones."""

    def __init__(self) -> None:
        self._told: list[tuple[str, str, dict[str, str], float]] = []
        self._lock = threading.Lock()

    def take(self) -> list[tuple[str, str, dict[str, str], float]]:
        """(metric, method, labels, value) since the last time."""
        with self._lock:
            told, self._told = self._told, []
        return told

    def __getattr__(self, name: str) -> _Told:
        return _Told(self, name, {})

    def note(self, name: str, method: str, labels: dict[str, str], value: float) -> None:
        """Remember one."""
        with self._lock:
            self._told.append((name, method, labels, value))


class _Told:
    def __init__(self, tally: Tally, name: str, labels: dict[str, str]) -> None:
        self._tally, self._name, self._labels = tally, name, labels

    def labels(self, **labels: str) -> _Told:
        return _Told(self._tally, self._name, labels)

    def inc(self, value: float = 1.0) -> None:
        self._tally.note(self._name, "inc", self._labels, value)

    def observe(self, value: float) -> None:
        self._tally.note(self._name, "observe", self._labels, value)
