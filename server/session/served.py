"""A session as the server serves it: it outlives its connections, one after the other, and hears what they brought.

`take` puts what a client says into the inbox, at once; `_hear` lets the worker hear it, one chunk at a time, and keeps
the answers in order for whichever connection is there to send them. It waits while too much is unsent, and while it
waits the inbox fills, and while that is full no socket is read: nothing grows without bound, and nothing is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from streamst.errors import ProtocolError
from streamst.events import Speech
from streamst.server.operator.limits import SpeedGate
from streamst.server.operator.options import ServerOptions
from streamst.server.room.workers import Stream, Workers
from streamst.server.wire import codes
from streamst.server.wire.audio import duration_ms
from streamst.server.wire.native import Mark, NativeProtocol
from streamst.server.wire.seam import Alive, Answer, Audio, Closed, Configure, End, Failure, Settings, WireProtocol
from streamst.server.wire.summary import Summary
from streamst.server.wire.traffic import Traffic

from .audience import Audience, Audiences
from .ending import GONE, Ending, TooLongError, too_long
from .inbox import Arrived, Changed, Inbox, Leave, Waiting
from .keeping import Keeping
from .qoe import Listener
from .replay import Replay
from .reports import digest

log = logging.getLogger("streamst.server")

LEAST_CREDIT_MS = 1000.0
UNSENT_ANSWERS = 64  # that may wait for a socket that is there
MOVED = "this node is being stopped: another one goes on with the session"


class Served:
    """One session from its first word to its report."""

    def __init__(
        self,
        session_id: str,
        protocol: WireProtocol,
        workers: Workers,
        defaults: Settings,
        options: ServerOptions,
        client: str | None = None,
        owner: str | None = None,
        audiences: Audiences | None = None,
    ) -> None:
        """client: among whom the device's time is shared when it is short. owner: name of the API key it came with.
        audiences: where others may listen."""
        self.session_id, self.protocol, self.options = session_id, protocol, options
        self.client, self.owner = client, owner
        self.stream: Stream = workers.open(session_id, client, defaults, options.relieve_when_busy)
        self.listener = Listener()
        self.replay = Replay(options.replay_bytes)
        self.attached: Callable[[Ending], None] | None = None  # ends the connection that is there
        self.news = asyncio.Event()  # for the connection: there may be something to send
        self.ending = False  # the end is in the inbox: nothing more is taken in
        self.ended: Ending | None = None  # everything was said, or will never be
        self.taken = 0  # commands
        tls = options.tls_cert is not None
        self.up, self.down = Traffic(from_client=True, tls=tls), Traffic(from_client=False, tls=tls)
        self.resumed = 0  # times
        self.abandoned = False
        self.over = False  # nobody may come back any more
        self._released = False
        self.began_s = time.perf_counter()
        self.last_audio_s = self.began_s
        self._spoke_s = self.began_s  # when audio came last, whatever else did
        self.audio_ms = 0.0
        self.spent_ms = 0.0  # of it that its key was charged for
        self.first_audio_s: float | None = None
        self._tokens: list[bytes] = []  # digests of the tokens that are good, newest first
        self.settings = self.stream.settings  # as read from the socket, ahead of what the stream has applied
        self._workers, self._audiences = workers, audiences
        self.audience: Audience | None = None if audiences is None else audiences.of(session_id)
        self._inbox: Inbox[Waiting] = Inbox(options.queue_bytes)
        self._gate = SpeedGate(options.speed_limit, options.burst_s * 1000)
        self._busy = False  # something of it is being heard
        self._space = asyncio.Event()  # for `_hear`: answers may have been sent
        self.keeping: Keeping | None = None  # where it is to outlive this node
        self._task = asyncio.create_task(self._hear(), name=f"session {session_id}")

    # --- what a client says

    async def room(self) -> None:
        """Wait until there is room for what a client says next."""
        if self._inbox.full:
            await self._inbox.room()
            self.last_audio_s = time.perf_counter()

    @property
    def idle_s(self) -> float:
        """Since when no audio came, though all was heard that had come [s]: who waits for credit is not idle."""
        return 0.0 if self._busy or len(self._inbox) else time.perf_counter() - self.last_audio_s

    def take(self, command: Audio | Configure | End | Alive, size: int) -> float:
        """Take a command in, at once; returns how long the socket should rest before it is read on [s].

        Raises ProtocolError for audio that comes too fast or that no message may hold.
        """
        if self.ending:
            return 0.0
        self.taken += 1
        rest_s = 0.0
        match command:
            case Audio():
                now_s = time.perf_counter()
                audio_ms = duration_ms(command, self.settings, self._workers.codec)
                if self.protocol.patient:
                    rest_s = self._gate.delay_s(audio_ms, now_s)
                else:
                    self._gate.take(audio_ms, now_s)
                self.audio_ms += audio_ms
                if self.first_audio_s is None:
                    self.first_audio_s = now_s
                self.last_audio_s = now_s + rest_s
                self._spoke_s = now_s
                self._inbox.put(Arrived(command, now_s, self._mark), size)
            case Configure():
                self.configure(command.settings, size, command.flush)
            case End():
                self.finish(Ending(codes.DONE))
            case Alive():
                now_s = time.perf_counter()
                if now_s - self._spoke_s < self.options.silence_s:
                    self.last_audio_s = now_s
        return rest_s

    def configure(self, settings: Settings, size: int = 0, flush: bool = False) -> None:
        """Translate with `settings` from what comes next on. flush: see `Configure`."""
        self.settings = settings = replace(settings, room=settings.room or self.audience is not None)
        if settings.room and self.audience is None and self._audiences is not None:
            self.audience = self._audiences.open(self.session_id)
        self._inbox.put(Changed(Configure(settings, flush), self._mark), size)

    def reopen(self, kept: bytes) -> None:
        """Have the room that it had on another node; InputError where `kept` is none."""
        if self._audiences is not None:
            self.audience = self._audiences.reopen(self.session_id, kept)

    def finish(self, ending: Ending) -> None:
        """Hear nothing more, say everything that is held, and end so."""
        if not self.ending:
            self.ending = True
            self._inbox.put(ending)

    @property
    def _mark(self) -> Mark | None:
        return self.protocol.mark if isinstance(self.protocol, NativeProtocol) else None

    async def hand_over(self) -> bool:
        """Let another node go on: hear nothing more, and be kept as it is; False where that cannot be."""
        if self.keeping is None or self.ending:
            return False
        self._inbox.put_first(Leave())
        return await self.keeping.left()

    # --- what it answers

    @property
    def emit_ms(self) -> float:
        """Wall time since the first audio came [ms]."""
        return 0.0 if self.first_audio_s is None else (time.perf_counter() - self.first_audio_s) * 1000

    def say(self, *answers: Answer) -> None:
        """Keep answers about the session for whichever connection sends them."""
        for answer in answers:
            if self.keeping is not None:
                answer = self.keeping.told(answer)
            if self.audience is not None:
                self.audience.hear(answer, self.emit_ms)
            if isinstance(answer, Speech):
                continue
            self.listener.hear(answer, self.emit_ms)
            messages = self.protocol.render(answer, self.emit_ms)
            if messages and not self.abandoned:
                self.replay.append(messages)
        self.news.set()

    def sent(self) -> None:
        """The connection sent an answer."""
        self.replay.advance()
        self._space.set()

    @property
    def credit_ms(self) -> float:
        """How much audio a client may have on its way, not yet heard: less while there is more to hear than there is
        time."""
        whole_ms = self.options.credit_s * 1000
        return round(max(min(whole_ms, LEAST_CREDIT_MS), whole_ms / max(1.0, self._workers.demand)))

    # --- connections

    def attach(self, drop: Callable[[Ending], None]) -> None:
        """A connection is there; `drop` ends it. One that was there before is told that it is superseded."""
        if self.attached is not None:
            self.attached(Ending(codes.SUPERSEDED, "another connection goes on with this session"))
        self.attached = drop
        self.last_audio_s = time.perf_counter()
        self.news.set()
        self._space.set()

    def detach(self, drop: Callable[[Ending], None]) -> bool:
        """The connection that `drop` ends is gone; whether it was the one that was there."""
        if self.attached != drop:
            return False
        self.attached = None
        return True

    def new_token(self, shown: str | None = None) -> str:
        """A token for the next return; the one that was shown stays good until `confirm`: who shows it may never get to
        see the new one."""
        token = secrets.token_urlsafe(24) if self.keeping is None else self.keeping.new_token()
        self._tokens = [digest(token), *([] if shown is None else [digest(shown)])]
        return token

    def confirm(self) -> None:
        """The client has the newest token."""
        del self._tokens[1:]

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """Digests of the tokens that are good."""
        return tuple(self._tokens)

    # --- its end

    def abandon(self) -> None:
        """Nobody will ever get what is said from now on: keep nothing of it, and wait for nobody."""
        self.abandoned = True
        self._space.set()

    def release(self) -> None:
        """Free what the model keeps for it; it is over."""
        if not self._released:
            self._released = True
            self.stream.release()

    def forget_client(self) -> None:
        """The client has no other session: how much time it had counts no more."""
        self._workers.forget(self.client)

    async def stop(self) -> None:
        """End without another word."""
        self.ending = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.ended is None:
            self.ended = Ending(GONE, "the client went away")

    async def wait(self) -> Ending:
        """How it ended, once it has."""
        await asyncio.gather(self._task, return_exceptions=True)
        return self.ended or Ending(GONE, "cancelled")

    def summary(self, ending: Ending | None) -> Summary:
        """The report; of a session that has not ended where `ending` is None."""
        heard = self.stream.summary()
        return Summary(
            **vars(heard),
            **vars(self.listener.summary()),
            session_id=self.session_id,
            reason="open" if ending is None else ending.name,
            bytes_in=self.up.message_bytes,
            bytes_out=self.down.message_bytes,
            resumed=self.resumed,
            up=self.up.rates(heard.audio_ms),
            down=self.down.rates(heard.audio_ms),
        )

    async def _hear(self) -> None:
        try:
            ending = await self._hear_all()
        except ProtocolError as error:
            ending = Ending(error.code, str(error))
        except Exception as error:
            log.error("session %s failed", self.session_id, exc_info=error)
            ending = Ending(codes.INTERNAL, "the server failed; the session cannot go on")
        self.ending = True
        self.ended = ending
        self.news.set()
        self.release()

    async def _hear_all(self) -> Ending:
        try:
            return await self._hear_to_the_end()
        except TooLongError:
            ending = too_long(self.options.max_duration_s)
            await self._said(await self.stream.finish(cut=True))
            self.say(Closed(self.summary(ending)))
            return ending

    async def _hear_to_the_end(self) -> Ending:
        stream, contained = self.stream, False
        while True:
            item = await self._inbox.get()
            self._busy = True
            match item:
                case Changed():
                    answers = await self._heard_out(
                        partial(stream.configure, item.configure.settings, item.configure.flush)
                    )
                case Arrived():
                    contained = item.audio.codec == "container"
                    answers = await self._hear_message(item)
                case Leave():
                    if self.keeping is not None and await self.keeping.leave():
                        return Ending(codes.GOING_AWAY, MOVED)
                    answers = []
                case Ending():
                    return await self._flush(item, contained)
            await self._said(answers)
            if self.keeping is not None and isinstance(item, Arrived) and contained:
                self.keeping.came(item.audio.payload)
            if self.keeping is not None and isinstance(item, Arrived | Changed):
                await self.keeping.after(item.mark, answers)
            self._busy = False
            if isinstance(item, Arrived):
                self.last_audio_s = max(self.last_audio_s, time.perf_counter())

    async def _hear_message(self, arrived: Arrived) -> list[Answer]:
        """Hear a message, piece by piece; the last answers."""
        stream, contained = self.stream, arrived.audio.codec == "container"
        answers = await stream.hear(arrived.audio, arrived.at_s)
        while stream.waiting:
            await self._said(answers)
            if contained:
                await self._rest()
            answers = await stream.step()
        if contained:
            await self._rest()
        return answers

    async def _heard_out(self, ask: Callable[[], Awaitable[list[Answer]]]) -> list[Answer]:
        """Ask until the end of a recording, which may hold much back, is heard; the last answers."""
        answers = await ask()
        while self.stream.waiting:
            await self._said(answers)
            await self._rest()
            answers = await ask()
        return answers

    async def _flush(self, ending: Ending, contained: bool) -> Ending:
        """Say everything that is held; how it ended."""
        answers = await self._heard_out(self.stream.finish)
        faults = [answer for answer in answers if isinstance(answer, Failure)]
        await self._said([answer for answer in answers if not isinstance(answer, Failure)])
        if contained:  # its end may have held much back
            await self._rest()
        self.say(Closed(self.summary(ending)))
        return Ending(faults[0].code, faults[0].message) if faults else ending

    async def _rest(self) -> None:
        """Wait as long as what was heard came too early: how long a container is, only hearing tells.

        TooLongError where it is longer than a session may last.
        """
        heard_ms = self.stream.summary().audio_ms
        fresh_ms, self.audio_ms = heard_ms - self.audio_ms, heard_ms
        if heard_ms > 1000 * self.options.max_duration_s:
            raise TooLongError
        await asyncio.sleep(self._gate.delay_s(max(0.0, fresh_ms), time.perf_counter()))

    async def _said(self, answers: list[Answer]) -> None:
        """Say answers, then wait until not too many are unsent."""
        self.say(*answers)
        while self._crowded:
            self._space.clear()
            await self._space.wait()

    @property
    def _crowded(self) -> bool:
        if self.abandoned:
            return False
        if self.attached is None:
            return self.replay.bytes >= self.replay.max_bytes
        return self.replay.unsent >= UNSENT_ANSWERS
