"""WHIP (RFC 9725): a source, such as OBS, sends speech over WebRTC, and those in its room read and hear it.

POST   /v1/whip     an SDP offer (application/sdp): 201, the answer, and in `Link` the listeners' page
DELETE /v1/whip/ID  the end: the rest is said

The bearer is an API key, or the token of a place with a room that POST /v1/sessions keeps, whose link is known before.
The query may name `target`, `latency` and `policy`. Candidates come with the offer, not later (no trickle).
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from streamst.errors import ProtocolError
from streamst.server.session.entrance import Entrance, address_of, bearer
from streamst.server.session.reception import Reception
from streamst.server.session.sessions import Reservation
from streamst.server.wire import codes
from streamst.server.wire.bodies import read_bytes
from streamst.server.wire.native import read_settings
from streamst.server.wire.seam import Offer

from .peers import Peers, new_connection
from .source import SourceProtocol

BEGIN_S = 30.0  # that a session may take from its place to its first word, before its room is over
OTHERS = ["GET", "HEAD", "POST", "PUT", "PATCH"]  # what a session of WHIP does not take


class Whip:
    """The routes."""

    def __init__(self, reception: Reception, entrance: Entrance) -> None:
        self._reception, self._entrance, self.peers = reception, entrance, Peers()

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves."""
        return [
            Route("/v1/whip", self.publish, methods=["POST"]),
            Route("/v1/whip", self.options, methods=["OPTIONS"]),
            Route("/v1/whip/{name}", self.end, methods=["DELETE"]),
            Route("/v1/whip/{name}", self.decline, methods=OTHERS),
        ]

    async def publish(self, request: Request) -> Response:
        """Answer a source."""
        try:
            self._entrance.knock(request)
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/sdp":
                told = {"name": "unsupported_media_type", "message": f"{kind!r} is no offer; use application/sdp"}
                return JSONResponse(told, 415, {"accept-post": "application/sdp"})
            body = await read_bytes(request, self._reception.options.max_text_bytes)
            return await self._answered(request, body.decode(errors="replace"))
        except ProtocolError as error:
            return self._entrance.refusal(error)

    async def options(self, _: Request) -> Response:
        """What `publish` takes."""
        return Response(headers={"accept-post": "application/sdp"})

    async def end(self, request: Request) -> Response:
        """The source stops."""
        try:
            self._entrance.knock(request)
        except ProtocolError as error:
            return self._entrance.refusal(error)
        if not await self.peers.end(request.path_params["name"], bearer(request)):
            return JSONResponse({"name": "not_found", "message": "there is no such session"}, 404)
        return Response(status_code=200)

    async def decline(self, _: Request) -> Response:
        """Neither trickle nor restarts: 405, as section 4.3.1 has it."""
        return Response(status_code=405, headers={"allow": "DELETE"})

    async def _answered(self, request: Request, sdp: str) -> Response:
        """The answer to an offer, and its session begun; ProtocolError for one that cannot be answered."""
        key, sessions, peer = bearer(request), self._reception.sessions, address_of(request)
        kept: Reservation | None = None
        if key is not None and sessions.reserved(key):
            token, kept = key, sessions.kept(key)
            settings, owner = kept.settings, kept.owner
        else:
            token, settings = "", read_settings(_wishes(request, self._reception.offer()))
            owner = self._entrance.admit(request, key)
            sessions.require_place()
        settings = replace(settings, codec="pcm16", output_codec="pcm16", sample_rate_hz=16_000, room=True)
        protocol = SourceProtocol(settings)
        connection = new_connection()
        from .source_link import SourceLink

        link = SourceLink(connection, peer, owner)
        answer = await link.answer(sdp)
        try:
            if kept is None:
                token, kept = sessions.reserve(settings, owner, peer)
            room = self._room(kept.session_id)
        except ProtocolError:
            await link.hang_up()
            raise
        name = self.peers.begin(link, key, lambda: self._reception.serve(link, protocol, token))
        headers = {
            "location": f"/v1/whip/{name}",
            "etag": f'"{secrets.token_hex(8)}"',
            "link": f'<{room}>; rel="alternate"; type="text/html"',
        }
        return Response(answer, 201, headers, media_type="application/sdp")

    def _room(self, session_id: str) -> str:
        """The listeners' page of a session, whose room is over where it does not begin."""
        audiences = self._reception.audiences
        assert audiences is not None, "it is served with rooms"
        state = audiences.open(session_id).state()
        audiences.expire(session_id, self._reception.options.reservation_s + BEGIN_S)
        return state.url


def _wishes(request: Request, offer: Offer) -> dict[str, str]:
    """What the address asks for; ProtocolError 4400 for what there is not."""
    allowed = {
        "source": (offer.source,), "target": offer.targets, "latency": offer.latencies, "policy": offer.policies,
    }  # fmt: skip
    for name, value in request.query_params.items():
        if name not in allowed:
            raise ProtocolError(f"{name}: unknown; allowed: {', '.join(allowed)}", codes.BAD_PARAMETER)
        if value.partition(":")[0] not in allowed[name]:
            raise ProtocolError(f"{name}: {value!r}; allowed: {', '.join(allowed[name])}", codes.BAD_PARAMETER)
    return dict(request.query_params)
