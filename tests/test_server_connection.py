"""One connection of a session, over a link in memory: what is said, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from serving import MemoryLink, audio

from streamst.pipeline import Pipeline
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.room.worker import Worker
from streamst.server.session.connection import Connection
from streamst.server.session.ending import GONE, Ending
from streamst.server.session.served import Served
from streamst.server.wire.native import NativeProtocol
from streamst.server.wire.seam import Hello, Offer, Settings, Welcome

END = '{"type":"end"}'


class Scene:
    """A session of a real worker, and links to it."""

    def __init__(self, worker: Worker, options: ServerOptions) -> None:
        self.options, self.draining = options, asyncio.Event()
        self.served = Served("s", NativeProtocol(), worker, Settings(target="de", latency="low"), options)

    def connect(self, link: MemoryLink) -> asyncio.Task[Ending | Hello]:
        connection = Connection(link, self.served, self.draining, self.options, Metrics())
        return asyncio.create_task(connection.run(Welcome("s", Offer(), {})))


Play = Callable[[Scene], Awaitable[Any]]


def play(pipeline: Pipeline, scene: Play, **options: Any) -> Any:
    @asynccontextmanager
    async def staged() -> AsyncIterator[Scene]:
        worker = Worker(pipeline, Metrics())
        made = Scene(worker, ServerOptions(**options))
        try:
            yield made
        finally:
            await made.served.stop()
            worker.close()

    async def run() -> Any:
        async with asyncio.timeout(60), staged() as made:
            return await scene(made)

    return asyncio.run(run())


def kinds(link: MemoryLink) -> list[str]:
    return [json.loads(message)["type"] for message in link.sent if isinstance(message, str)]


def test_the_welcome_goes_first_and_closed_last_and_the_code_is_1000(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[list[str], Any, Any]:
        link = MemoryLink(audio(), END)
        ending = await made.connect(link)
        return kinds(link), link.closed, ending

    said, closed, ending = play(tiny_pipeline, scene)
    assert (said[0], said[-1]) == ("welcome", "closed")
    assert "ack" in said
    assert closed == (1000, "")
    assert ending == Ending(1000)


def test_what_breaks_the_protocol_gets_an_error_event_with_the_code_of_the_close(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[dict[str, Any], Any]:
        link = MemoryLink("no JSON")
        await made.connect(link)
        return json.loads(link.sent[-1]), link.closed

    error, closed = play(tiny_pipeline, scene)
    assert (error["type"], error["code"]) == ("error", 1007)
    assert closed[0] == 1007


def test_an_answer_of_the_protocol_itself_goes_before_what_the_model_says(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> list[str]:
        link = MemoryLink('{"type":"ping","id":7}', *[audio(number) for number in range(5)], END)
        await made.connect(link)
        return kinds(link)

    said = play(tiny_pipeline, scene)
    assert said.index("pong") < said.index("ack")


def test_a_client_that_takes_nothing_is_cut_off(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[Any, bool, Any]:
        link = MemoryLink()
        link.stuck = True
        ending = await made.connect(link)
        return ending, link.aborted, link.closed

    ending, aborted, closed = play(tiny_pipeline, scene, send_timeout_s=0.2)
    assert ending.code == GONE
    assert aborted
    assert closed is None


@pytest.mark.parametrize(("code", "left"), [(None, False), (1006, False), (1000, True), (1001, True)])
def test_who_goes_in_good_order_is_not_waited_for(tiny_pipeline: Pipeline, code: int | None, left: bool) -> None:
    async def scene(made: Scene) -> tuple[Any, Any]:
        link = MemoryLink()
        running = made.connect(link)
        link.lose(code)
        return await running, link.closed

    ending, closed = play(tiny_pipeline, scene)
    assert (ending.code, ending.left) == (GONE, left)
    assert closed is None


def test_what_the_transport_refused_and_told_is_not_told_again(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[Any, list[str]]:
        link = MemoryLink()
        running = made.connect(link)
        link.lose(1009)
        return await running, kinds(link)

    ending, said = play(tiny_pipeline, scene)
    assert (ending.code, ending.told) == (1009, True)
    assert "error" not in said


def test_a_second_connection_takes_the_session_over(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[Any, list[str]]:
        first, second = MemoryLink(), MemoryLink()
        running = made.connect(first)
        await first.said(1)
        taking_over = made.connect(second)
        ending = await running
        second.say(END)
        await taking_over
        return (ending, first.closed), kinds(second)

    (ending, closed), said = play(tiny_pipeline, scene)
    assert isinstance(ending, Ending)
    assert ending.code == 4409
    assert closed[0] == 4409
    assert said[-1] == "closed"


def test_a_client_with_another_sessions_token_is_handed_on_before_anything_is_heard(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[Any, Any]:
        link = MemoryLink('{"type":"hello","resume_token":"abc","last_sequence":3}')
        return await made.connect(link), link.closed

    assert play(tiny_pipeline, scene) == (Hello("abc", 3), None)


def test_silence_for_too_long_flushes_and_closes_as_idle(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[list[str], Any]:
        link = MemoryLink(audio())
        await made.connect(link)
        return kinds(link), link.closed

    said, closed = play(tiny_pipeline, scene, idle_s=0.2)
    assert said[-2:] == ["closed", "error"]
    assert closed[0] == 4408


def test_a_server_that_stops_says_goaway_before_it_ends_the_session(tiny_pipeline: Pipeline) -> None:
    async def scene(made: Scene) -> tuple[list[str], Any]:
        link = MemoryLink(audio())
        running = made.connect(link)
        await link.said(1)
        made.draining.set()
        await running
        return kinds(link), link.closed

    said, closed = play(tiny_pipeline, scene, drain_s=0.1)
    assert said.index("goaway") < said.index("closed")
    assert closed[0] == 1001
