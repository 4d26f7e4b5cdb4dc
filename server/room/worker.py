"""Where the networks work: an engine in a thread of its own, so that the event loop never waits for them.

A session asks for one small step (a chunk heard) and asks again only when it has the result; what several sessions ask
for goes through the networks together (streamst/engine.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from streamst.engine import Batch, Engine, EngineOptions
from streamst.server.operator.metrics import Metrics, Tally
from streamst.server.wire.seam import Settings
from streamst.session import Steps

from .live import LiveStream
from .pressure import Pressure

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

T = TypeVar("T")


class Worker:
    """The engine of all sessions, as the event loop sees it."""

    def __init__(self, pipeline: Pipeline, metrics: Metrics | Tally, options: EngineOptions | None = None) -> None:
        self._pipeline, self._metrics = pipeline, metrics
        self._pressure = Pressure(time.perf_counter)
        self._engine = Engine(pipeline.translator, pipeline.voice, options, self._observe)

    def open(self, defaults: Settings, relieve: bool = True) -> LiveStream:
        """A stream whose steps `run` takes; `release` it in the end. relieve: see `LiveStream`."""
        stream = LiveStream(self._pipeline, self._metrics, defaults, self._pressure, relieve)
        self._pressure.began(stream)
        return stream

    def release(self, stream: LiveStream) -> None:
        """The stream is over."""
        self._pressure.ended(stream)

    @property
    def room(self) -> bool:
        """Whether another stream can be served without making the others wait."""
        return self._pressure.room

    @property
    def demand(self) -> float:
        """Share of the device's time that the streams take."""
        return self._pressure.demand

    async def run(self, steps: Steps[T], session: Hashable, client: Hashable = None) -> T:
        """What `steps` return, or raise. Cancelled before its turn, it never runs. client: see `Engine.submit`."""
        return await asyncio.wrap_future(self.submit(steps, session, client))

    def submit(self, steps: Steps[T], session: Hashable, client: Hashable = None) -> Future[T]:
        """The same without a loop."""
        return self._engine.submit(steps, session, client)

    def forget(self, client: Hashable) -> None:
        """The client has no session any more."""
        self._engine.forget(client)

    def close(self) -> None:
        """Let the running work end, forget what waits."""
        self._engine.close()

    def _observe(self, batch: Batch) -> None:
        self._pressure.worked(batch)
        self._metrics.batch_size.labels(kind=batch.kind).observe(len(batch.waited_s))
        self._metrics.compute_s.observe(batch.seconds)
        for waited_s in batch.waited_s:
            self._metrics.queue_s.observe(waited_s)
