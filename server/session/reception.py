"""From a link to a session and its connection, new or resumed. Every wire protocol comes in here."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

from streamst.errors import InputError, ProtocolError
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.room.workers import Workers
from streamst.server.wire import codes
from streamst.server.wire.native import Mark, NativeProtocol
from streamst.server.wire.seam import Failure, Hello, Offer, Resumption, Settings, Welcome, WireProtocol

from .audience import Audiences
from .connection import Connection, say_and_close
from .durable import BEGIN_S, PLACE, Durable, Keeper
from .keeping import Keeping, go_on
from .link import Link, Lost
from .served import GONE, Ending, Served
from .sessions import Reservation, Sessions, retry_ms

HELLO_S = 10.0  # that a client which shows a resume token has to say hello


class Reception:
    """What it takes to serve a link."""

    def __init__(
        self,
        workers: Workers,
        sessions: Sessions,
        options: ServerOptions,
        metrics: Metrics,
        defaults: Settings,
        offer: Callable[[], Offer],
        audiences: Audiences | None = None,
        durable: Durable | None = None,
    ) -> None:
        """durable: where sessions are to outlive this node."""
        self.durable = durable
        self.workers, self.sessions, self.options, self.metrics = workers, sessions, options, metrics
        self.defaults, self.offer, self.audiences = defaults, offer, audiences

    async def serve(
        self,
        link: Link,
        protocol: WireProtocol,
        token: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Serve a link until its end, be it a refusal.

        token: of a reservation, or of a session to resume. settings: that the session begins with, where the protocol
        knows them before the first message; a reservation's own go before them.
        """
        try:
            if token is not None and protocol.resumable and await self.resumable(token):
                hello = await self._first_hello(link, protocol)
                if hello is None:
                    return
                await self._return(link, Hello(token, hello.last_sequence))
                return
            kept = await self._enter(token, link)
        except ProtocolError as error:
            await self.refuse(link, protocol, error)
            return
        served = self._open(link, protocol, kept)
        settings = settings if token is None else kept.settings
        if settings is not None:
            served.configure(settings)
        welcome = self._welcome(served, resumed=False)
        if served.keeping is not None:
            await asyncio.wait([served.keeping.begin(settings is not None)], timeout=BEGIN_S)
        hello = await self._attend(link, served, welcome)
        if hello is not None:
            try:
                await self._return(link, hello)
            except ProtocolError as error:
                await self.refuse(link, protocol, error)

    async def _enter(self, token: str | None, link: Link) -> Reservation:
        """A place: the one that is kept here or offered on every node, or another one."""
        if self.durable is None or token is None or not token.startswith(PLACE):
            return self.sessions.enter(token, link.peer)
        offered = await self.durable.take(token)
        if self.sessions.reserved(token):
            return self.sessions.enter(token, link.peer)
        if offered is None:
            raise ProtocolError("the token is unknown, was used, or expired: ask for a new one", codes.UNAUTHORISED)
        self.sessions.enter(None, link.peer, offered.session_id)
        if offered.room and self.audiences is not None:
            self.audiences.reopen(offered.session_id, base64.b64decode(offered.room))
        return Reservation(offered.session_id, offered.settings, 0.0, offered.owner)

    async def refuse(self, link: Link, protocol: WireProtocol, error: ProtocolError) -> None:
        """Say why a link is not served, and close it."""
        known = codes.meaning(error.code)
        self.metrics.refused.labels(why=known.name).inc()
        try:
            async with asyncio.timeout(self.options.send_timeout_s):
                await say_and_close(link, protocol, error.code, str(error), retry_ms(error))
        except (TimeoutError, Lost):  # it went away meanwhile
            return

    def _open(
        self, link: Link, protocol: WireProtocol, kept: Reservation, of: tuple[Keeper, Mark] | None = None
    ) -> Served:
        """of: who keeps a session of another node, and how far it was heard there."""
        owner = kept.owner or link.owner
        served = Served(
            kept.session_id, protocol, self.workers, self.defaults, self.options, link.peer, owner, self.audiences
        )
        durable = self.durable
        if durable is not None and isinstance(protocol, NativeProtocol):
            keeper, mark = of or (Keeper(durable, kept.session_id, 1), None)
            served.keeping = Keeping(served, durable, keeper, mark)
            keeper.on_lost = lambda: self.sessions.lost(served)
        self.sessions.open(served)
        return served

    async def resumable(self, token: str) -> bool:
        """Whether `token` is of a session, be it over or another node's, and not of a place."""
        if self.sessions.resumable(token):
            return True
        return self.durable is not None and await self.durable.find(token) is not None

    async def _return(self, link: Link, hello: Hello) -> None:
        """Go on with the session whose token `hello` shows; ProtocolError as in `Sessions.resume` and `Durable`."""
        token, durable = hello.resume_token or "", self.durable
        here = self.sessions.here(token)
        if durable is not None:
            keeping = None if here is None else here.keeping
            if here is None or (keeping is not None and not await durable.ours(keeping.keeper)):
                found = await durable.find(token)
                if found is not None:
                    await self._take_over(link, hello, found, durable)
                    return
        served, token = self.sessions.resume(hello, link.peer)
        if served.keeping is not None:
            await served.keeping.tell_tokens()
        await self._attend(link, served, self._welcome(served, resumed=True, token=token))

    async def _take_over(self, link: Link, hello: Hello, session_id: str, durable: Durable) -> None:
        """Go on with a session of another node; ProtocolError says why not."""
        self.sessions.take_over(session_id)
        served: Served | None = None
        try:
            keeper, head, kept, came = await durable.claim(session_id, hello.resume_token or "")
            protocol = NativeProtocol(self.options.max_text_bytes)
            place = Reservation(session_id, Settings(), 0.0, head.owner)
            served = self._open(link, protocol, place, (keeper, kept.mark))
            whole = await go_on(served, kept, came, hello.last_sequence)
            if not whole:
                raise ProtocolError("what was said since is no longer kept: begin a new session", codes.EXPIRED)
            token = served.new_token(hello.resume_token)
            assert served.keeping is not None
            await served.keeping.tell_tokens()
        except BaseException as error:
            self.sessions.leave(session_id)
            if served is not None:
                self.sessions.lost(served)
            if isinstance(error, InputError):
                raise ProtocolError(f"the session cannot go on: {error}", codes.EXPIRED) from error
            raise
        self.metrics.restored.inc()
        await self._attend(link, served, self._welcome(served, resumed=True, token=token))

    async def _attend(self, link: Link, served: Served, welcome: Welcome) -> Hello | None:
        """Serve one connection of a session; the `Hello` of a client that means another session."""
        link.on_refusal(lambda code, why: served.protocol.render(Failure(code, why), 0.0))
        connection = Connection(link, served, self.sessions.draining, self.options, self.metrics)
        ending: Ending | Hello = Ending(GONE, "cancelled")
        try:
            ending = await connection.run(welcome)
        finally:
            if connection.leave():
                left = Ending(GONE, "meant another session", left=True)
                self.sessions.dropped(served, ending if isinstance(ending, Ending) else left)
        return ending if isinstance(ending, Hello) else None

    def _welcome(self, served: Served, resumed: bool, token: str | None = None) -> Welcome:
        resumption: Resumption | None = None
        if isinstance(served.protocol, NativeProtocol):
            away_s = self.options.park_s
            if away_s and served.keeping is not None:  # nobody may be there before another node has started
                away_s += self.options.idle_s
            token = token or served.new_token()
            resumption = served.protocol.resumption(token, resumed, 1000 * away_s, served.ending)
        return Welcome(served.session_id, self.offer(), self.options.limits(), served.credit_ms, resumption)

    async def _first_hello(self, link: Link, protocol: WireProtocol) -> Hello | None:
        """The first message of a client that showed a resume token; None when it went away instead."""
        try:
            async with asyncio.timeout(HELLO_S):
                message = await link.receive()
        except Lost:
            return None
        except TimeoutError as error:
            reason = "a resume token was shown: say hello, with last_sequence, as the first message"
            raise ProtocolError(reason, codes.IDLE) from error
        match protocol.receive(message):
            case [Hello() as hello]:
                return hello
            case _:
                reason = "a resume token was shown: the first message must be hello, with last_sequence"
                raise ProtocolError(reason, codes.BAD_PARAMETER)
