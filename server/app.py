"""The routes, and the process that serves them.

GET /healthz, /readyz, /metrics, /v1/info, /v1/sessions/ID/report · POST /v1/sessions · websocket /v1/stream ·
everything else is the page.
The routes of other services' protocols are in `compatible.py`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import mimetypes
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

import streamst
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.policies.base import missing_needs
from streamst.policies.catalog import LATENCY_NAMES, POLICIES
from streamst.server.foreign.compatible import Compatible
from streamst.server.operator.limits import origin_allowed
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.room.live import open_session
from streamst.server.room.processes import Loader, Processes
from streamst.server.room.worker import Worker
from streamst.server.session.reception import Reception
from streamst.server.session.reports import among
from streamst.server.session.sessions import Sessions, retry_ms
from streamst.server.wire import codes
from streamst.server.wire.audio import codecs_offered
from streamst.server.wire.bodies import read_json
from streamst.server.wire.native import SUBPROTOCOL, NativeProtocol, read_settings, rounded
from streamst.server.wire.seam import Settings

from .transport import Door, PoliteServer, Transport

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

log = logging.getLogger("streamst.server")

WEB = Path(streamst.__file__).parent / "web"
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
STATUS = {codes.BAD_PARAMETER: 400, codes.BAD_DATA: 400, codes.TOO_BIG: 413, codes.POLICY: 403}
STATUS |= {codes.UNAUTHORISED: 401, codes.IDLE: 408, codes.QUOTA: 429}  # else 503
SEND_BUFFER_BYTES = 1 << 17  # of a connection, in the kernel, which would else keep megabytes for who does not read
DRAIN_EXTRA_S = 30.0  # beyond `drain_s`: how long the last sessions may take to be flushed


class Service:
    """What the routes share: one pipeline, one worker, the sessions."""

    def __init__(self, pipeline: Pipeline, options: ServerOptions, loader: Loader | None = None) -> None:
        self.pipeline, self.options = pipeline, options
        self.metrics = Metrics()
        self.worker: Worker | Processes
        if options.workers == 1:
            self.worker = Worker(pipeline, self.metrics)
        elif loader is not None:
            self.worker = Processes(loader, pipeline, self.metrics, options.workers)
        else:
            raise InputError(f"{options.workers} worker processes need a loader that makes the model in each")
        self.sessions = Sessions(options, self.metrics, room=lambda: not options.refuse_when_busy or self.worker.room)
        self.defaults = Settings(target=pipeline.translator.targets[0], policy=options.policy, latency=options.latency)
        self.reception = Reception(self.worker, self.sessions, options, self.metrics, self.defaults, self.offer)
        self.compatible = Compatible(self.reception, self._admit)
        self.metrics.max_sessions.set(options.max_sessions)

    def warm_up(self) -> None:
        """Hear a second of silence, so that the first client need not wait; InputError for impossible defaults."""
        session = open_session(self.pipeline, self.defaults)
        session.push(np.zeros(session.sample_rate_hz, np.float32))
        session.finish()

    def offer(self) -> dict[str, Any]:
        """What a client may choose from."""
        pipeline = self.pipeline
        translator, voice = pipeline.translator, pipeline.voice
        fitting = [name for name, policy in POLICIES.items() if not missing_needs(policy(), translator.provides)]
        return {
            "version": streamst.__version__,
            "source": translator.source,
            "targets": list(translator.targets),
            "policies": fitting,
            "latencies": list(LATENCY_NAMES),
            "codecs": codecs_offered(pipeline.codec),
            "output": ["captions"] if voice is None else ["captions", "audio"],
            "sample_rate_hz": pipeline.sample_rate_hz,
            "defaults": {
                "target": self.defaults.target,
                "policy": self.defaults.policy,
                "latency": self.defaults.latency,
            },
            "output_sample_rate_hz": pipeline.sample_rate_hz if voice is None else voice.sample_rate_hz,
        }

    async def healthz(self, _: Request) -> Response:
        """Alive, and how full."""
        return JSONResponse(
            {
                "status": "draining" if self.sessions.draining.is_set() else "ok",
                "version": streamst.__version__,
                "sessions": len(self.sessions),
                "max_sessions": self.options.max_sessions,
            }
        )

    async def readyz(self, _: Request) -> Response:
        """Whether the next client would be served: 200, or 503 with the reason."""
        if self.sessions.draining.is_set():
            reason = "draining"
        elif self.sessions.free < 1:
            reason = "full"
        elif not self.worker.room:
            reason = "busy"
        else:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "reason": reason}, 503, {"retry-after": "5"})

    async def info(self, _: Request) -> Response:
        """Languages, policies, codecs and limits."""
        sessions = {"sessions": len(self.sessions), "max_sessions": self.options.max_sessions}
        return JSONResponse({**self.offer(), "limits": self.options.limits(), **sessions})

    async def show_metrics(self, _: Request) -> Response:
        """Prometheus text."""
        return Response(self.metrics.exposition(), media_type=self.metrics.content_type)

    async def new_session(self, request: Request) -> Response:
        """Keep a place for a client; a refusal here is one that a browser can read."""
        try:
            if not self._same_origin(request):
                raise ProtocolError("pages of this origin may not use this server", codes.POLICY)
            self._knock(request)
            settings = read_settings(await read_json(request, self.options.max_text_bytes))
            owner = self.sessions.admit(_bearer(request), _address(request))
            token, kept = self.sessions.reserve(settings, owner)
        except ProtocolError as error:
            return self._refusal(error)
        return JSONResponse(
            {
                "url": "/v1/stream",
                "token": token,
                "session_id": kept.session_id,
                "expires_in_ms": round(self.options.reservation_s * 1000),
                "limits": self.options.limits(),
            },
            201,
        )

    async def stream(self, websocket: WebSocket) -> None:
        """One native session."""
        if not self._same_origin(websocket):
            self.metrics.refused.labels(why="origin").inc()
            log.warning("refused a page from origin %r; allow it with allowed_origins", websocket.headers.get("origin"))
            error = ProtocolError("pages of this origin may not use this server", codes.POLICY)
            await websocket.send_denial_response(self._refusal(error))
            return
        offered: list[str] = websocket.scope["subprotocols"]
        if offered and SUBPROTOCOL not in offered:
            self.metrics.refused.labels(why="subprotocol").inc()
            reason = f"subprotocol {offered[0]!r} is not spoken here; use {SUBPROTOCOL}"
            await websocket.send_denial_response(self._refusal(ProtocolError(reason, codes.BAD_PARAMETER)))
            return
        try:
            self._knock(websocket)
        except ProtocolError as error:
            self.metrics.refused.labels(why="rate").inc()
            await websocket.send_denial_response(self._refusal(error))
            return
        await websocket.accept(SUBPROTOCOL if offered else None)
        protocol = NativeProtocol(self.options.max_text_bytes)
        try:
            token = self._native_token(websocket, _token(websocket, offered))
        except ProtocolError as error:
            await self.reception.refuse(websocket, protocol, error)
            return
        await self.reception.serve(websocket, protocol, token)

    async def report(self, request: Request) -> Response:
        """What a session was like, or is so far: for who shows one of its tokens, or the API key that it came with."""
        session_id, secret = request.path_params["session_id"], _bearer(request)
        try:
            self._knock(request)
            served, kept = self.sessions.find(session_id), self.sessions.reports.find(session_id)
            if secret is None:
                raise ProtocolError("show the session's token, or your API key, as a bearer token", codes.UNAUTHORISED)
            tokens = served.tokens if served else kept.tokens if kept else ()
            owner = served.owner if served else kept.owner if kept else None
            if not among(secret, tokens):
                key = self.sessions.admission.find(secret)
                if key is None or key.name != owner:
                    raise ProtocolError("the token is not of this session, or there is none", codes.UNAUTHORISED)
        except ProtocolError as error:
            return self._refusal(error)
        if served is not None:
            return JSONResponse(rounded(served.summary(served.ended)))
        assert kept is not None
        return JSONResponse(rounded(kept.report))

    def _native_token(self, websocket: WebSocket, shown: str | None) -> str | None:
        """What a native client shows, where it is a token of a session or of a place; None once it is let in otherwise.

        ProtocolError 4401 for what is neither that nor a good API key, 4429 where there are too many.
        """
        if shown is not None and (self.sessions.resumable(shown) or self.sessions.reserved(shown)):
            return shown
        self._let_in(websocket, shown)
        return None if self.sessions.admission.keys else shown

    def _admit(self, request: HTTPConnection, key: str | None) -> None:
        """Let a client of a compatible endpoint in; ProtocolError says why not."""
        if not self._same_origin(request):
            raise ProtocolError("pages of this origin may not use this server", codes.POLICY)
        self._knock(request)
        self._let_in(request, key)

    def _let_in(self, request: HTTPConnection, key: str | None) -> None:
        """Note whose API key it is, for the session to come."""
        request.scope.setdefault("state", {})["owner"] = self.sessions.admit(key, _address(request))

    def _knock(self, request: HTTPConnection) -> None:
        self.sessions.admission.knock(_address(request))

    def _same_origin(self, request: HTTPConnection) -> bool:
        return origin_allowed(request.headers.get("origin"), request.headers.get("host"), self.options)

    def _refusal(self, error: ProtocolError) -> Response:
        known = codes.meaning(error.code)
        body: dict[str, Any] = {"code": error.code, "name": known.name, "message": str(error)}
        wait_ms = retry_ms(error)
        body |= {"retryable": known.retryable, "retry_after_ms": wait_ms}
        if error.code == codes.OVERLOADED and wait_ms is not None:
            body |= {"queue_position": self.sessions.refused(), "eta_s": wait_ms / 1000}
        headers = None if wait_ms is None else {"retry-after": str(math.ceil(wait_ms / 1000))}
        return JSONResponse(body, STATUS.get(error.code, 503), headers)


def create_app(pipeline: Pipeline, options: ServerOptions | None = None, loader: Loader | None = None) -> Starlette:
    """The ASGI application. The connections' `drain` is `app.state.service.sessions.drain`.

    loader: makes `pipeline` again in each of `options.workers` processes; picklable.
    """
    service = Service(pipeline, options or ServerOptions(), loader)
    mimetypes.add_type("text/javascript", ".js")  # some systems call it something that browsers do not run

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.worker.close()

    app = Starlette(
        routes=[
            Route("/healthz", service.healthz),
            Route("/readyz", service.readyz),
            Route("/metrics", service.show_metrics),
            Route("/v1/info", service.info),
            Route("/v1/sessions", service.new_session, methods=["POST"]),
            Route("/v1/sessions/{session_id}/report", service.report),
            WebSocketRoute("/v1/stream", service.stream),
            *service.compatible.routes,
            Mount("/", StaticFiles(directory=WEB, html=True)),
        ],
        middleware=[Middleware(_SecurityHeaders)],
        lifespan=lifespan,
    )
    app.state.service = service
    return app


def serve(
    pipeline: Pipeline,
    options: ServerOptions | None = None,
    announce: Callable[[str], None] | None = None,
    loader: Loader | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then let sessions finish and return. Errors as in `prepare`.

    announce: told the address once the server answers and minds signals (port 0 is then a real one); printed when None.
    """
    server, listener, address = prepare(pipeline, options or ServerOptions(), loader)
    server.on_started = lambda: (announce or _print)(address)
    server.run(sockets=[listener])


def prepare(
    pipeline: Pipeline, options: ServerOptions, loader: Loader | None = None
) -> tuple[PoliteServer, socket.socket, str]:
    """A server that `run(sockets=[listener])` starts, its listener, and the address under which a page reaches it.

    Raises InputError when the options name a policy or latency that there is not, UnavailableError when the address
    cannot be bound or the certificate cannot be read.
    """
    app = create_app(pipeline, options, loader)
    service: Service = app.state.service
    service.warm_up()
    config = uvicorn.Config(
        app,
        http=Door,
        ws=Transport,
        ws_ping_interval=options.ping_s,
        ws_ping_timeout=options.ping_s,
        ws_max_size=options.max_message_bytes,
        ws_per_message_deflate=False,  # audio and short texts gain nothing, and nothing can be inflated to a bomb
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise UnavailableError(f"TLS with {options.tls_cert} and {options.tls_key} does not work: {error}") from error
    server = PoliteServer(config, lambda: service.sessions.drain(options.drain_s + DRAIN_EXTRA_S))
    listener = _listen(options)
    host, port = listener.getsockname()[:2]
    return server, listener, f"{options.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _print(address: str) -> None:
    print(f"StreamST listens on {address}", flush=True)


def _listen(options: ServerOptions) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(place[:2], family=family, backlog=256)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {options.host} port {options.port}: {error.strerror or error}; "
            "choose another port, or 0 for any free one"
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


def _token(websocket: WebSocket, offered: list[str]) -> str | None:
    """A token from the second subprotocol `token.…` (all that a browser can send) or an Authorization header."""
    for name in offered:
        if name.startswith("token."):
            return name.removeprefix("token.")
    return _bearer(websocket)


def _bearer(request: HTTPConnection) -> str | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def _address(request: HTTPConnection) -> str | None:
    return request.client.host if request.client else None


class _SecurityHeaders:
    """Adds SECURITY_HEADERS to every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            with contextlib.suppress(WebSocketDisconnect, ClientDisconnected):  # before or in the midst of a refusal
                await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in SECURITY_HEADERS.items() if k.encode() not in present]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self.app(scope, receive, with_headers)
