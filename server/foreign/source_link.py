"""A WHIP source as a `Link`: it only sends, and its end, however it comes, is one in good order."""

from __future__ import annotations

import asyncio

from aiortc import RTCPeerConnection

from streamst.server.session.link import Lost
from streamst.server.wire.seam import Message

from .peer_link import PeerLink

RATE_HZ = 16_000
END = "end"


class SourceLink(PeerLink):
    """One source."""

    def __init__(self, connection: RTCPeerConnection, peer: str | None, owner: str | None) -> None:
        super().__init__(connection, peer, owner, RATE_HZ)
        self._ended = False

    async def receive(self) -> Message:
        """See `Link`: where the source is gone, END, and nothing after that, so that the rest is said."""
        try:
            if not self._ended:
                return await super().receive()
        except Lost:
            self._ended = True
            return END
        return await asyncio.get_running_loop().create_future()

    async def send(self, message: Message) -> None:
        """See `Link`; a source reads nothing."""

    def _message(self, pcm16: bytes) -> Message:
        return pcm16
