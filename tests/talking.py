"""A talk as the page sees it, said by the test: what the server would send, at once, beside the real page and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from browsing import SAMPLE, Browse, open_page
from playwright.sync_api import Page, WebSocketRoute
from serving import running

from streamst.audio import Pcm
from streamst.pipeline import Pipeline
from streamst.server.wire.native import pack_audio

WELCOME = {
    "type": "welcome", "protocol": "streamst.v1", "source": "en", "targets": ["de"], "output": ["captions", "audio"],
    "latencies": ["minimal", "low", "medium", "high", "xhigh"], "policies": [], "codecs": ["pcm16", "opus", "neural"],
    "defaults": {"target": "de", "policy": None, "latency": "medium"}, "limits": {}, "credit_ms": 10_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def light(tiny_pipeline: Pipeline) -> Iterator[str]:
    """The address of a real server with a tiny model: it starts at once."""
    with running(tiny_pipeline) as address:
        yield address


class Stage:
    """The far end of the page's websocket."""

    def __init__(self, page: Page) -> None:
        self.configs: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.sockets: list[WebSocketRoute] = []
        self._said = self._spoken = 0
        page.route_web_socket("**/v1/stream", self._open)

    def _open(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(self._hear)
        socket.send(json.dumps(WELCOME))

    def _hear(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.frames.append(message)
            sequence = int.from_bytes(message[4:8], "little")
            self.say("ack", sequence=sequence, samples=0, processed_ms=0)
            return
        told = json.loads(message)
        if told["type"] == "ping":
            self.sockets[-1].send(json.dumps({"type": "pong", "id": told["id"], "server_ms": 0}))
        if told["type"] == "config":
            self.configs.append(told)
        if told["type"] == "end":
            self.say("closed", summary={})
            self.sockets[-1].close(code=1000)

    def say(self, kind: str, **fields: Any) -> None:
        """An answer of the session."""
        self._said += 1
        self.sockets[-1].send(json.dumps({"type": kind, "n": self._said, **fields}))

    def caption(self, segment: int, english: str, german: str) -> None:
        """A segment that is said and translated."""
        for lang, words in (("en", english), ("de", german)):
            times = {"start_ms": 3000 * segment, "end_ms": 3000 * segment + 2500}
            self.say("caption", lang=lang, segment=segment, revision=0, stable=words, unstable="", final=True, **times)

    def speak(self, pcm: Pcm, text: str = "", rate_hz: int = 16_000) -> None:
        """Speech that is to be heard."""
        told = {"codec": "pcm16", "samples": len(pcm), "sample_rate_hz": rate_hz, "text": text}
        self.say("speech", sequence=self._spoken, **told)
        payload = (np.clip(pcm, -1, 1) * 32_767).astype("<i2").tobytes()
        self.sockets[-1].send(pack_audio("pcm16", self._spoken, 0, payload))
        self._spoken += 1


def voice() -> Pcm:
    """Real speech, eight seconds of it."""
    return np.asarray(soundfile.read(SAMPLE, dtype="float32")[0][: 8 * 16_000], np.float32)


def loudness(frames: list[bytes]) -> float:
    """The loudest sample in what the page sent."""
    return max(
        (float(np.abs(np.frombuffer(frame[12:], "<i2")).max()) for frame in frames if len(frame) > 12), default=0
    )


def staged(light: str, browse: Browse, script: str = "", *flags: str, **options: Any) -> tuple[Page, Stage]:
    """The page, and the far end of its talks. script: runs before the page's own."""
    context = browse(*flags, **options)
    if script:
        context.add_init_script(script)
    page = context.new_page()
    stage = Stage(page)
    page.goto(light + "/")
    page.locator("#dial input").nth(4).wait_for(state="attached")
    return page, stage


__all__ = ["WELCOME", "Stage", "light", "loudness", "open_page", "staged", "voice"]
