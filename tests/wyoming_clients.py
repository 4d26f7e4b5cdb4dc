"""Wyoming's own client against a server of ours on a socket: what its tests share."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.event import Event
from wyoming.server import AsyncServer

from streamst.audio import Pcm, to_pcm16
from streamst.integrations.wyoming import House, open_server

PATIENCE_S = 120.0


@contextlib.asynccontextmanager
async def serving(house: House) -> AsyncIterator[str]:
    """The address of a server for `house`."""
    async with stoppable(house) as (uri, _):
        yield uri


@contextlib.asynccontextmanager
async def stoppable(house: House) -> AsyncIterator[tuple[str, AsyncServer]]:
    """As `serving`, and the server."""
    with tempfile.TemporaryDirectory(prefix="wy") as folder:
        uri = f"unix://{Path(folder) / 's'}"
        server = open_server(uri)
        await server.start(house.handler)
        try:
            yield uri, server
        finally:
            await server.stop()


async def heard(client: AsyncClient, last: str) -> list[Event]:
    """Events up to the first of kind `last`, or to the connection's end."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE_S):
        while (event := await client.read_event()) is not None:
            events.append(event)
            if event.type == last:
                break
    return events


async def asked(uri: str, *said: Any, last: str) -> list[Event]:
    """What one client, who says all this, is answered."""
    async with AsyncClient.from_uri(uri) as client:
        reading = asyncio.create_task(heard(client, last))
        for event in said:
            await client.write_event(event if isinstance(event, Event) else event.event())
        return await reading


def spoken(pcm: Pcm, rate_hz: int = 16_000, samples: int = 1600) -> list[Any]:
    """A recording as a satellite sends it."""
    form = {"rate": rate_hz, "width": 2, "channels": 1}
    parts = [pcm[at : at + samples] for at in range(0, len(pcm), samples)]
    return [AudioStart(**form), *(AudioChunk(audio=to_pcm16(part), **form) for part in parts), AudioStop()]
