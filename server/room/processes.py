"""Several worker processes behind the face of one `Worker`: each has the model, an engine and the streams it was given.

Python computes in one thread at a time, so more cores are more processes. A stream stays where it was opened, in the
process that had least to do. Messages are pickled over a pipe; a process that dies takes its own streams with it and
is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from streamst.codecs.base import Codec
from streamst.engine import EngineOptions
from streamst.errors import StreamstError
from streamst.heap import settle
from streamst.server.operator.metrics import Metrics, Tally
from streamst.server.wire.seam import Answer, Audio, Settings
from streamst.server.wire.summary import Heard

from .live import LiveStream
from .worker import Worker

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

log = logging.getLogger("streamst.server")

DIED = "the worker process of this session has died"
END_S = 20.0  # that a process may take to end, on a machine that does much else
UNTOLD_MEASUREMENTS = 16  # that may wait for the next message to a process; older ones are forgotten
Measured = tuple[float | None, float | None]  # a round trip and what waits in the player [ms], as a client told them
Loader = Callable[[], "Pipeline"]


@dataclass(frozen=True)
class Asked:
    """A method of a stream that runs elsewhere, with what its client measured since the last one."""

    stream: int
    method: str
    arguments: tuple[Any, ...] = ()
    measured: tuple[Measured, ...] = ()
    client: Hashable = None


@dataclass(frozen=True)
class Told:
    """What came of it."""

    stream: int
    answers: list[Answer]
    error: Exception | None
    settings: Settings | None  # None: as told before
    waiting: bool
    summary: Heard
    demand: float
    room: bool
    tally: list[tuple[str, str, dict[str, str], float]]
    kept: bytes = b""  # what "keeping" came to
    restless: bool = False


class RemoteStream:
    """A `Stream` in another process."""

    def __init__(self, number: int, process: _Process, processes: Processes, client: Hashable) -> None:
        self.number, self.process = number, process
        self._processes, self._client = processes, client
        self._settings, self._waiting, self._summary = Settings(), False, Heard()
        self._restless, self._kept = False, b""
        self._measured: deque[Measured] = deque(maxlen=UNTOLD_MEASUREMENTS)

    @property
    def settings(self) -> Settings:
        """See `Stream`."""
        return self._settings

    @property
    def waiting(self) -> bool:
        """See `Stream`."""
        return self._waiting

    async def configure(self, settings: Settings, flush: bool = False) -> list[Answer]:
        """See `Stream`."""
        return await self._ask("configure", settings, flush)

    async def hear(self, audio: Audio, arrived_s: float) -> list[Answer]:
        """See `Stream`. perf_counter is one clock for all processes of a machine."""
        return await self._ask("hear", audio, arrived_s)

    async def step(self) -> list[Answer]:
        """See `Stream`."""
        return await self._ask("step")

    async def finish(self, cut: bool = False) -> list[Answer]:
        """See `Stream`."""
        return await self._ask("finish", cut)

    @property
    def restless(self) -> bool:
        """See `Stream`."""
        return self._restless

    async def keep(self, relieve: bool = False) -> bytes:
        """See `Stream`."""
        await self._ask("keeping", relieve)
        return self._kept

    async def restore(self, kept: bytes, recording: bytes = b"") -> None:
        """See `Stream`."""
        await self._ask("restoring", kept, recording)

    def measured(self, rtt_ms: float | None, playback_ms: float | None) -> None:
        """See `Stream`."""
        self._measured.append((rtt_ms, playback_ms))

    def summary(self) -> Heard:
        """See `Stream`; as of the last answer."""
        return self._summary

    def release(self) -> None:
        """See `Stream`."""
        self._processes.release(self)

    async def _ask(self, method: str, *arguments: Any) -> list[Answer]:
        measured = tuple(self._measured)
        self._measured.clear()
        told = await self._processes.ask(self, Asked(self.number, method, arguments, measured, self._client))
        self._settings = told.settings or self._settings
        self._waiting, self._summary = told.waiting, told.summary
        self._restless, self._kept = told.restless, told.kept
        if told.error is not None:
            raise told.error
        return told.answers


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
    """`Workers` in `count` processes."""

    def __init__(
        self, loader: Loader, pipeline: Pipeline, metrics: Metrics, count: int, options: EngineOptions | None = None
    ) -> None:
        """loader: makes the model in each process, picklable; pipeline: the same model here, to ask it what it can."""
        self._loader, self._metrics, self._options = loader, metrics, options
        self.codec: Codec | None = pipeline.codec
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._numbers = 0
        self._processes = [self._start() for _ in range(count)]

    def open(self, session: Hashable, client: Hashable, defaults: Settings, relieve: bool = True) -> RemoteStream:
        """See `Workers`. The process that has least to do gets it, one that lives and has room if there is."""
        least = min(self._processes, key=lambda one: (one.dead, not one.open, len(one.streams), one.demand))
        self._numbers += 1
        log.debug("session %s is stream %d of process %s", session, self._numbers, least.process.pid)
        stream = RemoteStream(self._numbers, least, self, client)
        least.streams[stream.number] = stream
        self._send(least, Asked(stream.number, "open", (defaults, relieve, client)))
        return stream

    def release(self, stream: RemoteStream) -> None:
        """The stream is over."""
        if stream.process.streams.pop(stream.number, None) is not None:
            stream.process.pending.pop(stream.number, None)
            self._send(stream.process, Asked(stream.number, "release"))

    async def ask(self, stream: RemoteStream, asked: Asked) -> Told:
        """What the process of `stream` tells; RuntimeError where it died."""
        process = stream.process
        if process.dead or stream.number not in process.streams:
            raise RuntimeError(DIED)
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Told] = self._loop.create_future()
        process.pending[stream.number] = future
        if not self._send(process, asked):
            raise RuntimeError(DIED)
        return await future

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
            one.process.join(END_S)
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
    process = _Inside(pipe, loader(), options)
    settle()
    pipe.send("ready")
    while True:
        try:
            asked: Asked | None = pipe.recv()
        except (EOFError, OSError):
            asked = None
        if asked is None:
            process.worker.close()
            return
        process.do(asked)


class _Inside:
    """One worker process, seen from inside."""

    def __init__(self, pipe: Pipe, pipeline: Pipeline, options: EngineOptions | None) -> None:
        self._pipe, self._tally = pipe, Tally()
        self.worker = Worker(pipeline, self._tally, options)
        self._streams: dict[int, LiveStream] = {}
        self._clients: dict[int, Hashable] = {}  # by stream
        self._told: dict[int, Settings] = {}  # by stream
        self._sending = threading.Lock()

    def do(self, asked: Asked) -> None:
        """Begin what is asked; the engine's thread tells what came of it."""
        if asked.method == "open":
            self._streams[asked.stream] = self.worker.begin(*asked.arguments)
            return
        if asked.method == "release":
            self.worker.end(self._streams.pop(asked.stream))
            self._told.pop(asked.stream, None)
            client = self._clients.pop(asked.stream, None)
            if client not in self._clients.values():
                self.worker.forget(client)
            return
        live = self._streams[asked.stream]
        self._clients[asked.stream] = asked.client
        for measured in asked.measured:
            live.meter.measured(*measured)
        future = self.worker.submit(getattr(live, asked.method)(*asked.arguments), asked.stream, asked.client)
        future.add_done_callback(lambda done: self._tell(asked, done))

    def _tell(self, asked: Asked, done: Future[list[Answer] | bytes]) -> None:
        live = self._streams.get(asked.stream)
        if live is None:  # released meanwhile: nobody waits for this
            return
        error = done.exception()
        told: Exception | None = error if isinstance(error, StreamstError) else None
        if error is not None and told is None:
            log.error("a stream failed", exc_info=error)
            told = RuntimeError(repr(error))
        result = [] if error is not None else done.result()
        answers, kept = ([], result) if isinstance(result, bytes) else (result, b"")
        settings = None if self._told.get(asked.stream) is live.settings else live.settings
        self._told[asked.stream] = live.settings
        state = (settings, live.waiting, live.summary())
        with self._sending:
            self._pipe.send(
                Told(
                    asked.stream,
                    answers,
                    told,
                    *state,
                    self.worker.demand,
                    self.worker.room,
                    self._tally.take(),
                    kept,
                    live.restless,
                )
            )


def _resolve(future: asyncio.Future[Told] | None, told: Told) -> None:
    if future is not None and not future.done():
        future.set_result(told)


def _fail(future: asyncio.Future[Told]) -> None:
    if not future.done():
        future.set_exception(RuntimeError(DIED))
