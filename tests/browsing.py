"""A real Chromium at a real server process with the model that ships: what the tests of the page share."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "web" / "sample.flac"
SCREENSHOTS = ROOT / "build" / "screenshots"
PLACES = 2  # sessions that the server admits
PARK_S = 6.0  # how long it waits for a page whose connection dropped
PATIENCE_MS = 120_000  # two slow cores also run the model and the browser
LONGEST_S = 900.0  # of a test: then its browser ends, and whatever waits for it fails
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
SERVE = """
import json, sys
from streamst.pipeline import load
from streamst.server.app import serve
from streamst.server.operator.options import ServerOptions
serve(load(recogniser=sys.argv[2] or None), ServerOptions(**json.loads(sys.argv[1])))
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


class Server:
    """A server process with the shipped model, which can be stopped and started again at its address."""

    def __init__(self, recogniser: str = "", **options: object) -> None:
        self._recogniser = recogniser
        calm = {"refuse_when_busy": False, "relieve_when_busy": False, "port": 0}
        self._options = calm | options
        self.address = self.start()

    def start(self) -> str:
        """Start it, at the port of before where there was one; returns its address."""
        command = [sys.executable, "-c", SERVE, json.dumps(self._options), self._recogniser]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"the server said {line!r} and ended with {self._process.poll()}"
        self._options["port"] = int(found.group(1))
        return found.group()

    def stop(self, kill: bool = False) -> None:
        """End it, in order or at once."""
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.communicate()


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of a server that few may use and that waits little."""
    server = Server(max_sessions=PLACES, park_s=PARK_S)
    yield server.address
    server.stop()


@pytest.fixture
def steady() -> Iterator[str]:
    """As `service`, with the recogniser whose words do not change with the smallest change of the sound."""
    server = Server("own", park_s=PARK_S)
    yield server.address
    server.stop()


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


def end_browser(profile: Path) -> None:
    """Kill the Chromium of a profile, so that nobody waits for it for ever."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if str(profile).encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                os.kill(int(name), signal.SIGKILL)


@pytest.fixture
def browse(playwright: Playwright, clip: tuple[Path, float], tmp_path: Path) -> Iterator[Browse]:
    """Opens Chromium with a fresh profile and the clip as its microphone. No page may throw anything meanwhile.

    The pages move nothing (`prefers-reduced-motion`): a colour or a size is what it will be as soon as it can be read.
    """
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
                reduced_motion="reduce",
            )
            context.set_default_timeout(PATIENCE_MS)
            context.on("weberror", lambda error: thrown.append(str(error.error)))
            watchdog = threading.Timer(LONGEST_S, end_browser, [tmp_path / "profile"])
            watchdog.daemon = True
            watchdog.start()
            stack.callback(watchdog.cancel)
            stack.callback(context.close)
            return context

        yield launch
    assert not thrown, thrown


def uncoded(context: BrowserContext) -> BrowserContext:
    """Speech travels as it is, however slow a busy machine makes the network look."""
    context.add_init_script("if (location.protocol === 'http:') localStorage.setItem('streamst.codec', 'pcm16')")
    return context


def open_page(context: BrowserContext, address: str, tab: int = 0, *, known: bool = True) -> Page:
    """The page in a tab, ready for use. known: the server goes by the name in `address`, and tells what it offers."""
    page = context.pages[tab] if tab < len(context.pages) else context.new_page()
    page.goto(address + "/")
    expect(page.locator("#dial input")).to_have_count(5 if known else 0)
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


def metric(address: str, name: str) -> float:
    """A figure of the server's `/metrics`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}/metrics", timeout=PATIENCE_MS / 1000) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def folder(path: Path) -> Path:
    """`path`, made where it is not there."""
    path.mkdir(parents=True, exist_ok=True)
    return path
