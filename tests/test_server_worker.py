"""Streams of one worker: what they ask of the networks goes together, the codec's frames too, and is charged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable
from concurrent.futures import Future
from typing import TypeVar

import numpy as np
from serving import PATIENCE_S

from streamst.audio import Pcm
from streamst.engine import Batch
from streamst.events import Caption
from streamst.pipeline import Pipeline
from streamst.server.operator.metrics import Metrics
from streamst.server.room.costs import Costs
from streamst.server.room.live import LiveStream
from streamst.server.room.worker import Worker
from streamst.server.wire.seam import Answer, Audio, Settings, Spoken
from streamst.session import Steps

T = TypeVar("T")

SETTINGS = Settings(target="de", latency="low", codec="neural", output_codec="neural")
PIECE = 5120


def speech(seed: int) -> Pcm:
    rng = np.random.default_rng(seed)
    return (0.3 * np.sin(np.cumsum(rng.uniform(0.03, 0.2, 12 * PIECE)))).astype(np.float32)


class Watched(Worker):
    """Keeps what the engine tells, and lets no batch be put together before every open stream has asked."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, Metrics())
        self._streams = self._steps = 0
        self._changed = threading.Condition()

    def begin(self, defaults: Settings, relieve: bool = True, client: Hashable = None) -> LiveStream:
        self._count(streams=1)
        return super().begin(defaults, relieve, client)

    def end(self, stream: LiveStream) -> None:
        super().end(stream)
        self._count(streams=-1)

    def submit(self, steps: Steps[T], session: Hashable, client: Hashable = None) -> Future[T]:
        self._count(steps=1)
        future = super().submit(steps, session, client)
        future.add_done_callback(lambda _: self._count(steps=-1))
        return future

    def _count(self, streams: int = 0, steps: int = 0) -> None:
        with self._changed:
            self._streams, self._steps = self._streams + streams, self._steps + steps
            self._changed.notify_all()

    def _observe(self, batch: Batch) -> None:
        seen.append(batch)
        super()._observe(batch)
        with self._changed:
            self._changed.wait_for(lambda: self._steps == self._streams, PATIENCE_S)


seen: list[Batch] = []


async def translate(worker: Worker, pipeline: Pipeline, session: int) -> list[Answer]:
    assert pipeline.codec is not None
    encoder, pcm = pipeline.codec.encoder(), speech(session)
    stream = worker.open(session, None, SETTINGS, relieve=False)
    answers = list(await stream.configure(SETTINGS))
    for number, at in enumerate(range(0, len(pcm), PIECE)):
        answers += await stream.hear(Audio("neural", number, at, encoder.push(pcm[at : at + PIECE])), 0.0)
        while stream.waiting:
            answers += await stream.step()
    answers += await stream.finish()
    stream.release()
    return answers


def captions(answers: list[Answer]) -> list[tuple[str, int, str, str]]:
    return [(a.lang, a.segment, a.stable, a.unstable) for a in answers if isinstance(a, Caption)]


def spoken(answers: list[Answer]) -> list[tuple[bytes, int, str]]:
    return [(answer.payload, answer.samples, answer.text) for answer in answers if isinstance(answer, Spoken)]


def test_coded_streams_share_batches_of_every_kind_and_say_what_each_says_alone(tiny_pipeline: Pipeline) -> None:
    seen.clear()
    worker = Watched(tiny_pipeline)

    async def company() -> list[list[Answer]]:
        return list(await asyncio.gather(*(translate(worker, tiny_pipeline, number) for number in range(4))))

    try:
        alone = [asyncio.run(translate(worker, tiny_pipeline, number)) for number in range(4)]
        frames_alone = sum(len(batch.waited_s) for batch in seen if batch.kind == "codec-decode")
        assert max(len(batch.waited_s) for batch in seen) == 1
        seen.clear()
        together = asyncio.run(company())
    finally:
        worker.close()
    for mine, theirs in zip(together, alone, strict=True):
        assert captions(mine) == captions(theirs)
        assert [said[1:] for said in spoken(mine)] == [said[1:] for said in spoken(theirs)]
    kinds = {batch.kind for batch in seen}
    assert kinds == {"encode", "hypothesise", "speak", "codec-encode", "codec-decode"}
    decoded = [len(batch.waited_s) for batch in seen if batch.kind == "codec-decode"]
    assert sum(decoded) == frames_alone >= 4 * 12
    assert max(decoded) >= 3  # all but the first, who asked alone


def test_admission_counts_what_the_codec_costs() -> None:
    costs, without = Costs(), Costs()
    for _ in range(100):
        for told in (costs, without):
            told.worked(Batch("encode", 0.01, (0.0,)))
            told.heard(0.32)
        costs.worked(Batch("codec-decode", 0.01, (0.0,)))
    assert costs.demand(1) > 1.9 * without.demand(1)
