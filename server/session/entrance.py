"""Who comes in, before there is a session: origin, rate and key are checked, and a refusal is told in HTTP."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from streamst.errors import ProtocolError
from streamst.server.operator.auth import Rate
from streamst.server.operator.limits import host_allowed, origin_allowed
from streamst.server.operator.options import ServerOptions
from streamst.server.wire import codes

from .connection import brief
from .sessions import Sessions, retry_ms

log = logging.getLogger("streamst.server")

LOGGED_A_MINUTE, LOGGED_BYTES = 20, 200  # lines about foreign pages, and what each quotes: strangers choose the words


class Entrance:
    """The same for every protocol. ProtocolError says why somebody stays outside."""

    def __init__(self, sessions: Sessions, options: ServerOptions) -> None:
        self.sessions, self._options = sessions, options
        self._told = Rate(LOGGED_A_MINUTE)

    def knock(self, request: HTTPConnection) -> None:
        """Count a visit: 1008 for a page from elsewhere, 4429 where there are too many from one address."""
        origin = request.headers.get("origin")
        if not origin_allowed(origin, request.headers.get("host"), self._options):
            if not self._told.wait_s(time.monotonic()):
                self._told.take(time.monotonic())
                told = brief(origin or "", LOGGED_BYTES)
                log.warning("refused a page from origin %r; allow it with allowed_origins", told)
            raise ProtocolError("pages of this origin may not use this server", codes.POLICY)
        self.sessions.admission.knock(address_of(request))

    def require_host(self, request: HTTPConnection) -> None:
        """1008 for who reached this server by a foreign name."""
        if not host_allowed(request.headers.get("host"), self._options):
            reason = "this server does not go by that name; give it in allowed_origins"
            raise ProtocolError(reason, codes.POLICY)

    def require_key(self, request: HTTPConnection) -> None:
        """4401 where keys are needed and none is shown that is good."""
        self.sessions.admission.find(bearer(request))

    def admit(self, request: HTTPConnection, key: str | None) -> str | None:
        """The name of the API key that another session belongs to; 4401 and 4429 as in `Sessions.admit`."""
        return self.sessions.admit(key, address_of(request))

    def readmit(self, request: HTTPConnection, owner: str | None) -> str | None:
        """As `admit`, for who was let in with the key of this name before, and shows what was signed then."""
        return self.sessions.readmit(owner, address_of(request))

    def refusal(self, error: ProtocolError) -> Response:
        """What the native routes answer; the words of other services are theirs (`foreign/compatible.py`)."""
        known = codes.meaning(error.code)
        body: dict[str, Any] = {"code": error.code, "name": known.name, "message": str(error)}
        wait_ms = retry_ms(error)
        body |= {"retryable": known.retryable, "retry_after_ms": wait_ms}
        if error.code == codes.OVERLOADED and wait_ms is not None:
            body |= {"queue_position": self.sessions.refused(), "eta_s": wait_ms / 1000}
        return refuse(body, error)


def refuse(body: dict[str, Any], error: ProtocolError) -> Response:
    """`body` with the status that says `error` and, where that helps, how long to wait."""
    wait_ms = retry_ms(error)
    headers = None if wait_ms is None else {"retry-after": str(math.ceil(wait_ms / 1000))}
    return JSONResponse(body, codes.HTTP_STATUS.get(error.code, 500), headers)


def bearer(request: HTTPConnection) -> str | None:
    """The token or key in the Authorization header."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def address_of(request: HTTPConnection) -> str | None:
    """The address that limits are counted by."""
    return request.client.host if request.client else None
