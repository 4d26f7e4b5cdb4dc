"""WHIP: a real peer sends speech, and the room's listeners get it."""

# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack
from calling import LONG_S, Microphone, delete, emptied, loopback, server  # noqa: F401
from serving import get, health, running, stopping
from websockets.asyncio.client import connect

from streamst.audio import Pcm
from streamst.pipeline import Pipeline

WHIP = "/v1/whip"


class Source:
    """What OBS does: offers what it sends, and posts the offer."""

    def __init__(self, pcm: Pcm, video: bool = False) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone(pcm)
        self.peer.addTransceiver(self.microphone, direction="sendonly")
        if video:
            self.peer.addTransceiver(VideoStreamTrack(), direction="sendonly")

    async def publish(self, address: str, query: str = "", **headers: str) -> tuple[int, dict[str, str], str]:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = self.peer.localDescription.sdp.encode()
        headers = {"content_type": "application/sdp", **headers}
        status, told, body = await asyncio.to_thread(get, f"{address}{WHIP}{query}", offer, **headers)
        if status == 201:
            await self.peer.setRemoteDescription(RTCSessionDescription(body.decode(), "answer"))
        return status, told, body.decode()

    def lose(self, share: float, seed: int = 1) -> None:
        """Let the network lose so many of the packets with sound."""
        chance, transport = random.Random(seed), self.peer.getSenders()[0].transport
        whole = transport._send_rtp

        async def lossy(data: bytes) -> None:
            if data[1] & 0x7F in range(64, 96) or chance.random() >= share:  # RTCP (RFC 5761) stays whole
                await whole(data)

        transport._send_rtp = lossy


@contextlib.asynccontextmanager
async def publishing(pcm: Pcm, **options: bool) -> AsyncIterator[Source]:
    source = Source(pcm, **options)
    try:
        yield source
    finally:
        await source.peer.close()


async def listened(address: str, page: str, told: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """What a listener of the room with this page is told, to the end; `told` is kept up to date with it."""
    room, token = page.removeprefix("/listen/").split("#")
    where = f"{address.replace('http', 'ws', 1)}/v1/rooms/{room}/stream?token={token}&output=captions"
    told = [] if told is None else told
    async with asyncio.timeout(LONG_S), connect(where, proxy=None) as socket:
        async for message in socket:
            told.append(json.loads(message))
    return told


def page_of(headers: dict[str, str]) -> str:
    (page,) = re.findall(r'^<(/listen/.+)>; rel="alternate"; type="text/html"$', headers["link"])
    return page


def finals(told: list[dict[str, Any]], lang: str) -> str:
    captions = [one for one in told if one["type"] == "caption" and one["lang"] == lang and one["final"]]
    return " ".join(one["stable"] for one in captions if one["stable"])


async def spoken(source: Source) -> None:
    async with asyncio.timeout(LONG_S):
        while not source.microphone.over:
            assert source.peer.connectionState not in ("failed", "closed")
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("leaves", ["delete", "vanishes"])
def test_a_room_reads_what_a_source_says_and_its_rest_however_it_ends(server: str, speech: Pcm, leaves: str) -> None:
    async def scene() -> tuple[int, dict[str, str], list[dict[str, Any]]]:
        async with publishing(speech, video=leaves == "delete") as source:
            status, headers, answer = await source.publish(server, "?target=de&latency=low")
            assert "a=recvonly" in answer
            assert ("m=video" in answer) == ("a=inactive" in answer)
            listening = asyncio.create_task(listened(server, page_of(headers)))
            await spoken(source)
            if leaves == "delete":
                where = f"{server}{headers['location']}"
                assert await asyncio.to_thread(delete, where) == 200
                assert await asyncio.to_thread(delete, where) == 404
        told = await listening
        await emptied(server)
        return status, headers, told

    status, headers, told = asyncio.run(scene())
    assert status == 201
    assert headers["content-type"] == "application/sdp"
    assert re.fullmatch(r"/v1/whip/rtc_[0-9a-f]{24}", headers["location"])
    assert re.fullmatch(r'"[0-9a-f]+"', headers["etag"])
    assert finals(told, "en")
    assert finals(told, "de")
    assert told[-1]["type"] == "closed"


def test_who_asked_for_a_place_knows_the_room_before_and_shows_its_token(server: str, speech: Pcm) -> None:
    async def scene() -> tuple[str, str]:
        _, _, body = await asyncio.to_thread(
            get, f"{server}/v1/sessions", b'{"room": true, "target": "de"}', content_type="application/json"
        )
        place = json.loads(body)
        async with publishing(speech[:16_000]) as source:
            status, headers, _ = await source.publish(server, authorization=f"Bearer {place['token']}")
            assert status == 201
            async with asyncio.timeout(LONG_S):
                while not (await asyncio.to_thread(health, server))["sessions"]:
                    await asyncio.sleep(0.05)
        await emptied(server)
        return place["room"]["url"], page_of(headers)

    known, told = asyncio.run(scene())
    assert known == told


def test_a_server_that_drains_has_its_listeners_told_the_rest_and_hangs_up_on_the_source(
    tiny_pipeline: Pipeline, speech: Pcm
) -> None:
    async def scene(address: str, stop: Callable[[], None]) -> list[dict[str, Any]]:
        async with publishing(np.tile(speech, 20)) as source:
            _, headers, _ = await source.publish(address)
            told: list[dict[str, Any]] = []
            listening = asyncio.create_task(listened(address, page_of(headers), told))
            async with asyncio.timeout(LONG_S):
                while not any(one["type"] == "caption" and one["lang"] == "de" and one["stable"] for one in told):
                    await asyncio.sleep(0.05)
                assert not source.microphone.over
                await asyncio.to_thread(stop)
                while source.peer.connectionState != "closed":
                    await asyncio.sleep(0.05)
            await listening
        assert len(asyncio.all_tasks()) == 1, "this very one"
        return told

    with stopping(tiny_pipeline, drain_s=0.1) as (address, stop):
        told = asyncio.run(scene(address, stop))
    assert told[-1]["type"] == "closed"
    last = {(one["lang"], one["segment"]): one for one in told if one["type"] == "caption"}
    assert last
    assert all(one["final"] for one in last.values())


def test_lost_packets_are_made_up_for_and_the_clock_stays(server: str, speech: Pcm) -> None:
    async def scene() -> float:
        async with publishing(speech) as source:
            _, headers, _ = await source.publish(server)
            source.lose(0.1)
            listening = asyncio.create_task(listened(server, page_of(headers)))
            await spoken(source)
            await asyncio.to_thread(delete, f"{server}{headers['location']}")
        (summary,) = [one["summary"] for one in await listening if one["type"] == "closed"]
        await emptied(server)
        return summary["audio_ms"]

    assert asyncio.run(scene()) == pytest.approx(len(speech) / 16 + 500, abs=900)


@pytest.mark.parametrize(
    ("body", "kind", "query", "status", "told"),
    [
        (b"", "application/sdp", "", 400, "the offer has no audio"),
        (b"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "application/sdp", "", 400, "the offer has no audio"),
        (b"v=0\r\nm=audio nonsense\r\n", "application/sdp", "", 400, "the offer cannot be answered"),
        (b"v=0\r\n" + bytes(1 << 21), "application/sdp", "", 413, "the body may have"),
        (b"v=0", "text/plain", "", 415, "use application/sdp"),
        (b"v=0", "application/sdp", "?lang=de", 400, "lang: unknown; allowed: source, target"),
        (b"v=0", "application/sdp", "?latency=soon", 400, "latency: 'soon'; allowed: minimal"),
    ],
)
def test_an_offer_that_is_not_possible_is_refused_in_words(
    server: str, body: bytes, kind: str, query: str, status: int, told: str
) -> None:
    got, _, answer = get(f"{server}{WHIP}{query}", body, content_type=kind)
    assert (got, told in json.loads(answer)["message"]) == (status, True), answer
    assert health(server)["sessions"] == 0


def test_wrong_keys_and_a_full_server_are_told_and_nothing_is_left(tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[[keys]]\nname = "talks"\nkey = "a-key-of-our-own-1234"\n')
    mine = {"authorization": "Bearer a-key-of-our-own-1234"}

    async def scene(address: str) -> list[int]:
        silence = np.zeros(1600, np.float32)
        async with publishing(silence) as first, publishing(silence) as second, publishing(silence) as third:
            wrong = await first.publish(address, authorization="Bearer of-somebody-else-1234")
            right = await second.publish(address, **mine)
            full = await third.publish(address, **mine)
            assert int(full[1]["retry-after"]) >= 1
            where = f"{address}{right[1]['location']}"
            stranger = await asyncio.to_thread(delete, where)
            assert await asyncio.to_thread(delete, where, **mine) == 200
        await emptied(address)
        return [wrong[0], right[0], full[0], stranger]

    with running(tiny_pipeline, api_keys=str(keys), max_sessions=1) as address:
        assert asyncio.run(scene(address)) == [401, 201, 503, 404]


def test_what_else_http_knows_is_declined_as_the_rfc_has_it(server: str) -> None:
    import urllib.error
    import urllib.request

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(f"{server}{WHIP}", method="OPTIONS")
    with direct.open(asked, timeout=LONG_S) as response:
        assert response.headers["accept-post"] == "application/sdp"
    for method in ("PATCH", "GET", "POST"):
        with pytest.raises(urllib.error.HTTPError) as declined:
            direct.open(urllib.request.Request(f"{server}{WHIP}/rtc_any", b"", method=method), timeout=LONG_S)
        with declined.value as answer:
            assert (answer.code, answer.headers["allow"]) == (405, "DELETE")
