"""The routes of rooms, for who has the room's token: the query parameter `token`, a bearer token, or `token.…` among
the subprotocols of a websocket.

websocket  /v1/rooms/ID/stream         listen (`wire.py`)
GET        /v1/rooms/ID/captions.vtt   what was said so far; lang=de, or lang=en,de for both
GET        /v1/rooms/ID/captions.srt
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streamst import subtitles
from streamst.errors import ProtocolError
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.session.connection import say_and_close
from streamst.server.session.entrance import Entrance, bearer
from streamst.server.session.link import Lost, WebSocketLink
from streamst.server.session.sessions import retry_ms
from streamst.server.wire import codes
from streamst.server.wire.native import SUBPROTOCOL, NativeProtocol
from streamst.server.wire.seam import Failure, Offer

from .rooms import Rooms
from .visit import Visit, attend
from .wire import listening, read_wish, welcome

MEDIA = {".vtt": "text/vtt; charset=utf-8", ".srt": "application/x-subrip; charset=utf-8"}


class RoomRoutes:
    """In front of the rooms of one server."""

    def __init__(
        self, rooms: Rooms, entrance: Entrance, options: ServerOptions, metrics: Metrics, offer: Callable[[], Offer]
    ) -> None:
        self._rooms, self._entrance, self._offer = rooms, entrance, offer
        self._options, self._metrics = options, metrics

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves."""
        return [
            WebSocketRoute("/v1/rooms/{room_id}/stream", self.stream),
            Route("/v1/rooms/{room_id}/captions.vtt", self.captions_vtt),
            Route("/v1/rooms/{room_id}/captions.srt", self.captions_srt),
        ]

    async def stream(self, websocket: WebSocket) -> None:
        """One listener."""
        offered: list[str] = websocket.scope["subprotocols"]
        try:
            self._entrance.knock(websocket)
            if offered and SUBPROTOCOL not in offered:
                reason = f"subprotocol {offered[0]!r} is not spoken here; use {SUBPROTOCOL}"
                raise ProtocolError(reason, codes.BAD_PARAMETER)
        except ProtocolError as error:
            self._count(error)
            await websocket.send_denial_response(self._entrance.refusal(error))
            return
        await websocket.accept(SUBPROTOCOL if offered else None)
        link = WebSocketLink(websocket)
        link.on_refusal(lambda code, why: NativeProtocol().render(Failure(code, why), 0.0))
        try:
            await self._listen(websocket, link)
        except ProtocolError as error:
            self._count(error)
            try:
                await say_and_close(link, NativeProtocol(), error.code, str(error), retry_ms(error))
            except Lost:
                return

    async def _listen(self, websocket: WebSocket, link: WebSocketLink) -> None:
        wish, after = read_wish(websocket.query_params)
        room_id: str = websocket.path_params["room_id"]
        room = self._rooms.enter(room_id, _shown(websocket), link.peer, returning=after is not None)
        try:
            member = room.join(wish, after)
            first = welcome(room_id, self._offer(), room.tape.newest, self._limits()), listening(wish)
            try:
                await attend(link, Visit(link, room, member, self._options, self._metrics), first, self._options)
            finally:
                room.part(member)
        finally:
            self._rooms.leave(link.peer)

    async def captions_vtt(self, request: Request) -> Response:
        """What was said so far, as WebVTT."""
        return self._captions(request, ".vtt")

    async def captions_srt(self, request: Request) -> Response:
        """What was said so far, as SubRip."""
        return self._captions(request, ".srt")

    def _captions(self, request: Request, ending: str) -> Response:
        try:
            self._entrance.knock(request)
            self._entrance.require_host(request)
            room = self._rooms.find(request.path_params["room_id"], _shown(request))
            offer = self._offer()
            known = (offer.source, *offer.targets)
            langs = request.query_params.get("lang", known[-1]).split(",")
            if not set(langs) <= set(known):
                raise ProtocolError(f"lang: {','.join(langs)!r}; allowed: {', '.join(known)}", codes.BAD_PARAMETER)
        except ProtocolError as error:
            return self._entrance.refusal(error)
        text = subtitles.FORMATS[ending](room.track.cues(langs))
        return Response(text, media_type=MEDIA[ending])

    def _limits(self) -> dict[str, float | int]:
        options = self._options
        return {"max_text_bytes": options.max_text_bytes, "behind_ms": round(options.listener_behind_s * 1000)}

    def _count(self, error: ProtocolError) -> None:
        self._metrics.listeners_refused.labels(why=codes.meaning(error.code).name).inc()


def _shown(request: HTTPConnection) -> str | None:
    offered: list[str] = request.scope.get("subprotocols", [])
    subprotocol = next((name.removeprefix("token.") for name in offered if name.startswith("token.")), None)
    return subprotocol or bearer(request) or request.query_params.get("token")
