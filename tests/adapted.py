"""What the tests of adapters share: a server, a talk, and what the native client makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import running

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.events import Caption
from streamst.pipeline import Pipeline

CLIP = Path(__file__).parent / "data" / "station.flac"


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=4) as address:
        yield address


@pytest.fixture(scope="module")
def talk() -> Pcm:
    return np.tile(from_pcm16(to_pcm16(read_audio(CLIP))), 2)


@pytest.fixture(scope="module")
def native(server: str, talk: Pcm) -> list[Any]:
    async def go() -> list[Any]:
        pieces = [talk[at : at + 1600] for at in range(0, len(talk), 1600)]
        return [event async for event in stream(server, pieces)]

    return asyncio.run(go())


def finals(events: list[Any], lang: str) -> list[str]:
    return [e.stable for e in events if isinstance(e, Caption) and e.lang == lang and e.final and e.stable]
