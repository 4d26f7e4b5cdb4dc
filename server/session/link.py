"""A client's connection as a session sees it, whatever carries it; and the one that a websocket carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.frames import Frame, Opcode

from streamst.server.wire.seam import Message

Farewell = Callable[[int, str], list[Message]]
"""The messages that precede a close with this code and reason."""


class Lost(Exception):
    """Nobody is at the other end any more. code: of the close frame that came, or that the transport itself sent; None
    where there was none."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(f"the connection is gone (code {code})")
        self.code = code


class Link(Protocol):
    """One connection: whole messages, each way in order."""

    peer: str | None  # its address: among peers places and time are shared
    owner: str | None  # name of the API key that it showed

    async def receive(self) -> Message:
        """The next message; Lost where none will come."""
        ...

    async def send(self, message: Message) -> None:
        """Hand a message over; waits while the client takes nothing. Lost where nobody is there."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Say good-bye; Lost where nobody is there."""
        ...

    def abort(self) -> None:
        """End it at once, whatever waits to be sent."""
        ...

    def on_refusal(self, farewell: Farewell) -> None:
        """What to say before a close that the transport itself decides on."""
        ...


def framed(messages: tuple[Message, ...]) -> bytes:
    """Messages as a server puts them on the wire (RFC 6455, section 5.2; not compressed)."""
    frames = [
        Frame(Opcode.BINARY, message) if isinstance(message, bytes) else Frame(Opcode.TEXT, message.encode())
        for message in messages
    ]
    return b"".join(frame.serialize(mask=False) for frame in frames)


class WebSocketLink:
    """An accepted websocket."""

    def __init__(self, websocket: WebSocket, owner: str | None = None) -> None:
        self.peer = websocket.client.host if websocket.client else None
        self.owner = owner
        self._websocket = websocket
        self._state: dict[str, Any] = websocket.scope.setdefault("state", {})  # which `transport.py` reads and fills

    async def receive(self) -> Message:
        """See `Link`."""
        try:
            message = await self._websocket.receive()
        except (WebSocketDisconnect, RuntimeError) as error:  # it was closed meanwhile
            raise Lost from error
        if message["type"] == "websocket.disconnect":
            raise Lost(message.get("code"))
        text: str | None = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def send(self, message: Message) -> None:
        """See `Link`."""
        try:
            if isinstance(message, bytes):
                await self._websocket.send_bytes(message)
            else:
                await self._websocket.send_text(message)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise Lost from error

    @property
    def writable(self) -> bool:
        """Whether `write` may be called: all that was sent is on its way, and nothing was closed."""
        unhindered = self._state.get("unhindered")
        return unhindered is not None and unhindered()

    def write(self, frames: bytes) -> None:
        """Send what `framed` made, at once: what goes to many is made once for all."""
        self._state["write"](frames)

    async def close(self, code: int, reason: str) -> None:
        """See `Link`."""
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise Lost from error

    def abort(self) -> None:
        """See `Link`."""
        abort = self._state.get("abort")
        if abort is not None:
            abort()

    def on_refusal(self, farewell: Farewell) -> None:
        """See `Link`."""
        self._state["farewell"] = farewell
