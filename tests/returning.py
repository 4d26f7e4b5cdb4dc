"""Clients that come back, the protocol by hand: what the tests of resumption and of parked sessions share."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from serving import PATIENCE_S, pieces
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from streamst.audio import Pcm, to_pcm16
from streamst.server.wire.native import SUBPROTOCOL, pack_audio


def messages(pcm: Pcm, samples: int = 1600, first: int = 0) -> list[bytes]:
    """Audio messages as a client sends them."""
    return [
        pack_audio("pcm16", first + i, i * samples, to_pcm16(piece)) for i, piece in enumerate(pieces(pcm, samples))
    ]


def opened(address: str, *tokens: str) -> connect:
    names = [SUBPROTOCOL, *(f"token.{token}" for token in tokens)]
    place = address.replace("http", "ws", 1) + "/v1/stream"
    return connect(place, subprotocols=[Subprotocol(name) for name in names], proxy=None)


async def take(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind; others are let go."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = await socket.recv()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                return json.loads(message)


async def begun(socket: ClientConnection) -> dict[str, Any]:
    """The welcome of a session that has heard a moment of silence, and so is waited for."""
    welcome = await take(socket, "welcome")
    await socket.send(pack_audio("pcm16", 0, 0, bytes(3200)))
    await take(socket, "ack")
    return welcome


def hello(welcome: dict[str, Any], last_sequence: int = 0) -> str:
    token = welcome["resume_token"]
    return json.dumps({"type": "hello", "resume_token": token, "last_sequence": last_sequence})
