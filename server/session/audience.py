"""The seam between a session and those who listen to it in a room; what is behind it stands in `server/audience/`."""

from __future__ import annotations

from typing import Protocol

from streamst.server.wire.seam import Answer, RoomState


class Audience(Protocol):
    """Who listens to one session. Lives on the event loop and never makes the session wait."""

    def hear(self, answer: Answer, emit_ms: float) -> None:
        """The session said something, so long after its first audio came."""
        ...

    def end(self, reason: str) -> None:
        """The session is over, whether or not it said so; may be called again."""
        ...

    def move(self) -> None:
        """Another node goes on with the session, and those who listen here are to go there."""
        ...

    def packed(self) -> bytes:
        """What `Audiences.reopen` of another node takes."""
        ...

    def state(self) -> RoomState:
        """What the speaker is told."""
        ...


class Audiences(Protocol):
    """The rooms of a server."""

    def open(self, session_id: str) -> Audience:
        """The room of a session, a new one where it has none; ProtocolError 1008 where rooms are turned off."""
        ...

    async def told(self, session_id: str) -> None:
        """Wait until other nodes know of the session's room, or the store takes too long."""
        ...

    def reopen(self, session_id: str, kept: bytes) -> Audience:
        """The room that a session had on another node; InputError where `kept` is none."""
        ...

    def of(self, session_id: str) -> Audience | None:
        """The room of a session, where it has one that is not over."""
        ...

    def knows(self, token: str) -> bool:
        """Whether `token` is for listening."""
        ...

    def expire(self, session_id: str, after_s: float) -> None:
        """End the room of a session that does not begin within this time."""
        ...
