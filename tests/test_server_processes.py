"""Streams in worker processes say what they say in this one; a process that dies takes only its own along."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from streamst.audio import read_audio
from streamst.errors import ProtocolError
from streamst.events import Words
from streamst.pipeline import Pipeline, load
from streamst.server.operator.metrics import Metrics
from streamst.server.room.processes import Processes
from streamst.server.room.worker import Worker
from streamst.server.room.workers import Workers
from streamst.server.wire.seam import Answer, Audio, Settings, Spoken

STATION = Path(__file__).parent / "data" / "station.flac"
PIECE = 5120


@pytest.fixture(scope="module")
def shipped() -> Pipeline:
    return load(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def processes(shipped: Pipeline) -> Iterator[Processes]:
    made = Processes(partial(load, "en-de", "cpu", "float32"), shipped, Metrics(), 2)
    yield made
    made.close()


async def translate(workers: Workers, settings: Settings) -> list[Answer]:
    live = workers.open("s", None, Settings(target="de", latency="low"), False)
    answers = list(await live.configure(settings))
    pcm = (read_audio(STATION) * 32767).astype("<i2")
    for number, start in enumerate(range(0, len(pcm), PIECE)):
        audio = Audio("pcm16", number, start, pcm[start : start + PIECE].tobytes())
        answers += await live.hear(audio, 0.0)
        while live.waiting:
            answers += await live.step()
    answers += await live.finish()
    assert live.summary().samples == len(pcm)
    live.release()
    return answers


def words(answers: list[Answer]) -> list[str]:
    return [word for answer in answers if isinstance(answer, Words) for word in answer.words]


def samples(answers: list[Answer]) -> int:
    return sum(answer.samples for answer in answers if isinstance(answer, Spoken))


def test_streams_in_processes_say_what_one_says_here(shipped: Pipeline, processes: Processes) -> None:
    here = Worker(shipped, Metrics())
    try:
        own = asyncio.run(translate(here, Settings()))
    finally:
        here.close()
    assert words(own)

    async def both() -> list[list[Answer]]:
        return list(await asyncio.gather(translate(processes, Settings()), translate(processes, Settings())))

    for answers in asyncio.run(both()):
        assert words(answers) == words(own)
        assert samples(answers) == samples(own)
    told = processes._metrics.exposition().decode()
    assert 'streamst_batch_size_count{kind="encode"}' in told
    assert "streamst_audio_heard_seconds_total 0.0" not in told


def test_a_stream_that_has_not_ended_has_a_report(processes: Processes) -> None:
    async def heard_ms() -> list[float]:
        live = processes.open("s", None, Settings(target="de", latency="low"))
        told = [live.summary().audio_ms]
        await live.configure(Settings(output=("captions",)))
        for number in range(2):
            silence = Audio("pcm16", number, number * PIECE, bytes(2 * PIECE))
            await live.hear(silence, 0.0)
            told.append(live.summary().audio_ms)
        live.release()
        return told

    assert asyncio.run(heard_ms()) == [0.0, 320.0, 640.0]


def test_an_error_keeps_its_kind_and_code_on_the_way_back(processes: Processes) -> None:
    async def ask() -> None:
        live = processes.open("s", None, Settings(target="de", latency="low"))
        try:
            await live.configure(Settings(target="fr"))
        finally:
            live.release()

    with pytest.raises(ProtocolError, match="'fr'") as caught:
        asyncio.run(ask())
    assert caught.value.code == 4400


def test_a_process_that_dies_is_replaced_and_others_go_on(processes: Processes) -> None:
    async def scene() -> None:
        one, other = processes.open("s", None, Settings()), processes.open("s", None, Settings())
        assert one.process is not other.process
        silence = Audio("pcm16", 0, 0, np.zeros(PIECE, "<i2").tobytes())
        for stream in (one, other):
            await stream.configure(Settings(target="de", latency="low"))
        pid = one.process.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        one.process.process.join(10)
        with pytest.raises(RuntimeError, match="has died"):
            await one.hear(silence, 0.0)
        await other.hear(silence, 0.0)
        assert await other.finish()
        while len([p for p in processes._processes if p.process.is_alive()]) < 2:
            await asyncio.sleep(0.05)
        assert words(await translate(processes, Settings()))

    asyncio.run(asyncio.wait_for(scene(), 120))


def test_a_new_stream_goes_to_a_process_that_lives(processes: Processes) -> None:
    async def scene() -> None:
        dying = processes.open("s", None, Settings())
        pid = dying.process.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        for stream in list(dying.process.streams.values()):
            stream.release()
        while not dying.process.dead:
            await asyncio.sleep(0.001)
        fresh = processes.open("s", None, Settings())
        assert fresh.process is not dying.process
        assert await fresh.configure(Settings(target="de", latency="low"))

    asyncio.run(asyncio.wait_for(scene(), 120))


def test_the_processes_end_by_themselves_when_they_are_told(shipped: Pipeline) -> None:
    made = Processes(partial(load, "en-de", "cpu", "float32"), shipped, Metrics(), 1)
    (process,) = [one.process for one in made._processes]
    asyncio.run(translate(made, Settings()))
    made.close()
    assert process.exitcode == 0
