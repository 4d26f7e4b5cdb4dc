"""What a session's report says: of the stream, of what a listener got, and of the connection.

The parts are made where they are measured and stand side by side in the JSON object that the native protocol's `closed`
and GET /v1/sessions/ID/report tell. None is a value that does not apply.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Lags:
    """Percentiles of how long words took from the arrival of their audio [ms]."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Times with nothing to play between two pieces of speech."""

    count: int = 0
    sum_ms: float = 0.0
    longest_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Mean rates of one direction [kbit/s]: of the audio as its codec made it, and with everything around it."""

    payload_kbps: float = 0.0
    wire_kbps: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """How late the words of a stream were (`room/meter.py` says how each value is computed)."""

    audio_ms: float = 0.0  # heard
    words: int = 0
    compute_ms: float = 0.0
    rtf: float | None = None
    laal_ms: float | None = None
    al_ms: float | None = None
    stream_laal_ms: float | None = None
    laal_ca_ms: float | None = None
    long_yaal_ms: float | None = None
    start_offset_ms: float | None = None
    lag_ms: Lags | None = None


@dataclass(frozen=True, kw_only=True)
class Heard(Lateness):
    """What became of a stream's audio."""

    samples: int = 0  # at the model's rate
    segments: int = 0
    decoder_calls: int = 0
    dropped_ms: float = 0.0
    concealed_ms: float = 0.0  # lost on the way, and filled
    speech_ms: float = 0.0  # target speech said


@dataclass(frozen=True, kw_only=True)
class Listened:
    """What a listener got (`session/qoe.py` says how each value is computed)."""

    first_word_ms: float | None = None
    first_audio_ms: float | None = None
    gaps: Gaps = field(default_factory=Gaps)
    underruns: int = 0
    rate_changes: int = 0
    fastest_rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Summary(Heard, Listened):
    """All of it."""

    session_id: str = ""
    reason: str = ""  # how it ended: a name of `codes`, "vanished", or "open" while it runs
    bytes_in: int = 0  # websocket payload from the client
    bytes_out: int = 0
    resumed: int = 0  # times
    up: Rates = field(default_factory=Rates)  # from the client
    down: Rates = field(default_factory=Rates)
