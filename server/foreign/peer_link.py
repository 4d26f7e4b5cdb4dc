"""A peer connection (WebRTC) as a `Link`: its audio becomes messages, for whichever protocol is spoken."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from streamst.audio import Pcm, to_pcm16
from streamst.errors import ProtocolError
from streamst.server.session.link import Farewell, Lost
from streamst.server.wire import codes
from streamst.server.wire.seam import Message

from .rtp_audio import Whole

PIECE_MS = 100  # of audio in one message
WAITING = 256  # messages that wait for the session
CLOSE_S = 5.0  # that aiortc may take to close a connection
CONNECT_S = 20.0  # that a peer may take from its answer until it is connected


class PeerLink(ABC):
    """One peer, from its offer to its end."""

    def __init__(self, connection: RTCPeerConnection, peer: str | None, owner: str | None, rate_hz: int) -> None:
        """rate_hz: of the audio that `_message` gets."""
        self.peer, self.owner = peer, owner
        self._connection, self._rate_hz = connection, rate_hz
        self._coming: asyncio.Queue[Message] = asyncio.Queue(WAITING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connected, self._over = asyncio.Event(), asyncio.Event()
        connection.on("track", self._heard)
        connection.on("connectionstatechange", self._changed)

    @abstractmethod
    def _message(self, pcm16: bytes) -> Message:
        """How the protocol has a piece of audio."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """See `Link`."""

    async def receive(self) -> Message:
        """See `Link`."""
        if self._over.is_set() and self._coming.empty():
            raise Lost
        coming, over = asyncio.create_task(self._coming.get()), asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait([coming, over], return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            raise Lost
        finally:
            coming.cancel()
            over.cancel()

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002  (as the seam has it)
        """See `Link`: the protocol told why, and `hang_up` follows."""
        if self._over.is_set():
            raise Lost

    def abort(self) -> None:
        """See `Link`."""
        self._end()

    def on_refusal(self, farewell: Farewell) -> None:
        """See `Link`: nothing is refused below."""
        del farewell

    async def hang_up(self) -> None:
        """End it, whoever wants it. Twice is once."""
        self._end()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):  # aiortc may wait for what was cancelled
                await self._connection.close()

    async def answer(self, offer: str, track: MediaStreamTrack | None = None) -> str:
        """The SDP that answers an offer, sending `track` where there is one. Video is declined.

        ProtocolError 4400 for an offer that has no audio or cannot be answered; the peer is hung up then.
        """
        try:
            if "m=audio" not in offer:
                raise ProtocolError(
                    "the offer has no audio: an SDP with an m=audio line is needed", codes.BAD_PARAMETER
                )
            connection = self._connection
            await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            if track is not None:
                connection.addTrack(track)
            for transceiver in connection.getTransceivers():
                if transceiver.kind != "audio":
                    transceiver.direction = "inactive"
            await connection.setLocalDescription(await connection.createAnswer())
        except ProtocolError:
            await self.hang_up()
            raise
        except Exception as error:
            await self.hang_up()
            reason = f"the offer cannot be answered: {type(error).__name__} {error}"
            raise ProtocolError(reason[:300], codes.BAD_PARAMETER) from error
        return self._connection.localDescription.sdp

    async def require_connected(self) -> None:
        """Wait until it is connected; Lost where that takes too long."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._connected.wait()
        except TimeoutError:
            self._end()
        if self._over.is_set():
            raise Lost

    def _end(self) -> None:
        self._over.set()
        self._connected.set()

    def _changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._connected.set()
        elif state in ("failed", "closed"):
            self._end()

    def _heard(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._tasks.add(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Audio as messages, a tenth of a second each."""
        pieces: list[Pcm] = []
        whole = Whole(self._rate_hz)
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                pieces.append(whole.push(frame))
                if sum(map(len, pieces)) >= self._rate_hz * PIECE_MS // 1000:
                    pcm16 = to_pcm16(np.concatenate(pieces))
                    pieces.clear()
                    await self._coming.put(self._message(pcm16))
