"""The routes of other services' protocols, for clients that exist: only their base URL changes.

    websocket /v1/realtime/translations?model=       OpenAI Realtime translation    openai_translation.py
    websocket /v1/realtime?intent=transcription      OpenAI Realtime transcription  openai_transcription.py
    POST      /v1/realtime/translations/client_secrets
    POST      /v1/realtime/translations/calls        the same over WebRTC           calls.py
    websocket /v1/listen                             Deepgram live                  deepgram.py
    websocket /simulstream                           simulstream                    simulstream.py

What is not possible is refused before the handshake, in the words of the service whose client asks.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streamst.errors import ProtocolError
from streamst.server.session.entrance import Entrance, refuse
from streamst.server.session.link import WebSocketLink
from streamst.server.session.reception import Reception
from streamst.server.wire import codes
from streamst.server.wire.bodies import read_json
from streamst.server.wire.numbers import whole_number

from . import openai_wire
from .client_secrets import PREFIX, Secret, Signer
from .deepgram import IDLE_S, DeepgramProtocol, extras_in, read_query
from .openai_transcription import OpenAITranscription
from .openai_translation import OpenAITranslation, read_session, session_object
from .simulstream import SimulstreamProtocol

SECRET_S, LEAST_SECRET_S, LONGEST_SECRET_S = 600, 10, 7200  # how long a client secret may be used [s]
LONGEST_NAME = 200  # of a model, which its client's secret carries
DEEPGRAM_NAMES = {
    codes.BAD_PARAMETER: "Bad Request", codes.UNAUTHORISED: "INVALID_AUTH", codes.OVERLOADED: "TOO_MANY_REQUESTS",
    codes.QUOTA: "TOO_MANY_REQUESTS",
}  # fmt: skip


class Compatible:
    """The endpoints of other services, in front of one reception."""

    def __init__(self, reception: Reception, entrance: Entrance, now: Callable[[], float] = time.time) -> None:
        self.reception, self._entrance, self._now = reception, entrance, now
        self._signer = Signer()
        options = reception.options
        self._listen = Reception(
            reception.workers, reception.sessions, replace(options, idle_s=min(IDLE_S, options.idle_s)),
            reception.metrics, reception.defaults, reception.offer,
        )  # fmt: skip

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves; their place is before the static files."""
        return [
            Route("/v1/realtime/translations/client_secrets", self.new_secret, methods=["POST"]),
            WebSocketRoute("/v1/realtime/translations", self.translate),
            WebSocketRoute("/v1/realtime", self.transcribe),
            WebSocketRoute("/v1/listen", self.listen),
            WebSocketRoute("/simulstream", self.simulstream),
        ]

    async def translate(self, websocket: WebSocket) -> None:
        """OpenAI Realtime translation."""
        try:
            owner, protocol = self.open_translation(websocket, {}, _agreed(websocket))
        except ProtocolError as error:
            await self._refuse(websocket, error, openai_error)
            return
        await websocket.accept(protocol.subprotocol)
        await self.reception.serve(WebSocketLink(websocket, owner), protocol, settings=protocol.settings)

    def open_translation(
        self, connection: HTTPConnection, session: dict[str, Any], subprotocol: str | None = None
    ) -> tuple[str | None, OpenAITranslation]:
        """Let somebody in who wants a translation: the name of their API key, and the protocol that serves them.

        session: what is asked for beside the address. ProtocolError and Refused for who or what is not possible.
        """
        key = shown_key(connection)
        secret = self._secret(key)
        self._entrance.knock(connection)
        owner = (
            self._entrance.admit(connection, key)
            if secret is None
            else self._entrance.readmit(connection, secret.owner)
        )
        model = connection.query_params.get("model") or (secret.model if secret else "")
        model = model or openai_wire.text_in(session, "model", "session") or ""
        if not model:
            raise ProtocolError("the query parameter model is missing", codes.BAD_PARAMETER)
        self.reception.sessions.require_place()
        transcription, target = read_session(session, self.reception.offer().targets, model)
        target = target or (secret.target if secret is not None else None)
        settings = self.reception.defaults if target is None else replace(self.reception.defaults, target=target)
        protocol = OpenAITranslation(
            model, settings, self._ends_at(), self.reception.options.max_message_bytes, subprotocol,
            transcription=transcription or (secret.transcription if secret else None),
        )  # fmt: skip
        return owner, protocol

    async def transcribe(self, websocket: WebSocket) -> None:
        """OpenAI Realtime transcription."""
        try:
            owner = self._admit(websocket, shown_key(websocket))
            intent = websocket.query_params.get("intent")
            if intent != "transcription":
                reason = f"intent: {intent!r}; allowed here: transcription (for translation: /v1/realtime/translations)"
                raise ProtocolError(reason, codes.BAD_PARAMETER)
            self.reception.sessions.require_place()
        except ProtocolError as error:
            await self._refuse(websocket, error, openai_error)
            return
        protocol = OpenAITranscription(
            self.reception.defaults, self._ends_at(), self.reception.options.max_message_bytes, _agreed(websocket)
        )
        await websocket.accept(protocol.subprotocol)
        await self.reception.serve(WebSocketLink(websocket, owner), protocol, settings=protocol.settings)

    async def listen(self, websocket: WebSocket) -> None:
        """Deepgram live transcription."""
        offered: list[str] = websocket.scope["subprotocols"]
        by_protocol = offered[1] if len(offered) == 2 and offered[0] in ("token", "bearer") else None
        try:
            owner = self._admit(websocket, by_protocol or shown_key(websocket))
            query, offer = websocket.query_params, self.reception.offer()
            terms = query.getlist("keyterm"), query.getlist("keywords")
            wishes = read_query(query, extras_in(query.multi_items()), offer.source, offer.targets, *terms)
            limit = self.reception.options.max_text_bytes
            protocol = DeepgramProtocol(
                wishes, self.reception.defaults, limit, offered[0] if by_protocol is not None else None
            )
            self.reception.sessions.require_place()
        except ProtocolError as error:
            await self._refuse(websocket, error, _deepgram_error)
            return
        await websocket.accept(protocol.subprotocol)
        await self._listen.serve(WebSocketLink(websocket, owner), protocol, settings=protocol.settings)

    async def simulstream(self, websocket: WebSocket) -> None:
        """simulstream."""
        try:
            owner = self._admit(websocket, shown_key(websocket))
            self.reception.sessions.require_place()
        except ProtocolError as error:
            await self._refuse(websocket, error, openai_error)
            return
        protocol = SimulstreamProtocol(self.reception.defaults, self.reception.options.max_text_bytes)
        await websocket.accept()
        await self.reception.serve(WebSocketLink(websocket, owner), protocol, settings=protocol.settings)

    async def new_secret(self, request: Request) -> Response:
        """A short-lived key for a page, with the session that it opens; a secret may open several until it expires."""
        try:
            key = shown_key(request)
            self._entrance.knock(request)
            owner = self._entrance.admit(request, key)
            fields = await read_json(request, self.reception.options.max_text_bytes)
            secret = self._new_secret(fields, owner)
        except ProtocolError as error:
            return openai_error(error)
        except openai_wire.Refused as error:
            told = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
            return JSONResponse({"error": told}, 400)
        session = session_object(
            f"sess_{secret.session_id}", secret.model, self._ends_at(), secret.target, secret.transcription
        )
        told = json.dumps(
            {"value": self._signer.sign(secret), "expires_at": secret.expires_at, "session": session}
        )  # a name as it came
        return Response(told, media_type="application/json")

    def _new_secret(self, fields: dict[str, Any], owner: str | None) -> Secret:
        asked = openai_wire.part(fields, "session") or {}
        model = openai_wire.text_in(asked, "model", "session")
        if not model:
            raise openai_wire.Refused("session.model is missing", "missing_required_parameter", "session.model")
        _require_short("session.model", model)
        transcription, target = read_session(asked, self.reception.offer().targets, model)
        if transcription is not None:
            _require_short("session.audio.input.transcription.model", transcription["model"] or "")
        seconds = (openai_wire.part(fields, "expires_after") or {}).get("seconds", SECRET_S)
        lasts_s = whole_number(seconds)
        if isinstance(seconds, str) or lasts_s is None or not LEAST_SECRET_S <= lasts_s <= LONGEST_SECRET_S:
            reason = f"expires_after.seconds: {seconds!r}; allowed: {LEAST_SECRET_S} to {LONGEST_SECRET_S}"
            raise openai_wire.Refused(reason, param="expires_after.seconds")
        target = target or self.reception.defaults.target
        assert target is not None
        return Secret(secrets.token_hex(8), target, transcription, model, int(self._now()) + lasts_s, owner)

    def _secret(self, key: str | None) -> Secret | None:
        """The session of a client secret, None for another key; ProtocolError 4401 for one that is no longer good."""
        return self._signer.read(key, self._now()) if key is not None and key.startswith(PREFIX) else None

    def _ends_at(self) -> int:
        return int(self._now() + self.reception.options.max_duration_s)

    def _admit(self, websocket: WebSocket, key: str | None) -> str | None:
        self._entrance.knock(websocket)
        return self._entrance.admit(websocket, key)

    async def _refuse(
        self, websocket: WebSocket, error: ProtocolError, render: Callable[[ProtocolError], Response]
    ) -> None:
        self.reception.metrics.refused.labels(why=codes.meaning(error.code).name).inc()
        await websocket.send_denial_response(render(error))


def _require_short(where: str, name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise openai_wire.Refused(f"{where} has {len(name)} characters; allowed: {LONGEST_NAME}", param=where)


def shown_key(headers: HTTPConnection) -> str | None:
    """What a client shows: an Authorization header, or OpenAI's subprotocol for pages."""
    kind, _, value = headers.headers.get("authorization", "").partition(" ")
    if kind.lower() in ("bearer", "token"):
        return value.strip()
    offered: list[str] = headers.scope.get("subprotocols", [])
    found = [name for name in offered if name.startswith(openai_wire.SECRET_PREFIX)]
    return found[0].removeprefix(openai_wire.SECRET_PREFIX) if found else None


def _agreed(websocket: WebSocket) -> str | None:
    return openai_wire.SUBPROTOCOL if openai_wire.SUBPROTOCOL in websocket.scope["subprotocols"] else None


def openai_error(error: ProtocolError) -> Response:
    """A refusal in OpenAI's words."""
    return refuse({"error": openai_wire.error_object(error.code, str(error))}, error)


def _deepgram_error(error: ProtocolError) -> Response:
    name = DEEPGRAM_NAMES.get(error.code, "ERROR")
    return refuse({"err_code": name, "err_msg": str(error), "request_id": secrets.token_hex(8)}, error)
