"""A WebRTC call as a `Link`: the client's audio becomes the protocol's events, the protocol's speech becomes audio.

Events travel on the data channel `oai-events` as they do in a websocket, all but those that carry audio.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fractions
import json
import logging
import time
from collections import deque

import numpy as np
from aiortc import RTCDataChannel, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from streamst.audio import Pcm, Resampler, to_pcm16
from streamst.server.session.link import Farewell, Lost
from streamst.server.wire.seam import Message

from .openai_wire import RATE_HZ, encode_audio

log = logging.getLogger("streamst.server")

CHANNEL = "oai-events"
PIECE_MS = 100  # of audio in one event
FRAME = RATE_HZ // 50  # samples of an outgoing frame: 20 ms
UNHEARD_S = 60.0  # of speech that waits to be played, before the session waits as well
WAITING = 256  # events that wait for the data channel, or for the session
CONNECT_S = 20.0  # that a call may take from its answer until it is connected
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


class CallLink:
    """One call, from its offer to its end."""

    def __init__(self, connection: RTCPeerConnection, peer: str | None, owner: str | None) -> None:
        self.peer, self.owner = peer, owner
        self.track = SpeechTrack()
        self._connection = connection
        self._channel: RTCDataChannel | None = None
        self._coming: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self._held: deque[str] = deque(maxlen=WAITING)  # for a data channel that is not open yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._connected, self._over = asyncio.Event(), asyncio.Event()
        connection.on("track", self._heard)
        connection.on("datachannel", self._opened)
        connection.on("connectionstatechange", self._changed)

    async def receive(self) -> Message:
        """See `Link`."""
        if self._over.is_set() and self._coming.empty():
            raise Lost
        waiting = [asyncio.create_task(self._coming.get()), asyncio.create_task(self._over.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting[0].done() and (message := waiting[0].result()) is not None:
                return str(message)
            raise Lost
        finally:
            for task in waiting:
                task.cancel()

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

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002  (as the seam has it)
        """See `Link`: an event told why, and `play_out` and `hang_up` follow."""
        if self._over.is_set():
            raise Lost

    async def play_out(self) -> None:
        """Let the client hear what was said, then a moment for what is on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while self.track.waiting_s > 0 and not self._over.is_set():
                    await asyncio.sleep(FRAME / RATE_HZ)
                if not self._over.is_set():
                    await asyncio.sleep(PAUSE_S)

    def abort(self) -> None:
        """See `Link`."""
        self._end()

    def on_refusal(self, farewell: Farewell) -> None:
        """See `Link`; nothing is refused below."""

    async def hang_up(self) -> None:
        """End the call, whoever wants it. Twice is once."""
        self._end()
        self.track.stop()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._connection.close()

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
        """Audio as events of the protocol, a tenth of a second each."""
        pieces: list[Pcm] = []
        resampler: Resampler | None = None
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                if resampler is None or resampler.source_hz != frame.sample_rate:
                    resampler = Resampler(frame.sample_rate, RATE_HZ)
                pieces.append(resampler.push(_mono(frame)))
                if sum(map(len, pieces)) >= RATE_HZ * PIECE_MS // 1000:
                    audio = encode_audio(to_pcm16(np.concatenate(pieces)))
                    pieces.clear()
                    await self._coming.put(json.dumps({"type": APPEND, "audio": audio}))

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


def _mono(frame: AudioFrame) -> Pcm:
    """(samples,) of a frame of 16-bit samples, whatever its channels."""
    samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
    return samples.mean(axis=1, dtype=np.float32) / np.float32(32_768)
