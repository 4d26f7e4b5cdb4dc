"""The peer connections that run, by the names that their clients know them by."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamst.errors import ProtocolError
from streamst.server.session.link import Lost
from streamst.server.wire import codes

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

    from .peer_link import PeerLink

log = logging.getLogger("streamst.server")

GONE_S = 5.0  # that one which is hung up may take to be gone


@dataclass
class _Running:
    """One that runs; whoever ends it shows what it was begun with."""

    link: PeerLink
    key: str | None
    task: asyncio.Task[None]


class Peers:
    """Those of one route."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    def begin(self, link: PeerLink, key: str | None, serve: Callable[[], Awaitable[None]]) -> str:
        """Serve a link that is answered once it is connected; its name, which nobody guesses."""
        name = f"rtc_{secrets.token_hex(12)}"
        task = asyncio.create_task(self._serve(name, link, serve), name=f"call {name}")
        self._running[name] = _Running(link, key, task)
        return name

    async def end(self, name: str, key: str | None) -> bool:
        """Hang up, and wait a moment until all is told; whether there is one of this name for who shows this key."""
        found = self._running.get(name)
        if found is None or not secrets.compare_digest((found.key or "").encode(), (key or "").encode()):
            return False
        await found.link.hang_up()
        await asyncio.wait([found.task], timeout=GONE_S)
        return True

    async def close(self) -> None:
        """The server ends: hang up on all."""
        await asyncio.gather(*(one.link.hang_up() for one in [*self._running.values()]))
        tasks = [one.task for one in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=GONE_S)

    async def _serve(self, name: str, link: PeerLink, serve: Callable[[], Awaitable[None]]) -> None:
        try:
            await link.require_connected()
            await serve()
        except Lost:
            log.debug("call %s was never connected", name)
        except Exception:
            log.exception("call %s failed", name)
        finally:
            await link.hang_up()
            del self._running[name]


def new_connection() -> RTCPeerConnection:
    """One that asks no other server for its address; ProtocolError 4400 without aiortc."""
    try:
        from aiortc import RTCConfiguration, RTCPeerConnection
    except ModuleNotFoundError as error:
        reason = "WebRTC is not installed here: pip install 'streamst[webrtc]'"
        raise ProtocolError(reason, codes.BAD_PARAMETER) from error
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))
