"""A source's protocol without I/O: audio comes, an end, and nothing goes back, since others listen."""

from __future__ import annotations

from streamst.server.wire.seam import Answer, Command, Configure, End, Message, Settings

from .base import ForeignProtocol


class SourceProtocol(ForeignProtocol):
    """One source. Binary messages are 16-bit samples at the settings' rate; any text is the end."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings: Settings | None = settings

    def receive(self, message: Message) -> list[Command]:
        """See `WireProtocol.receive`."""
        if isinstance(message, str):
            return [End()]
        settings, self._settings = self._settings, None
        first: list[Command] = [] if settings is None else [Configure(settings)]
        return [*first, *self.pcm16(message)]

    def render(self, answer: Answer, _: float, /) -> list[Message]:  # noqa: ARG002
        """See `WireProtocol.render`."""
        return []

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """See `WireProtocol.closing`."""
        return code, reason
