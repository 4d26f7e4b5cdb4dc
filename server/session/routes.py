"""The routes of the native protocol.

POST       /v1/sessions             keep a place, or be told why not in words that a browser can read
websocket  /v1/stream               a session (`wire/native.py`)
GET        /v1/sessions/ID/report   what it was like
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streamst.errors import ProtocolError
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.store.seam import StoreError
from streamst.server.wire import codes
from streamst.server.wire.bodies import read_json
from streamst.server.wire.native import SUBPROTOCOL, NativeProtocol, read_settings, rounded
from streamst.server.wire.seam import Settings
from streamst.server.wire.summary import Summary

from .durable import PLACE, Durable, Offered
from .entrance import Entrance, address_of, bearer
from .link import WebSocketLink
from .reception import Reception
from .reports import among
from .sessions import new_id

log = logging.getLogger("streamst.server")

BEGIN_S = 30.0  # that a session may take from its place to its first word, before its room is over


class NativeRoutes:
    """In front of one reception."""

    def __init__(self, reception: Reception, entrance: Entrance, options: ServerOptions, metrics: Metrics) -> None:
        self._reception, self._entrance = reception, entrance
        self._sessions, self._options, self._metrics = reception.sessions, options, metrics

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves."""
        return [
            Route("/v1/sessions", self.new_session, methods=["POST"]),
            Route("/v1/sessions/{session_id}/report", self.report),
            WebSocketRoute("/v1/stream", self.stream),
        ]

    async def new_session(self, request: Request) -> Response:
        """Keep a place for a client; a refusal here is one that a browser can read."""
        durable = self._reception.durable
        try:
            self._entrance.knock(request)
            settings = read_settings(await read_json(request, self._options.max_text_bytes))
            owner = self._entrance.admit(request, bearer(request))
            if durable is not None:
                return JSONResponse(await self._place(durable, settings, owner, request), 201)
            token, kept = self._sessions.reserve(settings, owner, address_of(request))
            room = self._room(kept.session_id) if settings.room else None
        except ProtocolError as error:
            return self._entrance.refusal(error)
        prefix: str = request.scope.get("root_path", "")
        return JSONResponse(self._told(prefix, token, kept.session_id, room), 201)

    def _told(self, url: str, token: str, session_id: str, room: dict[str, str] | None) -> dict[str, Any]:
        expires_ms = round(self._options.reservation_s * 1000)
        limits = self._options.limits()
        return {
            "url": f"{url}/v1/stream", "token": token, "session_id": session_id, "expires_in_ms": expires_ms,
            "limits": limits, **({} if room is None else {"room": room}),
        }  # fmt: skip

    async def _place(self, durable: Durable, settings: Settings, owner: str | None, request: Request) -> dict[str, Any]:
        """A place that any node gives, kept here unless another one has more room; here where others may listen."""
        address, room, packed = address_of(request), None, ""
        url = None if settings.room else durable.table.roomier(self._sessions.free if self._sessions.ready else 0)
        if url is None:
            token, kept = self._sessions.reserve(settings, owner, address, PLACE)
            session_id, url = kept.session_id, ""
            if settings.room:
                room, packed = self._room(session_id), self._packed_room(session_id)
                await self._told_of(session_id)
        else:
            token, session_id = PLACE + secrets.token_urlsafe(24), new_id()
        try:
            await durable.offer(token, Offered(session_id, settings, owner, packed))
        except StoreError as error:
            if url:  # nobody else could know of it
                token, kept = self._sessions.reserve(settings, owner, address, PLACE)
                session_id, url = kept.session_id, ""
            log.debug("%s", error)
        prefix: str = request.scope.get("root_path", "")
        return self._told(url or (self._options.node_url or prefix), token, session_id, room)

    async def _told_of(self, session_id: str) -> None:
        if self._reception.audiences is not None:
            await self._reception.audiences.told(session_id)

    def _packed_room(self, session_id: str) -> str:
        audience = None if self._reception.audiences is None else self._reception.audiences.of(session_id)
        return "" if audience is None else base64.b64encode(audience.packed()).decode()

    def _room(self, session_id: str) -> dict[str, str]:
        """What listeners are to be given of a new room, which is over where its session does not begin."""
        audiences = self._reception.audiences
        assert audiences is not None, "the native routes are served with rooms"
        state = audiences.open(session_id).state()
        audiences.expire(session_id, self._options.reservation_s + BEGIN_S)
        return {"id": state.id, "token": state.token, "url": state.url}

    async def stream(self, websocket: WebSocket) -> None:
        """One session."""
        offered: list[str] = websocket.scope["subprotocols"]
        try:
            self._entrance.knock(websocket)
            if offered and SUBPROTOCOL not in offered:
                reason = f"subprotocol {offered[0]!r} is not spoken here; use {SUBPROTOCOL}"
                raise ProtocolError(reason, codes.BAD_PARAMETER)
        except ProtocolError as error:
            self._metrics.refused.labels(why=codes.meaning(error.code).name).inc()
            await websocket.send_denial_response(self._entrance.refusal(error))
            return
        await websocket.accept(SUBPROTOCOL if offered else None)
        protocol = NativeProtocol(self._options.max_text_bytes)
        link = WebSocketLink(websocket)
        try:
            token = await self._token(websocket, link, _shown(websocket, offered))
        except ProtocolError as error:
            await self._reception.refuse(link, protocol, error)
            return
        await self._reception.serve(link, protocol, token)

    async def report(self, request: Request) -> Response:
        """What a session was like, or is so far: for who shows one of its tokens, or the API key that it came with."""
        try:
            self._entrance.knock(request)
            found = self._report(request.path_params["session_id"], bearer(request))
        except ProtocolError as error:
            return self._entrance.refusal(error)
        return JSONResponse(rounded(dataclasses.asdict(found)))

    def _report(self, session_id: str, secret: str | None) -> Summary:
        served, kept = self._sessions.find(session_id), self._sessions.reports.find(session_id)
        if secret is None:
            raise ProtocolError("show the session's token, or your API key, as a bearer token", codes.UNAUTHORISED)
        tokens = served.tokens if served else kept.tokens if kept else ()
        if not among(secret, tokens):
            owner = served.owner if served else kept.owner if kept else None
            key = self._sessions.admission.find(secret)
            if key is None or key.name != owner:
                raise ProtocolError("the token is not of this session, or there is none", codes.UNAUTHORISED)
        if served is not None:
            return served.summary(served.ended)
        assert kept is not None
        return kept.report

    async def _token(self, websocket: WebSocket, link: WebSocketLink, shown: str | None) -> str | None:
        """What a client shows, where it is a token of a session or of a place; None once it is let in otherwise, and
        the link knows with whose key.

        ProtocolError 4401 for what is neither that nor a good API key, 4429 where there are too many.
        """
        if shown is not None and (self._sessions.reserved(shown) or await self._reception.resumable(shown)):
            return shown
        if shown is not None and shown.startswith(PLACE) and self._reception.durable is not None:
            return shown
        if shown is not None and self._reception.audiences is not None and self._reception.audiences.knows(shown):
            reason = "this token is for listening in a room: nobody can speak with it"
            raise ProtocolError(reason, codes.UNAUTHORISED)
        link.owner = self._entrance.admit(websocket, shown)
        return None if self._sessions.admission.keys else shown


def _shown(websocket: WebSocket, offered: list[str]) -> str | None:
    """A token from the second subprotocol `token.…` (all that a browser can send) or an Authorization header."""
    for name in offered:
        if name.startswith("token."):
            return name.removeprefix("token.")
    return bearer(websocket)
