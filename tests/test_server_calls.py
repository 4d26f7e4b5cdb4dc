"""OpenAI's realtime translation over WebRTC: real peers, on loopback."""

# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calling import CALLS, LONG_S, Caller, calling, delete, emptied, loopback, server  # noqa: F401
from serving import alone, get, health, running, stopping

from streamst.audio import Pcm
from streamst.events import Words
from streamst.pipeline import Pipeline
from streamst.session import Session


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
            await caller.closed()
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
            await caller.closed()
            return done, await asyncio.to_thread(delete, where), len(caller.told("error"))

    assert asyncio.run(scene()) == (200, 404, 0)


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


def test_a_wrong_key_is_refused_and_a_client_secret_is_one(tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[[keys]]\nname = "talks"\nkey = "a-key-of-our-own-1234"\n')
    mine = {"authorization": "Bearer a-key-of-our-own-1234", "content_type": "application/json"}

    async def scene(address: str) -> list[int]:
        asked = b'{"session": {"model": "any"}}'
        where = f"{address}/v1/realtime/translations/client_secrets"
        secret = json.loads((await asyncio.to_thread(get, where, asked, **mine))[2])["value"]
        async with calling(np.zeros(1600, np.float32)) as first, calling(np.zeros(1600, np.float32)) as second:
            wrong, _, _ = await first.call(address, authorization="Bearer of-somebody-else-1234")
            right, headers, _ = await second.call(address, authorization=f"Bearer {secret}")
            await second.until("session.created")
            stranger = await asyncio.to_thread(delete, f"{address}{headers['location']}")
        await emptied(address)
        return [wrong, right, stranger]

    with running(tiny_pipeline, api_keys=str(keys)) as address:
        assert asyncio.run(scene(address)) == [401, 201, 404]


def test_a_server_that_is_stopped_ends_its_calls_in_order(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str, stop: Callable[[], None]) -> list[dict[str, Any]]:
        async with calling(np.zeros(1600, np.float32)) as caller:
            await caller.call(address)
            await caller.until("session.created")
            await asyncio.to_thread(stop)
            await caller.closed()
        assert len(asyncio.all_tasks()) == 1, "this very one"
        return caller.events

    with stopping(tiny_pipeline, drain_s=0.1) as (address, stop):
        told = asyncio.run(scene(address, stop))
    assert told[-1]["error"]["message"] == "the server is being stopped"


def test_a_server_that_drains_says_the_rest_of_what_it_heard_and_why_it_ends(
    tiny_pipeline: Pipeline, speech: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Pcm] = []
    hearing = Session.hearing

    def kept(session: Session, pcm: Pcm) -> Any:
        heard.append(pcm.copy())
        return hearing(session, pcm)

    async def scene(address: str, stop: Callable[[], None]) -> list[dict[str, Any]]:
        async with calling(np.tile(speech, 20)) as caller:
            await caller.call(address)
            await caller.until("session.output_transcript.delta")
            await asyncio.to_thread(stop)
            await caller.closed()
        assert len(asyncio.all_tasks()) == 1, "this very one"
        return caller.events

    with monkeypatch.context() as patch, stopping(tiny_pipeline, drain_s=0.1) as (address, stop):
        patch.setattr(Session, "hearing", kept)
        told = asyncio.run(scene(address, stop))
    assert told[-1]["error"]["message"] == "the server is being stopped"
    events = alone(tiny_pipeline, np.concatenate(heard))
    german = " ".join(word for event in events if isinstance(event, Words) for word in event.words)
    deltas = [event["delta"] for event in told if event["type"] == "session.output_transcript.delta"]
    assert german
    assert "".join(deltas).split() == german.split()


def test_a_server_that_is_ended_at_once_hangs_up(tiny_pipeline: Pipeline) -> None:
    async def scene(address: str, end: Callable[[], None]) -> None:
        async with calling(np.zeros(1600, np.float32)) as caller:
            await caller.call(address)
            await caller.until("session.created")
            await asyncio.to_thread(end)  # which fails where the server does not end

    with contextlib.ExitStack() as stack:
        address = stack.enter_context(running(tiny_pipeline))
        asyncio.run(scene(address, stack.close))


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
