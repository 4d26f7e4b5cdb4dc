"""Real WebRTC peers on loopback: what the tests of calls and of WHIP share."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from aioice import ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from serving import get, health, running

from streamst.audio import Pcm, resample, to_pcm16
from streamst.pipeline import Pipeline

RATE_HZ, SAMPLES = 48_000, 960  # longer frames become packets of one timestamp in aiortc 1.16
LONG_S = 300.0  # calls take their time, and a busy machine takes more
CALLS = "/v1/realtime/translations/calls"


@pytest.fixture(scope="module", autouse=True)
def loopback() -> Iterator[None]:
    """Peers meet at 127.0.0.1, which ICE leaves out by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
        yield


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline) as address:
        yield address


class Microphone(MediaStreamTrack):
    """A talk at its own pace, then silence."""

    kind = "audio"

    def __init__(self, pcm: Pcm) -> None:
        super().__init__()
        self._pcm, self._at, self._begun_s = resample(pcm, 16_000, RATE_HZ), 0, time.monotonic()
        self._silent = 0  # samples before the talk

    @property
    def over(self) -> bool:
        return self._at >= self._silent + len(self._pcm) + RATE_HZ // 2

    def begin(self) -> float:
        """Say the talk from its beginning on, now; when that is, by `time.perf_counter`."""
        self._silent = self._at
        return time.perf_counter()

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(max(0.0, self._begun_s + self._at / RATE_HZ - time.monotonic()))
        piece = self._pcm[self._at - self._silent :][:SAMPLES]
        frame = AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        frame.planes[0].update(to_pcm16(np.pad(piece, (0, SAMPLES - len(piece)))))
        frame.pts, frame.sample_rate, frame.time_base = self._at, RATE_HZ, fractions.Fraction(1, RATE_HZ)
        self._at += SAMPLES
        return frame


class Caller:
    """A client: what it is told, and how loud what it hears is."""

    def __init__(self, pcm: Pcm) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone(pcm)
        self.peer.addTrack(self.microphone)
        self.events: list[dict[str, Any]] = []
        self.loudest = 0
        self._heard: list[np.ndarray] = []
        self.channel = self.peer.createDataChannel("oai-events")
        self.channel.on("message", lambda text: self.events.append(json.loads(text)))
        self.peer.on("track", self._listens)
        self._tasks: list[asyncio.Task[None]] = []

    def _listens(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
                self._heard.append(samples.mean(1, dtype=np.float32) / np.float32(32_768))
                self.loudest = max(self.loudest, int(np.abs(samples.astype(np.int32)).max()))

    @property
    def heard(self) -> Pcm:
        """All that came, at 16 kHz."""
        return resample(np.concatenate([np.zeros(0, np.float32), *self._heard]), RATE_HZ, 16_000)

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def call(self, address: str, **headers: str) -> tuple[int, dict[str, str], str]:
        offer = await self.offer()
        headers = {"content_type": "application/sdp", **headers}
        status, told, body = await asyncio.to_thread(
            get, f"{address}{CALLS}?model=gpt-realtime-translate", offer.encode(), **headers
        )
        if status == 201:
            await self.peer.setRemoteDescription(RTCSessionDescription(body.decode(), "answer"))
        return status, told, body.decode()

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def closed(self) -> None:
        """Wait until the other side has hung up."""
        async with asyncio.timeout(LONG_S):
            while self.peer.connectionState != "closed":
                await asyncio.sleep(0.05)

    async def until(self, kind: str) -> None:
        async with asyncio.timeout(LONG_S):
            while not self.told(kind):
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self.peer.close()
        await asyncio.gather(*self._tasks)


@contextlib.asynccontextmanager
async def calling(pcm: Pcm) -> AsyncIterator[Caller]:
    caller = Caller(pcm)
    try:
        yield caller
    finally:
        await caller.close()


async def emptied(address: str) -> None:
    async with asyncio.timeout(LONG_S):
        while (await asyncio.to_thread(health, address))["sessions"]:
            await asyncio.sleep(0.05)


def delete(url: str, **headers: str) -> int:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, None, headers, method="DELETE"), timeout=LONG_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
