"""Many sessions on one device: one thread that does the networks' work of all of them, alike work together.

A session's step (`Session.hearing`, `Session.ending`) runs until it needs a network, and waits; the scheduler says
whose work goes next; what is alike goes through the network in one batch. The pieces are small (an encoder chunk, a
continuation, a word of speech), so nobody waits for another's long one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from streamst.models.seam import KINDS, Models, Work, perform_all
from streamst.scheduler import SIZES, Scheduler, Task
from streamst.session import Steps

R = TypeVar("R")


@dataclass(frozen=True)
class EngineOptions:
    """How work is put together."""

    sizes: tuple[int, ...] = SIZES  # of batches, ascending from 1
    window_ms: float = 0.0  # how long work may wait for company; a CPU that is busy gathers company by itself
    patience_ms: float = 250.0  # after which a step that was asked for is late


@dataclass(frozen=True)
class Batch:
    """Work that went through a network together."""

    kind: str  # one of `models.seam.KINDS`
    seconds: float
    waited_s: tuple[float, ...]  # of each piece


@dataclass
class _Job:
    """One step of one session on its way."""

    steps: Steps[Any]
    future: Future[Any]
    session: Hashable
    client: Hashable
    deadline_us: int
    work: Work | None = None  # what it waits for
    since_us: int = 0  # how long already


class Engine:
    """Runs steps of sessions until `close`. Any thread may ask; the networks work in one thread."""

    def __init__(
        self,
        models: Models[Any, Any],
        options: EngineOptions | None = None,
        observe: Callable[[Batch], None] | None = None,
    ) -> None:
        """observe: told of every batch, in the engine's thread."""
        self.models, self.options = models, options or EngineOptions()
        self._observe = observe or (lambda _: None)
        self._scheduler = Scheduler(self.options.sizes, round(1000 * self.options.window_ms))
        self._jobs: dict[Hashable, _Job] = {}  # that wait for a network
        self._new: list[_Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self, steps: Steps[R], session: Hashable, client: Hashable = None, patience_ms: float | None = None
    ) -> Future[R]:
        """Run `steps` to their end; the future gets what they return or raise.

        A session has one step on its way at a time. client: among whom the device's time is shared when it is short.
        patience_ms: how soon the step should be done. A future that is cancelled before its turn never runs.
        Raises RuntimeError once the engine is closed.
        """
        patience_ms = self.options.patience_ms if patience_ms is None else patience_ms
        future: Future[R] = Future()
        job = _Job(steps, future, session, client, _now_us() + round(1000 * patience_ms))
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._new.append(job)
            self._changed.notify()
        return future

    def forget(self, client: Hashable) -> None:
        """The client has no session any more."""
        with self._changed:
            self._scheduler.forget(client)

    def close(self) -> None:
        """Let the running batch end and cancel everything that waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                batch = self._next_batch()
                new, self._new = self._new, []
                closed = self._closed
            if closed:
                for job in (*new, *batch, *self._jobs.values()):
                    _cancel(job)
                return
            for job in new:
                if job.future.set_running_or_notify_cancel():
                    self._advance(job, None)
            if batch:
                self._do(batch)

    def _next_batch(self) -> list[_Job]:
        """The jobs whose work goes now; waits until there is some, or something new."""
        while not self._new and not self._closed:
            now_us = _now_us()
            tasks = self._scheduler.next(now_us)
            if tasks:
                return [self._jobs.pop(task.session) for task in tasks]
            due_us = self._scheduler.due_us()
            self._changed.wait(None if due_us is None else max(0, due_us - now_us) / 1e6)
        return []

    def _do(self, batch: list[_Job]) -> None:
        begun_us = _now_us()
        results = self._results(batch)
        took_s = (_now_us() - begun_us) / 1e6
        self._observe(Batch(_kind(batch[0]), took_s, tuple((begun_us - job.since_us) / 1e6 for job in batch)))
        with self._changed:
            for job in batch:
                self._scheduler.account(job.client, round(1e6 * took_s / len(batch)))
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                self._fail(job, result)
            else:
                self._advance(job, result)

    def _results(self, batch: Sequence[_Job]) -> list[Any]:
        """The result of each job's work, or the error that it alone met."""
        work = [job.work for job in batch if job.work is not None]
        try:
            return perform_all(work, self.models)
        except Exception as error:  # noqa: BLE001  (each job alone is told of its own)
            if len(batch) == 1:
                return [error]
            return [self._results([job])[0] for job in batch]

    def _advance(self, job: _Job, result: Any) -> None:
        """Run the step on to its next piece of work, or to its end."""
        try:
            job.work = job.steps.send(result)
        except StopIteration as stop:
            job.future.set_result(stop.value)
            return
        except Exception as error:  # noqa: BLE001  (raised where the step's result is waited for)
            job.future.set_exception(error)
            return
        self._jobs[job.session] = job
        job.since_us = _now_us()
        with self._changed:
            self._scheduler.add(Task(job.session, job.client, _kind(job), job.deadline_us, job.since_us))

    def _fail(self, job: _Job, error: Exception) -> None:
        job.steps.close()
        job.future.set_exception(error)


def _kind(job: _Job) -> str:
    assert job.work is not None
    return KINDS[type(job.work)]


def _cancel(job: _Job) -> None:
    job.steps.close()
    if not job.future.cancel():  # it runs already
        job.future.set_exception(RuntimeError("the engine was closed"))


def _now_us() -> int:
    return time.monotonic_ns() // 1000
