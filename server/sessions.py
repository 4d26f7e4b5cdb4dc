"""The server's sessions: places, reservations, and how they all end when the server does. Lives on the event loop."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamst.errors import ProtocolError

from . import codes
from .metrics import Metrics
from .options import ServerOptions
from .seam import Settings

RETRY_MS = 5000.0  # what a refused client is told to wait


@dataclass(frozen=True)
class Reservation:
    """A place that is kept free until `expires_s` for whoever shows its token first."""

    session_id: str
    settings: Settings
    expires_s: float


class Sessions:
    """Counts places. A place is held by a connection or, for a while, by a reservation."""

    def __init__(self, options: ServerOptions, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        self.options, self.metrics = options, metrics
        self.draining = asyncio.Event()
        self._now = now
        self._open: set[str] = set()
        self._reserved: dict[str, Reservation] = {}  # by token
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        now = self._now()
        self._reserved = {token: kept for token, kept in self._reserved.items() if kept.expires_s > now}
        return self.options.max_sessions - len(self._open) - len(self._reserved)

    def reserve(self, settings: Settings) -> tuple[str, Reservation]:
        """A token, good once, and what it keeps; ProtocolError 1013 or 1001 when no place is free."""
        self._require_place()
        token = secrets.token_urlsafe(24)
        kept = Reservation(new_id(), settings, self._now() + self.options.reservation_s)
        self._reserved[token] = kept
        return token, kept

    def enter(self, token: str | None) -> Reservation:
        """Take a place, the reserved one where a token is shown; ProtocolError 4401, 1013 or 1001 without one."""
        if token is not None:
            kept = self._claim(token)
        else:
            self._require_place()
            kept = Reservation(new_id(), Settings(), self._now())
        self._open.add(kept.session_id)
        self._empty.clear()
        self.metrics.sessions.set(len(self._open))
        return kept

    def leave(self, session_id: str) -> None:
        """Give the place back."""
        self._open.discard(session_id)
        self.metrics.sessions.set(len(self._open))
        if not self._open:
            self._empty.set()

    async def drain(self, timeout_s: float) -> None:
        """Let nobody in, ask everybody to go, and wait until they went or `timeout_s` is over."""
        self.draining.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return

    def _claim(self, token: str) -> Reservation:
        _ = self.free  # forgets what expired
        for known in list(self._reserved):
            if secrets.compare_digest(known.encode(), token.encode(errors="replace")):
                return self._reserved.pop(known)
        raise ProtocolError("the token is unknown, was used, or expired: ask for a new one", codes.UNAUTHORISED)

    def _require_place(self) -> None:
        if self.draining.is_set():
            raise ProtocolError("this server is being stopped", codes.GOING_AWAY)
        if self.free < 1:
            raise ProtocolError(
                f"all {self.options.max_sessions} places are taken; try again in a few seconds", codes.OVERLOADED
            )


def new_id() -> str:
    """A name for a session; says nothing and opens nothing."""
    return secrets.token_hex(8)
