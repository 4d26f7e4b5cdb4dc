"""From a link to a session: new, reserved, resumed or refused, whatever carries the link."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from serving import MemoryLink, audio

from streamst.pipeline import Pipeline
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.room.worker import Worker
from streamst.server.session.reception import Reception
from streamst.server.session.sessions import Sessions
from streamst.server.wire.native import NativeProtocol
from streamst.server.wire.seam import Offer, Settings

END = '{"type":"end"}'


def play(pipeline: Pipeline, scene: Callable[[Reception], Awaitable[Any]], **given: Any) -> Any:
    async def run() -> Any:
        options, metrics = ServerOptions(**given), Metrics()
        worker = Worker(pipeline, metrics)
        sessions = Sessions(options, metrics)
        defaults = Settings(target="de", latency="low")
        try:
            async with asyncio.timeout(60):
                return await scene(Reception(worker, sessions, options, metrics, defaults, Offer))
        finally:
            worker.close()

    return asyncio.run(run())


async def serve(reception: Reception, link: MemoryLink, token: str | None = None) -> list[dict[str, Any]]:
    await reception.serve(link, NativeProtocol(), token)
    return said(link)


def said(link: MemoryLink) -> list[dict[str, Any]]:
    return [json.loads(message) for message in link.sent if isinstance(message, str)]


def test_a_link_is_served_from_welcome_to_closed_and_its_place_is_free_again(tiny_pipeline: Pipeline) -> None:
    async def scene(reception: Reception) -> tuple[Any, ...]:
        link = MemoryLink(audio(), END)
        return await serve(reception, link), link.closed, len(reception.sessions)

    heard, closed, places = play(tiny_pipeline, scene)
    assert (heard[0]["type"], heard[-1]["type"]) == ("welcome", "closed")
    assert closed == (1000, "")
    assert places == 0


def test_without_a_place_the_refusal_says_how_long_to_wait_and_closes_with_1013(tiny_pipeline: Pipeline) -> None:
    async def scene(reception: Reception) -> tuple[Any, ...]:
        reception.sessions.enter(None)
        link = MemoryLink()
        return await serve(reception, link), link.closed

    (error,), closed = play(tiny_pipeline, scene, max_sessions=1)
    assert (error["type"], error["code"], error["retryable"]) == ("error", 1013, True)
    assert error["retry_after_ms"] > 0
    assert closed[0] == 1013


def test_a_reservations_settings_hold_for_the_link_that_shows_its_token(tiny_pipeline: Pipeline) -> None:
    async def scene(reception: Reception) -> list[dict[str, Any]]:
        token, kept = reception.sessions.reserve(Settings(latency="high", output=("captions",)))
        heard = await serve(reception, MemoryLink(audio(), END), token)
        assert heard[0]["session_id"] == kept.session_id
        return heard

    configured = next(message for message in play(tiny_pipeline, scene) if message["type"] == "configured")
    assert (configured["latency"], configured["output"]) == ("high", ["captions"])


def test_the_peer_and_the_key_of_a_link_are_those_of_its_session(tiny_pipeline: Pipeline) -> None:
    async def scene(reception: Reception) -> tuple[str | None, str | None]:
        link = MemoryLink(audio(), peer="192.0.2.7", owner="talks")
        serving = asyncio.create_task(serve(reception, link))
        await link.said(1)
        served = reception.sessions.find(said(link)[0]["session_id"])
        assert served is not None
        link.say(END)
        await serving
        return served.client, served.owner

    assert play(tiny_pipeline, scene) == ("192.0.2.7", "talks")


def test_a_session_goes_on_over_another_link_and_says_again_what_the_first_did_not_get(
    tiny_pipeline: Pipeline,
) -> None:
    async def scene(reception: Reception) -> tuple[Any, ...]:
        first = MemoryLink(audio(0), audio(1))
        serving = asyncio.create_task(serve(reception, first))
        await first.said(3)
        first.lose()
        whole = await serving
        hello = {"type": "hello", "resume_token": whole[0]["resume_token"], "last_sequence": 1}
        return whole, await serve(reception, MemoryLink(json.dumps(hello), END))

    whole, rest = play(tiny_pipeline, scene)
    assert (whole[0]["resumed"], rest[1]["resumed"]) == (False, True)  # rest[0] welcomes a session that is not wanted
    assert rest[1]["session_id"] == whole[0]["session_id"]
    numbers = [message["n"] for message in rest[2:] if "n" in message]
    assert numbers == list(range(2, numbers[-1] + 1))
    assert rest[-1]["type"] == "closed"
    assert rest[-1]["summary"]["samples"] == 3200


def test_who_shows_a_resume_token_and_says_something_else_first_is_refused(tiny_pipeline: Pipeline) -> None:
    async def scene(reception: Reception) -> tuple[Any, ...]:
        first = MemoryLink(audio())
        serving = asyncio.create_task(serve(reception, first))
        await first.said(2)
        first.lose()
        token = (await serving)[0]["resume_token"]
        link = MemoryLink(audio())
        return await serve(reception, link, token), link.closed

    (error,), closed = play(tiny_pipeline, scene)
    assert error["code"] == 4400
    assert "hello" in error["message"]
    assert closed[0] == 4400
