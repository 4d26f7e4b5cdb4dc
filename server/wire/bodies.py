"""What is sent in a request's body, within limits of size and time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request

from streamst.errors import ProtocolError

from . import codes
from .native import read_object

BODY_S = 10.0  # that a client has to send it


async def read_json(request: Request, max_bytes: int) -> dict[str, Any]:
    """The JSON object in the body, {} where there is none; ProtocolError 1007 for another thing, or as below."""
    body = await read_bytes(request, max_bytes)
    return read_object(body, max_bytes) if body else {}


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """The body. ProtocolError 1009 for one that is too long, 4408 for one that comes too slowly, 1007 where its client
    goes away."""
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise ProtocolError(f"the body may have {max_bytes} bytes", codes.TOO_BIG)
    except TimeoutError as error:
        raise ProtocolError(f"the body did not come within {BODY_S:g} s", codes.IDLE) from error
    except ClientDisconnect as error:
        raise ProtocolError("the client went away", codes.BAD_DATA) from error
    return body
