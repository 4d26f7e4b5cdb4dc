"""What an operator may set, and what the server then promises every client."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from streamst.errors import ConfigError

_AT_LEAST_ONE = (
    "max_sessions", "workers", "max_message_bytes", "max_text_bytes", "queue_bytes", "replay_bytes", "room_listeners",
)  # fmt: skip
_ABOVE_ZERO = (
    "idle_s", "silence_s", "max_duration_s", "ping_s", "send_timeout_s", "reservation_s", "credit_s",
    "listener_behind_s", "store_timeout_s", "snapshot_s",
)  # fmt: skip
_NOT_NEGATIVE = (
    "speed_limit", "burst_s", "drain_s", "park_s", "max_parked", "address_sessions", "address_connections",
    "address_rate", "max_listeners", "address_listeners", "room_kept_s",
)  # fmt: skip


@dataclass(frozen=True)
class ServerOptions:
    """Every limit of the service; the defaults suit one person or a small room on a laptop."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: the system picks a free one, which is printed
    max_sessions: int = 64  # who would make the others late is refused earlier (`refuse_when_busy`)
    refuse_when_busy: bool = True  # refuse who could not be heard in time, though there be places
    relieve_when_busy: bool = True  # hear in wider chunks, then decide more cheaply; a text may then depend on the load
    workers: int = 1  # processes that translate; 1 is a thread of this one
    policy: str | None = None  # for clients that name none; None is the latency dial's own
    latency: str | None = None  # for clients that name none; None is the model's own
    allowed_origins: tuple[str, ...] = ()  # beside the page's own, e.g. "https://talks.example.org"; "*" is any
    tls_cert: str | None = None  # PEM files, both or none
    tls_key: str | None = None
    speed_limit: float = 2.0  # audio may come at this multiple of real time; 0 is no limit but the queue
    burst_s: float = 30.0  # audio that may come at once before `speed_limit` counts [s]
    idle_s: float = 60.0  # without audio for so long, a session is closed [s]; a muted microphone sends silence
    silence_s: float = 600.0  # the same, of a client that says instead that it is there (Deepgram's KeepAlive) [s]
    max_duration_s: float = 4 * 3600.0  # of one session, in audio and on the clock [s]
    max_message_bytes: int = 1 << 20
    max_text_bytes: int = 1 << 19  # of one JSON message; a glossary of ten thousand terms fits
    queue_bytes: int = 1 << 20  # audio that waits for the model; when full the socket is not read
    ping_s: float = 10.0  # a client is asked so often whether it is there, and has so long to answer [s]
    send_timeout_s: float = 10.0  # a client that does not read for so long is dropped [s]
    drain_s: float = 5.0  # on SIGTERM, sessions have this long to end by themselves before they are finished [s]
    reservation_s: float = 20.0  # how long POST /v1/sessions keeps a place free [s]
    park_s: float = 60.0  # how long a session waits for a client whose connection dropped; 0: not at all [s]
    max_parked: int = 64  # sessions that wait so, which take no place; the oldest of whoever has most gives way
    replay_bytes: int = 4 << 20  # of what one session said and its client may not have got
    api_keys: str | None = None  # a file of keys, without one of which nobody may begin a session (auth.py)
    address_sessions: int = 32  # at once from one address, places kept for it included; 0 is no limit but the places
    address_connections: int = 200  # of any kind at once from one address; 0 is no limit but all there may be
    address_rate: int = 600  # connections in a minute from one address; 0 is no limit
    room_listeners: int = 500  # of one room at once
    max_listeners: int = 800  # of all rooms at once; 0: no rooms
    address_listeners: int = 200  # of all rooms at once from one address; 0 is no limit but those of rooms
    room_kept_s: float = 600.0  # how long a room's captions can be had after its end; 0: not at all [s]
    listener_behind_s: float = 10.0  # a listener who falls so far behind jumps to the present [s]
    credit_s: float = 10.0  # audio that a client may have on its way, not yet heard [s]
    store: str | None = None  # valkey://HOST:PORT/DB: sessions outlive this process, and any node goes on with them
    store_timeout_s: float = 1.0  # that an answer of the store may take [s]
    snapshot_s: float = 5.0  # a session is kept at each sentence's end, and at least so often [s]
    node_url: str | None = None  # ws://HOST:PORT, under which clients and other nodes reach this one
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is believed: addresses or networks

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port {self.port} is not a port; allowed: 0 to 65535")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("TLS needs a certificate and its key: give both tls_cert and tls_key, or neither")
        for name in _AT_LEAST_ONE:
            _require(getattr(self, name) >= 1, name, getattr(self, name), "be at least 1")
        for name in _ABOVE_ZERO:
            _require(getattr(self, name) > 0, name, getattr(self, name), "be above 0")
        for name in _NOT_NEGATIVE:
            _require(getattr(self, name) >= 0, name, getattr(self, name), "not be negative")
        if self.node_url is not None and not self.node_url.startswith(("ws://", "wss://")):
            raise ConfigError(f"node_url is {self.node_url!r}; it must begin with ws:// or wss://")
        for proxy in self.trusted_proxies:
            _require_network(proxy)
        if 0 < self.speed_limit < 1:
            raise ConfigError(f"speed_limit is {self.speed_limit}; below 1 nobody could speak (0 is no limit)")

    @property
    def scheme(self) -> str:
        """How a page is reached: `https` with a certificate, else `http`."""
        return "https" if self.tls_cert else "http"

    def limits(self) -> dict[str, float | int]:
        """What a client must know to stay within them, as told in `welcome` and by GET /v1/info."""
        return {
            "max_message_bytes": self.max_message_bytes,
            "max_text_bytes": self.max_text_bytes,
            "speed": self.speed_limit,
            "burst_ms": round(self.burst_s * 1000),
            "idle_ms": round(self.idle_s * 1000),
            "max_duration_ms": round(self.max_duration_s * 1000),
        }


def _require_network(proxy: str) -> None:
    try:
        ipaddress.ip_network(proxy, strict=False)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {proxy!r} is no address and no network") from error


def _require(right: bool, name: str, value: float, rule: str) -> None:
    if not right:
        raise ConfigError(f"{name} is {value}; it must {rule}")
