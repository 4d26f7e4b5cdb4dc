"""Opus and neural packets on the wire: lost, doubled, damaged and out of order, in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, running
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.codecs import opus
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.codecs.opus import OpusCodec
from streamst.pipeline import Pipeline
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import AudioCodec

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
END = '{"type":"end"}'


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """Some seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 4]))


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    """The address of a server that runs."""
    with running(tiny_pipeline) as address:
        yield address


async def talk(address: str, *messages: str | bytes) -> tuple[list[dict[str, Any]], int | None]:
    """Send, hear out: the text messages, and the close code."""
    url = address.replace("http", "ws", 1) + "/v1/stream"
    said: list[dict[str, Any]] = []
    async with connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await socket.send(message)
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    message = await socket.recv()
                    said += [json.loads(message)] if isinstance(message, str) else []
        return said, socket.close_code


def told(said: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in said if message["type"] == kind]


def test_damage_in_the_midst_is_concealed_and_the_next_good_packet_heard(
    server: str, tiny_codec: NeuralSpeechCodec, speech: Pcm
) -> None:
    for announced, sender in (("neural", tiny_codec.encoder(1500)), ("opus", OpusCodec().encoder(6000))):
        name: AudioCodec = "opus" if announced == "opus" else "neural"
        sent = [sender.push(piece) for piece in speech[:16_000].reshape(10, -1)]
        sent[2] = sent[2][:-1] + bytes([sent[2][-1] ^ 1])
        sent[5] = sent[5][:-3]
        sent[7] = bytes(range(40))
        messages = [pack_audio(name, number, number * 1600, payload) for number, payload in enumerate(sent)]
        config = json.dumps({"type": "config", "codec": name, "output_codec": name})
        said, code = asyncio.run(talk(server, config, *messages, END))
        assert code == 1000
        summary = said[-1]["summary"]
        assert summary["samples"] == 16_000
        assert summary["concealed_ms"] == 300


def test_a_lost_first_packet_and_a_damaged_third_are_concealed(server: str, speech: Pcm) -> None:
    encoder = OpusCodec().encoder(6000)
    sent = [encoder.push(piece) for piece in speech[:16_000].reshape(10, -1)]
    sent[2] = sent[2][:-1] + bytes([sent[2][-1] ^ 1])
    messages = [pack_audio("opus", number, number * 1600, payload) for number, payload in enumerate(sent)]
    said, code = asyncio.run(talk(server, '{"type":"config","codec":"opus"}', *messages[1:], END))
    assert code == 1000
    assert said[-1]["summary"]["samples"] == 16_000
    assert said[-1]["summary"]["concealed_ms"] == 200


def test_audio_that_is_nothing_but_damage_from_some_point_on_is_bad_data(server: str, speech: Pcm) -> None:
    encoder = OpusCodec().encoder()
    messages = [pack_audio("opus", 0, 0, encoder.push(speech[:3200]))]
    messages += [pack_audio("opus", number, 0, bytes(30)) for number in range(1, 60)]
    said, code = asyncio.run(talk(server, '{"type":"config","codec":"opus"}', *messages))
    assert code == 1007
    assert "not a codec packet" in told(said, "error")[0]["message"]


def test_a_gap_of_minutes_makes_no_minutes_of_sound(server: str, speech: Pcm) -> None:
    (chunk,) = opus.unpack_all(OpusCodec().encoder().push(speech[:320]))
    far = [opus.pack(opus.Chunk(chunk.frames, 140 * number % 65_536)) for number in range(300)]
    messages = [pack_audio("opus", number, 0, payload) for number, payload in enumerate(far)]
    said, code = asyncio.run(talk(server, '{"type":"config","codec":"opus"}', *messages, END))
    assert code == 1000
    assert said[-1]["summary"]["samples"] <= (2 * 300 + 150) * 320


@pytest.mark.parametrize(("codec_name", "rate"), [("neural", 1501), ("opus", 7000)])
def test_a_bit_rate_that_does_not_exist_is_refused_with_those_that_do(server: str, codec_name: str, rate: int) -> None:
    said, code = asyncio.run(
        talk(server, json.dumps({"type": "config", "output_codec": codec_name, "output_bitrate_bps": rate}))
    )
    assert code == 4400
    assert re.search(rf"no rate of {rate} bit/s.*allowed: (1500|6000)", told(said, "error")[0]["message"])
