"""Streams of one worker: what they ask of the networks goes together, the codec's frames too, and is charged."""

from __future__ import annotations

import asyncio

import numpy as np

from streamst.audio import Pcm
from streamst.engine import Batch
from streamst.events import Caption
from streamst.pipeline import Pipeline
from streamst.server.operator.metrics import Metrics
from streamst.server.room.costs import Costs
from streamst.server.room.worker import Worker
from streamst.server.wire.seam import Answer, Audio, Settings, Spoken

SETTINGS = Settings(target="de", latency="low", codec="neural", output_codec="neural")
PIECE = 5120


def speech(seed: int) -> Pcm:
    rng = np.random.default_rng(seed)
    return (0.3 * np.sin(np.cumsum(rng.uniform(0.03, 0.2, 12 * PIECE)))).astype(np.float32)


class Watched(Worker):
    """Keeps what the engine tells."""

    def _observe(self, batch: Batch) -> None:
        seen.append(batch)
        super()._observe(batch)


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
    worker = Watched(tiny_pipeline, Metrics())

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
    assert max(decoded) > 1


def test_admission_counts_what_the_codec_costs() -> None:
    costs, without = Costs(), Costs()
    for _ in range(100):
        for told in (costs, without):
            told.worked(Batch("encode", 0.01, (0.0,)))
            told.heard(0.32)
        costs.worked(Batch("codec-decode", 0.01, (0.0,)))
    assert costs.demand(1) > 1.9 * without.demand(1)
