"""The page's files, and what its neural codec needs: an engine and the model that this server speaks with."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import streamst
from streamst.codecs.export import DECODER, ENCODER, WEIGHTS

from .operator.headers import SECURITY_HEADERS

WEB = Path(streamst.__file__).parent / "web"
LEAST_PACKED_BYTES = 500  # of the page's files, which hold nothing secret
COMPILES = "content-security-policy"
ENGINE_HEADERS = {COMPILES: SECURITY_HEADERS[COMPILES] + "; script-src 'self' 'wasm-unsafe-eval'"}


class Engine(StaticFiles):
    """Files of the worker that runs the codec, which alone may compile WebAssembly."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """See `StaticFiles`."""
        response = await super().get_response(path, scope)
        response.headers.update(ENGINE_HEADERS)
        return response


def page_routes(codec: Path | None) -> list[BaseRoute]:
    """Routes of the page. codec: the folder of the codec that the server speaks with; without graphs in it the page
    gets none."""
    found = codec is not None and all((codec / name).is_file() for name in (ENCODER, DECODER, WEIGHTS))

    async def model(request: Request) -> FileResponse:
        """Graph or weights of the codec, by name."""
        name = request.path_params["name"]
        if codec is None or not found or name not in (ENCODER, DECODER, WEIGHTS):
            raise HTTPException(404)
        return FileResponse(codec / name, media_type="application/octet-stream")

    return [
        Route("/codec/{name}", model),
        Mount("/coder", Engine(directory=WEB / "coder")),
        Mount("/", GZipMiddleware(StaticFiles(directory=WEB, html=True), minimum_size=LEAST_PACKED_BYTES)),
    ]
