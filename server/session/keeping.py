"""How a session that is served comes into the store, and out of it again."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from streamst.events import Caption
from streamst.server.wire.native import Mark, NativeProtocol
from streamst.server.wire.seam import Acknowledged, Answer, HeardAgain

from .durable import Durable, Keeper
from .kept import Head, Kept, answers_of

if TYPE_CHECKING:
    from .served import Served

MOST_RECORDED = 1 << 25  # bytes of a recording that are kept: two hours of a browser's
HAND_OVER_S = 5.0  # that a session which is to go on elsewhere may take to be kept


class Keeping:
    """One served session and its keeper."""

    def __init__(self, served: Served, durable: Durable, keeper: Keeper, mark: Mark | None = None) -> None:
        """mark: heard up to there, on another node."""
        self.handed_over = False  # another node is to go on with it
        self.keeper = keeper
        self.heard_again: HeardAgain | None = None  # the newest, while the client has all that is said
        self._served, self._durable = served, durable
        self._mark = mark or Mark()  # heard up to here
        self._came = bytearray()  # of a recording, and is not safe yet
        self.recorded = 0  # bytes of it in all, heard here or elsewhere
        self._left: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def elsewhere(self) -> bool:
        """Whether another node goes on with it."""
        return self.handed_over or self.keeper.lost

    def new_token(self) -> str:
        """See `Durable`."""
        return self._durable.new_token(self._served.session_id)

    @property
    def head(self) -> Head:
        """Who may come back."""
        return Head(self._durable.model, tuple(one.hex() for one in self._served.tokens), self._served.owner)

    def came(self, recording: bytes) -> None:
        """This was heard of a recording: who goes on has to unpack it again, from its beginning."""
        self.recorded += len(recording)
        if self.recorded <= MOST_RECORDED:
            self._came += recording
        else:
            self._came.clear()

    def begin(self, configured: bool) -> asyncio.Task[bool]:
        """Keep a session that has heard nothing yet; configured: its settings did not come from its client."""
        return self._write(self._kept(b"", configured))

    async def tell_tokens(self) -> None:
        """Have other nodes know the tokens that are good now."""
        await self._durable.write(self.keeper, self.head, None)

    def told(self, answer: Answer) -> Answer:
        """`answer` with what a client has to know."""
        if not isinstance(answer, Acknowledged):
            return answer
        if self.keeper.kept is not None:
            answer = replace(answer, kept=self.keeper.kept)
        self.heard_again = HeardAgain(**vars(answer)) if self._served.replay.catching_up else None
        return answer

    async def after(self, mark: Mark | None, answers: list[Answer]) -> None:
        """A message was heard and answered: keep the session where it is time to."""
        served, self._mark = self._served, mark or self._mark
        restless = served.stream.restless and not served.replay.catching_up
        ended = restless or any(isinstance(one, Caption) and one.final for one in answers)
        if self.keeper.due(ended):
            stream = await served.stream.keep(restless)
            if not stream or self.recorded > MOST_RECORDED:
                self.keeper.cannot()
                return
            writing = self._write(self._kept(stream))
            if restless:  # from here on it hears in another way: whoever goes on has to know
                await writing

    async def leave(self) -> bool:
        """Keep it as it is now, for another node; whether that is safe."""
        stream = await self._served.stream.keep() if self._mark.expected >= 0 else b""
        whole = self.recorded <= MOST_RECORDED and (bool(stream) or self._mark.expected < 0)
        if await self.keeper.written() and whole:
            self.handed_over = await self._write(self._kept(stream, configured=not stream))
        if not self._left.done():
            self._left.set_result(self.handed_over)
        return self.handed_over

    async def left(self) -> bool:
        """Wait for `leave`."""
        try:
            async with asyncio.timeout(HAND_OVER_S):
                return await asyncio.shield(self._left)
        except TimeoutError:
            return False

    def _write(self, kept: Kept) -> asyncio.Task[bool]:
        count = len(self._came)
        writing = self.keeper.keep(self.head, kept, bytes(self._came))

        def written(task: asyncio.Task[bool]) -> None:
            if not task.cancelled() and task.exception() is None and task.result():
                del self._came[:count]

        writing.add_done_callback(written)
        return writing

    def _kept(self, stream: bytes, configured: bool = False) -> Kept:
        served = self._served
        assert isinstance(served.protocol, NativeProtocol)
        return Kept(
            self._mark, json.dumps(asdict(served.settings)) if configured else "", np.frombuffer(stream, np.uint8),
            served.replay.newest, served.protocol.spoken, answers_of(served.replay.kept), served.audio_ms,
            served.emit_ms, served.resumed, replace(served.listener), replace(served.up), replace(served.down),
            np.frombuffer(b"" if served.audience is None else served.audience.packed(), np.uint8),
        )  # fmt: skip


async def go_on(served: Served, kept: Kept, came: bytes, client_has: int) -> bool:
    """Be where the session was that was kept, its client having the answers up to `client_has`; False where it lacks
    some that are no longer kept. came: of a recording. Before anything else comes; InputError when `kept` does not fit
    this node's model."""
    assert isinstance(served.protocol, NativeProtocol)
    settings = kept.asked()
    if len(kept.room):
        served.reopen(kept.room.tobytes())
    if len(kept.stream):
        await served.stream.restore(kept.stream.tobytes(), came)
        if served.keeping is not None:
            served.keeping.recorded = len(came)
        while served.stream.waiting:
            await served.stream.step()
        served.settings = served.stream.settings
    served.protocol.go_on(kept.mark, kept.newest, kept.spoken)
    served.protocol.reconnected()
    whole = served.replay.go_on(kept.newest, kept.messages(), client_has)
    served.audio_ms = served.spent_ms = kept.audio_ms
    served.resumed = kept.resumed + 1
    served.listener, served.up, served.down = replace(kept.listener), replace(kept.up), replace(kept.down)
    if kept.audio_ms:
        served.first_audio_s = time.perf_counter() - kept.emit_ms / 1000
    if settings is not None:
        served.configure(settings)
    return whole
