"""The page in a real Chromium against a real server process with the model that ships: what a person sees and hears.

Screenshots of the first test lie in build/screenshots afterwards.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile
from playwright.sync_api import BrowserContext, Page, Playwright, WebSocket, expect, sync_playwright

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "web" / "sample.flac"
SCREENSHOTS = ROOT / "build" / "screenshots"
PLACES = 2  # sessions that the server admits
PARK_S = 6.0  # how long it waits for a page whose connection dropped
PATIENCE_MS = 120_000  # two slow cores also run the model and the browser
FLAGS = [
    "--use-fake-device-for-media-stream",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--autoplay-policy=no-user-gesture-required",
]
SERVE = f"""
from streamst.pipeline import load
from streamst.server.app import serve
from streamst.server.operator.options import ServerOptions
calm = {{"refuse_when_busy": False, "relieve_when_busy": False}}
serve(load(), ServerOptions(port=0, max_sessions={PLACES}, park_s={PARK_S}, **calm))
"""

Browse = Callable[..., BrowserContext]


class Wire:
    """A network cable to the server that can be pulled: forwards bytes between a local port and the server's."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[socket.socket] = []
        self._whole = True
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def pull(self) -> None:
        """Cut every connection; no other works until `plug_in`."""
        self._whole = False
        pairs, self._pairs = self._pairs, []
        for end in pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def plug_in(self) -> None:
        self._whole = True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        self.pull()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._server_port))
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    source.close()


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of a server process with the shipped model."""
    with subprocess.Popen([sys.executable, "-c", SERVE], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, f"the server said {line!r} and ended with {process.poll()}"
            yield found.group()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The sample as a wav for Chromium's microphone, and its length [s]."""
    pcm, rate_hz = soundfile.read(SAMPLE, dtype="float32")
    path = tmp_path_factory.mktemp("microphone") / "clip.wav"
    soundfile.write(path, np.repeat(pcm, 3), 3 * rate_hz, subtype="PCM_16")
    return path, len(pcm) / rate_hz


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as started:
        yield started


@pytest.fixture
def browse(playwright: Playwright, clip: tuple[Path, float], tmp_path: Path) -> Iterator[Browse]:
    """Opens Chromium with a fresh profile and the clip as its microphone. No page may throw anything meanwhile."""
    thrown: list[str] = []
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "no Chromium here: install it, or leave these tests out with -m 'not browser'"
    with contextlib.ExitStack() as stack:

        def launch(*flags: str, allow: bool = True, width: int = 1280, height: int = 800) -> BrowserContext:
            consent = "--use-fake-ui-for-media-stream" if allow else "--deny-permission-prompts"
            context = playwright.chromium.launch_persistent_context(
                tmp_path / "profile",
                executable_path=path,
                headless=True,
                args=[*FLAGS, consent, f"--use-file-for-fake-audio-capture={clip[0]}%noloop", *flags],
                viewport={"width": width, "height": height},
            )
            context.set_default_timeout(PATIENCE_MS)
            context.on("weberror", lambda error: thrown.append(str(error.error)))
            stack.callback(context.close)
            return context

        yield launch
    assert not thrown


def open_page(context: BrowserContext, address: str, tab: int = 0) -> Page:
    """The page in a tab, ready for use."""
    page = context.pages[tab] if tab < len(context.pages) else context.new_page()
    page.goto(address + "/")
    expect(page.locator("#dial input")).to_have_count(5)
    return page


def text(page: Page, lang: str) -> str:
    """Everything that is shown in a language."""
    return " ".join(page.locator(f"#captions p.{lang}").all_inner_texts()).strip()


def figure(page: Page, selector: str, name: str) -> float:
    """A number that the page keeps beside a figure; 0 before there is one."""
    return float(page.locator(selector).get_attribute(f"data-{name}") or 0)


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait for something that no locator can tell."""
    for _ in range(PATIENCE_MS // 100):
        if holds():
            return
        page.wait_for_timeout(100)
    pytest.fail("it did not come about")


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def test_captions_in_both_languages_and_german_speech_come_while_the_speaker_is_still_talking(
    service: str, browse: Browse, clip: tuple[Path, float]
) -> None:
    context = browse()
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    page = open_page(context, service)
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#captions p.en").first).to_have_text(re.compile(r"\w"))
    expect(page.locator("#captions p.de").first).to_have_text(re.compile(r"\w"))
    expect(page.locator("#laal")).to_have_text(re.compile(r"^\d+\.\d s$"))
    until(page, lambda: figure(page, "#voice", "energy") > 0.5)
    heard_ms = figure(page, "#upload", "sent-ms")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "speaking-1280.png")
    assert sideways(page) == 0
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=SCREENSHOTS / "speaking-390.png")
    assert sideways(page) == 0
    assert heard_ms < clip[1] * 1000, "the speaker had finished before all this was there"

    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Ready")
    expect(page.locator("#trouble")).to_be_hidden()
    assert page.locator("#captions .unstable").evaluate_all("spans => spans.every(span => span.textContent === '')")
    assert figure(page, "#voice", "played-ms") > 300
    assert all(url.startswith(service) for url in requests), "the page asked somebody else"


def test_the_sample_needs_no_microphone_and_leaves_a_transcript(service: str, browse: Browse) -> None:
    page = open_page(browse(allow=False), service)
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#state")).to_have_text("Ready")
    expect(page.locator("#voice")).to_have_text("0.0 s")  # all was played
    page.screenshot(path=_folder(SCREENSHOTS) / "sample-1280.png")
    assert len(text(page, "en").split()) > 5
    assert len(text(page, "de").split()) > 5
    assert figure(page, "#voice", "played-ms") > 2000
    assert figure(page, "#voice", "energy") > 1
    written = {}
    for name in ("txt", "srt-de", "srt-both"):
        page.locator("#format").select_option(name)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save").click()
        written[name] = Path(download.value.path()).read_text(encoding="utf-8")
    first = page.locator("#captions p.de").first.inner_text()
    assert f"de: {first}" in written["txt"]
    assert "en: " in written["txt"]
    assert first.split()[0] in written["srt-de"]
    assert re.search(r"^1\n00:00:\d\d,\d{3} --> 00:00:\d\d,\d{3}\n", written["srt-both"])
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#captions li")).to_have_count(0)
    expect(page.get_by_role("heading", name="Say it in English")).to_be_visible()


def test_what_the_server_gets_is_what_was_said(service: str, browse: Browse, clip: tuple[Path, float]) -> None:
    page = open_page(browse(allow=False), service)
    frames: list[bytes] = []

    def listen(websocket: WebSocket) -> None:
        websocket.on("framesent", lambda frame: frames.append(frame) if isinstance(frame, bytes) else None)

    page.on("websocket", listen)
    page.get_by_role("button", name="Try the sample").click()
    until(page, lambda: figure(page, "#upload", "sent-ms") > 4000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Ready")
    headers = [struct.unpack_from("<BBHII", frame) for frame in frames]
    sizes = [(len(frame) - 12) // 2 for frame in frames]
    assert [header[:4] for header in headers] == [(1, 0, 0, n) for n in range(len(frames))]
    assert [header[4] for header in headers] == [sum(sizes[:n]) for n in range(len(frames))]
    assert set(sizes[:-1]) <= {2560}, "bundles of 160 ms"
    sent = np.concatenate([np.frombuffer(frame[12:], "<i2") for frame in frames]) / 32768
    said = soundfile.read(SAMPLE)[0][: len(sent) + 1600]
    match = scipy.signal.correlate(sent, said[: len(sent)])
    lag = int(np.argmax(match)) - len(sent) + 1
    assert 0 <= lag < 4800, "it starts when the clip starts"
    heard, true = sent[lag:], said[: len(sent) - lag]
    assert np.dot(heard, true) ** 2 > 0.98 * np.dot(heard, heard) * np.dot(true, true)


def test_a_refused_microphone_is_told_in_clear_words(service: str, browse: Browse) -> None:
    page = open_page(browse(allow=False), service)
    page.get_by_role("button", name="Start talking").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The microphone is blocked")
    expect(alert).to_contain_text("Allow the microphone in the site settings")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()
    page.screenshot(path=_folder(SCREENSHOTS) / "refused-1280.png")
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=SCREENSHOTS / "refused-390.png")
    assert sideways(page) == 0
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 640})
        assert sideways(page) == 0
        beyond = "buttons => buttons.map(button => button.scrollWidth - button.clientWidth)"
        assert max(page.locator(".actions .button").evaluate_all(beyond)) <= 0, "words stick out of a button"
    expect(page.get_by_role("button", name="Start talking")).to_be_enabled()


def test_an_insecure_address_is_explained(service: str, browse: Browse) -> None:
    page = open_page(
        browse("--host-resolver-rules=MAP talks.test 127.0.0.1"), service.replace("127.0.0.1", "talks.test")
    )
    expect(page.get_by_role("alert")).to_contain_text("The microphone needs a secure address")
    expect(page.get_by_role("alert")).to_contain_text("--tls-self-signed")
    expect(page.get_by_role("alert")).to_contain_text(service.replace("127.0.0.1", "localhost"))


def test_a_name_that_the_server_does_not_know_is_told_how_to_be_allowed(service: str, browse: Browse) -> None:
    address = service.replace("127.0.0.1", "talks.test")
    context = browse(
        "--host-resolver-rules=MAP talks.test 127.0.0.1", f"--unsafely-treat-insecure-origin-as-secure={address}"
    )
    page = open_page(context, address)
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("alert")).to_contain_text("The server refused this page")
    expect(page.get_by_role("alert")).to_contain_text(f"--origin {address}")


def test_a_dropped_connection_comes_back_by_itself_and_nothing_is_lost(service: str, browse: Browse) -> None:
    wire = Wire(int(service.rpartition(":")[2]))
    try:
        context = browse()
        whole = open_page(context, service)
        page = open_page(context, f"http://127.0.0.1:{wire.port}", tab=1)
        for tab in (whole, page):
            tab.get_by_role("button", name="Try the sample").click()
        for _ in range(2):
            expect(page.locator("#captions p.en").first).to_have_text(re.compile(r"\w"))
            wire.pull()
            expect(page.locator("#state")).to_have_text("Reconnecting…")
            expect(page.get_by_role("alert")).to_contain_text("Go on speaking")
            page.wait_for_timeout(700)
            wire.plug_in()
            expect(page.get_by_role("alert")).to_be_hidden()
        for tab in (whole, page):
            expect(tab.locator("#state")).to_have_text("Ready")
        for lang in ("en", "de"):
            assert text(page, lang) == text(whole, lang) != ""
        expect(page.locator("#captions li.first-of-run")).to_have_count(1)
    finally:
        wire.close()


def test_who_does_not_come_back_in_time_is_told_and_reconnecting_goes_on_below_what_was_said(
    service: str, browse: Browse
) -> None:
    wire = Wire(int(service.rpartition(":")[2]))
    try:
        page = open_page(browse(), f"http://127.0.0.1:{wire.port}")
        page.get_by_role("button", name="Try the sample").click()
        expect(page.locator("#captions p.en").first).to_have_text(re.compile(r"\w"))
        wire.pull()
        alert = page.get_by_role("alert")
        expect(page.locator("#state")).to_have_text("Reconnecting…")
        page.screenshot(path=_folder(SCREENSHOTS) / "reconnecting-1280.png")
        expect(page.locator("#state")).to_have_text("Disconnected")
        expect(alert).to_contain_text("The connection dropped")
        page.screenshot(path=_folder(SCREENSHOTS) / "dropped-1280.png")
        before = text(page, "en")
        rows = page.locator("#captions li").count()
        wire.plug_in()
        alert.get_by_role("button", name="Reconnect").click()
        expect(page.locator("#captions li.first-of-run")).to_have_count(2)
        assert page.locator("#captions li").count() > rows
        assert text(page, "en").startswith(before)
        expect(alert).to_be_hidden()
    finally:
        wire.close()


def test_a_full_server_is_told_in_clear_words(service: str, browse: Browse) -> None:
    context = browse()
    for tab in range(PLACES):
        page = open_page(context, service, tab)
        page.get_by_role("button", name="Start talking").click()
        expect(page.locator("#state")).to_have_text("Listening")
    late = open_page(context, service, PLACES)
    late.get_by_role("button", name="Start talking").click()
    expect(late.get_by_role("alert")).to_contain_text("The server is full")
    expect(late.get_by_role("button", name="Try again")).to_be_visible()


def test_the_dial_and_the_voice_switch_work_from_the_keyboard_and_reach_the_running_stream(
    service: str, browse: Browse
) -> None:
    page = open_page(browse(), service)
    told: list[dict[str, Any]] = []

    def listen(websocket: WebSocket) -> None:
        websocket.on("framesent", lambda frame: told.append(json.loads(frame)) if isinstance(frame, str) else None)

    page.on("websocket", listen)
    page.get_by_role("button", name="Start talking").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Listening")
    page.get_by_role("radio", name="medium").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="low")).to_be_checked()
    page.get_by_role("switch", name="Speak").focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(500)
    configs = [message for message in told if message["type"] == "config"]
    assert [config["latency"] for config in configs] == ["medium", "low", "low"]
    assert [config["output"] for config in configs] == [["captions", "audio"], ["captions", "audio"], ["captions"]]
    assert page.locator("#state").inner_text() == "Listening"
    page.reload()
    expect(page.get_by_role("radio", name="low")).to_be_checked()
    expect(page.get_by_role("switch", name="Speak")).not_to_be_checked()


def test_the_keyboard_is_never_left_on_a_control_that_went_away(service: str, browse: Browse) -> None:
    page = open_page(browse(allow=False), service)
    page.get_by_role("button", name="Start talking").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Close this message").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="Start talking")).to_be_focused()
    page.get_by_role("button", name="Try the sample").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
