"""Two things that uvicorn's websocket transport and its server leave out, added by subclassing them.

A message too big or not UTF-8 is refused below the application, with a bare close frame, and a client that is still
sending may see a reset connection instead. Here the protocol's own error event goes first, and what the client still
sends is read and thrown away for a moment, so that the close code arrives. And a signal first lets sessions finish.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

log = logging.getLogger("streamst.server")

LINGER_S = 2.0  # how long a refused client may go on sending into the void
QUIET_S = 0.2  # when nothing came for so long it has stopped
BAD_DATA = 1007

Farewell = Callable[[int, str], list[str]]
"""The text messages that precede a close with this code and reason; kept by the application in the scope's state."""


class Transport(WebSocketsSansIOProtocol):
    """One websocket's bytes. The scope's state gets `abort`, and may hold a `farewell` (see `Farewell`)."""

    _linger_until_s: float | None = None  # set when this connection has failed

    async def run_asgi(self) -> None:
        """Run the application; it may call `abort` to drop a client that does not read."""
        state: dict[str, Any] = self.scope.setdefault("state", {})
        state["abort"] = self.transport.abort
        await super().run_asgi()

    def data_received(self, data: bytes) -> None:
        """Parse, unless this connection has failed: then forget."""
        if self._linger_until_s is None:
            super().data_received(data)
        else:
            self._linger()

    def _linger(self) -> None:
        """Close once nothing has come for a moment, and in any case at the end of the time for it."""
        assert self._linger_until_s is not None
        if self.close_timer is not None:
            self.close_timer.cancel()
        left_s = self._linger_until_s - self.loop.time()
        self.close_timer = self.loop.call_later(max(0.0, min(QUIET_S, left_s)), self.transport.close)

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message on, if text is UTF-8."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:
                self.frames = []
                self.conn.fail(BAD_DATA, f"text is not UTF-8: {error.reason} at byte {error.start}")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Say why, close, and read on for a moment."""
        self.stop_keepalive()
        closing = self.conn.close_sent
        if closing is None:  # the peer broke off before anything could be said
            self.transport.close()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closing.code, "reason": closing.reason})
        farewell: Farewell | None = self.scope.get("state", {}).get("farewell")
        said = farewell(closing.code, closing.reason) if farewell is not None and not self.close_sent else []
        for text in said:
            self.transport.write(Frame(Opcode.TEXT, text.encode()).serialize(mask=False))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._linger_until_s = self.loop.time() + LINGER_S
        self._linger()


class PoliteServer(Server):
    """A server that on the first signal calls `drain` before it stops, and on the second stops at once; exit code 0."""

    def __init__(self, config: Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_started: Callable[[], None] | None = None  # called once the server answers and minds signals

    async def startup(self, sockets: Any = None) -> None:
        """Remember the loop, which a signal handler has to wake."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and self.on_started is not None:
            self.on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal module."""
        if self._loop is None or self._draining is not None:
            self.should_exit = self.force_exit = True
            return
        log.info("%s: letting sessions finish", signal.Signals(sig).name)
        self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._stop())

    async def _stop(self) -> None:
        try:
            await self._drain()
        finally:
            self.should_exit = True
