"""Who may come in, how much may wait, and how fast audio may arrive. Pure but for the clock that callers pass in."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from streamst.errors import ProtocolError
from streamst.server.wire import codes

from .options import ServerOptions

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class SpeedGate:
    """A leaky bucket of audio: `burst_ms` may come at once, and it drains at `speed` times real time (0: no limit)."""

    def __init__(self, speed: float, burst_ms: float) -> None:
        self.speed, self.burst_ms = speed, burst_ms
        self._level_ms = 0.0
        self._at_s: float | None = None

    def take(self, audio_ms: float, now_s: float) -> None:
        """Let `audio_ms` in at `now_s` (a monotonic clock [s]); ProtocolError 4413 when it comes too fast."""
        if self.delay_s(audio_ms, now_s) > 0:
            raise ProtocolError(
                f"audio comes faster than allowed: {self.speed:g} times real time after the first "
                f"{self.burst_ms / 1000:g} s; slow down, or have the server allow more (speed_limit)",
                codes.TOO_FAST,
            )

    def delay_s(self, audio_ms: float, now_s: float) -> float:
        """Let `audio_ms` in at `now_s`: how much later it should have come [s]."""
        if not self.speed:
            return 0.0
        if self._at_s is not None:
            self._level_ms = max(0.0, self._level_ms - (now_s - self._at_s) * 1000 * self.speed)
        self._at_s = now_s
        self._level_ms += audio_ms
        return max(0.0, self._level_ms - self.burst_ms) / 1000 / self.speed


def origin_allowed(origin: str | None, host: str | None, options: ServerOptions) -> bool:
    """Whether a page from `origin` may talk to this server, which it reached as `host` (both are request headers).

    A browser always names an origin on a websocket handshake: no Origin is no browser, and let in. A page that this
    server itself serves has the origin that it asked for as Host. That alone would also let in a foreign name that was
    made to resolve to this machine (DNS rebinding), so Host must then be an address, localhost or this machine's name;
    any other name has to be in `allowed_origins`.
    """
    if origin is None or "*" in options.allowed_origins:
        return True
    origin = origin.rstrip("/").lower()
    if origin in {allowed.rstrip("/").lower() for allowed in options.allowed_origins}:
        return True
    place = _host_and_port(origin)
    if place is None or host is None:
        return False
    scheme = urlsplit(origin).scheme
    return place == _host_and_port(f"{scheme}://{host.lower()}") and _names_this_machine(place[0], options.host)


def host_allowed(host: str | None, options: ServerOptions) -> bool:
    """Whether a request that names this Host is meant for this server: an address, localhost, this machine's name or a
    name in `allowed_origins`. Any other is a foreign name that was made to resolve to this machine, so that a page of
    that name may read what is answered."""
    if host is None or "*" in options.allowed_origins:
        return True
    place = _host_and_port(f"http://{host.lower()}")
    if place is None:
        return False
    return place[0] in {urlsplit(origin).hostname for origin in options.allowed_origins} or _names_this_machine(
        place[0], options.host
    )


def _host_and_port(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def _names_this_machine(name: str, bound: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        return name in _own_names(own, bound.lower())
    return True


def _own_names(machine: str, bound: str) -> Collection[str]:
    return {"localhost", bound, machine, machine.split(".")[0], f"{machine.split('.')[0]}.local"}
