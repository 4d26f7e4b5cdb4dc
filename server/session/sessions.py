"""The server's sessions: places, reservations, returns, and how they all end when the server does.

A session is open while a connection serves it, and holds a place. One whose connection dropped is parked: it takes no
place, and waits for its client's return until its time is over or too many others wait as well; then it is finished, as
if its client had said `end`. One that was finished keeps what its client may not have got, for as long. In the end its
report stays. Lives on the event loop.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from streamst.errors import ProtocolError
from streamst.server.operator.auth import Admission, load_keys
from streamst.server.operator.crowd import share_of
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.wire import codes
from streamst.server.wire.seam import Hello, Settings

from .durable import Keeper
from .reports import Reports, among, digest
from .served import GONE, Ending, Served
from .table import Table, folded

RETRY_MS = 5000.0  # what a refused client is told to wait where nothing is known
USUAL_S = 60.0  # how long sessions last, before any has ended
SILENT_S = 5.0  # after which a client that has said nothing may have to give its place to another
LEAST_WAIT_S, LONGEST_WAIT_S = 1.0, 600.0  # what a refused client may be told


@dataclass(frozen=True)
class Reservation:
    """A place that is kept free until `expires_s` for whoever shows its token first."""

    session_id: str
    settings: Settings
    expires_s: float
    owner: str | None = None  # name of the API key that it was asked for with
    address: str | None = None  # whose share of the places it counts for


class Sessions:
    """Counts places. A place is held by a connection or, for a while, by a reservation."""

    def __init__(
        self,
        options: ServerOptions,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        """room: whether the machine can serve another speaker beside those it serves."""
        self.options, self.metrics = options, metrics
        self._room = room
        self._lasted_s: deque[float] = deque(maxlen=50)
        self.draining = asyncio.Event()
        self._now = now
        self._open: dict[str, float] = {}  # since when, by id
        self._reserved: dict[str, Reservation] = {}  # by token
        self.reports = Reports(now=now)
        self.admission = Admission(load_keys(options.api_keys), options.address_sessions, options.address_rate, now)
        self.elsewhere: Table | None = None
        self._served: dict[str, Served] = {}  # open, parked and finished ones, by id
        self._waiting: dict[str, asyncio.TimerHandle] = {}  # parked and finished ones, the oldest first
        self._closing: set[asyncio.Task[None]] = set()
        self._refused_s: deque[float] = deque(maxlen=1000)
        self._empty = asyncio.Event()
        self._empty.set()
        metrics.parked.set_function(lambda: self.parked)

    def __len__(self) -> int:
        return len(self._open)

    def share(self, elsewhere: Table) -> None:
        """Limits hold for this node and others together."""
        self.elsewhere = self.admission.others = elsewhere

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        now = self._now()
        self._reserved = {token: kept for token, kept in self._reserved.items() if kept.expires_s > now}
        return self.options.max_sessions - len(self._open) - len(self._reserved)

    @property
    def parked(self) -> int:
        """Sessions that wait for their client's return."""
        return sum(self._served[name].ended is None for name in self._waiting)

    @property
    def wait_s(self) -> float:
        """How long it will be until a place is free, from how long sessions last and how many are open."""
        usual_s = sum(self._lasted_s) / len(self._lasted_s) if self._lasted_s else USUAL_S
        return min(LONGEST_WAIT_S, max(LEAST_WAIT_S, usual_s / max(1, len(self._open))))

    def admit(self, secret: str | None, address: str | None) -> str | None:
        """The name of the API key that another session of `address` belongs to; ProtocolError as in `Admission`."""
        return self.admission.admit(secret, address, self._of_key, self._of_address(address))

    @property
    def ready(self) -> bool:
        """Whether another session could be served."""
        return not self.draining.is_set() and self.free > 0 and self._room()

    def require_place(self) -> None:
        """ProtocolError 1013 where another session could not be served, 1001 where the server is being stopped."""
        if self.draining.is_set():
            raise ProtocolError("this server is being stopped", codes.GOING_AWAY)
        if self.free < 1 and not self._make_room():
            taken = f"all {self.options.max_sessions} places are taken"
        elif not self._room():
            taken = f"the machine is busy with {len(self._open)} speakers"
        else:
            return
        wait_s = self.wait_s
        raise ProtocolError(f"{taken}; try again in about {wait_s:.0f} s", codes.OVERLOADED, wait_s)

    def readmit(self, owner: str | None, address: str | None) -> str | None:
        """The same for who is known to hold the key of this name; None where no keys are needed."""
        return self.admission.readmit(owner, address, self._of_key, self._of_address(address))

    def reserve(
        self, settings: Settings, owner: str | None = None, address: str | None = None, prefix: str = ""
    ) -> tuple[str, Reservation]:
        """A token, good once, and what it keeps; ProtocolError 1013 or 1001 when no place is free. prefix: of it."""
        self.require_place()
        token = prefix + secrets.token_urlsafe(24)
        kept = Reservation(new_id(), settings, self._now() + self.options.reservation_s, owner, address)
        self._reserved[token] = kept
        return token, kept

    def enter(self, token: str | None, address: str | None = None, session_id: str | None = None) -> Reservation:
        """Take a place, the reserved one where a token is shown; ProtocolError 4401, 4429, 1013 or 1001 without one.

        session_id: of a session that another node has let in.
        """
        if token is not None:
            kept = self._claim(token)
        else:
            self.admission.require_share(address, self._of_address(address))  # others may have come since `admit`
            self.require_place()
            kept = Reservation(session_id or new_id(), Settings(), self._now())
        self._enter(kept.session_id)
        return kept

    def leave(self, session_id: str) -> None:
        """Give the place back."""
        since_s = self._open.pop(session_id, None)
        if since_s is not None:
            self._lasted_s.append(self._now() - since_s)
        self.metrics.sessions.set(len(self._open))
        if not self._open:
            self._empty.set()

    def refused(self) -> int:
        """Count one more client that found no place; how many did since one is likely to have become free."""
        now_s = self._now()
        while self._refused_s and now_s - self._refused_s[0] >= self.wait_s:
            self._refused_s.popleft()
        self._refused_s.append(now_s)
        return len(self._refused_s)

    def open(self, served: Served) -> None:
        """A session that entered begins."""
        self._served[served.session_id] = served

    def dropped(self, served: Served, ending: Ending) -> None:
        """The connection of `served` ended so, and no other has taken over: it gives its place back, parked or over.

        Only a client that vanished, or was not there to hear the last word, is waited for.
        """
        if self._served.get(served.session_id) is served:
            self.leave(served.session_id)
        if served.keeping is not None and served.keeping.elsewhere:
            self._close(served, ending)
            return
        waited_for = (ending.code == GONE and not ending.left) or ending == served.ended
        parks = served.protocol.resumable and self.options.park_s and self.options.max_parked
        begun = served.audio_ms or served.audience is not None  # else nothing is lost
        if not (waited_for and parks and begun):
            self._close(served, ending)
            return
        timer = asyncio.get_running_loop().call_later(self.options.park_s, self._close, served, ending)
        self._waiting[served.session_id] = timer
        while len(self._waiting) > self.options.max_parked:
            first = self._least_awaited()
            self._close(first, first.ended or Ending(GONE))

    def _least_awaited(self) -> Served:
        """Who gives way first: of the address with most that wait, who has only the last word to fetch, then the
        oldest."""
        waiting = [self._served[name] for name in self._waiting]
        crowd = Counter(share_of(one.client or "") for one in waiting)
        return min(waiting, key=lambda one: (-crowd[share_of(one.client or "")], one.ended is None))

    def resume(self, hello: Hello, address: str | None = None) -> tuple[Served, str]:
        """The session whose token is shown, to be sent from after the last answer that its client got; and a new token.

        ProtocolError 4401 for a token that opens nothing, 4410 when the session is over, 4400 for an impossible number,
        4429 where `address` has its share of the places.
        """
        token = hello.resume_token or ""
        served = next((served for served in self._served.values() if among(token, served.tokens)), None)
        if served is None or served.over:
            if served is not None or self.reports.knows(token):
                raise ProtocolError("the session is over: it was not resumed in time", codes.EXPIRED)
            raise ProtocolError("the token is unknown or was used: begin a new session", codes.UNAUTHORISED)
        if served.session_id not in self._open:
            self.admission.require_share(address, self._of_address(address))
        try:
            kept = served.replay.rewind(hello.last_sequence)
        except ValueError as error:
            raise ProtocolError(f"hello.last_sequence: {error}", codes.BAD_PARAMETER) from error
        if not kept:
            raise ProtocolError("what was said since is no longer kept: begin a new session", codes.EXPIRED)
        timer = self._waiting.pop(served.session_id, None)
        if timer is not None:
            timer.cancel()
        self._enter(served.session_id)
        served.protocol.reconnected()
        served.resumed += 1
        self.metrics.resumed.inc()
        return served, served.new_token(token)

    def lost(self, served: Served) -> None:
        """Another node goes on with the session: end it here, as its client has left."""
        if served.attached is not None:
            served.attached(Ending(codes.SUPERSEDED, "another node goes on with this session"))
        elif not served.over:
            self.leave(served.session_id)
            self._close(served, Ending(GONE, left=True))

    def here(self, token: str) -> Served | None:
        """The session, not over, that `token` belongs to."""
        found = next((one for one in self._served.values() if among(token, one.tokens)), None)
        return None if found is None or found.over else found

    def take_over(self, session_id: str) -> None:
        """Take a place for a session of another node; ProtocolError 1013 or 1001 without one."""
        stale = self._served.pop(session_id, None)
        if stale is not None:
            self.lost(stale)
        self.require_place()
        self._enter(session_id)

    @property
    def keepers(self) -> dict[str, Keeper]:
        """Of the sessions that are to outlive this node."""
        return {name: one.keeping.keeper for name, one in self._served.items() if one.keeping is not None}

    def find(self, session_id: str) -> Served | None:
        """The session, while it is not over."""
        return self._served.get(session_id)

    def resumable(self, token: str) -> bool:
        """Whether `token` belongs to a session, be it over, and not to a reservation."""
        return any(among(token, served.tokens) for served in self._served.values()) or self.reports.knows(token)

    def _close(self, served: Served, ending: Ending) -> None:
        """The session is over: finish it, keep its report."""
        known = self._served.get(served.session_id, served) is served  # or it came back from another node meanwhile
        timer = self._waiting.pop(served.session_id, None) if known else None
        if timer is not None:
            timer.cancel()
        served.over = True

        async def close() -> None:
            if ending.code == GONE and not ending.left and served.ended is None:
                served.finish(Ending(GONE, "the client did not come back"))
                served.abandon()
                await served.wait()
            else:
                await served.stop()
            self._spend(served)
            summary = served.summary(served.ended or ending)
            self.metrics.report(summary)
            self.reports.keep(served.session_id, summary, served.tokens, served.owner)
            if self._served.get(served.session_id) is served:
                del self._served[served.session_id]
            if served.keeping is not None and not served.keeping.handed_over:
                await served.keeping.keeper.forget()
            if served.audience is not None and served.keeping is not None and served.keeping.elsewhere:
                served.audience.move()
            elif served.audience is not None:
                served.audience.end(summary.reason)
            served.release()
            if all(other.client != served.client for other in self._served.values()):
                served.forget_client()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def reserved(self, token: str) -> bool:
        """Whether `token` keeps a place."""
        return among(token, map(digest, self._reserved))

    def kept(self, token: str) -> Reservation:
        """What `token` keeps, which it goes on keeping; ProtocolError 4401 where that is nothing."""
        kept = self._claim(token)
        self._reserved[token] = kept
        return kept

    def _of_address(self, address: str | None) -> int:
        """How many places an address holds: its sessions, and those that are kept for it."""
        if address is None:
            return 0
        _ = self.free  # forgets what expired
        share = share_of(address)
        theirs = [served.client for name, served in self._served.items() if name in self._open]
        theirs += [kept.address for kept in self._reserved.values()]
        here = sum(one is not None and share_of(one) == share for one in theirs)
        return here if self.elsewhere is None else here + self.elsewhere.of_address(share)

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Sessions by the name of their key, and by folded address."""
        open_ones = [served for name, served in self._served.items() if name in self._open]
        keys = Counter(one.owner for one in open_ones if one.owner is not None)
        addresses = Counter(folded(share_of(one.client)) for one in open_ones if one.client is not None)
        return dict(keys), dict(addresses)

    def _make_room(self) -> bool:
        """Take the place of a client that has said nothing for a while, of whoever has most of those; whether there was
        one."""
        now = self._now()
        silent = [
            served
            for name, served in self._served.items()
            if name in self._open and not served.audio_ms and now - self._open[name] >= SILENT_S
        ]
        if not silent:
            return False
        crowd = Counter(share_of(one.client or "") for one in silent)
        first = max(silent, key=lambda one: crowd[share_of(one.client or "")])
        self.leave(first.session_id)
        if first.attached is not None:
            first.attached(Ending(codes.OVERLOADED, "nothing was heard here, and somebody else needs the place"))
        return True

    def _of_key(self, owner: str) -> tuple[int, float]:
        """How many sessions of a key are open, and their audio so far [ms]."""
        theirs = [served for served in self._served.values() if served.owner == owner]
        kept = sum(kept.owner == owner for kept in self._reserved.values())
        others = 0 if self.elsewhere is None else self.elsewhere.of_key(owner)
        here = sum(one.session_id in self._open for one in theirs) + kept
        return here + others, sum(one.audio_ms - one.spent_ms for one in theirs)

    def spend(self) -> None:
        """Count what was heard of all sessions until now for their keys."""
        for served in self._served.values():
            self._spend(served)

    def _spend(self, served: Served) -> None:
        self.admission.spent(served.owner, max(0.0, served.audio_ms - served.spent_ms))
        served.spent_ms = served.audio_ms

    async def drain(self, timeout_s: float) -> None:
        """Let nobody in, ask everybody to go, and wait until they went or `timeout_s` is over."""
        self.draining.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return

    def _enter(self, session_id: str) -> None:
        self._open[session_id] = self._now()
        self._empty.clear()
        self.metrics.sessions.set(len(self._open))

    def _claim(self, token: str) -> Reservation:
        _ = self.free  # forgets what expired
        for known in list(self._reserved):
            if secrets.compare_digest(known.encode(), token.encode(errors="replace")):
                return self._reserved.pop(known)
        raise ProtocolError("the token is unknown, was used, or expired: ask for a new one", codes.UNAUTHORISED)


def retry_ms(error: ProtocolError) -> float | None:
    """What a client that was refused with `error` is told to wait; None where that would not help."""
    if not codes.meaning(error.code).retryable:
        return None
    return RETRY_MS if error.retry_after_s is None else 1000 * error.retry_after_s


def new_id() -> str:
    """A name for a session; says nothing and opens nothing."""
    return secrets.token_hex(8)
