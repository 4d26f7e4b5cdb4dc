"""A client and a server in two processes, and between them a network that loses, doubles, mixes up and slows down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import Exchange, ServerEvent, conversation, stream
from streamst.client.audio import Listening
from streamst.client.outgoing import Outgoing, Return
from streamst.client.reader import Reader
from streamst.codecs.base import Codec
from streamst.codecs.opus import OpusCodec
from streamst.events import Caption, Finished, Speech, Words
from streamst.pipeline import Pipeline
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import AudioCodec, Closed, Settings

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
PATIENCE_S = 120.0
Socket = ServerConnection | ClientConnection
SERVE = "from streamst.cli import main; main()"


@dataclass
class Network:
    """What a message on its way meets. Only audio is touched: text travels on a stream that is whole."""

    loss: float = 0.0
    doubled: float = 0.0
    swapped: float = 0.0  # the message changes places with the next one
    bits_per_s: float = float("inf")  # towards the server
    seed: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"sent": 0, "lost": 0, "doubled": 0, "swapped": 0})

    def mangler(self, seed: int) -> Callable[[str | bytes], list[str | bytes]]:
        """A function from a message to those that leave in its place, for one direction of one connection."""
        rng = random.Random(self.seed + seed)
        held: list[str | bytes] = []

        def mangled(message: str | bytes) -> list[str | bytes]:
            if isinstance(message, str):
                if '"type":"speech"' in message:  # it belongs to audio, and may well overtake what is held
                    return [message]
                out = [*held, message]
                held.clear()
                return out
            self.counts["sent"] += 1
            if rng.random() < self.loss:
                self.counts["lost"] += 1
                return []
            if not held and self.counts["sent"] > 1 and rng.random() < self.swapped:
                self.counts["swapped"] += 1
                held.append(message)
                return []
            out = [message, *held]
            held.clear()
            if rng.random() < self.doubled:
                self.counts["doubled"] += 1
                out.append(message)
            return out

        return mangled


@contextlib.asynccontextmanager
async def proxied(address: str, network: Network) -> AsyncIterator[str]:
    """The address of a proxy before the server at `address`."""
    target = address.replace("http", "ws", 1) + "/v1/stream"

    async def pass_on(source: Socket, sink: Socket, upward: bool) -> None:
        mangled = network.mangler(int(upward))
        with contextlib.suppress(ConnectionClosed):
            async for message in source:
                await asyncio.sleep(8 * (len(message) + 60) / network.bits_per_s if upward else 0)
                for one in mangled(message):
                    await sink.send(one)

    async def handle(near: ServerConnection) -> None:
        async with connect(target, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None, max_size=None) as far:
            up = asyncio.create_task(pass_on(near, far, upward=True))
            await pass_on(far, near, upward=False)
            up.cancel()
            await near.close(far.close_code or 1000)

    async with serve(
        handle, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None, max_size=None
    ) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}"


@pytest.fixture(scope="module")
def process(tiny_model: Path) -> Iterator[str]:
    """A server in a process of its own; its address. At the end nothing of what happened was an exception there."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--model", str(tiny_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = None
        for line in server.stdout:
            found = re.search(r"https?://[\d.]+:\d+", line)
            if found:
                break
        try:
            assert found is not None
            yield found.group()
        finally:
            server.terminate()
            _, errors = server.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in errors
    assert server.returncode == 0


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[: 16_000 * 8]))


async def heard(
    address: str, network: Network, pcm: Pcm, codec_name: AudioCodec, codec: Codec | None
) -> list[ServerEvent]:
    settings = Settings(codec=codec_name, output_codec=codec_name)
    async with proxied(address, network) as near:
        return [event async for event in stream(near, [pcm], settings, codec=codec)]


@pytest.mark.parametrize("codec_name", ["neural", "opus"])
def test_with_lost_doubled_and_reordered_packets_text_and_speech_still_arrive(
    process: str, tiny_pipeline: Pipeline, speech: Pcm, codec_name: AudioCodec
) -> None:
    codec = tiny_pipeline.codec if codec_name == "neural" else None
    network = Network(loss=0.05, doubled=0.05, swapped=0.05, seed=5)
    whole = asyncio.run(heard(process, Network(), speech, codec_name, codec))
    events = asyncio.run(heard(process, network, speech, codec_name, codec))
    assert min(network.counts["lost"], network.counts["doubled"], network.counts["swapped"]) > 0
    assert isinstance(events[-1], Finished)
    (closed,) = [event for event in events if isinstance(event, Closed)]
    (closed_whole,) = [event for event in whole if isinstance(event, Closed)]
    assert closed_whole.summary.concealed_ms == 0
    assert closed.summary.concealed_ms > 0
    # what is lost last is followed by nothing that would tell
    assert 0 <= closed_whole.summary.samples - closed.summary.samples <= 2 * 3200
    words = [word for event in events if isinstance(event, Words) for word in event.words]
    assert words
    assert any(isinstance(event, Caption) for event in events)
    spoken = [event for event in events if isinstance(event, Speech)]
    assert sum(len(event.pcm) for event in spoken) > 0
    assert all(np.isfinite(event.pcm).all() for event in spoken)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (0, 0, 1, 3, 3, 2)])
def test_speech_that_changes_places_or_is_doubled_is_heard_whole(order: tuple[int, ...], speech: Pcm) -> None:
    exchange, settings = Exchange(), Settings(output_codec="opus", output=("captions", "audio"))
    reader = Reader(Listening(settings, None, exchange), Outgoing(), Return())
    encoder = OpusCodec().encoder()
    payloads = [encoder.push(piece) for piece in speech[: 4 * 3200].reshape(4, -1)]
    told = {"type": "speech", "sample_rate_hz": 16_000, "source_ms": 0.0, "compute_ms": 0.0}
    for number in range(4):
        reader.read(json.dumps(told | {"n": number + 1, "sequence": number, "text": f"word{number}"}))
    heard = [reader.read(pack_audio("opus", number, 0, payloads[number])) for number in order]
    spoken = [event for event in heard if isinstance(event, Speech)]
    decoder = OpusCodec().decoder()
    assert np.array_equal(np.concatenate([event.pcm for event in spoken]), decoder.push(b"".join(payloads)))
    assert " ".join(event.text for event in spoken) == "word0 word1 word2 word3"
    assert exchange.lost_frames == 0
    assert reader.last == 4


def test_on_a_slow_network_the_rate_falls_and_rises_again_when_there_is_room(
    process: str, speech: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "PING_S", 0.2)
    network = Network(bits_per_s=14_000.0)  # with all headers; Opus at 24 kbit/s does not pass, at 6 it does
    exchange = Exchange()
    rates: list[int] = []

    async def talk() -> list[ServerEvent]:
        settings = Settings(codec="opus", output=("captions",))
        async with proxied(process, network) as near:
            found: list[ServerEvent] = []
            async for event in stream(near, [speech], settings, realtime=True, bitrate_bps=24_000, exchange=exchange):
                found.append(event)
                rates.append(exchange.bitrate_bps or 0)
                if min(rates) <= 12_000:
                    network.bits_per_s = float("inf")
            return found

    events = asyncio.run(talk())
    assert isinstance(events[-1], Finished)
    assert events[-1].samples >= len(speech)
    lowest = rates.index(min(rates))
    assert rates[0] == 24_000
    assert rates[lowest] <= 12_000
    assert max(rates[lowest:]) > rates[lowest]
    assert exchange.up.payload_bytes < exchange.up.wire_bytes
