"""A WebRTC call as a `Link`: the client's audio becomes the protocol's events, the protocol's speech becomes audio.

Events travel on the data channel `oai-events` as they do in a websocket, all but those that carry audio.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fractions
import json
import time
from collections import deque

from aiortc import RTCDataChannel, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from streamst.server.session.link import Lost
from streamst.server.wire.seam import Message

from .openai_wire import RATE_HZ, encode_audio
from .peer_link import WAITING, PeerLink

CHANNEL = "oai-events"
FRAME = RATE_HZ // 50  # samples of an outgoing frame: 20 ms
UNHEARD_S = 60.0  # of speech that waits to be played, before the session waits as well
LAST_WORDS_S = 20.0  # of speech that is still played when the session is over
PAUSE_S = 0.5  # between the last event or sound and the end of the call
MOST_BUFFERED = 1 << 20  # bytes of events that the data channel may hold
APPEND, DELTA = "session.input_audio_buffer.append", "session.output_audio.delta"


class SpeechTrack(MediaStreamTrack):
    """What is said, at the pace of a listener; silence where there is nothing."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._speech: deque[bytes] = deque()
        self._samples = self._pts = 0
        self._begun_s: float | None = None
        self._taken = asyncio.Event()

    @property
    def waiting_s(self) -> float:
        """Speech that is still to be played."""
        return self._samples / RATE_HZ

    async def say(self, pcm16: bytes) -> None:
        """Append speech; waits while too much is unplayed."""
        while self.waiting_s > UNHEARD_S and self.readyState == "live":
            self._taken.clear()
            await self._taken.wait()
        self._speech.append(pcm16)
        self._samples += len(pcm16) // 2

    async def recv(self) -> AudioFrame:
        """The next 20 ms."""
        if self.readyState != "live":
            raise MediaStreamError
        now_s = time.monotonic()
        self._begun_s = now_s if self._begun_s is None else self._begun_s
        await asyncio.sleep(max(0.0, self._begun_s + self._pts / RATE_HZ - now_s))
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(self._take(2 * FRAME))
        frame.pts, frame.sample_rate, frame.time_base = self._pts, RATE_HZ, fractions.Fraction(1, RATE_HZ)
        self._pts += FRAME
        return frame

    def stop(self) -> None:
        """See `MediaStreamTrack`."""
        super().stop()
        self._taken.set()

    def _take(self, size: int) -> bytes:
        taken = b""
        while self._speech and len(taken) < size:
            first = self._speech.popleft()
            rest = size - len(taken)
            taken += first[:rest]
            if first[rest:]:
                self._speech.appendleft(first[rest:])
        self._samples -= len(taken) // 2
        self._taken.set()
        return taken.ljust(size, b"\0")


class CallLink(PeerLink):
    """One call."""

    def __init__(self, connection: RTCPeerConnection, peer: str | None, owner: str | None) -> None:
        super().__init__(connection, peer, owner, RATE_HZ)
        self.track = SpeechTrack()
        self._channel: RTCDataChannel | None = None
        self._held: deque[str] = deque(maxlen=WAITING)  # for a data channel that is not open yet
        connection.on("datachannel", self._opened)

    async def send(self, message: Message) -> None:
        """See `Link`."""
        if self._over.is_set():
            raise Lost
        text = message.decode() if isinstance(message, bytes) else message
        if f'"{DELTA}"' in text[:80]:
            await self.track.say(base64.b64decode(json.loads(text)["delta"]))
        elif self._channel is not None and self._channel.readyState == "open":
            self._channel.send(text)
            while self._channel.bufferedAmount > MOST_BUFFERED and not self._over.is_set():
                await asyncio.sleep(0.05)
        else:
            self._held.append(text)

    async def play_out(self) -> None:
        """Let the client hear what was said, then a moment for what is on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while self.track.waiting_s > 0 and not self._over.is_set():
                    await asyncio.sleep(FRAME / RATE_HZ)
                if not self._over.is_set():
                    await asyncio.sleep(PAUSE_S)

    async def hang_up(self) -> None:
        """See `PeerLink`."""
        self.track.stop()
        await super().hang_up()

    def _message(self, pcm16: bytes) -> Message:
        return json.dumps({"type": APPEND, "audio": encode_audio(pcm16)})

    def _opened(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL:
            return
        self._channel = channel
        channel.on("message", self._said)
        while self._held and channel.readyState == "open":
            channel.send(self._held.popleft())

    def _said(self, message: str | bytes) -> None:
        try:
            self._coming.put_nowait(message if isinstance(message, str) else message.decode(errors="replace"))
        except asyncio.QueueFull:  # far more than anybody has to say
            self._end()
