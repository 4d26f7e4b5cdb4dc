"""OpenAI's realtime translation over WebRTC: real peers, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import sys
import time
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

    @property
    def over(self) -> bool:
        return self._at >= len(self._pcm) + RATE_HZ // 2

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(max(0.0, self._begun_s + self._at / RATE_HZ - time.monotonic()))
        piece = self._pcm[self._at : self._at + SAMPLES]
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
                self.loudest = max(self.loudest, int(np.abs(frame.to_ndarray().astype(np.int32)).max()))

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


def test_a_call_is_heard_translated_and_spoken_and_ends_when_asked_to(server: str, speech: Pcm) -> None:
    async def scene() -> tuple[int, dict[str, str], Caller]:
        async with calling(speech) as caller:
            status, headers, _ = await caller.call(server)
            await caller.until("session.created")
            wanted = {"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "any"}}}}}
            caller.channel.send(json.dumps(wanted))
            caller.channel.send('{"type":"nonsense"}')
            async with asyncio.timeout(LONG_S):
                while not caller.microphone.over:
                    assert caller.peer.connectionState == "connected", caller.events
                    await asyncio.sleep(0.05)
            caller.channel.send('{"type":"session.close"}')
            await caller.until("session.closed")
            async with asyncio.timeout(LONG_S):
                while caller.peer.connectionState != "closed":
                    await asyncio.sleep(0.05)
        await emptied(server)
        return status, headers, caller

    status, headers, caller = asyncio.run(scene())
    assert status == 201
    assert headers["content-type"] == "application/sdp"
    assert headers["location"].startswith(f"{CALLS}/rtc_")
    assert [event["type"] for event in caller.events[:2]] == ["session.created", "session.updated"]
    assert len(caller.told("error")) == 1
    assert caller.told("session.input_transcript.delta"), caller.events
    assert "".join(event["delta"] for event in caller.told("session.output_transcript.delta")).strip()
    assert not caller.told("session.output_audio.delta")
    assert caller.loudest > 300


def test_who_goes_away_or_is_hung_up_leaves_no_place_taken(server: str) -> None:
    async def scene() -> tuple[int, int, int]:
        async with calling(np.zeros(1600, np.float32)) as caller:
            await caller.call(server)
            await caller.until("session.created")
        await emptied(server)
        async with calling(np.zeros(1600, np.float32)) as caller:
            _, headers, _ = await caller.call(server)
            await caller.until("session.created")
            where = f"{server}{headers['location']}"
            done = await asyncio.to_thread(delete, where)
            await emptied(server)
            async with asyncio.timeout(LONG_S):
                while caller.peer.connectionState != "closed":
                    await asyncio.sleep(0.05)
            return done, await asyncio.to_thread(delete, where), len(caller.told("error"))

    assert asyncio.run(scene()) == (200, 404, 0)


def delete(url: str) -> int:
    import urllib.error
    import urllib.request

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, method="DELETE"), timeout=LONG_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def offered(body: str, kind: str = "application/sdp", query: str = "?model=m") -> dict[str, Any]:
    return {"body": body.encode(), "kind": kind, "query": query}


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        (offered(""), 400, "the offer has no audio"),
        (offered("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"), 400, "the offer has no audio"),
        (offered("v=0\r\nm=audio nonsense\r\n"), 400, "the offer cannot be answered"),
        (offered("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"), 400, "the offer cannot be answered"),
        (offered("v=0", query=""), 400, "model"),
        (offered("v=0", kind="text/html"), 400, "use multipart/form-data"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_told_in_words(
    server: str, asked: dict[str, Any], status: int, told: str
) -> None:
    got, _, body = get(f"{server}{CALLS}{asked['query']}", asked["body"], content_type=asked["kind"])
    assert (got, told in json.loads(body)["error"]["message"]) == (status, True), body
    assert health(server)["sessions"] == 0


def test_a_form_carries_the_session_and_a_wrong_one_is_refused_by_name(server: str) -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="sdp"\r\n\r\nv=0\r\n--b\r\n'
        b'Content-Disposition: form-data; name="session"\r\n\r\n'
        b'{"model":"m","audio":{"output":{"language":"xx"}}}\r\n--b--\r\n'
    )
    status, _, body = get(f"{server}{CALLS}", form, content_type="multipart/form-data; boundary=b")
    assert status == 400
    assert json.loads(body)["error"]["param"] == "session.audio.output.language"


def test_a_server_that_is_full_or_without_aiortc_says_so(
    tiny_pipeline: Pipeline, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(address: str) -> tuple[int, str, int]:
        async with calling(np.zeros(1600, np.float32)) as first, calling(np.zeros(1600, np.float32)) as second:
            await first.call(address)
            await first.until("session.created")
            status, headers, body = await second.call(address)
            assert int(headers["retry-after"]) >= 1
        await emptied(address)
        return status, json.loads(body)["error"]["message"], health(address)["sessions"]

    with running(tiny_pipeline, max_sessions=1) as address:
        status, told, left = asyncio.run(scene(address))
    assert (status, left) == (503, 0)
    assert "all 1 places are taken" in told
    monkeypatch.setitem(sys.modules, "aiortc", None)
    status, _, body = get(f"{server}{CALLS}?model=m", b"v=0", content_type="application/sdp")
    assert (status, "pip install 'streamst[webrtc]'" in json.loads(body)["error"]["message"]) == (400, True)
