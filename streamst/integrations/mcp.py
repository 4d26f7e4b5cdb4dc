"""StreamST as tools of the Model Context Protocol, over standard input and output.

`translate_file`, `say` and `models` work on this machine, with the model loaded once, at the first call that needs it.
Files are read and written where the one who started the server may; an assistant that calls them should ask first.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from streamst import __version__
from streamst.audio import SAMPLE_RATE_HZ, WavWriter, known_length_s, read_blocks
from streamst.errors import InputError, StreamstError
from streamst.events import Caption, Event, Speech
from streamst.inventory import models as found_models
from streamst.model_file import SHIPPED, model_named
from streamst.models.speak.aloud import Aloud
from streamst.subtitles import CaptionTrack, srt, vtt

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

LONGEST_S = 4 * 3600.0  # of a recording
LONGEST_TEXT = 20_000  # characters


class Tools:
    """What the tools do. One call at a time uses the model; `load` makes it, when it is needed first."""

    def __init__(self, load: Callable[[], Pipeline]) -> None:
        self._load, self._turn = load, threading.Lock()
        self._loaded: Pipeline | None = None

    def translate_file(
        self, path: str, target: str | None, form: str, speech_path: str | None, cancelled: Callable[[], bool]
    ) -> dict[str, Any]:
        """The texts of a recording, and its speech as a WAV file where a path is given and something was said.

        InputError for what cannot be read, written or had.
        """
        source = Path(path)
        _require_short(source)
        speech = None if speech_path is None else _writable(speech_path)
        if speech is not None and speech.exists() and speech.samefile(source):
            raise InputError(f"{speech} is what is read: writing there would destroy it; choose another name")
        with self._turn:
            pipeline = self._pipeline()
            session = pipeline.session(target, speech=speech is not None)
            track, pieces = CaptionTrack(), []
            for block in read_blocks(source, session.sample_rate_hz):
                if cancelled():
                    raise InputError("cancelled")
                pieces += _kept(session.push(block), track)
            pieces += _kept(session.finish(), track)
        langs = pipeline.source, session.options.target
        told: dict[str, Any] = {lang: _text(track, lang, form) for lang in langs}
        if speech is not None:
            if pipeline.voice is None:
                raise InputError(f"model {pipeline.name!r} has no voice")
            told["speech_path"] = str(speech) if _write(speech, pieces, pipeline.voice.sample_rate_hz) else None
        return told

    def say(self, text: str, path: str) -> dict[str, Any]:
        """A WAV file of a text in the voice's language, and how long it is. InputError as above."""
        file = _writable(path)
        if not text.strip() or len(text) > LONGEST_TEXT:
            raise InputError(f"a text has 1 to {LONGEST_TEXT} characters; this one has {len(text)}")
        with self._turn:
            voice = self._pipeline().voice
            if voice is None:
                raise InputError("the model has no voice")
            aloud = Aloud(voice)
            pieces = [aloud.push(text), aloud.finish()]
        samples = _write(file, pieces, voice.sample_rate_hz)
        if not samples:
            raise InputError(f"the voice finds nothing to say in {text[:80]!r}")
        return {"path": str(file), "seconds": round(samples / voice.sample_rate_hz, 2)}

    def models(self) -> dict[str, Any]:
        """What models there are, and what they offer."""
        offers = {}
        for name in SHIPPED:
            file = model_named(name).file
            offers[name] = {"source": file.source, "targets": file.targets, "voices": [*file.voices]}
        return {"models": offers, "networks": [asdict(m) | {"path": str(m.path)} for m in found_models()]}

    def _pipeline(self) -> Pipeline:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded


def make_server(load: Callable[[], Pipeline]) -> MCPServer[Any]:
    """A server whose `run("stdio")` serves the tools."""
    tools = Tools(load)
    server: MCPServer[Any] = MCPServer(
        "streamst", version=__version__, log_level="WARNING",
        instructions="Translates English recordings into German text and speech, and speaks German.",
    )  # fmt: skip

    @server.tool()
    async def translate_file(
        path: str,
        target: str | None = None,
        format: Literal["text", "srt", "vtt"] = "text",
        speech_path: str | None = None,
    ) -> str:
        """Translate an audio or video file of this machine: JSON with the text of both languages by language code, as
        plain text or subtitles. With speech_path, the German speech is written there as WAV; speech_path in the answer
        is null where nothing was said, and no file is written then."""
        left = threading.Event()
        try:
            return await _told(lambda: tools.translate_file(path, target, format, speech_path, left.is_set))
        finally:
            left.set()

    @server.tool()
    async def say(text: str, path: str) -> str:
        """Speak a German text into a WAV file at path: JSON with its path and its length in seconds."""
        return await _told(lambda: tools.say(text, path))

    @server.tool()
    async def models() -> str:
        """The models of this machine, their languages and their quality, as JSON."""
        return await _told(tools.models)

    return server


async def _told(work: Callable[[], dict[str, Any]]) -> str:
    """The result as JSON; ToolError with our words for what is not possible."""
    try:
        return json.dumps(await asyncio.to_thread(work), ensure_ascii=False, default=str)
    except StreamstError as error:
        raise ToolError(str(error)) from error
    except OSError as error:
        raise ToolError(f"{error.filename}: {error.strerror}") from error


def _require_short(source: Path) -> None:
    """InputError for a recording that cannot be read, or is too long; where no header knows, it is read until then."""
    seconds = known_length_s(source)
    if seconds is not None and seconds > LONGEST_S:
        raise InputError(f"{source} lasts {seconds:.0f} s; allowed: {LONGEST_S:.0f} s")
    samples = 0
    for block in read_blocks(source) if seconds is None else ():
        samples += len(block)
        if samples > LONGEST_S * SAMPLE_RATE_HZ:
            raise InputError(f"{source} lasts more than {LONGEST_S:.0f} s, which is what is allowed")


def _writable(path: str) -> Path:
    file = Path(path)
    if file.suffix.lower() != ".wav":
        raise InputError(f"{path}: speech is written as .wav, not {file.suffix!r}")
    if not file.parent.is_dir():
        raise InputError(f"{path} cannot be written: the folder {file.parent} does not exist")
    return file


def _kept(events: list[Event], track: CaptionTrack) -> list[np.ndarray]:
    for event in events:
        if isinstance(event, Caption):
            track.add(event)
    return [event.pcm for event in events if isinstance(event, Speech)]


def _text(track: CaptionTrack, lang: str, form: str) -> str:
    if form == "text":
        return track.text(lang)
    return (srt if form == "srt" else vtt)(track.cues([lang]))


def _write(path: Path, pieces: list[np.ndarray], rate_hz: int) -> int:
    """How many samples were written; without any, no file is."""
    if not any(map(len, pieces)):
        return 0
    with WavWriter(path, rate_hz) as file:
        for piece in pieces:
            file.write(piece)
    return file.samples
