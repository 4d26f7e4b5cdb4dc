"""Several worker processes behind the face of one `Worker`: each has the model, an engine and the streams it was given.

Python computes in one thread at a time, so more cores are more processes. A stream stays where it was opened, in the
process that had least to do. Messages are pickled over a pipe; a process that dies takes its own streams with it and
is replaced.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from streamst.engine import EngineOptions
from streamst.errors import StreamstError
from streamst.server.operator.metrics import Metrics, Tally
from streamst.server.wire.seam import Answer, Audio, Settings

from .live import LiveStream
from .worker import Worker

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

log = logging.getLogger("streamst.server")

DIED = "the worker process of this session has died"
Loader = Callable[[], "Pipeline"]


@dataclass(frozen=True)
class Asked:
    """A method of a stream that runs elsewhere, with what the client measured meanwhile."""

    stream: int
    method: str
    arguments: tuple[Any, ...] = ()
    network_ms: float | None = None
    playback_ms: float | None = None
    client: Hashable = None


@dataclass(frozen=True)
class Told:
    """What came of it."""

    stream: int
    answers: list[Answer] | None
    error: Exception | None
    settings: Settings
    waiting: bool
    summary: dict[str, Any]
    demand: float
    room: bool
    tally: list[tuple[str, str, dict[str, str], float]]


@dataclass
class Measured:
    """What only the client can measure."""

    network_ms: float | None = None
    playback_ms: float | None = None

    def pinged(self, rtt_ms: float) -> None:
        """See `Meter`."""
        self.network_ms = rtt_ms / 2


class RemoteStream:
    """A `LiveStream` in another process: its steps are `Asked`, which `Processes.run` sends there."""

    def __init__(self, number: int, process: _Process, pipeline: Pipeline) -> None:
        self.number, self.process, self.pipeline = number, process, pipeline
        self.settings = Settings()
        self.waiting = False
        self.meter = Measured()
        self._summary = LiveStream(pipeline, Tally()).summary()

    def configure(self, settings: Settings, flush: bool = False) -> Asked:
        """See `LiveStream`."""
        return self._ask("configure", settings, flush)

    def hear(self, audio: Audio, arrived_s: float) -> Asked:
        """See `LiveStream`. perf_counter is one clock for all processes of a machine."""
        return self._ask("hear", audio, arrived_s)

    def step(self) -> Asked:
        """See `LiveStream`."""
        return self._ask("step")

    def finish(self) -> Asked:
        """See `LiveStream`."""
        return self._ask("finish")

    def summary(self) -> dict[str, Any]:
        """As of the last answer."""
        return self._summary

    def heard(self, told: Told) -> None:
        """Take over what the other process knows."""
        self.settings, self.waiting, self._summary = told.settings, told.waiting, told.summary

    def _ask(self, method: str, *arguments: Any) -> Asked:
        return Asked(self.number, method, arguments, self.meter.network_ms, self.meter.playback_ms)


@dataclass
class _Process:
    """One worker process, seen from outside."""

    process: SpawnProcess
    pipe: Pipe
    streams: dict[int, RemoteStream] = field(default_factory=dict)
    pending: dict[int, asyncio.Future[Told]] = field(default_factory=dict)
    demand: float = 0.0
    room: bool = True
    dead: bool = False
    sending: threading.Lock = field(default_factory=threading.Lock)

    @property
    def open(self) -> bool:
        """Whether another stream can be served here, as far as was told."""
        return not self.dead and (self.room or not self.streams)


class Processes:
    """`count` worker processes; the same methods as `Worker`."""

    def __init__(
        self, loader: Loader, pipeline: Pipeline, metrics: Metrics, count: int, options: EngineOptions | None = None
    ) -> None:
        """loader: makes the model in each process, picklable; pipeline: the same model here, to ask it what it can."""
        self._loader, self._pipeline, self._metrics, self._options = loader, pipeline, metrics, options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._numbers = 0
        self._processes = [self._start() for _ in range(count)]

    def open(self, defaults: Settings, relieve: bool = True) -> RemoteStream:
        """A stream in the process that has least to do, one that lives and has room if there is. relieve: see
        `LiveStream`."""
        least = min(self._processes, key=lambda one: (one.dead, not one.open, len(one.streams), one.demand))
        self._numbers += 1
        stream = RemoteStream(self._numbers, least, self._pipeline)
        least.streams[stream.number] = stream
        self._send(least, Asked(stream.number, "open", (defaults, relieve)))
        return stream

    def release(self, stream: RemoteStream) -> None:
        """The stream is over."""
        if stream.process.streams.pop(stream.number, None) is not None:
            stream.process.pending.pop(stream.number, None)
            self._send(stream.process, Asked(stream.number, "release"))

    async def run(self, asked: Asked, session: Hashable, client: Hashable = None) -> list[Answer]:
        """What the stream answers, or raises."""
        process = next((one for one in self._processes if asked.stream in one.streams), None)
        if process is None:
            raise RuntimeError(DIED)
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Told] = self._loop.create_future()
        process.pending[asked.stream] = future
        if not self._send(process, dataclasses.replace(asked, client=client)):
            raise RuntimeError(DIED)
        told = await future
        if asked.stream in process.streams:
            process.streams[asked.stream].heard(told)
        if told.error is not None:
            raise told.error
        return told.answers or []

    def forget(self, client: Hashable) -> None:
        """Each process forgets a client with its last stream there."""

    @property
    def room(self) -> bool:
        """Whether another stream can be served, as far as the processes have told."""
        return any(one.open for one in self._processes)

    @property
    def demand(self) -> float:
        """Mean over the processes."""
        return sum(one.demand for one in self._processes) / len(self._processes)

    def close(self) -> None:
        """End the processes. They are told: to close a pipe that `_read` waits at reaches nobody."""
        self._closing = True
        for one in self._processes:
            self._send(one, None)
        for one in self._processes:
            one.process.join(5)
            if one.process.is_alive():
                one.process.terminate()
            one.pipe.close()

    def _start(self) -> _Process:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._loader, self._options), daemon=True)
        process.start()
        theirs.close()
        if ours.recv() != "ready":
            raise RuntimeError("a worker process did not start")
        made = _Process(process, ours)
        threading.Thread(target=self._read, args=(made,), daemon=True).start()
        return made

    def _send(self, process: _Process, asked: Asked | None) -> bool:
        try:
            with process.sending:
                process.pipe.send(asked)
        except OSError:
            return False
        return True

    def _read(self, process: _Process) -> None:
        """In a thread: hand what a process tells to the event loop."""
        while True:
            try:
                told = process.pipe.recv()
            except (EOFError, OSError):
                if not self._closing:
                    self._replace(process)
                return
            for name, method, labels, value in told.tally:
                metric = getattr(self._metrics, name)
                getattr(metric.labels(**labels) if labels else metric, method)(value)
            process.demand, process.room = told.demand, told.room
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_resolve, process.pending.pop(told.stream, None), told)

    def _replace(self, process: _Process) -> None:
        process.dead = True
        log.error("a worker process died with %d sessions; another takes its place", len(process.streams))
        for future in list(process.pending.values()):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(_fail, future)
        fresh = self._start()
        self._processes = [fresh if one is process else one for one in self._processes]


def serve(pipe: Pipe, loader: Loader, options: EngineOptions | None) -> None:
    """The life of a worker process: until it is sent None, or nobody is there to ask any more."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    pipeline = loader()
    tally = Tally()
    worker = Worker(pipeline, tally, options)
    streams: dict[int, LiveStream] = {}
    clients: dict[int, Hashable] = {}  # by stream
    sending = threading.Lock()

    def tell(asked: Asked, answers: list[Answer] | None, error: BaseException | None) -> None:
        live = streams.get(asked.stream)
        if live is None:  # released meanwhile: nobody waits for this
            return
        wrapped = error if error is None or isinstance(error, StreamstError) else RuntimeError(repr(error))
        if error is not None and wrapped is not error:
            log.error("a stream failed", exc_info=error)
        told = Told(
            asked.stream, answers, wrapped, live.settings, live.waiting,  # type: ignore[arg-type]
            live.summary(), worker.demand, worker.room, tally.take(),
        )  # fmt: skip
        with sending:
            pipe.send(told)

    pipe.send("ready")
    while True:
        try:
            asked: Asked | None = pipe.recv()
        except (EOFError, OSError):
            asked = None
        if asked is None:
            worker.close()
            return
        if asked.method == "open":
            streams[asked.stream] = worker.open(*asked.arguments)
        elif asked.method == "release":
            worker.release(streams.pop(asked.stream))
            client = clients.pop(asked.stream, None)
            if client not in clients.values():
                worker.forget(client)
        else:
            live = streams[asked.stream]
            clients[asked.stream] = asked.client
            live.meter.network_ms = asked.network_ms
            live.meter.playback_ms = asked.playback_ms
            future = worker.submit(getattr(live, asked.method)(*asked.arguments), asked.stream, asked.client)
            future.add_done_callback(
                lambda done, asked=asked: tell(asked, None if done.exception() else done.result(), done.exception())
            )


def _resolve(future: asyncio.Future[Told] | None, told: Told) -> None:
    if future is not None and not future.done():
        future.set_result(told)


def _fail(future: asyncio.Future[Told]) -> None:
    if not future.done():
        future.set_exception(RuntimeError(DIED))
