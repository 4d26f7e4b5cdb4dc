"""A node among others: the store that they share, and the signs of life that it gives there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import streamst
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.store.sealed import Seal
from streamst.server.store.seam import SessionStore
from streamst.server.store.valkey import open_store

from .durable import Durable
from .sessions import Sessions
from .table import BEAT_S, Told, folded

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

ENVIRONMENT = "STREAMST_STORE_KEY"


def durable(
    pipeline: Pipeline,
    options: ServerOptions,
    metrics: Metrics,
    store: SessionStore | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Durable | None:
    """How sessions outlive this node, None where they do not: in `store`, or in the one at `options.store`, which need
    not answer yet. ConfigError for an impossible address or key, UnavailableError without the client's package."""
    if store is None and options.store is None:
        return None
    found = store or open_store(options.store or "", options.store_timeout_s)
    seal = Seal(environment.get(ENVIRONMENT) or None)
    return Durable(found, seal, identity(pipeline), options, metrics)


def identity(pipeline: Pipeline) -> str:
    """What has to be the same on two nodes for one to go on where the other stopped."""
    parts = ", ".join(f"{kind} {name}" for kind, name in sorted(pipeline.parts.items()))
    return f"{streamst.__version__} {pipeline.name} ({parts})"


class Node:
    """This node among others."""

    def __init__(self, durable: Durable, sessions: Sessions, room: Callable[[], bool], metrics: Metrics) -> None:
        """room: whether the machine can serve another speaker beside those it serves."""
        self._durable, self._sessions, self._room, self._metrics = durable, sessions, room, metrics
        sessions.share(durable.table)

    async def live(self) -> None:
        """Let what this node keeps live on, tell the others of it, and hear of them, for ever."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT_S)

    async def beat(self) -> None:
        """One sign of life."""
        durable, sessions = self._durable, self._sessions
        await durable.hold(sessions.keepers)
        await durable.meet(None if sessions.draining.is_set() else self._told())
        await self._count()

    async def _count(self) -> None:
        """Tell what API keys have used here, and hear what they have used on all nodes."""
        self._sessions.spend()
        admission = self._sessions.admission
        told_ms = admission.untold_ms()
        admission.counted(told_ms, await self._durable.spend(told_ms))

    async def leave(self) -> None:
        """It is about to be gone."""
        await self._count()
        await self._durable.meet(None)
        await self._durable.store.close()

    def _told(self) -> Told:
        sessions = self._sessions
        free = max(0, sessions.free) if self._room() else 0
        keys, addresses = sessions.counts()
        lag_s = self._metrics.lag_s.recent(0.95)
        lag_ms = None if lag_s is None else 1000 * lag_s
        begun, knocks = sessions.admission.lately()
        knocked = {folded(address): count for address, count in knocks.items()}
        return Told(self._durable.options.node_url, free, lag_ms, keys, addresses, begun, knocked)
