"""OpenAI's speech to text for files: POST `/v1/audio/transcriptions` and `/v1/audio/translations`.

A file is a session like any other, with a place, a key and limits; it is uploaded whole (25 MB at most, as there), then
heard as fast as the server's limits allow. With `stream` the text comes as events while it is heard.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from streamst.config import from_dict
from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.server.session.ending import too_long
from streamst.server.session.entrance import Entrance, address_of, bearer, refuse
from streamst.server.session.link import Farewell, Lost
from streamst.server.session.reception import Reception
from streamst.server.wire import codes
from streamst.server.wire.multipart import boundary_of, read_form
from streamst.server.wire.seam import Acknowledged, Answer, Closed, Command, End, Failure, Message, Settings

from . import openai_wire
from .appended import Appended
from .base import ForeignProtocol
from .openai_audio_wishes import TEXTS, Answered, Wishes, read_wishes

FILE_BYTES = 25 << 20
FORM_BYTES = FILE_BYTES + (1 << 16)
UPLOADS = 8  # at once: what they hold in memory
QUIET_S, UPLOAD_S = 10.0, 300.0  # without anything of an upload, and for all of it
PIECE_BYTES = 1 << 14
WAITING = 256  # answers that nobody has read


class FileProtocol(ForeignProtocol):
    """A recording in, captions as JSON out."""

    def receive(self, message: Message) -> list[Command]:
        """Bytes are the recording's, text is its end."""
        return self.container(message) if isinstance(message, bytes) else [End()]

    def render(self, answer: Answer, _: float, /) -> list[Message]:
        """See `WireProtocol.render`."""
        match answer:
            case Caption():
                return [json.dumps({"type": "caption", **dataclasses.asdict(answer)})]
            case Acknowledged():
                return [json.dumps({"type": "heard", "ms": answer.processed_ms})]
            case Failure():
                return [json.dumps({"type": "failure", "code": answer.code, "message": answer.message})]
            case Closed():
                return [json.dumps({"type": "closed", "duration_s": answer.summary.audio_ms / 1000})]
            case _:
                return []

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """See `WireProtocol.closing`."""
        return code, reason


class FileLink:
    """A `Link` whose client has sent everything already, and is answered piece by piece."""

    def __init__(self, request: Request, file: bytes, owner: str | None) -> None:
        self.peer, self.owner = address_of(request), owner
        self._request, self._file, self._at = request, file, 0
        self._ended = False
        self.answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(WAITING)

    async def receive(self) -> Message:
        """See `Link`."""
        if self._at < len(self._file):
            piece = self._file[self._at : self._at + PIECE_BYTES]
            self._at += PIECE_BYTES
            return piece
        self._file = b""
        if not self._ended:
            self._ended = True
            return "end"
        while not await self._request.is_disconnected():
            await asyncio.sleep(0.5)
        raise Lost

    async def send(self, message: Message) -> None:
        """See `Link`."""
        await self.answers.put(json.loads(message))

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002  (as the seam has it)
        """See `Link`."""
        await self.answers.put(None)

    def abort(self) -> None:
        """See `Link`; who reads no answers is gone with the request."""

    def on_refusal(self, farewell: Farewell) -> None:
        """See `Link`; nothing is refused below."""


class AudioFiles:
    """The routes, in front of one reception."""

    def __init__(self, reception: Reception, entrance: Entrance) -> None:
        self._reception, self._entrance = reception, entrance
        self._uploads = 0

    @property
    def routes(self) -> list[BaseRoute]:
        """What an application serves."""
        return [
            Route("/v1/audio/transcriptions", self.transcribe, methods=["POST"]),
            Route("/v1/audio/translations", self.translate, methods=["POST"]),
        ]

    async def transcribe(self, request: Request) -> Response:
        """English text."""
        return await self._answer(request, translates=False)

    async def translate(self, request: Request) -> Response:
        """Text of the target's language."""
        return await self._answer(request, translates=True)

    async def _answer(self, request: Request, translates: bool) -> Response:
        try:
            self._entrance.knock(request)
            owner = self._entrance.admit(request, bearer(request))
            self._reception.sessions.require_place()
            wishes = await self._read(request, translates)
        except ProtocolError as error:
            self._reception.metrics.refused.labels(why=codes.meaning(error.code).name).inc()
            return refuse({"error": _error(error.code, str(error))}, error)
        except openai_wire.Refused as error:
            told = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
            return JSONResponse({"error": told}, 400)
        settings = replace(
            self._reception.defaults, target=wishes.target, output=("captions",), codec="container",
            glossary=tuple((term, "") for term in dict.fromkeys(wishes.terms)),
        )  # fmt: skip
        events = self._heard(FileLink(request, wishes.file, owner), settings)
        if wishes.streams:
            return StreamingResponse(_told(events, wishes), media_type="text/event-stream")
        return await _gathered(events, wishes)

    async def _read(self, request: Request, translates: bool) -> Wishes:
        boundary = boundary_of(request.headers.get("content-type", ""))
        if self._uploads >= UPLOADS:
            raise ProtocolError(f"{UPLOADS} files are being uploaded; try again later", codes.OVERLOADED, 5.0)
        self._uploads += 1
        try:
            form = read_form(await _body(request), boundary)
        finally:
            self._uploads -= 1
        offer = self._reception.offer()
        return read_wishes(form, translates, offer.source, offer.targets)

    async def _heard(self, link: FileLink, settings: Settings) -> AsyncIterator[dict[str, Any]]:
        """What a session tells of a file, to its end."""
        most_s = self._reception.options.max_duration_s
        serving = asyncio.create_task(self._reception.serve(link, FileProtocol(), settings=settings))
        over = asyncio.create_task(_then_over(serving, link))
        try:
            while (told := await link.answers.get()) is not None:
                if _too_long(told, most_s):
                    message = f"a recording may last {most_s:g} s; cut it"
                    yield {"type": "failure", "code": codes.TOO_BIG, "message": message}
                    return
                if told["type"] != "heard":
                    yield told
        finally:
            over.cancel()
            serving.cancel()
            await asyncio.gather(serving, over, return_exceptions=True)


def _too_long(told: dict[str, Any], most_s: float) -> bool:
    """Whether an answer tells that a recording is longer than a session may be, by what was heard or by its end."""
    if told["type"] == "heard":
        return told["ms"] > most_s * 1000
    return told["type"] == "failure" and told["message"] == too_long(most_s).message


async def _then_over(serving: asyncio.Task[None], link: FileLink) -> None:
    """However a session ends, its answers do."""
    await asyncio.wait([serving])
    await link.answers.put(None)


async def _body(request: Request) -> bytes:
    body = bytearray()
    stream = request.stream()
    try:
        async with asyncio.timeout(UPLOAD_S):
            while True:
                async with asyncio.timeout(QUIET_S):
                    part = await anext(stream, None)
                if part is None:
                    return bytes(body)
                body += part
                if len(body) > FORM_BYTES:
                    raise ProtocolError(f"a file may have {FILE_BYTES} bytes", codes.TOO_BIG)
    except TimeoutError as error:
        reason = f"the file did not come: nothing for {QUIET_S:g} s, or not all of it within {UPLOAD_S:g} s"
        raise ProtocolError(reason, codes.IDLE) from error
    except ClientDisconnect as error:
        raise ProtocolError("the client went away", codes.BAD_DATA) from error


async def _gathered(events: AsyncIterator[dict[str, Any]], wishes: Wishes) -> Response:
    """All of it at once; what a damaged recording holds is not answered without its error."""
    answered, duration_s = Answered(wishes), None
    async for told in events:
        match told.pop("type"):
            case "caption":
                answered.add(from_dict(Caption, told))
            case "closed":
                duration_s = told["duration_s"]
            case _:
                code = int(told["code"])
                body = {"error": _error(code, told["message"])}
                return JSONResponse(body, codes.HTTP_STATUS.get(code, 500))
    if duration_s is None:
        body = {"error": openai_wire.error_object(codes.INTERNAL, "the session ended before the recording did")}
        return JSONResponse(body, 500)
    if wishes.form in TEXTS:
        return PlainTextResponse(answered.subtitles(), media_type=TEXTS[wishes.form])
    return JSONResponse(answered.whole(duration_s))


async def _told(events: AsyncIterator[dict[str, Any]], wishes: Wishes) -> AsyncIterator[str]:
    """Piece by piece, as server-sent events."""
    appended, text = Appended(), ""
    async for told in events:
        match told.pop("type"):
            case "caption":
                caption = from_dict(Caption, told)
                delta = appended.delta(caption) if caption.lang == wishes.lang else ""
                text += delta
                if delta:
                    yield _event({"type": "transcript.text.delta", "delta": delta})
            case "closed":
                yield _event({"type": "transcript.text.done", "text": text})
            case _:
                yield _event({"type": "error", "error": _error(int(told["code"]), told["message"])})


def _error(code: int, message: str) -> dict[str, Any]:
    """The `error` object; what cannot be read here is the file, or the form that brings it, and no JSON."""
    told = openai_wire.error_object(code, message)
    return told | {"code": "invalid_value", "param": "file"} if code == codes.BAD_DATA else told


def _event(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told)}\n\n"
