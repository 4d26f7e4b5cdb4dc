"""What tests of rooms share: rooms, their speakers and their listeners."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from serving import PATIENCE_S, get, pieces
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from streamst.audio import Pcm, read_audio
from streamst.client import listen, stream
from streamst.client.room import RoomEvent
from streamst.events import Caption, Speech
from streamst.server.wire.native import SUBPROTOCOL
from streamst.server.wire.seam import Settings, Welcome

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
LOW = Settings(target="de", latency="low")


def three_times() -> Pcm:
    """A sentence, three times, with pauses."""
    sentence = read_audio(SAMPLE)[16_000 : 16_000 * 4]
    return np.concatenate([sentence, np.zeros(16_000, np.float32)] * 3)


def opened_room(address: str) -> tuple[str, dict[str, str]]:
    """A speaker's token, and the room."""
    status, _, body = get(f"{address}/v1/sessions", b'{"room": true, "target": "de", "latency": "low"}')
    assert status == 201
    answer = json.loads(body)
    return answer["token"], answer["room"]


def link(address: str, room: dict[str, str]) -> str:
    return f"{address}{room['url']}"


def room_socket(address: str, room: dict[str, str], query: str = "", token: str | None = None, **more: Any) -> connect:
    url = f"{address.replace('http', 'ws', 1)}/v1/rooms/{room['id']}/stream?token={token or room['token']}{query}"
    return connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None, **more)


async def heard(url: str, there: asyncio.Event | None = None, **wishes: Any) -> list[RoomEvent]:
    """All that a listener gets; `there` is set when it is in."""
    events: list[RoomEvent] = []
    async for event in listen(url, **wishes):
        events.append(event)
        if there is not None and isinstance(event, Welcome):
            there.set()
    return events


async def spoken(address: str, pcm: Pcm, token: str, settings: Settings = LOW, **more: Any) -> list[Any]:
    return [event async for event in stream(address, pieces(pcm), settings, token=token, **more)]


async def with_listeners(address: str, pcm: Pcm, *wishes: dict[str, Any], settings: Settings = LOW) -> list[list[Any]]:
    """What the speaker gets, then what each listener does, who was there before the first word."""
    token, room = opened_room(address)
    there = [asyncio.Event() for _ in wishes]
    listeners = [
        asyncio.create_task(heard(link(address, room), inside, **wish))
        for inside, wish in zip(there, wishes, strict=True)
    ]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(inside.wait() for inside in there))
        speaker = await spoken(address, pcm, token, settings)
        return [speaker, *await asyncio.gather(*listeners)]


async def late_comer(address: str, pcm: Pcm, token: str, url: str) -> tuple[list[Any], list[Any]]:
    """What the speaker gets, and who comes to `url` once the first speech is out and before the talk is half over."""
    half_way, late_is_in = asyncio.Event(), asyncio.Event()

    async def blocks() -> AsyncIterator[Pcm]:
        for at, piece in enumerate(pieces(pcm)):
            if at == 90:
                await late_is_in.wait()
            yield piece

    async def speak() -> list[Any]:
        events: list[Any] = []
        async for event in stream(address, blocks(), LOW, token=token):
            events.append(event)
            if isinstance(event, Speech):
                half_way.set()
        return events

    speaker = asyncio.create_task(speak())
    await half_way.wait()
    late = asyncio.create_task(heard(url, late_is_in, audio=True))
    return await speaker, await late


def text_of(events: list[Any], lang: str = "de") -> list[str]:
    newest = {event.segment: event.stable for event in events if isinstance(event, Caption) and event.lang == lang}
    return [newest[segment] for segment in sorted(newest)]
