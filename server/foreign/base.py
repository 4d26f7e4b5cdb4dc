"""What the protocols of other services have in common: one connection each, and audio that is counted as it comes."""

from __future__ import annotations

from streamst.server.wire.seam import Audio, Command


class ForeignProtocol:
    """The part of a `WireProtocol` that is the same for all clients which are not ours."""

    subprotocol: str | None = None
    resumable = False  # a session ends with its connection
    patient = True  # these clients know no credit

    def __init__(self) -> None:
        self._sequence = self._samples = 0

    def reconnected(self) -> None:
        """Never."""

    def pcm16(self, payload: bytes) -> list[Command]:
        """The next samples, where there are any."""
        if not payload:
            return []
        audio = Audio("pcm16", self._sequence, self._samples, payload)
        self._sequence += 1
        self._samples += len(payload) // 2
        return [audio]

    def container(self, payload: bytes) -> list[Command]:
        """The next bytes of a recording in a container."""
        audio = Audio("container", self._sequence, 0, payload)
        self._sequence += 1
        return [audio]
