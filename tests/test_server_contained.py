"""Recordings in containers through a server: Deepgram's endpoint and the native protocol, their ends, their lengths."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from recordings import KINDS, RATE, by_soundfile, no_threads, written
from serving import health, hear_out, opened, running, wait_until_empty
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamst.pipeline import Pipeline
from streamst.server.wire.native import pack_audio


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, speed_limit=0, max_sessions=16) as address:
        yield address


@pytest.fixture(scope="module")
def talk() -> NDArray[np.int16]:
    """Bursts of noise with pauses, of 16-bit samples: the tiny pipeline writes words to them."""
    draw = np.random.default_rng(1)
    bursts = [np.pad(draw.integers(-9_000, 9_000, RATE), (0, RATE)) for _ in range(3)]
    return np.concatenate(bursts).astype(np.int16)


def at(address: str, path: str) -> connect:
    return connect(address.replace("http", "ws", 1) + path, proxy=None)


async def results(socket: ClientConnection) -> tuple[list[dict[str, Any]], int | None, str]:
    said, code = await hear_out(socket)
    return said, code, socket.close_reason or ""


def listen(address: str, query: str, messages: list[bytes | str]) -> tuple[list[dict[str, Any]], int | None, str]:
    async def run() -> tuple[list[dict[str, Any]], int | None, str]:
        async with at(address, f"/v1/listen?{query}") as socket:
            with contextlib.suppress(ConnectionClosed):
                for message in messages:
                    await socket.send(message)
            return await results(socket)

    return asyncio.run(run())


def spoken(said: list[dict[str, Any]]) -> list[str]:
    texts = [one["channel"]["alternatives"][0]["transcript"] for one in said if one["type"] == "Results"]
    return [text for text in texts if text]


def pieces(data: bytes, size: int = 700) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


CLOSE = '{"type": "CloseStream"}'


@pytest.mark.parametrize(
    ("query", "container"), [("", "FLAC"), ("encoding=flac", "FLAC"), ("", "WAV"), ("interim_results=true", "WAV")]
)
def test_deepgrams_clients_get_of_a_container_what_raw_samples_give(
    server: str, talk: NDArray[np.int16], query: str, container: str
) -> None:
    interim = "interim_results=true" if "interim" in query else ""
    raw, _, _ = listen(server, f"encoding=linear16&sample_rate=16000&{interim}", [*pieces(talk.tobytes()), CLOSE])
    data = by_soundfile(talk, container, "PCM_16")
    said, code, _ = listen(server, query, [*pieces(data), CLOSE])
    assert code == 1000
    finals = [[one for one in answers if one.get("is_final")] for answers in (said, raw)]
    assert spoken(finals[0]) == spoken(finals[1])
    assert len(spoken(said)) > 1
    assert said[-1]["type"] == "Metadata"
    assert said[-1]["duration"] == pytest.approx(len(talk) / RATE, abs=0.3)


def test_the_native_protocol_takes_containers(server: str, talk: NDArray[np.int16]) -> None:
    def run(codec: str, parts: list[bytes]) -> tuple[list[tuple[int, str]], int | None]:
        async def go() -> tuple[list[tuple[int, str]], int | None]:
            async with opened(server) as socket:
                await socket.send(json.dumps({"type": "config", "codec": codec, "output": ["captions"]}))
                for number, part in enumerate(parts):
                    await socket.send(pack_audio(codec, number, 0, part))  # type: ignore[arg-type]
                await socket.send('{"type": "end"}')
                said, code = await hear_out(socket)
                finals = [one for one in said if one["type"] == "caption" and one["final"]]
                return [(one["segment"], one["stable"]) for one in finals], code

        return asyncio.run(go())

    plain, contained = (
        run("pcm16", pieces(talk.tobytes())),
        run("container", pieces(by_soundfile(talk, "FLAC", "PCM_16"))),
    )
    assert plain == contained
    assert len(plain[0]) > 1


def test_finalize_ends_an_utterance_and_the_container_goes_on(server: str, talk: NDArray[np.int16]) -> None:
    parts = pieces(by_soundfile(talk, "FLAC", "PCM_16"))
    half = len(parts) // 2
    said, code, _ = listen(server, "", [*parts[:half], '{"type": "Finalize"}', *parts[half:], CLOSE])
    assert code == 1000
    assert any(one.get("from_finalize") for one in said)
    assert said[-1]["duration"] == pytest.approx(len(talk) / RATE, abs=0.3)


def test_a_truncated_container_is_heard_as_far_as_it_goes_and_then_told(server: str, talk: NDArray[np.int16]) -> None:
    data = by_soundfile(talk, "FLAC", "PCM_16")
    said, code, reason = listen(server, "", [*pieces(data[: len(data) // 2]), CLOSE])
    assert code == 1008
    assert reason.startswith("DATA-0000: the audio cannot be read: the recording is truncated")
    assert spoken(said)
    assert said[-1]["type"] == "Error"


def test_nothing_is_left_of_connections_that_were_cut(server: str) -> None:
    data = written(KINDS["webm"])

    async def cut() -> None:
        async with at(server, "/v1/listen") as socket:
            for piece in pieces(data[: len(data) // 2]):
                await socket.send(piece)
            await asyncio.sleep(0.05)
            socket.transport.abort()

    for _ in range(10):
        asyncio.run(cut())
    wait_until_empty(server)
    assert health(server)["sessions"] == 0
    assert no_threads()


def test_a_container_that_comes_at_once_is_heard_no_faster_than_allowed(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, speed_limit=20.0, burst_s=2.0) as address:
        begun_s = time.monotonic()
        data = by_soundfile(np.zeros(42 * RATE, np.int16), "FLAC", "PCM_16")
        _, code, _ = listen(address, "", [data, CLOSE])
        assert time.monotonic() - begun_s > 1.9
    assert code == 1000


@pytest.mark.parametrize("behind", [[], [CLOSE], ['{"type": "Finalize"}', CLOSE]])
@pytest.mark.parametrize("size", [700, 1 << 20])
def test_a_session_of_a_container_lasts_no_longer_than_any_whatever_was_said_behind_it(
    tiny_pipeline: Pipeline, behind: list[str], size: int
) -> None:
    with running(tiny_pipeline, speed_limit=0, max_duration_s=20.0) as address:
        data = by_soundfile(np.zeros(600 * RATE, np.int16), "FLAC", "PCM_16")
        said, code, reason = listen(address, "", [*pieces(data, size), *behind])
    assert code == 1001
    assert "a session may last 20 s" in reason
    told = next(one for one in said if one["type"] == "Metadata")
    assert 20 <= told["duration"] <= 24
    assert no_threads()


def test_a_long_container_in_one_message_is_heard_no_faster_than_allowed_and_still_ends(
    tiny_pipeline: Pipeline,
) -> None:
    with running(tiny_pipeline, speed_limit=50.0, burst_s=2.0, max_duration_s=30.0) as address:
        data = by_soundfile(np.zeros(3_600 * RATE, np.int16), "FLAC", "PCM_16")
        assert len(data) < 1 << 20
        _, code, reason = listen(address, "", [data, CLOSE])
    assert (code, "a session may last 30 s" in reason) == (1001, True)


def test_a_recordings_end_is_heard_before_another_codec_takes_over(tiny_pipeline: Pipeline) -> None:
    async def run(address: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address) as socket:
            await socket.send(json.dumps({"type": "config", "codec": "container", "output": ["captions"]}))
            data = by_soundfile(np.zeros(40 * RATE, np.int16), "FLAC", "PCM_16")
            await socket.send(pack_audio("container", 0, 0, data))
            await socket.send(json.dumps({"type": "config", "codec": "pcm16", "output": ["captions"]}))
            await socket.send(pack_audio("pcm16", 1, 0, bytes(2 * RATE)))
            await socket.send('{"type": "end"}')
            return await hear_out(socket)

    with running(tiny_pipeline, speed_limit=0) as address:
        said, code = asyncio.run(run(address))
    assert code == 1000
    assert said[-1]["type"] == "closed"
    assert said[-1]["summary"]["audio_ms"] == pytest.approx(41_000, abs=100)
