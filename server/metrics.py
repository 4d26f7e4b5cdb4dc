"""What Prometheus sees at /metrics: counts and times, never text, audio or tokens."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SIZES = (1, 2, 4, 8, 16, 32)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """One server's metrics, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        r = self.registry
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
        self.lag_s = _histogram(r, "streamst_lag_seconds", "From the arrival of audio until its words left the model")

    def exposition(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)


def _histogram(registry: CollectorRegistry, name: str, about: str) -> Histogram:
    return Histogram(name, about, buckets=_SECONDS, registry=registry)


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
