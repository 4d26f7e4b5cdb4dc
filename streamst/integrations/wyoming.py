"""A Wyoming server, the protocol of Home Assistant's voice assistants: speech in, German or English text out, and the
German voice.

Wyoming has no word for translation. So this is a recogniser whose language is the one that is written: `Transcribe` in
the target's language translates, in the source's it transcribes; without one it translates. Words that never change
again come as `TranscriptChunk`, in the end all of them as `Transcript`. `Synthesize`, whole or streamed, is spoken word
by word. All clients share one model.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_read_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler, AsyncServer
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop

from streamst.engine import Engine
from streamst.errors import InputError, StreamstError, UnavailableError

from .wyoming_info import describe
from .wyoming_parts import BadEventError, Hearing, Limits, Reader, Saying

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline
    from streamst.session import Steps

log = logging.getLogger("streamst.wyoming")

T = TypeVar("T")
STOPPED = Error("the server is being stopped", "draining")


class House:
    """What all clients share. `close` it."""

    def __init__(
        self, pipeline: Pipeline, policy: str | None = None, latency: str | None = None, limits: Limits | None = None
    ) -> None:
        """InputError for a policy or latency that is not possible."""
        self.pipeline, self.policy, self.latency = pipeline, policy, latency
        self.limits = limits or Limits()
        pipeline.setting(pipeline.targets[0], policy, latency)
        self.info = describe(pipeline)
        self.clients = 0
        self.leaving = 0  # clients of a server that ends; meanwhile nobody new is served
        self._engine = Engine(pipeline.models)
        self._ids = itertools.count()

    def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Client:
        """One client's connection: what `AsyncServer` wants."""
        return Client(self, next(self._ids), reader, writer)

    async def do(self, steps: Steps[T], client: Hashable) -> T:
        """What `steps` return or raise; the networks work in a thread of their own, for all clients together."""
        return await asyncio.wrap_future(self._engine.submit(steps, client, client))

    def forget(self, client: Hashable) -> None:
        """The client is gone."""
        self._engine.forget(client)

    def close(self) -> None:
        """Let the running work end."""
        self._engine.close()


class Client(AsyncEventHandler):
    """One connection."""

    def __init__(self, house: House, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._house, self._number = house, number
        self._wanted = Transcribe()
        self._hearing: Hearing | None = None
        self._saying: Saying | None = None
        self._deaf = False  # what was asked for is not possible, as was told: the audio that follows is let go
        self._until_s: float | None = None  # by the loop's clock: when the server that ends waits no longer
        self._patience: asyncio.Timeout | None = None  # with an event that is awaited
        self._gone = asyncio.Event()
        self._doers: dict[Any, Callable[[Any], Awaitable[Any]]] = {
            Describe: self._describe, Ping: self._pong, Transcribe: self._transcribe, AudioStart: self._begin,
            AudioChunk: self._hear, AudioStop: self._end, Synthesize: self._speak_all,
            SynthesizeStart: self._speak_soon, SynthesizeChunk: self._speak_on, SynthesizeStop: self._speak_out,
        }  # fmt: skip

    async def run(self) -> None:
        """Serve until the client goes. What breaks the protocol ends the connection, told as an `error` event."""
        house = self._house
        house.clients += 1
        try:
            if house.clients > house.limits.clients:
                await self._tell(Error(f"{house.limits.clients} clients are connected; try again later", "full"))
                return
            if house.leaving:
                await self._tell(STOPPED)
                return
            while (event := await self._next()) is not None:
                await self.handle_event(event)
                if self._until_s is not None and not self._busy:
                    self._until_s = 0.0
        except OSError as error:
            log.debug("client %d: %s", self._number, error)
        finally:
            house.clients -= 1
            house.forget(self._number)
            self.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(house.limits.send_s):
                    await self.writer.wait_closed()
            self._gone.set()

    async def stop(self) -> None:
        """The server ends: a talk may come to its own end for a while, then what was heard is said and the client told.

        Returns when the client is gone. Twice is at once, with nothing more said.
        """
        if self._until_s is not None:
            self.writer.transport.abort()
            self.reader.feed_eof()
            return
        self._until_s = asyncio.get_running_loop().time() + (self._house.limits.drain_s if self._busy else 0.0)
        if self._patience is not None:
            self._patience.reschedule(min(self._until_s, self._patience.when() or self._until_s))
        self._house.leaving += 1
        await self._gone.wait()
        self._house.leaving -= 1

    @property
    def _busy(self) -> bool:
        return self._hearing is not None or self._saying is not None

    async def handle_event(self, event: Event) -> bool:
        """Do what an event asks; what is not possible is told as an `error` event, and the connection stays."""
        try:
            await self._take(event)
        except BadEventError as error:
            await self._tell(Error(str(error), "bad-event"))
        except StreamstError as error:
            self._saying = None
            await self._tell(Error(str(error), "bad-input" if isinstance(error, InputError) else "unavailable"))
        except OSError:
            raise
        except Exception:
            self._hearing = self._saying = None
            log.exception("client %d: %s failed", self._number, event.type)
            await self._tell(Error(f"{event.type} failed here", "internal"))
        return True

    async def write_event(self, event: Event) -> None:
        """Send; a client that takes nothing is dropped."""
        try:
            async with asyncio.timeout(self._house.limits.send_s):
                await super().write_event(event)
        except TimeoutError as error:
            self.writer.transport.abort()
            raise ConnectionAbortedError(f"it read nothing for {self._house.limits.send_s:g} s") from error

    async def _next(self) -> Event | None:
        """The next event; None where none will come, the client told if that is its mistake."""
        limits = self._house.limits
        idle_s = asyncio.get_running_loop().time() + limits.idle_s
        until_s = idle_s if self._until_s is None else min(idle_s, self._until_s)
        try:
            async with asyncio.timeout_at(until_s) as self._patience:
                event = await async_read_event(Reader(self.reader, limits.event_bytes))  # pyright: ignore[reportArgumentType]
            if event is not None and isinstance(event.type, str) and isinstance(event.data, dict):
                return event
        except TimeoutError:
            if self._until_s is not None:
                await self._say_the_rest()
            else:
                await self._tell(Error(f"nothing came for {limits.idle_s:g} s", "idle"))
            return None
        except (EOFError, KeyError, AttributeError, TypeError, RecursionError):
            pass
        finally:
            self._patience = None
        if not self.reader.at_eof():
            await self._tell(Error(f"that is no Wyoming event of up to {limits.event_bytes} bytes", "bad-event"))
        return None

    async def _say_the_rest(self) -> None:
        if self._hearing is not None:
            await self.handle_event(AudioStop().event())
        if self._saying is not None:
            await self.handle_event(SynthesizeStop().event())
        await self._tell(STOPPED)

    async def _take(self, event: Event) -> None:
        """An event of a kind that is not known is let go, as Wyoming wants it."""
        for kind, do in self._doers.items():
            if kind.is_type(event.type):
                await do(_read(kind, event))

    async def _describe(self, _: Describe) -> None:
        await self.write_event(self._house.info.event())

    async def _pong(self, ping: Ping) -> None:
        await self._tell(Pong(ping.text))

    async def _transcribe(self, wanted: Transcribe) -> None:
        self._wanted, self._hearing, self._deaf = wanted, None, True
        Hearing.check(self._house.pipeline, wanted)
        self._deaf = False

    async def _begin(self, _: AudioStart | None = None) -> Hearing:
        house = self._house
        self._hearing, self._deaf = None, True
        self._hearing = hearing = Hearing(house.pipeline, self._wanted, house.policy, house.latency)
        self._deaf = False
        await self._tell(TranscriptStart(language=hearing.language))
        return hearing

    async def _hear(self, chunk: AudioChunk) -> None:
        if self._deaf:
            return
        hearing = self._hearing or await self._begin()
        for piece in hearing.pieces(chunk):
            await self._write_down(hearing, await self._house.do(hearing.session.hearing(piece), self._number))

    async def _end(self, _: AudioStop) -> None:
        if self._deaf:
            return
        hearing = self._hearing or await self._begin()
        rest = hearing.frames.rest()
        await self._write_down(hearing, await self._house.do(hearing.session.hearing(rest), self._number))
        await self._write_down(hearing, await self._house.do(hearing.session.ending(), self._number))
        self._hearing = None
        await self._tell(Transcript(hearing.text, language=hearing.language))
        await self._tell(TranscriptStop())

    async def _write_down(self, hearing: Hearing, events: list[Any]) -> None:
        delta = hearing.fresh(events)
        if delta:
            await self._tell(TranscriptChunk(delta))

    async def _speak_all(self, asked: Synthesize) -> None:
        if self._saying is not None:
            return  # the same text is streamed already
        saying = Saying(self._house.pipeline, asked.voice, asked.text_format)
        await self._play(saying, await self._house.do(saying.steps(asked.text), self._number))
        await self._play(saying, await self._house.do(saying.aloud.ending(), self._number))
        await self._tell(saying.stop())

    async def _speak_soon(self, begun: SynthesizeStart) -> None:
        self._saying = Saying(self._house.pipeline, begun.voice, begun.text_format)

    async def _speak_on(self, more: SynthesizeChunk) -> None:
        if self._saying is None:
            raise BadEventError("synthesize-chunk needs a synthesize-start before it")
        await self._play(self._saying, await self._house.do(self._saying.steps(more.text), self._number))

    async def _speak_out(self, _: SynthesizeStop) -> None:
        saying, self._saying = self._saying, None
        if saying is None:
            raise BadEventError("synthesize-stop needs a synthesize-start before it")
        await self._play(saying, await self._house.do(saying.aloud.ending(), self._number))
        await self._tell(saying.stop())
        await self._tell(saying.stopped())

    async def _play(self, saying: Saying, pcm: Any) -> None:
        for event in saying.audio(pcm):
            await self._tell(event)

    async def _tell(self, said: Eventable) -> None:
        await self.write_event(said.event())


def _read(kind: Any, event: Event) -> Any:
    """`event` as one of `kind`; BadEventError where it lacks something."""
    try:
        return kind.from_event(event)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadEventError(f"{event.type} is not whole: {type(error).__name__} {error}") from error


def open_server(uri: str) -> AsyncServer:
    """A server for "tcp://HOST:PORT", "unix://PATH" or "stdio://"; InputError for anything else."""
    try:
        return AsyncServer.from_uri(uri)
    except ValueError as error:
        raise InputError(f"{uri!r} is not possible: use tcp://HOST:PORT, unix://PATH or stdio://") from error


async def serve(house: House, uri: str) -> None:
    """Serve until SIGTERM, then let talks end; a second one ends them at once.

    InputError for an address that is none, UnavailableError where it cannot be had.
    """
    server = open_server(uri)
    try:
        await server.run(house.handler)
    except OSError as error:
        raise UnavailableError(f"{uri} cannot be listened on: {error}") from error
