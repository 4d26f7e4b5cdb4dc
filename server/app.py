"""The application and the process that serves it.

GET /healthz, /readyz, /metrics, /v1/info; the native protocol (`session/routes.py`); those of other services
(`foreign/compatible.py`); everything else is the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

import streamst
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.heap import settle
from streamst.policies.base import missing_needs
from streamst.policies.catalog import LATENCY_NAMES, POLICIES
from streamst.server.audience.relay import Relay
from streamst.server.audience.rooms import Rooms
from streamst.server.audience.routes import RoomRoutes
from streamst.server.foreign.calls import Calls
from streamst.server.foreign.compatible import Compatible
from streamst.server.foreign.openai_audio import AudioFiles
from streamst.server.foreign.whip import Whip
from streamst.server.operator.auth import warn_of_readers
from streamst.server.operator.crowd import Crowd
from streamst.server.operator.headers import SecurityHeaders
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.room.asked import open_session
from streamst.server.room.processes import Loader, Processes
from streamst.server.room.worker import Worker
from streamst.server.room.workers import Workers
from streamst.server.session.entrance import Entrance
from streamst.server.session.nodes import Node, durable
from streamst.server.session.reception import Reception
from streamst.server.session.routes import NativeRoutes
from streamst.server.session.sessions import Sessions
from streamst.server.store.seam import SessionStore
from streamst.server.wire.audio import codecs_offered
from streamst.server.wire.seam import Choice, Offer, Settings

from .listening import bind, listen
from .pages import WEB, page_routes
from .transport import PoliteServer, Transport

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

DRAIN_EXTRA_S = 30.0  # beyond `drain_s`: how long the last sessions may take to be flushed
LISTENERS_S = 5.0  # that listeners may take to be told the rest of the last sessions


class Service:
    """What the routes share: one pipeline, its workers, the sessions."""

    def __init__(
        self,
        pipeline: Pipeline,
        options: ServerOptions,
        loader: Loader | None = None,
        store: SessionStore | None = None,
    ) -> None:
        self.pipeline, self.options = pipeline, options
        self.metrics = Metrics()
        self.workers: Workers
        if options.workers == 1:
            self.workers = Worker(pipeline, self.metrics)
        elif loader is not None:
            self.workers = Processes(loader, pipeline, self.metrics, options.workers)
        else:
            raise InputError(f"{options.workers} worker processes need a loader that makes the model in each")
        self.sessions = Sessions(options, self.metrics, room=self._has_room)
        latency = options.latency or pipeline.latency
        self.defaults = Settings(target=pipeline.targets[0], policy=options.policy, latency=latency)
        self.rooms = Rooms(options, self.metrics, self.offer, lambda: self.workers.codec)
        self.durable = durable(pipeline, options, self.metrics, store)
        self.relay = None if self.durable is None else Relay(self.rooms, self.durable)
        self.node = None if self.durable is None else Node(self.durable, self.sessions, self._has_room, self.metrics)
        reception = Reception(
            self.workers, self.sessions, options, self.metrics, self.defaults, self.offer, self.rooms, self.durable
        )
        self.entrance = Entrance(self.sessions, options)
        compatible = Compatible(reception, self.entrance)
        calls, whip = Calls(compatible, self.entrance), Whip(reception, self.entrance)
        self.peers = calls.peers, whip.peers
        self.routes: list[BaseRoute] = [
            Route("/healthz", self._by_name(self.healthz)),
            Route("/readyz", self._by_name(self.readyz)),
            Route("/metrics", self._by_name(self.show_metrics)),
            Route("/v1/info", self._by_name(self.info)),
            *NativeRoutes(reception, self.entrance, options, self.metrics).routes,
            *RoomRoutes(self.rooms, self.entrance, options, self.metrics, self.offer, WEB, self.relay).routes,
            *compatible.routes,
            *calls.routes,
            *whip.routes,
            *AudioFiles(reception, self.entrance).routes,
            *page_routes(None if pipeline.codec is None else pipeline.codec.directory),
        ]
        self.metrics.max_sessions.set(options.max_sessions)

    def _has_room(self) -> bool:
        return not self.options.refuse_when_busy or self.workers.room

    async def drain(self) -> None:
        """Let sessions finish, then all who listen to them be told the rest."""
        await self.sessions.drain(self.options.drain_s + DRAIN_EXTRA_S)
        await self.rooms.drain(LISTENERS_S)

    def warm_up(self) -> None:
        """Hear a second of silence, so that the first client need not wait; InputError for impossible defaults."""
        session = open_session(self.pipeline, self.defaults)
        session.push(np.zeros(session.sample_rate_hz, np.float32))
        session.finish()

    def offer(self) -> Offer:
        """What a client may choose from."""
        pipeline = self.pipeline
        voice = pipeline.voice
        return Offer(
            version=streamst.__version__,
            source=pipeline.source,
            targets=tuple(pipeline.targets),
            policies=tuple(name for name, policy in POLICIES.items() if not missing_needs(policy(), pipeline.provides)),
            latencies=tuple(LATENCY_NAMES),
            codecs=tuple(codecs_offered(pipeline.codec)),
            output=("captions",) if voice is None else ("captions", "audio"),
            sample_rate_hz=pipeline.sample_rate_hz,
            defaults=Choice(self.defaults.target, self.defaults.policy, self.defaults.latency),
            output_sample_rate_hz=pipeline.sample_rate_hz if voice is None else voice.sample_rate_hz,
            model=pipeline.name,
            parts=dict(pipeline.parts),
        )

    def _by_name(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """`answer`, for who reached this server by a name of its own."""

        async def checked(request: Request) -> Response:
            try:
                self.entrance.require_host(request)
                return await answer(request)
            except ProtocolError as error:
                return self.entrance.refusal(error)

        return checked

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

    @property
    def unready(self) -> str | None:
        """Why the next client would not be served; None where it would be."""
        if self.sessions.draining.is_set():
            return "draining"
        if self.sessions.free < 1:
            return "full"
        return None if self.workers.room else "busy"

    async def readyz(self, _: Request) -> Response:
        """Whether the next client would be served: 200, or 503 with the reason."""
        reason = self.unready
        if reason is None:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "reason": reason}, 503, {"retry-after": "5"})

    async def info(self, _: Request) -> Response:
        """Languages, policies, codecs and limits."""
        sessions = {"sessions": len(self.sessions), "max_sessions": self.options.max_sessions}
        return JSONResponse({**asdict(self.offer()), "limits": self.options.limits(), **sessions})

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus text; where keys are needed, for who shows one."""
        self.entrance.require_key(request)
        return Response(self.metrics.exposition(), media_type=self.metrics.content_type)


def create_app(
    pipeline: Pipeline,
    options: ServerOptions | None = None,
    loader: Loader | None = None,
    store: SessionStore | None = None,
) -> Starlette:
    """The ASGI application. What ends it in good order is `app.state.service.drain`.

    loader: makes `pipeline` again in each of `options.workers` processes; picklable. store: instead of the one at
    `options.store`.
    """
    service = Service(pipeline, options or ServerOptions(), loader, store)
    mimetypes.add_type("text/javascript", ".js")  # some systems call it something that browsers do not run
    mimetypes.add_type("application/manifest+json", ".webmanifest")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        node, relay = service.node, service.relay
        lives = [asyncio.create_task(one.live()) for one in (node, relay) if one is not None]
        yield
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        if node is not None:
            await node.leave()
        for peers in service.peers:
            await peers.close()
        service.workers.close()
        service.rooms.close()

    app = Starlette(routes=service.routes, middleware=[Middleware(SecurityHeaders)], lifespan=lifespan)
    app.state.service = service
    return app


def serve(
    pipeline: Pipeline,
    options: ServerOptions | None = None,
    announce: Callable[[str], None] | None = None,
    loader: Loader | None = None,
    bound: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then let sessions finish and return. Errors as in `prepare`.

    announce: told the address once the server answers and minds signals (port 0 is then a real one); printed when None.
    """
    server, listener, address = prepare(pipeline, options or ServerOptions(), loader, bound)
    server.on_started = lambda: (announce or _print)(address)
    settle()
    server.run(sockets=[listener])


def prepare(
    pipeline: Pipeline, options: ServerOptions, loader: Loader | None = None, bound: socket.socket | None = None
) -> tuple[PoliteServer, socket.socket, str]:
    """A server that `run(sockets=[listener])` starts, its listener, and the address under which a page reaches it.

    bound: a socket that has the address already (`listening.bind`). Raises InputError when the options name a policy or
    latency that there is not, UnavailableError when the address cannot be had or the certificate cannot be read.
    """
    app = create_app(pipeline, options, loader)
    service: Service = app.state.service
    service.warm_up()
    context = _tls(options)
    config = uvicorn.Config(
        app,
        loop="asyncio",  # whatever else is installed: `accepting.py` counts on its order of turns
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
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
    )
    config.load()
    server = PoliteServer(config, service.drain, Crowd.of(options), context)
    listener = bound or bind(options)
    return server, listener, listen(listener, options)


def _tls(options: ServerOptions) -> ssl.SSLContext | None:
    """What TLS needs, if it is wanted; UnavailableError where the certificate cannot be read."""
    if options.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
        warn_of_readers(options.tls_key or options.tls_cert)
    except OSError as error:  # ssl.SSLError is one
        raise UnavailableError(f"TLS with {options.tls_cert} and {options.tls_key} does not work: {error}") from error
    return context


def _print(address: str) -> None:
    sys.stdout.write(f"StreamST listens on {address}\n")
    sys.stdout.flush()
