"""The asyncio shell around one websocket: reads, hears, writes and watches. Every wire protocol runs in this one.

Four tasks and two bounded queues. `_read` takes messages off the socket into the inbox, and stops reading while it is
full. `_hear` gives the inbox to the worker, one chunk at a time, and puts answers into the outbox, waiting while that
is full. `_write` sends them; a client that takes none for `send_timeout_s` is dropped. `_watch` ends what is idle, too
long, or in the way of the server's own end. The first of them to end, ends all; nothing here touches another session.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from streamst.errors import ProtocolError
from streamst.session import Steps

from . import codes
from .inbox import Inbox
from .limits import SpeedGate
from .live import LiveStream
from .metrics import Metrics
from .options import ServerOptions
from .seam import (
    Alive,
    Answer,
    Audio,
    Closed,
    Configure,
    End,
    Failure,
    GoAway,
    Message,
    Ping,
    Pong,
    Reply,
    Settings,
    WireProtocol,
)
from .sessions import Sessions
from .wire_audio import duration_ms
from .worker import Worker

log = logging.getLogger("streamst.server")

OUTBOX_ANSWERS = 64
CLOSE_REASON_BYTES = 123  # that a close frame has room for
GONE = 1006  # nobody is there to be told


@dataclass(frozen=True)
class Ending:
    """How a connection ends: the close code, and the words of the error event that precedes any but 1000."""

    code: int
    message: str = ""
    told: bool = False  # a close frame went one way or the other already


@dataclass(frozen=True)
class Arrived:
    """An audio message and when it came (time.perf_counter)."""

    audio: Audio
    at_s: float


Waiting = Arrived | Configure | Ending  # what the inbox holds; an Ending flushes the stream first


class Connection:
    """One client from its welcome to its close."""

    def __init__(
        self,
        websocket: WebSocket,
        protocol: WireProtocol,
        session_id: str,
        live: LiveStream,
        worker: Worker,
        sessions: Sessions,
        options: ServerOptions,
        metrics: Metrics,
    ) -> None:
        self.websocket, self.protocol, self.session_id = websocket, protocol, session_id
        self.live, self.worker, self.sessions = live, worker, sessions
        self.options, self.metrics = options, metrics
        self._settings = live.settings  # as read from the socket, ahead of what the worker has applied
        self._inbox: Inbox[Waiting] = Inbox(options.queue_bytes)
        self._outbox: asyncio.Queue[list[Message]] = asyncio.Queue(OUTBOX_ANSWERS)  # the messages of one answer
        self._gate = SpeedGate(options.speed_limit, options.burst_s * 1000)
        self._ending = False  # the end is in the inbox: nothing more is taken in
        self._bytes_in = self._bytes_out = 0
        self._began_s = time.perf_counter()
        self._audio_ms = 0.0
        self._first_audio_s: float | None = None
        self._last_audio_s = self._began_s

    async def run(self, settings: Settings | None, *first: Answer) -> None:
        """Say `first`, then serve until the end. settings: what was agreed on before, None for nothing."""
        for answer in first:
            await self._answer(answer)
        if settings is not None:
            self._settings = settings
            await self._inbox.put_now(Configure(settings))
        parts = (self._hear, self._read, self._write, self._watch)
        tasks = [asyncio.create_task(part(), name=part.__name__) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        await self._close(self._how(results))

    async def _read(self) -> Ending:
        while True:
            try:
                message = await self.websocket.receive()
            except WebSocketDisconnect:
                return Ending(GONE, "the client vanished")
            if message["type"] == "websocket.disconnect":
                return _gone(message.get("code"))
            text, data = message.get("text"), message.get("bytes")
            content: Message = text if text is not None else data or b""
            size = len(content)
            self._bytes_in += size
            self.metrics.bytes_in.inc(size)
            for command in self.protocol.receive(content):
                if isinstance(command, Ping):
                    await self._answer_ping(command)
                elif isinstance(command, Reply):
                    await self._outbox.put(list(command.messages))
                elif not self._ending:
                    await self._take(command, size)

    async def _take(self, command: Audio | Configure | End | Alive, size: int) -> None:
        """Put a command into the inbox, if it is not too fast."""
        match command:
            case Audio():
                now_s = time.perf_counter()
                audio_ms = duration_ms(command, self._settings, self.live.pipeline.codec)
                if self.protocol.patient:
                    await asyncio.sleep(self._gate.delay_s(audio_ms, now_s))
                else:
                    self._gate.take(audio_ms, now_s)
                self._audio_ms += audio_ms
                if self._first_audio_s is None:
                    self._first_audio_s = now_s
                self._last_audio_s = now_s
                await self._inbox.put(Arrived(command, now_s), size)
                self._last_audio_s = time.perf_counter()  # waiting for a full queue is not idling
            case Configure():
                self._settings = command.settings
                await self._inbox.put(command, size)
            case End():
                await self._finish(Ending(codes.DONE))
            case Alive():
                self._last_audio_s = time.perf_counter()

    async def _answer_ping(self, ping: Ping) -> None:
        meter = self.live.meter
        if ping.rtt_ms is not None:
            meter.pinged(ping.rtt_ms)
        if ping.playback_ms is not None:
            meter.playback_ms = ping.playback_ms
        await self._answer(Pong(ping.id, (time.perf_counter() - self._began_s) * 1000))

    async def _hear(self) -> Ending:
        live = self.live
        while True:
            item = await self._inbox.get()
            match item:
                case Configure():
                    answers = await self._run(live.configure(item.settings))
                case Arrived():
                    answers = await self._run(live.hear(item.audio, item.at_s))
                    while live.waiting:
                        await self._answer(*answers)
                        answers = await self._run(live.step())
                case Ending():
                    await self._answer(*await self._run(live.finish()))
                    await self._answer(Closed(self._summary(item)))
                    await self._outbox.join()
                    return item
            await self._answer(*answers)

    async def _run(self, steps: Steps[list[Answer]]) -> list[Answer]:
        address = self.websocket.client
        return await self.worker.run(steps, self.session_id, address.host if address else None)

    async def _write(self) -> Ending:
        while True:
            messages = await self._outbox.get()
            try:
                async with asyncio.timeout(self.options.send_timeout_s):
                    for message in messages:
                        await self._send(message)
            except TimeoutError:
                abort = self.websocket.scope.get("state", {}).get("abort")
                if abort is not None:
                    abort()
                return Ending(GONE, f"the client read nothing for {self.options.send_timeout_s:g} s")
            except (WebSocketDisconnect, RuntimeError, OSError):
                return Ending(GONE, "the client vanished")
            self._outbox.task_done()

    async def _watch(self) -> Ending:
        """Wait for the first reason to end this session from our side, have it flushed, and see that it ends."""
        options = self.options
        draining = asyncio.create_task(self.sessions.draining.wait())
        try:
            while not self._ending:
                now_s = time.perf_counter()
                idle_s = options.idle_s - (now_s - self._last_audio_s)
                left_s = options.max_duration_s - max(now_s - self._began_s, self._audio_ms / 1000)
                if self.sessions.draining.is_set():
                    await self._answer(GoAway(options.drain_s * 1000, "the server is being stopped"))
                    await asyncio.sleep(options.drain_s)
                    await self._finish(Ending(codes.GOING_AWAY, "the server is being stopped"))
                elif idle_s <= 0:
                    await self._finish(Ending(codes.IDLE, f"no audio for {options.idle_s:g} s"))
                elif left_s <= 0:
                    await self._finish(
                        Ending(codes.GOING_AWAY, f"a session may last {options.max_duration_s:g} s; begin a new one")
                    )
                else:
                    await asyncio.wait([draining], timeout=min(idle_s, left_s, 1.0))
        finally:
            draining.cancel()
        never: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        return await never  # what was begun is ended by `_hear`, or by the client's going

    async def _finish(self, ending: Ending) -> None:
        if not self._ending:
            self._ending = True
            await self._inbox.put_now(ending)

    async def _answer(self, *answers: Answer) -> None:
        for answer in answers:
            await self._outbox.put(self.protocol.render(answer, self._emit_ms))

    @property
    def _emit_ms(self) -> float:
        return 0.0 if self._first_audio_s is None else (time.perf_counter() - self._first_audio_s) * 1000

    async def _send(self, message: Message) -> None:
        self._bytes_out += len(message)
        self.metrics.bytes_out.inc(len(message))
        if isinstance(message, bytes):
            await self.websocket.send_bytes(message)
        else:
            await self.websocket.send_text(message)

    def _summary(self, ending: Ending) -> dict[str, Any]:
        told = {"session_id": self.session_id, "reason": codes.meaning(ending.code).name}
        return told | self.live.summary() | {"bytes_in": self._bytes_in, "bytes_out": self._bytes_out}

    def _how(self, results: list[Any]) -> Ending:
        """The ending from what the tasks returned or raised: a real reason before a mere absence."""
        endings: list[Ending] = []
        for result in results:
            match result:
                case Ending():
                    endings.append(result)
                case ProtocolError():
                    endings.append(Ending(result.code, str(result)))
                case asyncio.CancelledError():
                    continue
                case Exception():
                    log.error("session %s failed", self.session_id, exc_info=result)
                    endings.append(Ending(codes.INTERNAL, "the server failed; the session cannot go on"))
                case _:
                    continue
        return min(endings, key=lambda ending: ending.code == GONE or ending.told, default=Ending(GONE, "cancelled"))

    async def _close(self, ending: Ending) -> None:
        name = "vanished" if ending.code == GONE else codes.meaning(ending.code).name
        self.metrics.ended.labels(code=str(ending.code), name=name).inc()
        log.info("session %s ended: %d %s", self.session_id, ending.code, brief(ending.message) or name)
        if ending.code == GONE or ending.told:
            return
        try:
            async with asyncio.timeout(self.options.send_timeout_s):
                await say_and_close(self.websocket, self.protocol, ending.code, ending.message)
        except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
            return


async def say_and_close(
    websocket: WebSocket, protocol: WireProtocol, code: int, message: str, retry_after_ms: float | None = None
) -> None:
    """Close with `code`, an error event with the same code before it unless that is 1000."""
    if code != codes.DONE:
        for said in protocol.render(Failure(code, brief(message), retry_after_ms), 0.0):
            await websocket.send({"type": "websocket.send", "text" if isinstance(said, str) else "bytes": said})
    code, reason = protocol.closing(code, message)
    await websocket.close(code, brief(reason, CLOSE_REASON_BYTES))


def brief(text: str, max_bytes: int = 400) -> str:
    """The beginning of a message, which may quote what a client sent."""
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")


def _gone(code: int | None) -> Ending:
    """The ending for a disconnect: by the transport, which refused a message, or by the client, in order or not."""
    if code in (codes.BAD_DATA, codes.TOO_BIG):
        return Ending(code, "refused by the transport", told=True)
    return Ending(GONE, "the client went away")

