"""Where the model works: one thread, so that the event loop never waits for it.

A session asks for one small job (a chunk heard) and asks again only when it has the result, so the thread's queue holds
at most one job a session, and first come first served is a round robin between sessions: nobody waits for more than one
chunk of each other speaker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .metrics import Metrics

T = TypeVar("T")


class Worker:
    """One thread for the model work of all sessions."""

    def __init__(self, metrics: Metrics) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._metrics = metrics

    async def run(self, job: Callable[[], T]) -> T:
        """The result of `job`, or what it raised. Cancelled before its turn, it never runs."""
        asked_s = time.perf_counter()

        def timed() -> T:
            begun_s = time.perf_counter()
            self._metrics.queue_s.observe(begun_s - asked_s)
            try:
                return job()
            finally:
                self._metrics.compute_s.observe(time.perf_counter() - begun_s)

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)

    def close(self) -> None:
        """Let the running job end, forget the waiting ones."""
        self._thread.shutdown(wait=True, cancel_futures=True)
