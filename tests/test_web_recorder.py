"""Chromium's MediaRecorder into Deepgram's endpoint: what a page without any code of ours gets."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import (
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    open_page,
    playwright,  # noqa: F401
    service,  # noqa: F401
)

pytestmark = pytest.mark.browser

RECORD = """async ([kind, seconds]) => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: {echoCancellation: false, noiseSuppression: false}});
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/v1/listen?extra=translate:de");
  const said = [], closed = new Promise((done) => socket.addEventListener("close", (event) => done(event.code)));
  socket.addEventListener("message", (event) => said.push(JSON.parse(event.data)));
  await new Promise((done) => socket.addEventListener("open", done));
  const recorder = new MediaRecorder(stream, {mimeType: kind});
  const sent = [];
  recorder.addEventListener("dataavailable", (event) => {
    sent.push(event.data.arrayBuffer().then((bytes) => socket.send(bytes)));
  });
  const stopped = new Promise((done) => recorder.addEventListener("stop", done));
  recorder.start(250);
  await new Promise((done) => setTimeout(done, 1000 * seconds));
  recorder.stop();
  await stopped;
  await Promise.all(sent);
  socket.send('{"type": "CloseStream"}');
  return {code: await closed, said, pieces: sent.length};
}"""


@pytest.mark.parametrize("kind", ["audio/webm;codecs=opus", "audio/mp4;codecs=opus"])
def test_a_media_recorder_is_heard_and_translated(
    service: str, browse: Browse, clip: tuple[Path, float], kind: str
) -> None:
    page = open_page(browse(), service)
    seconds = clip[1] + 1
    found: dict[str, Any] = page.evaluate(RECORD, [kind, seconds])
    assert found["code"] == 1000
    assert found["pieces"] > 5
    results = [one for one in found["said"] if one["type"] == "Results"]
    assert "".join(one["channel"]["alternatives"][0]["transcript"] for one in results)
    assert any(one["translation"]["transcript"] for one in results)
    assert found["said"][-1]["type"] == "Metadata"
    assert found["said"][-1]["duration"] == pytest.approx(seconds, abs=1)
