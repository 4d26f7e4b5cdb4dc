"""Sessions that outlive their node: kept in a store while they run, claimed there by the node that goes on with them.

A `Keeper` writes one session down, off the way of its audio: at each sentence's end and at least every `snapshot_s`,
one write at a time. Where the store does not answer, the session goes on as if there were none; after `PATIENCE_S` its
client is told so (`ack` without `kept`), for it cannot keep audio for ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError, ProtocolError
from streamst.server.operator.auth import DAY_S
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.store.sealed import Seal
from streamst.server.store.seam import SessionStore, StoreError
from streamst.server.wire import codes
from streamst.server.wire.seam import Settings

from .kept import Head, Kept
from .reports import among, digest
from .table import SILENT_S, Table, Told

log = logging.getLogger("streamst.server")

LEAST_S = 1.0  # between two snapshots
PATIENCE_S = 30.0  # without the store, after which a client need not keep its audio any more
BEGIN_S = 0.25  # that a session may wait for the store at its beginning
EXTRA_S = 30.0  # that an entry lives longer than anybody waits for it
RETRY_S = 1.0  # after which a client may try again where the store does not answer
NAME = re.compile("[0-9a-f]{16}")  # of a session
OF_HEAD, OF_BODY, OF_PIECE, OF_OFFER = "head/", "body/", "piece/", "offer/"
PLACE = "place."  # begins a token that is good on every node


@dataclass(frozen=True)
class Offered:
    """A place on any node, for who asked for it."""

    session_id: str
    settings: Settings
    owner: str | None = None  # name of the API key that it was asked for with
    room: str = ""  # Base64 of what `Audiences.reopen` takes, where others may listen


class Keeper:
    """Writes one session down. `kept`: number of the last audio message that is safe, -1: none is; None: nothing can be
    kept, or not any more."""

    def __init__(self, durable: Durable, session_id: str, epoch: int, kept: int = -1, pieces: int = 0) -> None:
        self.pieces = pieces  # of a recording, that are safe
        self.session_id, self.epoch = session_id, epoch
        self.kept: int | None = kept
        self.on_lost: Callable[[], None] = lambda: None  # called when another node has claimed the session
        self.lost = False
        self._durable = durable
        self._newest = kept  # heard by the last snapshot that is safe
        self._at_s = self._safe_s = time.monotonic()  # of the last snapshot, and of the last that is safe
        self._writing: asyncio.Task[bool] | None = None

    def due(self, sentence_ended: bool) -> bool:
        """Whether to keep the session now."""
        if self.lost or (self._writing is not None and not self._writing.done()):
            return False
        since_s = time.monotonic() - self._at_s
        usual_s = self._durable.options.snapshot_s
        return since_s >= (min(LEAST_S, usual_s) if sentence_ended else usual_s)

    def keep(self, head: Head, kept: Kept, came: bytes = b"") -> asyncio.Task[bool]:
        """Begin to write; its result is whether all is safe. came: of a recording, since the last write that was."""
        self._at_s = time.monotonic()
        self._writing = asyncio.create_task(self._write(head, kept, came), name=f"keep {self.session_id}")
        return self._writing

    def cannot(self) -> None:
        """The session's state cannot be written down: it will not outlive its node."""
        self.kept = None
        self._at_s = time.monotonic()

    async def _write(self, head: Head, kept: Kept, came: bytes) -> bool:
        kept = replace(kept, pieces=self.pieces + bool(came))
        safe = await self._durable.write(self, head, await asyncio.to_thread(kept.packed), came)
        if safe:
            self.pieces = kept.pieces
            self._safe_s, self._newest = time.monotonic(), kept.mark.expected - 1 if kept.mark.expected >= 0 else -1
            self.kept = self._newest
        elif time.monotonic() - self._safe_s > PATIENCE_S:
            self.kept = None
        return safe

    def claimed(self) -> None:
        """Another node has the session."""
        if not self.lost:
            self.lost = True
            self._durable.metrics.fenced.inc()
            log.warning("session %s: another node goes on with it", self.session_id)
            self.on_lost()

    async def written(self) -> bool:
        """Wait for the write that runs; whether the session may be kept by another one."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        return not self.lost

    async def forget(self) -> None:
        """The session is over."""
        await self.written()
        await self._durable.remove(self)


class Durable:
    """The store as a node's sessions see it."""

    def __init__(
        self, store: SessionStore, seal: Seal, model: str, options: ServerOptions, metrics: Metrics, node: str = ""
    ) -> None:
        """model: what has to be the same on all nodes. node: a name of its own."""
        self.store, self.seal, self.model, self.options, self.metrics = store, seal, model, options, metrics
        self.node = node or f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self.table = Table(self.node, seal)
        self.ttl_s = options.idle_s + options.park_s + EXTRA_S
        self._told_s = -PATIENCE_S

    def new_token(self, session_id: str) -> str:
        """A token by which any node finds the session."""
        return f"{session_id}.{secrets.token_urlsafe(24)}"

    async def write(self, keeper: Keeper, head: Head, body: bytes | None, came: bytes = b"") -> bool:
        """Whether it is safe now. came: the next piece of a recording."""
        name, number = keeper.session_id, keeper.pieces
        try:
            sealed = await asyncio.to_thread(self._seal, name, head, body)
            piece = (number, self.seal.close(f"{OF_PIECE}{name}/{number}", came)) if came else None
            ours = await self.store.write(name, self.node, keeper.epoch, self.ttl_s, *sealed, piece)
        except StoreError as error:
            self._failed(error)
            return False
        if body is not None:
            self.metrics.snapshots.inc()
            self.metrics.snapshot_bytes.inc(len(body) + len(came))
        if not ours:
            keeper.claimed()
        return ours

    def _seal(self, name: str, head: Head, body: bytes | None) -> tuple[bytes, bytes | None]:
        sealed = self.seal.close(OF_HEAD + name, head.packed())
        return sealed, None if body is None else self.seal.close(OF_BODY + name, body)

    async def remove(self, keeper: Keeper) -> None:
        """Forget a session that is over."""
        try:
            await self.store.remove(keeper.session_id, keeper.epoch, self.ttl_s)
        except StoreError as error:  # it will expire
            self._failed(error)

    async def ours(self, keeper: Keeper) -> bool:
        """Whether no other node has claimed a session, as far as the store tells."""
        try:
            if await self.store.hold({keeper.session_id: keeper.epoch}, self.ttl_s):
                keeper.claimed()
        except StoreError as error:
            self._failed(error)
        return not keeper.lost

    async def hold(self, keepers: dict[str, Keeper]) -> None:
        """Let entries live on; who has lost his session is told."""
        try:
            for name in await self.store.hold({n: keeper.epoch for n, keeper in keepers.items()}, self.ttl_s):
                keepers[name].claimed()
        except StoreError as error:
            self._failed(error)

    async def meet(self, told: Told | None) -> None:
        """Tell other nodes of this one, None: that it is gone; and hear of them."""
        try:
            await self.store.announce(self.node, None if told is None else self.table.packed(told), SILENT_S)
            wrong = await asyncio.to_thread(self.table.read, await self.store.announced())
        except StoreError as error:
            self.table.read({})
            self._failed(error)
            return
        if wrong and time.monotonic() - self._told_s >= PATIENCE_S:
            self._told_s = time.monotonic()
            log.warning("%s", wrong[0])

    async def spend(self, spent_ms: dict[str, float]) -> dict[str, float] | None:
        """Count audio of API keys [ms]: what each has come to on all nodes, None where the store does not tell."""
        names = {name: f"spent/{hashlib.sha256(name.encode()).hexdigest()[:32]}" for name in spent_ms}
        try:
            totals = await self.store.count({names[name]: round(ms) for name, ms in spent_ms.items()}, DAY_S)
        except StoreError as error:
            self._failed(error)
            return None
        return {name: float(totals[names[name]]) for name in spent_ms}

    async def offer(self, token: str, offer: Offered) -> None:
        """Let any node serve who shows `token`; StoreError where that cannot be told."""
        name = digest(token).hex()
        value = self.seal.close(OF_OFFER + name, json.dumps(asdict(offer)).encode())
        await self.store.offer(name, value, self.options.reservation_s)

    async def take(self, token: str) -> Offered | None:
        """What was offered to who shows `token`, once."""
        name = digest(token).hex()
        try:
            value = await self.store.take(name)
            if value is None:
                return None
            return from_dict(Offered, json.loads(self.seal.open(OF_OFFER + name, value)), "offer")
        except StoreError as error:
            raise self._no_answer(error) from error
        except (InputError, ConfigError, ValueError) as error:
            raise ProtocolError(f"the place cannot be had: {error}", codes.EXPIRED) from error

    async def find(self, token: str) -> str | None:
        """The session that `token` opens, None where there is none; ProtocolError 4410 for what cannot be read, 1013
        where the store does not answer."""
        session_id, dot, _ = token.partition(".")
        if not dot or NAME.fullmatch(session_id) is None:
            return None
        try:
            entry = await self.store.read(session_id)
        except StoreError as error:
            raise self._no_answer(error) from error
        if entry is not None and not entry.head:
            raise ProtocolError("the session is over", codes.EXPIRED)
        if entry is None or not among(token, self._head(session_id, entry.head)[1]):
            return None
        return session_id

    async def claim(self, session_id: str, token: str) -> tuple[Keeper, Head, Kept, bytes]:
        """Take over a session that `find` found, and what came of a recording; ProtocolError as there, 4401 where the
        token is good no more."""
        try:
            entry = await self.store.claim(session_id, self.node, self.ttl_s)
        except StoreError as error:
            raise self._no_answer(error) from error
        head, tokens = self._head(session_id, b"" if entry is None else entry.head)
        if entry is None or not among(token, tokens):
            raise ProtocolError("the token was used meanwhile: begin a new session", codes.UNAUTHORISED)
        if head.model != self.model:
            reason = f"the session was heard by another model ({head.model}) than this node's ({self.model})"
            raise ProtocolError(reason, codes.EXPIRED)
        try:
            body = await asyncio.to_thread(self.seal.open, OF_BODY + session_id, entry.body)
            kept = Kept.unpacked(body)
            came = b"".join(
                self.seal.open(f"{OF_PIECE}{session_id}/{number}", entry.pieces[number])
                for number in range(kept.pieces)
            )
        except (InputError, IndexError) as error:
            raise ProtocolError(f"the session cannot go on: {error}", codes.EXPIRED) from error
        safe = kept.mark.expected - 1 if kept.mark.expected >= 0 else -1
        return Keeper(self, session_id, entry.epoch, safe, kept.pieces), head, kept, came

    def _head(self, session_id: str, sealed: bytes) -> tuple[Head, tuple[bytes, ...]]:
        try:
            head = Head.unpacked(self.seal.open(OF_HEAD + session_id, sealed))
            return head, tuple(bytes.fromhex(token) for token in head.tokens)
        except (InputError, ValueError) as error:
            raise ProtocolError(f"the session cannot go on: {error}", codes.EXPIRED) from error

    def _no_answer(self, error: StoreError) -> ProtocolError:
        self._failed(error)
        return ProtocolError("the store of sessions does not answer; try again", codes.OVERLOADED, RETRY_S)

    def _failed(self, error: StoreError) -> None:
        self.metrics.store_errors.inc()
        if time.monotonic() - self._told_s >= PATIENCE_S:
            self._told_s = time.monotonic()
            log.warning("%s; sessions go on without it, and end with this node", error)
