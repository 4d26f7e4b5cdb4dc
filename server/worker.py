"""Where the networks work: an engine in a thread of its own, so that the event loop never waits for them.

A session asks for one small step (a chunk heard) and asks again only when it has the result; what several sessions ask
for goes through the networks together (streamst/engine.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from streamst.engine import Batch, Engine, EngineOptions
from streamst.session import Steps

from .metrics import Metrics

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

T = TypeVar("T")


class Worker:
    """The engine of all sessions, as the event loop sees it."""

    def __init__(self, pipeline: Pipeline, metrics: Metrics, options: EngineOptions | None = None) -> None:
        self._metrics = metrics
        self._engine = Engine(pipeline.translator, pipeline.voice, options, self._observe)

    async def run(self, steps: Steps[T], session: Hashable, client: Hashable = None) -> T:
        """What `steps` return, or raise. Cancelled before its turn, it never runs. client: see `Engine.submit`."""
        return await asyncio.wrap_future(self._engine.submit(steps, session, client))

    def forget(self, client: Hashable) -> None:
        """The client has no session any more."""
        self._engine.forget(client)

    def close(self) -> None:
        """Let the running work end, forget what waits."""
        self._engine.close()

    def _observe(self, batch: Batch) -> None:
        self._metrics.batch_size.labels(kind=batch.kind).observe(len(batch.waited_s))
        self._metrics.compute_s.observe(batch.seconds)
        for waited_s in batch.waited_s:
            self._metrics.queue_s.observe(waited_s)
