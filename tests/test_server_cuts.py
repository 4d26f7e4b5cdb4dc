"""A client, a network that fails, a server: what is cut is said as if it had not been."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cutting import CuttingProxy
from serving import alone, captions_of, heard_of, pieces, running, words_of

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.client.audio import Exchange
from streamst.errors import UnavailableError
from streamst.events import Finished
from streamst.pipeline import Pipeline
from streamst.server.wire.seam import Acknowledged, Settings, Welcome

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """Some seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 6]))


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline) as address:
        yield address


async def through_cuts(address: str, pcm: Pcm, seed: int, cuts: int, most_bytes: int) -> tuple[list[Any], int]:
    """All events of a stream whose connection is cut so many times, and how often it was."""
    async with CuttingProxy(address, seed, cuts, most_bytes) as proxy:
        events = [event async for event in stream(proxy.address, pieces(pcm), Settings())]
        return events, proxy.cuts


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_that_is_cut_many_times_says_what_it_says_uncut(
    server: str, tiny_pipeline: Pipeline, speech: Pcm, seed: int
) -> None:
    events, cuts = asyncio.run(through_cuts(server, speech, seed, cuts=20, most_bytes=60_000))
    local = alone(tiny_pipeline, speech)
    assert cuts >= 3
    assert words_of(local)
    assert words_of(events) == words_of(local)
    assert captions_of(events) == captions_of(local)
    np.testing.assert_allclose(heard_of(events), np.clip(heard_of(local), -1, 1), atol=1 / 32_000)
    acknowledged = [event.sequence for event in events if isinstance(event, Acknowledged)]
    assert acknowledged == list(range(len(pieces(speech))))
    assert len({event.session_id for event in events if isinstance(event, Welcome)}) == 1
    assert isinstance(events[-1], Finished)
    assert events[-1].samples == len(speech)


def test_a_client_whose_session_is_gone_says_so(tiny_pipeline: Pipeline, speech: Pcm) -> None:
    async def listen(address: str) -> None:
        async with CuttingProxy(address, 1, cuts=10, most_bytes=30_000) as proxy:
            async for _ in stream(proxy.address, pieces(speech), realtime=True):
                pass

    with (
        running(tiny_pipeline, park_s=0.0) as address,
        pytest.raises(UnavailableError, match="dropped"),
    ):
        asyncio.run(listen(address))


def test_the_client_keeps_to_its_credit(tiny_pipeline: Pipeline) -> None:
    async def most_on_way(address: str) -> float:
        sent_ms, most = 0.0, 0.0
        exchange = Exchange()
        async for event in stream(address, [np.zeros(16_000 * 8, np.float32)], exchange=exchange):
            if isinstance(event, Acknowledged):
                sent_ms = exchange.up.payload_bytes / 32
                most = max(most, sent_ms - event.samples / 16)
        return most

    with running(tiny_pipeline, credit_s=0.5) as address:
        assert asyncio.run(most_on_way(address)) <= 600  # the message that was just acknowledged makes room for one
