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
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import Frame, Opcode

from streamst.server.operator.crowd import Crowd
from streamst.server.session.link import Farewell

from .accepting import Acceptor, Leave

log = logging.getLogger("streamst.server")

LINGER_S = 2.0  # how long a refused client may go on sending into the void
QUIET_S = 0.2  # when nothing came for so long it has stopped
REQUEST_S = 10.0  # how long a connection may take to ask for something
BAD_DATA = 1007


class Transport(WebSocketsSansIOProtocol):
    """One websocket's bytes. The scope's state gets `abort`, `unhindered` and `write`, and may hold a `farewell`
    (`session/link.py`)."""

    def __init__(self, *arguments: Any, leave: Leave, **named: Any) -> None:
        """leave: called once the connection is lost."""
        super().__init__(*arguments, **named)
        self._leave = leave
        self._linger_until_s: float | None = None  # set when this connection has failed
        self._heard_s = 0.0  # when something came last
        self._too_slow: asyncio.TimerHandle | None = None  # ends a handshake that does not end by itself

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It asked for a websocket: it has some time to agree on one."""
        super().connection_made(transport)
        self._too_slow = self.loop.call_later(REQUEST_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._too_slow is not None:
            self._too_slow.cancel()
        self._leave()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if not self.handshake_complete or self.initial_response is not None:
            self.transport.abort()

    async def run_asgi(self) -> None:
        """Run the application; it may call `abort` to drop a client that does not read."""
        state: dict[str, Any] = self.scope.setdefault("state", {})
        state |= {"abort": self.transport.abort, "unhindered": self.unhindered, "write": self.transport.write}
        await super().run_asgi()

    def unhindered(self) -> bool:
        """Whether frames may be written straight to the network: nothing waits to be sent, and nothing was closed."""
        open_still = self.handshake_complete and not self.close_sent and not self.transport.is_closing()
        return open_still and not self.transport.get_write_buffer_size()

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
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self._refuse(self.conn.handshake_exc)
        else:
            self._linger()

    def _refuse(self, error: Exception) -> None:
        """Answer a request that is none to the parser, which says nothing itself, and close."""
        large = isinstance(error.__cause__ or error, SecurityError)
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if large else HTTPStatus.BAD_REQUEST
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        text = f"{status.phrase}\n"
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()
        )
        self._linger_until_s = self.loop.time() + LINGER_S
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

    def __init__(self, *arguments: Any, leave: Leave, **named: Any) -> None:
        """leave: called once the connection is lost, be it a websocket by then or not."""
        super().__init__(*arguments, **named)
        self._leave = leave
        self.ws_protocol_class = partial(self.ws_protocol_class, leave=leave)  # type: ignore[assignment]
        self._too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It has some time to ask for something."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        self._leave()
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

    def __init__(
        self,
        config: Config,
        drain: Callable[[], Awaitable[None]],
        crowd: Crowd,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """crowd: who is let in. context: for TLS."""
        super().__init__(config)
        self._drain, self._crowd, self._context = drain, crowd, context
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._acceptors: list[Acceptor] = []
        self.on_started: Callable[[], None] | None = None  # called once the server answers and minds signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the loop, which a signal handler has to wake, and let clients in from `sockets`, which listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup([])
        if self.started:
            self._acceptors = [Acceptor(one, self._crowd, self._door, self._context) for one in sockets or ()]
            if self.on_started is not None:
                self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody else in, and end."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    def _door(self, leave: Leave) -> Door:
        return Door(config=self.config, server_state=self.server_state, app_state=self.lifespan.state, leave=leave)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal module."""
        del frame
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
