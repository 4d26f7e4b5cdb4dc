"""Talks by Opus, the neural codec, at another rate and as a recording in a container outlive their node: they wander,
and are as those that stayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
from recordings import KINDS, written
from returning import hello, opened, take
from serving import PATIENCE_S, hear_out, pieces, running
from stores import store_server
from websockets.asyncio.client import ClientConnection

from streamst.audio import Pcm, resample, to_pcm16
from streamst.client.audio import codec_for
from streamst.pipeline import Pipeline
from streamst.server.session import keeping
from streamst.server.wire.native import pack_audio
from streamst.server.wire.seam import Settings


@pytest.fixture(scope="module")
def nodes(tiny_pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with (
        store_server(tmp_path_factory.mktemp("store")) as store,
        running(tiny_pipeline, store=store, snapshot_s=0.01) as one,
        running(tiny_pipeline, store=store, snapshot_s=0.01) as other,
    ):
        yield one, other


def messages(settings: Settings, pcm: Pcm, pipeline: Pipeline) -> list[bytes]:
    """Audio messages of a fifth of a second."""
    codec, rate_hz = codec_for(settings.codec, pipeline.codec), settings.sample_rate_hz
    each = pieces(resample(pcm, 16_000, rate_hz), rate_hz // 5)
    if codec is None:
        payloads = [to_pcm16(piece) for piece in each]
    else:
        encoder = codec.encoder()
        payloads = [*(encoder.push(piece) for piece in each), encoder.flush()]
    at = np.cumsum([0, *map(len, each), 0])
    return [pack_audio(settings.codec, n, int(at[n]), payload) for n, payload in enumerate(payloads)]


class Talker:
    """One talk, part by part at any node. Each number is believed once."""

    def __init__(self, settings: Settings, sent: list[bytes]) -> None:
        self.words: list[str] = []
        self.speech: list[bytes] = []  # payloads
        self.again = 0  # messages that were heard a second time
        self._settings, self._sent = settings, sent
        self._token, self._last, self._announced, self._until = "", 0, 0, 0

    async def over(self, nodes: list[str]) -> None:
        """Talk at one after the other."""
        for turn, node in enumerate(nodes, 1):
            async with opened(node, *([self._token] if self._token else [])) as socket:
                await self._part(socket, len(self._sent) * turn // len(nodes))
                socket.transport.abort()

    async def _part(self, socket: ClientConnection, until: int) -> None:
        if self._token:
            await socket.send(hello({"resume_token": self._token}, self._last))
        welcome = await take(socket, "welcome")
        if not welcome["configs"]:
            await socket.send(json.dumps({"type": "config", **asdict(self._settings)}))
        self._token, begin = welcome["resume_token"], welcome["next_sequence"]
        self.again, self._until = self.again + self._until - begin, until
        ends = ['{"type":"end"}'] if until == len(self._sent) else []
        for message in [*self._sent[begin:until], *ends]:
            await socket.send(message)
        async with asyncio.timeout(PATIENCE_S):
            async for message in socket:
                if self._hear(message) and not ends:
                    return

    def _hear(self, message: str | bytes) -> bool:
        """Whether it says that everything was heard."""
        if isinstance(message, bytes):
            self.speech.append(message[12:])
            self._last = self._announced
            return False
        told = json.loads(message)
        self.words += told["words"] if told["type"] == "words" else []
        if told["type"] == "speech":
            self._announced = told["n"]
        elif "n" in told:
            self._last = told["n"]
        if told["type"] != "ack":
            return False
        assert told["kept"] is not None
        return told["sequence"] == self._until - 1


@pytest.mark.parametrize(
    "settings",
    [
        Settings(codec="opus", output_codec="neural"),
        Settings(codec="neural", output_codec="opus"),
        Settings(sample_rate_hz=48_000),
    ],
    ids=["opus", "neural", "48 kHz"],
)
def test_a_talk_that_wanders_is_the_talk_that_stayed(
    nodes: tuple[str, str], tiny_pipeline: Pipeline, speech: Pcm, settings: Settings
) -> None:
    sent = messages(settings, np.tile(speech, 2), tiny_pipeline)
    stays, moves = Talker(settings, sent), Talker(settings, sent)
    asyncio.run(stays.over([nodes[0]]))
    asyncio.run(moves.over([*nodes] * 3))
    assert stays.words
    assert moves.words == stays.words
    assert moves.again
    if settings.output_codec == "opus":  # encoded anew: the same frames
        assert [frames_of(one) for one in moves.speech] == [frames_of(one) for one in stays.speech]
    else:
        assert moves.speech == stays.speech


def frames_of(payload: bytes) -> tuple[int, bytes]:
    """How many frames are in a chunk of Opus, and which is the first."""
    return payload[2], payload[3:5]


@pytest.mark.parametrize("name", ["webm", "mp3", "fragments.mp4", "wav"])
def test_a_recording_that_is_made_meanwhile_goes_on_elsewhere(nodes: tuple[str, str], speech: Pcm, name: str) -> None:
    kind = KINDS[name]
    data = written(kind, piped=True, pcm=resample(speech, 16_000, kind.rate_hz))
    size = len(data) // 23 + 1
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    sent = [pack_audio("container", number, 0, part) for number, part in enumerate(parts)]
    stays, moves = (Talker(Settings(codec="container"), sent) for _ in range(2))
    asyncio.run(stays.over([nodes[0]]))
    asyncio.run(moves.over([nodes[1], nodes[0]] * 2))
    assert stays.words
    assert moves.words == stays.words
    assert moves.speech == stays.speech
    assert moves.again < len(parts)  # it is the store that has the rest


def test_a_recording_that_is_too_long_to_be_kept_says_so(
    nodes: tuple[str, str], speech: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_RECORDED", 20_000)
    data = written(KINDS["wav"], piped=True, pcm=speech)
    parts = [data[at : at + 6_000] for at in range(0, len(data), 6_000)]

    async def talk() -> list[int | None]:
        async with opened(nodes[0]) as socket:
            await socket.send(json.dumps({"type": "config", **asdict(Settings(codec="container"))}))
            kept: list[int | None] = []
            for number, part in enumerate(parts):
                await socket.send(pack_audio("container", number, 0, part))
                kept.append((await take(socket, "ack")).get("kept"))
            await socket.send('{"type":"end"}')
            assert (await hear_out(socket))[1] == 1000
            return kept

    kept = asyncio.run(talk())
    assert kept[0] == -1
    assert kept[-1] is None
