"""Nothing stops without a word: in a real Chromium, what ends a session or takes the sound away is told or mended."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from browsing import (
    SAMPLE,
    SCREENSHOTS,
    Browse,
    Server,
    browse,  # noqa: F401
    clip,  # noqa: F401
    figure,
    folder,
    open_page,
    playwright,  # noqa: F401
    service,  # noqa: F401
    text,
    uncoded,
    until,
)
from playwright.sync_api import BrowserContext, Page, WebSocket, expect

pytestmark = pytest.mark.browser

KEY = "a key/of=signs, that no subprotocol may hold"
WITHIN_REACH = """
window.contexts = [];
window.AudioContext = class extends AudioContext {
  constructor(options) { super({...options, ...window.contextOptions}); contexts.push(this); }
};
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await ask(wanted));
"""
TAKEN = "() => { contexts[0].resume = () => Promise.reject(new Error('a call has the sound')); }"


@pytest.fixture
def short() -> Iterator[Server]:
    """A server whose sessions last 8 s."""
    server = Server(max_duration_s=8.0)
    yield server
    server.stop()


@pytest.fixture
def impatient() -> Iterator[Server]:
    """A server that hangs up after 12 s without audio."""
    server = Server(idle_s=12.0)
    yield server
    server.stop()


def open_reachable(context: BrowserContext, address: str, options: str = "{}") -> Page:
    """The page, its AudioContext and microphone within reach of the test."""
    context.add_init_script(f"window.contextOptions = {options};" + WITHIN_REACH)
    return open_page(context, address)


def frames_of(page: Page) -> list[list[bytes]]:
    """The audio messages of each websocket that the page opens."""
    sockets: list[list[bytes]] = []

    def listen(websocket: WebSocket) -> None:
        frames: list[bytes] = []
        sockets.append(frames)
        websocket.on("framesent", lambda frame: frames.append(frame) if isinstance(frame, bytes) else None)

    page.on("websocket", listen)
    return sockets


def same_as_sample(frames: list[bytes]) -> bool:
    """Whether the frames one after the other are the sample's beginning, nothing left out and nothing twice."""
    sent = np.concatenate([np.frombuffer(frame[12:], "<i2") for frame in frames]) / 32768
    said = soundfile.read(SAMPLE)[0][: len(sent)]
    lag = int(np.argmax(scipy.signal.correlate(sent, said))) - len(said) + 1
    heard, true = sent[lag : lag + len(said)], said[: len(sent) - lag]
    return 0 <= lag < 4800 and np.dot(heard, true) ** 2 > 0.98 * np.dot(heard, heard) * np.dot(true, true)


def test_a_talk_goes_on_when_a_session_has_lasted_its_longest_and_every_sample_is_heard_once(
    short: Server, browse: Browse
) -> None:
    page = open_page(uncoded(browse()), short.address)
    sockets = frames_of(page)
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#captions li.first-of-run")).to_have_count(2)
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#state")).to_have_text("Ready")
    expect(page.locator("#trouble")).to_be_hidden()
    assert len(sockets) >= 3, "16.8 s in sessions of 8 s"
    heard: list[bytes] = []
    for frames in sockets:  # each session repeats what the one before did not hear
        again = [n for n, frame in enumerate(heard) if frames and frame[12:] == frames[0][12:]]
        heard = heard[: again[-1] if again else None] + frames
    assert same_as_sample(heard)


def test_a_server_that_is_restarted_is_waited_for_and_the_talk_goes_on(browse: Browse) -> None:
    server = Server(drain_s=1.0)
    try:
        page = open_page(browse(), server.address)
        for kill in (False, True):
            page.get_by_role("button", name="Try the sample").click()
            expect(page.locator("#state")).to_have_text("Listening")
            until(page, lambda: figure(page, "#upload", "sent-ms") > 3000)
            runs = page.locator("#captions li.first-of-run").count()
            server.stop(kill)
            expect(page.locator("#state")).to_have_text("Reconnecting…")
            told = "The connection dropped" if kill else "The server is being restarted"
            expect(page.get_by_role("alert")).to_contain_text(told)
            assert server.start() == server.address
            expect(page.get_by_role("alert")).to_be_hidden()
            expect(page.locator("#captions li.first-of-run")).to_have_count(runs + 1)
            expect(page.locator("#state")).to_have_text("Ready")
            whole_ms = 1000 * soundfile.info(SAMPLE).duration
            assert figure(page, "#upload", "sent-ms") > whole_ms - 200
    finally:
        server.stop()


def test_sound_that_is_paused_is_resumed_and_where_that_fails_it_is_told(impatient: Server, browse: Browse) -> None:
    page = open_reachable(browse(), impatient.address)
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#state")).to_have_text("Listening")
    page.evaluate("contexts[0].suspend()")
    page.wait_for_function("contexts[0].state === 'running'")
    expect(page.locator("#trouble")).to_be_hidden()

    page.evaluate(TAKEN)
    page.evaluate("contexts[0].suspend()")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Nothing is heard")
    expect(page.locator("#state")).to_have_text("Not listening")
    page.screenshot(path=folder(SCREENSHOTS) / "asleep-1280.png")
    page.evaluate("delete contexts[0].resume")
    alert.get_by_role("button", name="Listen again").click()
    expect(page.locator("#state")).to_have_text("Listening")
    expect(alert).to_be_hidden()

    page.evaluate(TAKEN)
    page.evaluate("contexts[0].suspend()")
    expect(alert).to_contain_text("Nothing was heard for a long time")
    expect(page.locator("#state")).to_have_text("Disconnected")
    expect(alert.get_by_role("button", name="Reconnect")).to_be_visible()


def test_a_microphone_that_is_muted_or_goes_away_is_told(service: str, browse: Browse) -> None:
    page = open_reachable(browse(), service)
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#state")).to_have_text("Listening")
    mute = """on => {
        const [track] = stream.getAudioTracks();
        Object.defineProperty(track, 'muted', {value: on, configurable: true});
        track.dispatchEvent(new Event(on ? 'mute' : 'unmute'));
    }"""
    alert = page.get_by_role("alert")
    page.evaluate(mute, True)
    expect(alert).to_contain_text("The microphone is muted")
    expect(page.locator("#state")).to_have_text("Muted")
    page.evaluate(mute, False)
    expect(alert).to_be_hidden()
    expect(page.locator("#state")).to_have_text("Listening")
    page.evaluate("stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    expect(alert).to_contain_text("The microphone went away")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()


def test_a_device_that_gives_other_blocks_than_128_is_heard_whole(service: str, browse: Browse) -> None:
    page = open_reachable(uncoded(browse()), service, "{renderSizeHint: 256}")
    sockets = frames_of(page)
    page.get_by_role("button", name="Try the sample").click()
    until(page, lambda: figure(page, "#upload", "sent-ms") > 4000)
    assert page.evaluate("contexts[0].renderQuantumSize") == 256
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Ready")
    assert same_as_sample(sockets[0])


def test_a_server_that_needs_a_key_asks_for_it_and_takes_it(browse: Browse, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[[keys]]\nname = "talks"\nkey = "{KEY}"\n', encoding="utf-8")
    server = Server(api_keys=str(keys))
    try:
        page = open_page(browse(), server.address)
        page.get_by_role("button", name="Try the sample").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("This server needs an API key")
        page.screenshot(path=folder(SCREENSHOTS) / "key-1280.png")
        alert.get_by_label("API key").fill("another key that is long enough")
        alert.get_by_role("button", name="Use this key").click()
        expect(alert).to_contain_text("does not know this API key")
        alert.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_have_text("Listening")
        expect(alert).to_be_hidden()
        page.reload()
        page.get_by_role("button", name="Try the sample").click()
        expect(page.locator("#state")).to_have_text("Listening")
    finally:
        server.stop()


def test_a_reload_keeps_what_was_said_until_it_is_cleared_which_is_asked_before(service: str, browse: Browse) -> None:
    page = open_page(browse(), service)
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator("#captions p.de").first).to_have_text(re.compile(r"\w"))
    expect(page.locator("#state")).to_have_text("Ready")  # the sample ends by itself
    said = text(page, "en"), text(page, "de")
    page.reload()
    expect(page.locator("#captions p.en").first).to_have_text(re.compile(r"\w"))
    assert (text(page, "en"), text(page, "de")) == said
    assert page.locator("#announce").inner_text() == "", "it is not read out again"
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator("#captions li.first-of-run")).to_have_count(2)
    expect(page.locator("#state")).to_have_text("Ready")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("dialog")).to_contain_text("Clear the transcript?")
    page.screenshot(path=folder(SCREENSHOTS) / "clear-1280.png")
    page.keyboard.press("Escape")
    assert text(page, "en").startswith(said[0])
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#captions li")).to_have_count(0)
    page.reload()
    expect(page.locator("#dial input")).to_have_count(5)
    expect(page.locator("#captions li")).to_have_count(0)
