"""Sessions that outlive their connections, the protocol by hand: nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from returning import begun, hello, messages, opened, take
from serving import hear_out, pieces, running, words_of
from websockets.exceptions import ConnectionClosed

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.events import Event
from streamst.pipeline import Pipeline
from streamst.server.wire.native import pack_audio

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
END = '{"type":"end"}'


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """Some seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 6]))


@pytest.fixture(scope="module")
def server(pipeline: Pipeline) -> Iterator[str]:
    with running(pipeline) as address:
        yield address


def alone(pipeline: Pipeline, pcm: Pcm) -> list[Event]:
    """What a session on this computer says, without any server."""
    session = pipeline.session(latency="medium")
    return [*[event for piece in pieces(pcm) for event in session.push(piece)], *session.finish()]


def test_what_was_not_got_is_said_again_and_nothing_else(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    sent = messages(speech)

    async def twice() -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], int, int | None]:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            for message in sent[:25]:
                await socket.send(message)
            last = (await take(socket, "words"))["n"]
            socket.transport.abort()
        async with opened(server, first["resume_token"]) as socket:
            await socket.send(hello(first, last))
            again = await take(socket, "welcome")
            for message in sent[again["next_sequence"] :]:
                await socket.send(message)
            await socket.send(END)
            said, code = await hear_out(socket)
            return first, again, said, last, code

    first, again, said, last, code = asyncio.run(twice())
    assert code == 1000
    assert (first["resumed"], again["resumed"]) == (False, True)
    assert again["session_id"] == first["session_id"]
    assert again["resume_token"] != first["resume_token"]
    assert again["samples"] == 1600 * again["next_sequence"]
    numbers = [message["n"] for message in said if "n" in message]
    assert numbers == list(range(last + 1, last + 1 + len(numbers)))
    texts = [word for _, _, words in words_of(alone(pipeline, speech)) for word in words]
    after = [word for message in said if message["type"] == "words" for word in message["words"]]
    assert after == texts[len(texts) - len(after) :]
    assert said[-1]["summary"]["samples"] == len(speech)
    assert said[-1]["summary"]["resumed"] == 1


def test_audio_that_comes_twice_is_heard_once(server: str, speech: Pcm) -> None:
    sent = messages(speech[:16_000])

    async def repeat(recut: bool) -> dict[str, Any]:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            for message in sent[:6]:
                await socket.send(message)
            await take(socket, "ack")
            socket.transport.abort()
        async with opened(server) as socket:  # the token in the first message, too
            await socket.send(hello(first))
            again = await take(socket, "welcome")
            while not again["resumed"]:
                again = await take(socket, "welcome")
            if recut:  # in pieces of another size, from a little before what came
                begin = max(0, again["samples"] - 700)
                for i, at in enumerate(range(begin, 16_000, 1000)):
                    payload = to_pcm16(speech[at : min(at + 1000, 16_000)])
                    await socket.send(pack_audio("pcm16", again["next_sequence"] + i, at, payload))
            else:
                for message in sent:
                    await socket.send(message)
            await socket.send(END)
            return (await hear_out(socket))[0][-1]["summary"]

    for recut in (False, True):
        assert asyncio.run(repeat(recut))["samples"] == 16_000


def test_a_gap_in_the_audio_of_who_comes_back_is_refused(server: str, speech: Pcm) -> None:
    async def gap() -> int | None:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            await socket.send(messages(speech)[0])
            await take(socket, "ack")
            socket.transport.abort()
        async with opened(server, first["resume_token"]) as socket:
            await socket.send(hello(first))
            await socket.send(messages(speech)[5])
            return (await hear_out(socket))[1]

    assert asyncio.run(gap()) == 4400


def test_the_last_word_can_be_fetched_by_who_missed_it(server: str) -> None:
    async def miss() -> tuple[list[dict[str, Any]], int | None]:
        async with opened(server) as socket:
            first = await take(socket, "welcome")
            await socket.send(messages(np.zeros(3200, np.float32))[0])
            await socket.send(END)
            closed = await take(socket, "closed")
            socket.transport.abort()
        async with opened(server, first["resume_token"]) as socket:
            await socket.send(hello(first, closed["n"] - 1))
            return await hear_out(socket)

    said, code = asyncio.run(miss())
    assert code == 1000
    assert [message["type"] for message in said] == ["welcome", "closed"]
    assert said[0]["ended"]


def test_a_newer_connection_takes_over_from_a_half_open_one(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    sent = messages(speech)

    async def both() -> tuple[list[dict[str, Any]], int | None, list[dict[str, Any]], int | None]:
        async with opened(server) as old:
            first = await take(old, "welcome")
            for message in sent[:5]:
                await old.send(message)
            await take(old, "ack")
            async with opened(server, first["resume_token"]) as new:
                await new.send(hello(first))
                again = await take(new, "welcome")
                old_said, old_code = await hear_out(old)
                for message in sent[again["next_sequence"] :]:
                    await new.send(message)
                await new.send(END)
                new_said, new_code = await hear_out(new)
                return old_said, old_code, new_said, new_code

    old_said, old_code, new_said, new_code = asyncio.run(both())
    assert old_code == 4409
    assert (old_said[-1]["type"], old_said[-1]["name"]) == ("error", "superseded")
    assert new_code == 1000
    words = [tuple(message["words"]) for message in new_said if message["type"] == "words"]
    assert words == [words for _, _, words in words_of(alone(pipeline, speech))]


def test_who_never_saw_the_new_token_comes_back_with_the_old_one_but_not_later(server: str) -> None:
    async def come_back(token: dict[str, Any], *, stay: bool) -> tuple[dict[str, Any], int | None]:
        async with opened(server, token["resume_token"]) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(hello(token))
            said = json.loads(await socket.recv())
            if stay and said["type"] == "welcome":
                await socket.send('{"type":"ping","id":1}')
                await take(socket, "pong")
            socket.transport.abort()
            return said, socket.close_code

    async def several() -> list[str]:
        async with opened(server) as socket:
            first = await begun(socket)
            socket.transport.abort()
        kinds = []
        for stay in (False, False, True, False):  # as if the welcome was lost twice, and came the third time
            said, _ = await come_back(first, stay=stay)
            kinds.append(said["type"])
        return kinds

    assert asyncio.run(several()) == ["welcome", "welcome", "welcome", "error"]


@pytest.mark.parametrize("in_handshake", [True, False])
def test_a_token_that_is_none_opens_nobodys_session(server: str, in_handshake: bool) -> None:
    async def guess() -> tuple[list[dict[str, Any]], int | None]:
        async with opened(server, *(["guessed"] if in_handshake else [])) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(hello({"resume_token": "guessed"}))
            return await hear_out(socket)

    said, code = asyncio.run(guess())
    assert code == 4401
    assert said[-1]["code"] == 4401


def test_who_comes_back_too_late_is_told_so(pipeline: Pipeline) -> None:
    async def late(address: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address) as socket:
            first = await begun(socket)
            socket.transport.abort()
        while True:  # until the session is over, which nobody tells
            async with opened(address, first["resume_token"]) as socket:
                await asyncio.sleep(0.3)
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(hello(first))
                said, code = await hear_out(socket)
                if code is not None and code != 1006:
                    return said, code

    with running(pipeline, park_s=0.1) as address:
        said, code = asyncio.run(late(address))
    assert code == 4410
    assert said[-1]["name"] == "resume_expired"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (END, 4400),  # anything but hello
        ('{"type":"hello","last_sequence":99}', 4400),  # an answer that was never given
        ('{"type":"hello","last_sequence":-1}', 4400),
        ("nonsense", 1007),
        (b"\1", 1007),
    ],
)
def test_who_comes_back_must_say_hello_properly(server: str, first: str | bytes, code: int) -> None:
    async def mumble() -> int | None:
        async with opened(server) as socket:
            welcome = await begun(socket)
            socket.transport.abort()
        async with opened(server, welcome["resume_token"]) as socket:
            await socket.send(first)
            return (await hear_out(socket))[1]

    assert asyncio.run(mumble()) == code


def test_a_token_in_the_midst_of_a_stream_is_refused(server: str) -> None:
    async def late() -> int | None:
        async with opened(server) as socket:
            welcome = await take(socket, "welcome")
            await socket.send('{"type":"config"}')
            await socket.send(hello(welcome))
            return (await hear_out(socket))[1]

    assert asyncio.run(late()) == 4400
