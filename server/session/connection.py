"""The asyncio shell around one connection: reads, writes and watches. Every wire protocol runs in this one.

`_read` takes messages off the link into the session's inbox, and stops reading while that is full. `_write` sends
what the session says; a client that takes nothing for `send_timeout_s` is dropped. `_watch` ends what is idle, too
long, or in the way of the server's own end. The first of them to end, ends the connection; whether the session goes on
without it is for `sessions.py` to say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

from streamst.errors import ProtocolError
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.wire import codes
from streamst.server.wire.seam import (
    Answer,
    Command,
    Failure,
    Flow,
    GoAway,
    HeardAgain,
    Hello,
    Message,
    Ping,
    Pong,
    Reply,
    RoomState,
    WireProtocol,
)

from .ending import GONE, Ending, too_long
from .link import Link, Lost
from .served import Served

log = logging.getLogger("streamst.server")

CLOSE_REASON_BYTES = 123  # that a close frame has room for
CREDIT_CHANGE = 0.2  # of the credit told last: a smaller one is not told
WAITING_ANSWERS = 64  # to pings and the like; more are not read


class Connection:
    """One link that serves a session, from its welcome to its close."""

    def __init__(
        self, link: Link, served: Served, draining: asyncio.Event, options: ServerOptions, metrics: Metrics
    ) -> None:
        self.link, self.served, self.protocol = link, served, served.protocol
        self.options, self.metrics = options, metrics
        self._draining = draining
        self._direct: deque[list[Message]] = deque()  # answers about the connection, which go first
        self._taken = asyncio.Event()  # for `_read`: some of them went
        self._dropped: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._heard_any = False
        self._credit_ms = served.credit_ms  # as told last
        self._room: RoomState | None = None  # as told last
        self._heard_again: HeardAgain | None = None  # as told last

    async def run(self, *first: Answer) -> Ending | Hello:
        """Say `first`, then serve until the end; returns how it ended, the client told.

        A `Hello` that comes first, with a token, ends this as well, and nobody is told: another session takes over.
        """
        served = self.served
        served.attach(self._drop)
        for answer in first:
            self._answer(answer)
        tasks: list[asyncio.Future[Ending | Hello]] = [
            asyncio.create_task(part(), name=part.__name__) for part in (self._read, self._write, self._watch)
        ]
        tasks.append(self._dropped)  # type: ignore[arg-type]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        ending = self._how(results)
        if isinstance(ending, Ending):
            await self._close(ending)
        return ending

    def _drop(self, ending: Ending) -> None:
        if not self._dropped.done():
            self._dropped.set_result(ending)

    def leave(self) -> bool:
        """Leave the session; whether no other connection has taken it over."""
        return self.served.detach(self._drop)

    @property
    def detached(self) -> bool:
        """Whether another connection has taken over."""
        return self._dropped.done()

    async def _read(self) -> Ending | Hello:
        served = self.served
        while True:
            await served.room()
            while len(self._direct) >= WAITING_ANSWERS:
                self._taken.clear()
                await self._taken.wait()
            try:
                message = await self.link.receive()
            except Lost as lost:
                return _gone(lost.code)
            if self.detached:
                return Ending(GONE, "superseded")
            served.up.add(message)
            self.metrics.bytes_in.inc(len(message))
            rest_s = 0.0
            for command in self.protocol.receive(message):
                if isinstance(command, Hello) and command.resume_token is not None:
                    self._require_first()
                    return command
                rest_s += self._take(command, len(message))
            if not self._heard_any:
                self._heard_any = True
                served.confirm()
            if rest_s:
                await asyncio.sleep(rest_s)

    def _take(self, command: Command, size: int) -> float:
        """Do what is asked of the connection, hand on what is the session's; how long to rest before reading on [s]."""
        match command:
            case Ping():
                self._answer_ping(command)
            case Reply():
                self._direct.append(list(command.messages))
                self.served.news.set()
            case Hello():  # of a client that comes anew
                pass
            case _:
                return self.served.take(command, size)
        return 0.0

    def _require_first(self) -> None:
        """A client that comes back says so before anything else."""
        if self._heard_any or self.served.taken or self.served.resumed:
            raise ProtocolError("hello with a resume_token must be the first message", codes.BAD_PARAMETER)

    def _answer_ping(self, ping: Ping) -> None:
        served = self.served
        served.stream.measured(ping.rtt_ms, ping.playback_ms)
        if ping.last_sequence is not None:
            try:
                served.replay.reached(ping.last_sequence)
            except ValueError as error:
                raise ProtocolError(f"ping.last_sequence: {error}", codes.BAD_PARAMETER) from error
        self._answer(Pong(ping.id, (time.perf_counter() - served.began_s) * 1000))

    async def _write(self) -> Ending:
        served = self.served
        while True:
            self._tell_what_is_heard_again()
            direct = bool(self._direct)
            messages = self._direct.popleft() if direct else served.replay.next()
            if messages is None:
                if served.ended is not None:
                    return served.ended
                served.news.clear()
                await served.news.wait()
                continue
            try:
                async with asyncio.timeout(self.options.send_timeout_s):
                    for message in messages:
                        await self._send(message)
            except TimeoutError:
                self.link.abort()
                return Ending(GONE, f"the client read nothing for {self.options.send_timeout_s:g} s")
            except Lost:
                return Ending(GONE, "the client vanished")
            if self.detached:
                return Ending(GONE, "superseded")
            if direct:
                self._taken.set()
            else:
                served.sent()

    async def _watch(self) -> Ending:
        """Wait for the first reason to end the session from our side, and have it flushed; never returns."""
        options, served = self.options, self.served
        draining = asyncio.create_task(self._draining.wait())
        try:
            while not served.ending:
                now_s = time.perf_counter()
                idle_s = options.idle_s - served.idle_s
                left_s = options.max_duration_s - max(now_s - served.began_s, served.audio_ms / 1000)
                if self._draining.is_set():
                    self._answer(GoAway(options.drain_s * 1000, "the server is being stopped"))
                    if await served.hand_over():
                        break
                    await asyncio.sleep(options.drain_s)
                    served.finish(Ending(codes.GOING_AWAY, "the server is being stopped"))
                elif idle_s <= 0:
                    served.finish(Ending(codes.IDLE, f"no audio for {options.idle_s:g} s"))
                elif left_s <= 0:
                    served.finish(too_long(options.max_duration_s))
                else:
                    self._grant()
                    self._tell_of_room()
                    await asyncio.wait([draining], timeout=min(idle_s, left_s, 1.0))
        finally:
            draining.cancel()
        never: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        return await never  # what was begun is ended by `_write`, or by the client's going

    def _grant(self) -> None:
        """Tell how much audio may be on its way, if that has changed."""
        credit_ms = self.served.credit_ms
        if abs(credit_ms - self._credit_ms) > CREDIT_CHANGE * self._credit_ms:
            self._credit_ms = credit_ms
            self._answer(Flow(credit_ms))

    def _tell_what_is_heard_again(self) -> None:
        """Tell how far it is heard, while no numbered answer may: the client has all those."""
        keeping = self.served.keeping
        again = None if keeping is None else keeping.heard_again
        if again is not self._heard_again:
            self._heard_again = again
            if again is not None:
                self._answer(again)

    def _tell_of_room(self) -> None:
        """Tell who listens, if that has changed."""
        audience = self.served.audience
        state = None if audience is None else audience.state()
        if state is not None and state != self._room:
            self._room = state
            self._answer(state)

    def _answer(self, answer: Answer) -> None:
        self._direct.append(self.protocol.render(answer, self.served.emit_ms))
        self.served.news.set()

    async def _send(self, message: Message) -> None:
        self.served.down.add(message)
        self.metrics.bytes_out.inc(len(message))
        await self.link.send(message)

    def _how(self, results: Sequence[object]) -> Ending | Hello:
        """The ending from what the tasks returned or raised: a real reason before a mere absence."""
        endings: list[Ending] = []
        for result in results:
            match result:
                case Hello():
                    return result
                case Ending():
                    endings.append(result)
                case ProtocolError():
                    endings.append(Ending(result.code, str(result)))
                case asyncio.CancelledError():
                    continue
                case Exception():
                    log.error("session %s failed", self.served.session_id, exc_info=result)
                    endings.append(Ending(codes.INTERNAL, "the server failed; the session cannot go on"))
                case _:
                    continue
        return min(endings, key=lambda ending: ending.code == GONE or ending.told, default=Ending(GONE, "cancelled"))

    async def _close(self, ending: Ending) -> None:
        name = ending.name
        self.metrics.end(ending.code, name, fault=ending.code not in (codes.DONE, codes.GOING_AWAY, GONE))
        session_id = self.served.session_id
        told = {"session": session_id, "code": ending.code, "name_of_code": name}
        log.info("session %s: connection ended: %d %s", session_id, ending.code, name, extra=told)
        log.debug("session %s: %s", session_id, brief(ending.message))
        if ending.code == GONE or ending.told:
            return
        try:
            async with asyncio.timeout(self.options.send_timeout_s):
                await say_and_close(self.link, self.protocol, ending.code, ending.message)
        except (TimeoutError, Lost):
            return


async def say_and_close(
    link: Link, protocol: WireProtocol, code: int, message: str, retry_after_ms: float | None = None
) -> None:
    """Close with `code`, an error event with the same code before it unless that is 1000."""
    if code != codes.DONE:
        for said in protocol.render(Failure(code, brief(message), retry_after_ms), 0.0):
            await link.send(said)
    code, reason = protocol.closing(code, message)
    await link.close(code, brief(reason, CLOSE_REASON_BYTES))


def brief(text: str, max_bytes: int = 400) -> str:
    """The beginning of a message, which may quote what a client sent."""
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")


def _gone(code: int | None) -> Ending:
    """The ending for a disconnect: by the transport, which refused a message, or by the client, in order or not."""
    if code in (codes.BAD_DATA, codes.TOO_BIG, codes.PROTOCOL_ERROR):
        return Ending(code, "refused by the transport", told=True)
    return Ending(GONE, "the client went away", left=code in (codes.DONE, codes.GOING_AWAY))
