"""A session between its connections: what it takes in, hears, keeps and reports, without any connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamst.errors import ProtocolError
from streamst.pipeline import Pipeline
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.room.worker import Worker
from streamst.server.session.ending import GONE, Ending
from streamst.server.session.served import UNSENT_ANSWERS, Served
from streamst.server.wire.native import NativeProtocol
from streamst.server.wire.seam import Alive, Audio, Configure, End, Settings

SETTINGS = Settings(target="de", latency="low")
SECOND = bytes(2 * 16_000)


def play(pipeline: Pipeline, scene: Callable[[Served], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        worker = Worker(pipeline, Metrics())
        served = Served("s", NativeProtocol(), worker, SETTINGS, ServerOptions(**options), owner="talks")
        try:
            async with asyncio.timeout(60):
                return await scene(served)
        finally:
            await served.stop()
            worker.close()

    return asyncio.run(run())


def messages(served: Served) -> list[dict[str, Any]]:
    """Everything that waits to be sent."""
    found: list[dict[str, Any]] = []
    while (said := served.replay.next()) is not None:
        found += [json.loads(message) for message in said if isinstance(message, str)]
        served.sent()
    return found


def test_everything_taken_in_is_heard_in_order_and_stands_in_the_report(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> tuple[Any, ...]:
        for number in range(3):
            served.take(Audio("pcm16", number, 16_000 * number, SECOND), len(SECOND))
        served.take(End(), 0)
        ending = await served.wait()
        return ending, messages(served), served.summary(ending)

    ending, said, summary = play(tiny_pipeline, scene)
    assert ending == Ending(1000)
    assert [message["sequence"] for message in said if message["type"] == "ack"] == [0, 1, 2]
    assert said[-1]["type"] == "closed"
    assert [message["n"] for message in said] == list(range(1, len(said) + 1))
    assert (summary.samples, summary.audio_ms, summary.reason) == (48_000, 3000.0, "done")
    assert said[-1]["summary"]["samples"] == summary.samples


def test_a_session_that_still_runs_reports_that_it_is_open(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> Any:
        return served.summary(None)

    summary = play(tiny_pipeline, scene)
    assert (summary.session_id, summary.reason, summary.samples) == ("s", "open", 0)


def test_after_its_end_is_asked_for_nothing_more_is_taken(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> Any:
        served.take(End(), 0)
        served.take(Audio("pcm16", 0, 0, SECOND), len(SECOND))
        return served.summary(await served.wait())

    assert play(tiny_pipeline, scene).samples == 0


def test_audio_beyond_the_allowed_speed_is_refused(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> int:
        served.take(Audio("pcm16", 0, 0, SECOND), len(SECOND))
        with pytest.raises(ProtocolError) as caught:
            served.take(Audio("pcm16", 1, 16_000, SECOND), len(SECOND))
        return caught.value.code

    assert play(tiny_pipeline, scene, burst_s=1.0, speed_limit=1.0) == 4413  # if asked within a second


def test_an_error_of_the_stream_is_the_sessions_end_and_keeps_its_code(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> Any:
        served.take(Configure(Settings(target="xx")), 0)
        return await served.wait()

    ending = play(tiny_pipeline, scene)
    assert ending.code == 4400
    assert "'xx'" in ending.message


def test_a_sign_of_life_is_no_audio_but_keeps_the_session_from_being_idle(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> tuple[float, float]:
        await asyncio.sleep(0.2)
        before = served.idle_s
        served.take(Alive(), 0)
        return before, served.idle_s

    before, after = play(tiny_pipeline, scene)
    assert before >= 0.2
    assert after < before


def test_a_client_that_is_there_and_takes_nothing_is_not_said_more_than_it_can_be_behind(
    tiny_pipeline: Pipeline,
) -> None:
    async def scene(served: Served) -> tuple[int, int]:
        served.attach(lambda _: None)
        for number in range(200):
            served.take(Audio("pcm16", number, 1600 * number, SECOND[:3200]), 3200)
        while served.replay.unsent < UNSENT_ANSWERS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        held = served.replay.unsent
        while served.summary(None).samples < 200 * 1600:
            messages(served)
            await asyncio.sleep(0.01)
        return held, served.summary(None).samples

    held, samples = play(tiny_pipeline, scene)
    assert UNSENT_ANSWERS <= held < 2 * UNSENT_ANSWERS
    assert samples == 200 * 1600


def test_an_abandoned_session_waits_for_nobody_and_keeps_nothing(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> tuple[int, Any]:
        served.abandon()
        for number in range(100):
            served.take(Audio("pcm16", number, 1600 * number, SECOND[:3200]), 3200)
        served.finish(Ending(GONE))
        return served.replay.newest, served.summary(await served.wait())

    kept, summary = play(tiny_pipeline, scene)
    assert kept == 0
    assert (summary.samples, summary.reason) == (160_000, "vanished")


def test_the_token_shown_stays_good_until_the_new_one_is_known_to_have_come(tiny_pipeline: Pipeline) -> None:
    async def scene(served: Served) -> list[int]:
        counts = []
        first = served.new_token()
        counts.append(len(served.tokens))
        served.new_token(first)
        counts.append(len(served.tokens))
        served.confirm()
        counts.append(len(served.tokens))
        return counts

    assert play(tiny_pipeline, scene) == [1, 2, 1]
