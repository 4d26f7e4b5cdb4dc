"""OpenAI's realtime translation over WebRTC. Needs aiortc (`pip install 'streamst[webrtc]'`).

POST   /v1/realtime/translations/calls     an SDP offer (application/sdp, or a form with `sdp` and `session`), 201
DELETE /v1/realtime/translations/calls/ID  hang up

The bearer is an API key or a client secret. The answer's `Location` is the call's. A place is kept from the answer on;
what is not possible is refused in OpenAI's words.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from streamst.errors import ProtocolError
from streamst.server.session.entrance import Entrance, address_of
from streamst.server.wire import codes
from streamst.server.wire.bodies import read_bytes
from streamst.server.wire.multipart import boundary_of, read_form

from . import openai_wire
from .compatible import Compatible, openai_error, shown_key
from .openai_translation import OpenAITranslation
from .peers import Peers, new_connection


class Calls:
    """The routes, beside those of websockets."""

    def __init__(self, compatible: Compatible, entrance: Entrance) -> None:
        self._compatible, self._reception, self._entrance = compatible, compatible.reception, entrance
        self.peers = Peers()

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves."""
        calls = "/v1/realtime/translations/calls"
        return [
            Route(calls, self.call, methods=["POST"]),
            Route(f"{calls}/{{call_id}}", self.hang_up, methods=["DELETE"]),
        ]

    async def call(self, request: Request) -> Response:
        """Answer a call."""
        try:
            sdp, session = await self._offer(request)
            owner, protocol = self._compatible.open_translation(request, session)
            return await self._answered(request, sdp, owner, protocol)
        except ProtocolError as error:
            return openai_error(error)
        except openai_wire.Refused as error:
            told = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
            return JSONResponse({"error": told}, 400)

    async def hang_up(self, request: Request) -> Response:
        """End a call."""
        try:
            self._entrance.knock(request)
        except ProtocolError as error:
            return openai_error(error)
        if not await self.peers.end(request.path_params["call_id"], shown_key(request)):
            error = {"type": "invalid_request_error", "code": "not_found", "message": "there is no such call"}
            return JSONResponse({"error": error}, 404)
        return Response(status_code=200)

    async def _offer(self, request: Request) -> tuple[str, dict[str, Any]]:
        """The SDP, and the session that is asked for with it."""
        kind, most = request.headers.get("content-type", ""), self._reception.options.max_text_bytes
        body = await read_bytes(request, most)
        if kind.partition(";")[0].strip().lower() == "application/sdp":
            return body.decode(errors="replace"), {}
        form = read_form(body, boundary_of(kind))
        sdp = form.text("sdp") or form.files.get("sdp", b"").decode(errors="replace")
        try:
            session = json.loads(form.text("session") or form.files.get("session", b"{}"))
        except ValueError as error:
            raise ProtocolError(f"session is no JSON: {error}", codes.BAD_DATA) from error
        if not isinstance(session, dict):
            raise ProtocolError(f"session must be an object, not {type(session).__name__}", codes.BAD_DATA)
        return sdp, session

    async def _answered(self, request: Request, sdp: str, owner: str | None, protocol: OpenAITranslation) -> Response:
        """The answer to an offer, and its call begun; ProtocolError for one that cannot be answered."""
        connection = new_connection()
        from .call_link import CallLink

        link = CallLink(connection, address_of(request), owner)
        answer = await link.answer(sdp, link.track)
        try:
            token, _ = self._reception.sessions.reserve(protocol.settings, owner, link.peer)
        except ProtocolError:
            await link.hang_up()
            raise

        async def serve() -> None:
            await self._reception.serve(link, protocol, token)
            await link.play_out()

        name = self.peers.begin(link, shown_key(request), serve)
        where = f"{request.url.path.rstrip('/')}/{name}"
        return Response(answer, 201, {"location": where}, media_type="application/sdp")
