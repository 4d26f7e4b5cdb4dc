"""Rooms on a real port: one speaks, many listen, and each of them has its own ways and troubles."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rooming import heard, late_comer, link, opened_room, room_socket, spoken, text_of, three_times, with_listeners
from serving import PATIENCE_S, captions_of, get, hear_out, heard_of, pieces, running, told
from test_server_cuts import CuttingProxy
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from streamst.audio import Pcm, read_audio
from streamst.cli import main
from streamst.client import Jump
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.events import Caption, Finished, Speech
from streamst.pipeline import Pipeline
from streamst.server import listening
from streamst.server.app import create_app
from streamst.server.audience.wire import Wish
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Closed, Settings, Welcome


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return three_times()


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=60, address_connections=0, address_rate=0) as address:
        yield address


def test_a_listener_gets_what_the_speaker_gets_and_the_end(server: str, speech: Pcm) -> None:
    speaker, listener = asyncio.run(with_listeners(server, speech, {"audio": True}))
    assert captions_of(listener) == captions_of(speaker) != []
    assert np.array_equal(heard_of(listener), heard_of(speaker))
    assert len(heard_of(speaker)) > 0
    assert isinstance(listener[0], Welcome)
    assert isinstance(listener[-2], Closed)
    assert isinstance(listener[-1], Finished)
    assert listener[-1].samples == len(speech)


def test_listeners_choose_languages_codecs_and_rates_and_speech_is_there_though_the_speaker_wants_none(
    server: str, speech: Pcm, tiny_pipeline: Pipeline
) -> None:
    codec = tiny_pipeline.codec
    assert isinstance(codec, NeuralSpeechCodec)
    wishes: list[dict[str, Any]] = [
        {"captions": "source"},
        {"captions": "target"},
        {"captions": "none", "audio": True},
        {"captions": "none", "audio": True, "codec_name": "opus"},
        {"captions": "none", "audio": True, "codec_name": "neural", "codec": codec},
    ]
    quiet = Settings(target="de", latency="low", output=("captions",))
    speaker, source, target, pcm, opus, neural = asyncio.run(with_listeners(server, speech, *wishes, settings=quiet))
    assert len(heard_of(speaker)) == 0
    assert {event.lang for event in source if isinstance(event, Caption)} == {"en"}
    assert {event.lang for event in target if isinstance(event, Caption)} == {"de"}
    assert captions_of(source + target) == sorted(captions_of(speaker), key=lambda one: one[0] == "de")
    samples = len(heard_of(pcm))
    assert samples > 4_000
    assert not captions_of(pcm)
    for coded in (opus, neural):
        assert samples <= len(heard_of(coded)) < samples + 16_000 // 5
        assert [e.text for e in coded if isinstance(e, Speech) and e.text]


def test_who_comes_late_reads_the_last_minute_and_finds_the_rest_as_a_file(server: str, speech: Pcm) -> None:
    async def scene() -> tuple[list[Any], list[Any], str, str, list[str]]:
        token, room = opened_room(server)
        events = await late_comer(server, speech, token, link(server, room))
        vtt = get(f"{server}/v1/rooms/{room['id']}/captions.vtt?lang=de&token={room['token']}")[2].decode()
        query = f"lang=de&token={room['token']}"
        playlist = get(f"{server}/v1/rooms/{room['id']}/captions.m3u8?{query}")[2].decode()
        places = [line for line in playlist.splitlines() if not line.startswith("#")]
        parts = [get(f"{server}/v1/rooms/{room['id']}/{place}")[2].decode() for place in places]
        assert get(f"{server}/v1/rooms/{room['id']}/captions/{len(parts)}.vtt?{query}")[0] == 404
        assert get(f"{server}/v1/rooms/{room['id']}/captions/0.vtt?{query}&mpegts=x")[0] == 400
        return *events, vtt, playlist, parts

    speaker, late, vtt, playlist, parts = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert text_of(late) == text_of(speaker) != []
    assert 0 < len(heard_of(late)) < len(heard_of(speaker))
    assert vtt.startswith("WEBVTT\n")
    assert playlist.startswith("#EXTM3U\n")
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert all(part.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n") for part in parts)
    cues = {cue for part in parts for cue in part.split("\n\n")[1:]}
    assert {cue.strip() for cue in cues} == {cue.strip() for cue in vtt.split("\n\n")[1:]}
    assert " ".join(line for line in vtt.splitlines()[1:] if line and "-->" not in line).split() == (
        " ".join(text_of(speaker)).split()
    )


def test_a_cut_listener_comes_back_and_nothing_is_lost_or_twice(server: str, speech: Pcm) -> None:
    async def scene() -> tuple[list[Any], list[Any], int]:
        token, room = opened_room(server)
        there = asyncio.Event()
        async with CuttingProxy(server, seed=3, cuts=6, most_bytes=30_000) as proxy:
            listener = asyncio.create_task(heard(link(proxy.address, room), there, audio=True))
            await there.wait()
            speaker = await spoken(server, speech, token)
            return speaker, await listener, proxy.cuts

    speaker, listener, cuts = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert cuts >= 2
    assert captions_of(listener) == captions_of(speaker)
    assert np.array_equal(heard_of(listener), heard_of(speaker))


def test_speaker_and_listeners_on_networks_that_cut_and_delay_have_the_same_text_no_word_lost_or_twice(
    server: str, speech: Pcm
) -> None:
    async def scene() -> tuple[list[Any], list[Any], int]:
        token, room = opened_room(server)
        async with AsyncExitStack() as stack:
            networks = [
                await stack.enter_async_context(CuttingProxy(server, seed, 4, 6_000, least_bytes=3_000, late_ms=20))
                for seed in range(4)
            ]
            there = [asyncio.Event() for _ in networks[1:]]
            listeners = [
                asyncio.create_task(heard(link(network.address, room), inside))
                for network, inside in zip(networks[1:], there, strict=True)
            ]
            await asyncio.gather(*(inside.wait() for inside in there))
            speaker = await spoken(networks[0].address, speech, token)
            return speaker, await asyncio.gather(*listeners), min(network.cuts for network in networks)

    speaker, listeners, cuts = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert cuts >= 1
    for listener in listeners:
        assert captions_of(listener) == captions_of(speaker)
        assert text_of(listener) == text_of(speaker) != []


async def dawdle(slow: ClientConnection, room: asyncio.Event) -> list[dict[str, Any]]:
    """A listener who reads nothing until `room` is set, then all."""
    await room.wait()
    return (await hear_out(slow))[0]


def test_who_is_too_slow_jumps_to_the_present_and_holds_nobody_up(
    tiny_pipeline: Pipeline, speech: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "SEND_BUFFER_BYTES", 4096)
    talk_pcm = np.concatenate([speech] * 4)
    options: dict[str, Any] = {"listener_behind_s": 3.0, "send_timeout_s": 60.0}

    async def scene(address: str) -> tuple[list[Any], list[Any], list[dict[str, Any]], str]:
        token, room = opened_room(address)
        there, read_on = asyncio.Event(), asyncio.Event()
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        port = int(address.rpartition(":")[2])
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", port))
        quick = asyncio.create_task(heard(link(address, room), there, captions="target"))
        async with room_socket(address, room, "&audio=1", sock=small, max_queue=1) as slow:
            await there.wait()
            slow_one = asyncio.create_task(dawdle(slow, read_on))
            speaker = await spoken(address, talk_pcm, token)
            fast = await quick
            await asyncio.sleep(options["listener_behind_s"])
            read_on.set()
            said = await slow_one
        return speaker, fast, said, get(f"{address}/metrics")[2].decode()

    with running(tiny_pipeline, **options) as address:
        speaker, fast, said, metrics = asyncio.run(asyncio.wait_for(scene(address), PATIENCE_S))
    assert text_of(fast) == text_of(speaker)
    assert not [event for event in fast if isinstance(event, Jump)]
    jumps = told(said, "jump")
    assert jumps
    assert jumps[0]["skipped_ms"] >= 3000
    assert said[-1]["type"] == "closed"
    newest = {one["segment"]: one["stable"] for one in told(said, "caption") if one["lang"] == "de"}
    assert [newest[segment] for segment in sorted(newest)] == text_of(speaker)
    assert len(told(said, "speech")) < len([event for event in speaker if isinstance(event, Speech)])
    assert f"streamst_listener_jumps_total {len(jumps)}.0" in metrics


def test_fifty_listeners_read_and_hear_the_same(server: str, speech: Pcm) -> None:
    wishes = [{"audio": number % 10 == 0} for number in range(50)]
    speaker, *listeners = asyncio.run(with_listeners(server, speech, *wishes))
    assert all(captions_of(one) == captions_of(speaker) for one in listeners)
    assert all(np.array_equal(heard_of(one), heard_of(speaker)) for one in listeners[::10])


def test_the_speaker_sees_who_listens_and_how_far_behind(server: str, speech: Pcm) -> None:
    async def scene() -> tuple[dict[str, str], list[dict[str, Any]], str]:
        token, room = opened_room(server)
        states: list[dict[str, Any]] = []
        url = f"{server.replace('http', 'ws', 1)}/v1/stream"
        offered = [Subprotocol(SUBPROTOCOL), Subprotocol(f"token.{token}")]
        async with room_socket(server, room), connect(url, subprotocols=offered, proxy=None) as speaker:
            for number, piece in enumerate(pieces(speech)):
                await speaker.send(pack_audio("pcm16", number, 1600 * number, (piece * 32_767).astype("<i2").tobytes()))
            while not states or states[-1]["lag_ms"] is None:
                message = await speaker.recv()
                if isinstance(message, str) and '"type":"room"' in message:
                    states.append(json.loads(message))
            return room, states, get(f"{server}/metrics")[2].decode()

    room, states, metrics = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert {name: states[0][name] for name in room} == room
    assert states[-1]["listeners"] == 1
    assert 0 <= states[-1]["lag_ms"] <= states[-1]["lag_p95_ms"]
    assert "streamst_listeners 1.0" in metrics
    assert "streamst_rooms 1.0" in metrics


def test_a_room_can_be_opened_in_the_midst_of_a_talk(server: str, speech: Pcm) -> None:
    async def scene() -> tuple[list[dict[str, Any]], list[Any]]:
        url = f"{server.replace('http', 'ws', 1)}/v1/stream"
        said: list[dict[str, Any]] = []
        async with connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None) as speaker:
            await speaker.send('{"type":"config","latency":"low"}')
            await speaker.send(pack_audio("pcm16", 0, 0, bytes(32_000)))
            await speaker.send('{"type":"config","latency":"low","room":true}')
            while not told(said, "room"):
                message = await speaker.recv()
                said += [json.loads(message)] if isinstance(message, str) else []
            room, there = told(said, "room")[0], asyncio.Event()
            listener = asyncio.create_task(heard(link(server, room), there, audio=True))
            await there.wait()
            payload = (speech * 32_767).astype("<i2").tobytes()
            await speaker.send(pack_audio("pcm16", 1, 16_000, payload))
            await speaker.send('{"type":"end"}')
            said += (await hear_out(speaker))[0]
            return said, await listener

    said, listener = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    after = [one for one in told(said, "caption") if one["end_ms"] > 1000]
    assert [one["stable"] for one in after if one["lang"] == "de"][-1] == text_of(listener)[-1]
    assert len(heard_of(listener)) > 0


def test_the_command_line_listens_until_the_end(
    server: str, speech: Pcm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token, room = opened_room(server)
    wav = tmp_path / "heard.wav"

    async def scene() -> list[Any]:
        arguments = ["listen", link(server, room), "-o", str(wav), "--contiguous", "--format", "txt"]
        listener = asyncio.create_task(asyncio.to_thread(main_exits, arguments))
        while "streamst_listeners 1.0" not in get(f"{server}/metrics")[2].decode():
            await asyncio.sleep(0.05)
        speaker = await spoken(server, speech, token)
        assert await listener in (0, None)
        return speaker

    speaker = asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    shown = capsys.readouterr().out.split()
    assert shown == " ".join(text_of(speaker)).split()
    assert len(read_audio(wav)) >= len(heard_of(speaker)) * 0.95


def main_exits(arguments: list[str]) -> int | str | None:
    try:
        main(arguments)
    except SystemExit as ended:
        return ended.code
    return None


def test_a_server_that_ends_waits_until_its_listeners_were_told_the_rest_but_not_for_ever(
    tiny_pipeline: Pipeline,
) -> None:
    async def go() -> None:
        rooms = create_app(tiny_pipeline).state.service.rooms
        room = rooms.open("a talk")
        member = room.join(Wish(), None)
        room.end("done")
        await rooms.drain(0.1)
        draining = asyncio.create_task(rooms.drain(PATIENCE_S))
        await asyncio.sleep(0.1)
        assert not draining.done()
        room.part(member)
        async with asyncio.timeout(PATIENCE_S / 2):
            await draining
        rooms.close()

    asyncio.run(go())
