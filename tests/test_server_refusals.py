"""What a client that breaks the rules is told, on a real port."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from serving import (
    END,
    audio,
    hear_out,
    opened,
    running,
    talk,
    told,
    wait_until_empty,
)
from websockets.exceptions import ConnectionClosed

from streamst.audio import Pcm
from streamst.codecs.bitstream import Packet, pack
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.pipeline import Pipeline
from streamst.server.wire.native import pack_audio


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=4) as address:
        yield address


def garbage() -> dict[str, tuple[str | bytes, int]]:
    """Messages and the close codes they earn."""
    return {
        "words where JSON belongs": ("hello", 1007),
        "JSON that breaks off": ('{"type":"config"', 1007),
        "a nest of brackets": ("[" * 60_000, 1007),
        "audio in text": ('{"type":"audio","data":"AAAA"}', 1003),
        "a header cut short": (audio()[:7], 1007),
        "half a sample": (audio() + b"\0", 1007),
        "an unknown codec": (b"\1\x09" + bytes(12), 4400),
        "neural audio unannounced": (pack_audio("neural", 0, 0, b"\xc5"), 4400),
        "an unknown language": ('{"type":"config","target":"tlh"}', 4400),
        "an unknown source": ('{"type":"config","source":"tlh"}', 4400),
        "an unknown policy": ('{"type":"config","policy":"guess"}', 4400),
        "an unknown latency": ('{"type":"config","latency":"yesterday"}', 4400),
        "a sample rate of a telegraph": ('{"type":"config","sample_rate_hz":50}', 4400),
        "a misspelt setting": ('{"type":"config","langauge":"de"}', 4400),
        "a long text": ('{"type":"hello","x":"' + "x" * 600_000 + '"}', 1009),
        "ten megabytes": (bytes(10_000_000), 1009),
    }


@pytest.mark.parametrize(("message", "code"), garbage().values(), ids=garbage().keys())
def test_a_wrong_message_gets_an_error_and_the_same_close_code(server: str, message: str | bytes, code: int) -> None:
    said, closed = asyncio.run(talk(server, message))
    assert closed == code
    (error,) = told(said, "error")
    assert said[-1] is error
    assert error["code"] == code
    assert error["message"]
    assert error["name"]
    wait_until_empty(server)


@pytest.mark.parametrize("rate", ["0", "9" * 400])
def test_audio_at_a_rate_that_there_is_not_is_refused_though_it_comes_with_the_config(server: str, rate: str) -> None:
    said, closed = asyncio.run(talk(server, f'{{"type":"config","sample_rate_hz":{rate}}}', audio()))
    assert closed == 4400
    (error,) = told(said, "error")
    assert error["message"].startswith(f"config.sample_rate_hz: {rate[:50]}")


def test_a_refusal_names_what_is_allowed(server: str) -> None:
    for config, allowed in (
        ('{"type":"config","target":"tlh"}', "'tlh'.*de"),
        ('{"type":"config","source":"tlh"}', "'tlh'; allowed: en"),
        ('{"type":"config","policy":"guess"}', "'guess'; allowed: .*wait-k"),
        ('{"type":"config","latency":"yesterday"}', "'yesterday'; allowed: .*medium"),
    ):
        said, _ = asyncio.run(talk(server, config))
        assert re.search(allowed, told(said, "error")[0]["message"])


def test_text_that_is_not_utf8_gets_an_error_and_1007(server: str) -> None:
    async def send() -> tuple[list[dict[str, Any]], int | None]:
        async with opened(server) as socket:
            await socket.send(b'{"type":"\xff"}', text=True)
            return await hear_out(socket)

    said, code = asyncio.run(send())
    assert code == 1007
    assert [error["code"] for error in told(said, "error")] == [1007]
    wait_until_empty(server)


def test_ten_megabytes_in_fragments_are_too_big_as_well(server: str) -> None:
    async def send() -> tuple[list[dict[str, Any]], int | None]:
        async with opened(server) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(bytes(100_000) for _ in range(100))
            return await hear_out(socket)

    said, code = asyncio.run(send())
    assert code == 1009
    assert [error["code"] for error in told(said, "error")] == [1009]


def test_neural_audio_that_begins_with_damage_is_bad_data(
    server: str, tiny_codec: NeuralSpeechCodec, speech: Pcm
) -> None:
    packet = tiny_codec.encoder().push(speech[:3200])
    damaged = packet[:-1] + bytes([packet[-1] ^ 1])
    version = packet[:1] + b"\3" + packet[2:]
    for payload in (damaged, packet[:-3], b"\0\0", version):
        said, code = asyncio.run(
            talk(server, '{"type":"config","codec":"neural"}', pack_audio("neural", 0, 0, payload), END)
        )
        assert code == 1007
        assert told(said, "error")[0]["code"] == 1007


def test_a_packet_that_claims_a_minute_is_too_big(server: str) -> None:
    claim = pack(Packet(np.zeros((3000, 1), np.int64)))
    _, code = asyncio.run(talk(server, '{"type":"config","codec":"neural"}', pack_audio("neural", 0, 0, claim)))
    assert code == 1009


def test_compression_is_not_agreed_to(server: str) -> None:
    async def extensions() -> str | None:
        async with opened(server, compression="deflate") as socket:
            assert socket.response is not None
            return socket.response.headers.get("Sec-WebSocket-Extensions")

    assert asyncio.run(extensions()) is None
