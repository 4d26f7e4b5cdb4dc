"""OpenAI's realtime translation over WebRTC. Needs aiortc (`pip install 'streamst[webrtc]'`).

POST   /v1/realtime/translations/calls     an SDP offer (application/sdp, or a form with `sdp` and `session`), 201
DELETE /v1/realtime/translations/calls/ID  hang up

The bearer is an API key or a client secret. The answer's `Location` is the call's. A place is kept from the answer on;
what is not possible is refused in OpenAI's words.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from streamst.errors import ProtocolError
from streamst.server.session.entrance import Entrance, address_of
from streamst.server.session.link import Lost
from streamst.server.wire import codes
from streamst.server.wire.bodies import read_bytes
from streamst.server.wire.multipart import boundary_of, read_form

from . import openai_wire
from .compatible import Compatible, openai_error, shown_key
from .openai_translation import OpenAITranslation

if TYPE_CHECKING:
    from .call_link import CallLink

log = logging.getLogger("streamst.server")

GONE_S = 5.0  # that a call which is hung up may take to be gone


@dataclass
class _Call:
    """One that runs; whoever ends it shows what it was begun with."""

    link: CallLink
    key: str | None
    task: asyncio.Task[None]


class Calls:
    """The routes, beside those of websockets."""

    def __init__(self, compatible: Compatible, entrance: Entrance) -> None:
        self._compatible, self._reception, self._entrance = compatible, compatible.reception, entrance
        self._calls: dict[str, _Call] = {}

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
        found = self._calls.get(request.path_params["call_id"])
        if found is None or not secrets.compare_digest(found.key or "", shown_key(request) or ""):
            error = {"type": "invalid_request_error", "code": "not_found", "message": "there is no such call"}
            return JSONResponse({"error": error}, 404)
        await found.link.hang_up()
        await asyncio.wait([found.task], timeout=GONE_S)
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
        try:
            from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

            from .call_link import CallLink
        except ModuleNotFoundError as error:
            reason = "WebRTC is not installed here: pip install 'streamst[webrtc]'"
            raise ProtocolError(reason, codes.BAD_PARAMETER) from error
        if "m=audio" not in sdp:
            raise ProtocolError("the offer has no audio: an SDP with an m=audio line is needed", codes.BAD_PARAMETER)
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        link = CallLink(connection, address_of(request), owner)
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            connection.addTrack(link.track)
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:
            await link.hang_up()
            reason = f"the offer cannot be answered: {type(error).__name__} {error}"
            raise ProtocolError(reason[:300], codes.BAD_PARAMETER) from error
        try:
            token, _ = self._reception.sessions.reserve(protocol.settings, owner, link.peer)
        except ProtocolError:
            await link.hang_up()
            raise
        call_id = f"rtc_{secrets.token_hex(12)}"
        task = asyncio.create_task(self._serve(call_id, link, protocol, token), name=f"call {call_id}")
        self._calls[call_id] = _Call(link, shown_key(request), task)
        where = f"{request.url.path.rstrip('/')}/{call_id}"
        return Response(connection.localDescription.sdp, 201, {"location": where}, media_type="application/sdp")

    async def _serve(self, call_id: str, link: CallLink, protocol: OpenAITranslation, token: str) -> None:
        try:
            await link.require_connected()
            await self._reception.serve(link, protocol, token)
            await link.play_out()
        except Lost:
            log.debug("call %s was never connected", call_id)
        except Exception:
            log.exception("call %s failed", call_id)
        finally:
            await link.hang_up()
            del self._calls[call_id]
