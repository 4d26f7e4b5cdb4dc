"""What uvicorn's transports and its server leave out, added by subclassing them.

A message too big or not UTF-8 is refused below the application, with a bare close frame, and a client that is still
sending may see a reset connection instead. Here the protocol's own error event goes first, and what the client still
sends is read and thrown away for a moment, so that the close code arrives. A client that answers no ping is gone, and
its connection is dropped; one that sends, or that is not read at the moment, is there though its answer waits behind
what it sent. Who connects and asks for nothing is shown the door. And a signal first lets sessions finish.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from streamst.server.session.link import Farewell

log = logging.getLogger("streamst.server")

LINGER_S = 2.0  # how long a refused client may go on sending into the void
QUIET_S = 0.2  # when nothing came for so long it has stopped
REQUEST_S = 10.0  # how long a connection may take to ask for something
MOST_CONNECTIONS = 900  # at once, of all kinds: a process may often have 1024 files, and models have theirs
BAD_DATA = 1007


class Transport(WebSocketsSansIOProtocol):
    """One websocket's bytes. The scope's state gets `abort`, and may hold a `farewell` (`session/link.py`)."""

    _linger_until_s: float | None = None  # set when this connection has failed
    _heard_s = 0.0  # when something came last

    async def run_asgi(self) -> None:
        """Run the application; it may call `abort` to drop a client that does not read."""
        state: dict[str, Any] = self.scope.setdefault("state", {})
        state["abort"] = self.transport.abort
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a refusal in full completes the handshake as well, and is no failure of the application's."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        """Parse, unless this connection has failed: then forget."""
        self._heard_s = self.loop.time()
        if self._linger_until_s is None:
            super().data_received(data)
        else:
            self._linger()

    def keepalive_timeout(self) -> None:
        """No answer to a ping: drop a client that gave no other sign of life, though it was read."""
        self.pong_timer = self.pending_ping_payload = None
        if self.close_sent or self.transport.is_closing():
            return
        if self.read_paused or self._heard_s > self.ping_sent_at:
            self.schedule_ping()
        else:  # nobody would read a close frame, and closing would wait until all was sent
            self.transport.abort()

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
        for message in said:
            frame = (
                Frame(Opcode.BINARY, message) if isinstance(message, bytes) else Frame(Opcode.TEXT, message.encode())
            )
            self.transport.write(frame.serialize(mask=False))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._linger_until_s = self.loop.time() + LINGER_S
        self._linger()


class Door(H11Protocol):
    """One connection's HTTP, until it is a websocket."""

    _too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """It asked for a websocket, which has time limits of its own."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """It may ask for more."""
        super().on_response_complete()
        self._await_request()

    def _await_request(self) -> None:
        self._stop_waiting()
        self._too_slow = self.loop.call_later(REQUEST_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self.transport.abort()


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
