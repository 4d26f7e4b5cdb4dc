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

from streamst.codecs.base import Codec
from streamst.engine import Batch, Engine, EngineOptions
from streamst.server.operator.metrics import Metrics, Tally
from streamst.server.wire.seam import Answer, Audio, Settings
from streamst.server.wire.summary import Heard
from streamst.session import Steps

from .live import LiveStream
from .pressure import Pressure

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

T = TypeVar("T")


class Worker:
    """The engine of all sessions, as the event loop sees it: `Workers` in this process."""

    def __init__(self, pipeline: Pipeline, metrics: Metrics | Tally, options: EngineOptions | None = None) -> None:
        self._pipeline, self._metrics = pipeline, metrics
        self._pressure = Pressure(time.perf_counter)
        self._engine = Engine(pipeline.models, options, self._observe)

    @property
    def codec(self) -> Codec | None:
        """See `Workers`."""
        return self._pipeline.codec

    @property
    def room(self) -> bool:
        """See `Workers`."""
        return self._pressure.room

    @property
    def demand(self) -> float:
        """See `Workers`."""
        return self._pressure.demand

    def open(self, session: Hashable, client: Hashable, defaults: Settings, relieve: bool = True) -> LocalStream:
        """See `Workers`."""
        return LocalStream(self.begin(defaults, relieve, client), self, session, client)

    def begin(self, defaults: Settings, relieve: bool = True, client: Hashable = None) -> LiveStream:
        """A stream of `client` whose steps `submit` takes; `end` it in the end. relieve: see `LiveStream`."""
        stream = LiveStream(self._pipeline, self._metrics, defaults, self._pressure, relieve)
        self._pressure.began(stream, client)
        return stream

    def end(self, stream: LiveStream) -> None:
        """The stream is over."""
        stream.close()
        self._pressure.ended(stream)

    def submit(self, steps: Steps[T], session: Hashable, client: Hashable = None) -> Future[T]:
        """What `steps` return, or raise. Cancelled before its turn, it never runs."""
        return self._engine.submit(steps, session, client)

    def forget(self, client: Hashable) -> None:
        """See `Workers`."""
        self._engine.forget(client)

    def close(self) -> None:
        """See `Workers`."""
        self._engine.close()

    def _observe(self, batch: Batch) -> None:
        self._pressure.worked(batch)
        self._metrics.batch_size.labels(kind=batch.kind).observe(len(batch.waited_s))
        self._metrics.compute_s.observe(batch.seconds)
        for waited_s in batch.waited_s:
            self._metrics.queue_s.observe(waited_s)


class LocalStream:
    """A `Stream` of this process: a `LiveStream` whose steps the worker's engine takes."""

    def __init__(self, live: LiveStream, worker: Worker, session: Hashable, client: Hashable) -> None:
        self._live, self._worker = live, worker
        self._session, self._client = session, client

    @property
    def settings(self) -> Settings:
        """See `Stream`."""
        return self._live.settings

    @property
    def waiting(self) -> bool:
        """See `Stream`."""
        return self._live.waiting

    async def configure(self, settings: Settings, flush: bool = False) -> list[Answer]:
        """See `Stream`."""
        return await self._run(self._live.configure(settings, flush))

    async def hear(self, audio: Audio, arrived_s: float) -> list[Answer]:
        """See `Stream`."""
        return await self._run(self._live.hear(audio, arrived_s))

    async def step(self) -> list[Answer]:
        """See `Stream`."""
        return await self._run(self._live.step())

    async def finish(self, cut: bool = False) -> list[Answer]:
        """See `Stream`."""
        return await self._run(self._live.finish(cut))

    @property
    def restless(self) -> bool:
        """See `Stream`."""
        return self._live.restless

    async def keep(self, relieve: bool = False) -> bytes:
        """See `Stream`."""
        return await self._run(self._live.keeping(relieve))

    async def restore(self, kept: bytes, recording: bytes = b"") -> None:
        """See `Stream`."""
        await self._run(self._live.restoring(kept, recording))

    def measured(self, rtt_ms: float | None, playback_ms: float | None) -> None:
        """See `Stream`."""
        self._live.meter.measured(rtt_ms, playback_ms)

    def summary(self) -> Heard:
        """See `Stream`."""
        return self._live.summary()

    def release(self) -> None:
        """See `Stream`."""
        self._worker.end(self._live)

    async def _run(self, steps: Steps[T]) -> T:
        return await asyncio.wrap_future(self._worker.submit(steps, self._session, self._client))
