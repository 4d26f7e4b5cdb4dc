"""The routes of rooms, for who has the room's token: the query parameter `token`, a bearer token, or `token.…` among
the subprotocols of a websocket.

websocket  /v1/rooms/ID/stream         listen (`wire.py`)
GET        /v1/rooms/ID/captions.vtt   what was said so far; lang=de, or lang=en,de for both
GET        /v1/rooms/ID/captions.srt
GET        /v1/rooms/ID/captions.m3u8  the same as live HLS, in segments captions/N.vtt (`hls.py`)
GET        /v1/rooms/ID/qr.svg         the link of the listeners' page, by the name that this server was asked by
GET        /listen/ID, /overlay/ID     pages, which find the token behind the # of their address
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import segno
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, Response
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

from .hls import read_mpegts
from .relay import Relay
from .room import Room
from .rooms import Rooms
from .visit import Visit, attend
from .wire import listening, read_wish, welcome

PLAYLIST = "application/vnd.apple.mpegurl"
UNKEPT = {"cache-control": "no-store"}
MEDIA = {".vtt": "text/vtt; charset=utf-8", ".srt": "application/x-subrip; charset=utf-8"}


class RoomRoutes:
    """In front of the rooms of one server."""

    def __init__(
        self,
        rooms: Rooms,
        entrance: Entrance,
        options: ServerOptions,
        metrics: Metrics,
        offer: Callable[[], Offer],
        web: Path,
        relay: Relay | None = None,
    ) -> None:
        """web: the folder of the pages. relay: where there are other nodes, with rooms of theirs."""
        self._relay = relay
        self._rooms, self._entrance, self._offer, self._web = rooms, entrance, offer, web
        self._options, self._metrics = options, metrics

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves."""
        return [
            WebSocketRoute("/v1/rooms/{room_id}/stream", self.stream),
            Route("/v1/rooms/{room_id}/captions.vtt", self.captions_vtt),
            Route("/v1/rooms/{room_id}/captions.srt", self.captions_srt),
            Route("/v1/rooms/{room_id}/captions.m3u8", self.playlist),
            Route("/v1/rooms/{room_id}/captions/{number:int}.vtt", self.segment),
            Route("/v1/rooms/{room_id}/qr.svg", self.qr_code),
            Route("/listen/{room_id}", self.listen_page),
            Route("/overlay/{room_id}", self.overlay_page),
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
        if self._relay is not None:
            await self._relay.find(room_id, _shown(websocket))
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
        return await self._captions(request, ".vtt")

    async def captions_srt(self, request: Request) -> Response:
        """What was said so far, as SubRip."""
        return await self._captions(request, ".srt")

    async def playlist(self, request: Request) -> Response:
        """What was said so far, as a live playlist of segments."""
        try:
            live = (await self._found(request)).live(self._langs(request))
        except ProtocolError as error:
            return self._entrance.refusal(error)
        return Response(live.playlist(request.url.query), media_type=PLAYLIST, headers=UNKEPT)

    async def segment(self, request: Request) -> Response:
        """One segment of the playlist."""
        try:
            live = (await self._found(request)).live(self._langs(request))
            mpegts = read_mpegts(request.query_params.get("mpegts"))
            if mpegts is None:
                reason = f"mpegts: {request.query_params['mpegts']!r}; a whole number below 2**33"
                raise ProtocolError(reason, codes.BAD_PARAMETER)
        except ProtocolError as error:
            return self._entrance.refusal(error)
        text = live.segment(request.path_params["number"], mpegts)
        return Response("no such segment yet\n", 404) if text is None else Response(text, media_type=MEDIA[".vtt"])

    async def qr_code(self, request: Request) -> Response:
        """The link for listeners as a QR code, black on white."""
        try:
            room = await self._found(request)
        except ProtocolError as error:
            return self._entrance.refusal(error)
        link = str(request.base_url).rstrip("/") + room.state().url
        drawn = io.BytesIO()
        segno.make(link, error="m", micro=False).save(drawn, kind="svg", border=4, light="#fff", xmldecl=False)
        return Response(drawn.getvalue(), media_type="image/svg+xml")

    async def listen_page(self, request: Request) -> Response:
        """What is said in a room, in big letters, and aloud."""
        return self._page(request, "listen.html")

    async def overlay_page(self, request: Request) -> Response:
        """Subtitles over another program's picture."""
        return self._page(request, "overlay.html")

    def _page(self, request: Request, name: str) -> Response:
        try:
            self._entrance.require_host(request)
        except ProtocolError as error:
            return self._entrance.refusal(error)
        return FileResponse(self._web / name)

    async def _found(self, request: Request) -> Room:
        self._entrance.knock(request)
        self._entrance.require_host(request)
        if self._relay is not None:
            await self._relay.find(request.path_params["room_id"], _shown(request))
        return self._rooms.find(request.path_params["room_id"], _shown(request))

    async def _captions(self, request: Request, ending: str) -> Response:
        try:
            room, langs = await self._found(request), self._langs(request)
        except ProtocolError as error:
            return self._entrance.refusal(error)
        text = subtitles.FORMATS[ending](room.track.cues(langs))
        return Response(text, media_type=MEDIA[ending])

    def _langs(self, request: Request) -> tuple[str, ...]:
        """The languages that are asked for, each once; ProtocolError 4400 for one that there is not."""
        offer = self._offer()
        known = (offer.source, *offer.targets)
        langs = tuple(dict.fromkeys(request.query_params.get("lang", known[-1]).split(",")))
        if not set(langs) <= set(known):
            raise ProtocolError(f"lang: {','.join(langs)!r}; allowed: {', '.join(known)}", codes.BAD_PARAMETER)
        return langs

    def _limits(self) -> dict[str, float | int]:
        options = self._options
        return {"max_text_bytes": options.max_text_bytes, "behind_ms": round(options.listener_behind_s * 1000)}

    def _count(self, error: ProtocolError) -> None:
        self._metrics.listeners_refused.labels(why=codes.meaning(error.code).name).inc()


def _shown(request: HTTPConnection) -> str | None:
    offered: list[str] = request.scope.get("subprotocols", [])
    subprotocol = next((name.removeprefix("token.") for name in offered if name.startswith("token.")), None)
    return subprotocol or bearer(request) or request.query_params.get("token")
