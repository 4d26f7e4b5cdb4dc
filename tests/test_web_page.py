"""The page in a real Chromium against a real server process with the model that ships: what a person sees and hears.

Screenshots of the first test lie in build/screenshots afterwards.
"""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile
from browsing import (
    PLACES,
    SAMPLE,
    SCREENSHOTS,
    Browse,
    Wire,
    browse,  # noqa: F401
    clip,  # noqa: F401
    figure,
    folder,
    metric,
    open_page,
    playwright,  # noqa: F401
    service,  # noqa: F401
    sideways,
    steady,  # noqa: F401
    text,
    uncoded,
    until,
)
from playwright.sync_api import WebSocket, expect

pytestmark = pytest.mark.browser


def test_captions_in_both_languages_and_german_speech_come_while_the_speaker_is_still_talking(
    service: str, browse: Browse, clip: tuple[Path, float], tmp_path: Path
) -> None:
    pcm, rate_hz = soundfile.read(clip[0], dtype="float32")
    soundfile.write(tmp_path / "talk.wav", np.tile(pcm, 4), rate_hz, subtype="PCM_16")  # a minute
    context = browse(f"--use-file-for-fake-audio-capture={tmp_path / 'talk.wav'}%noloop")
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    page = open_page(context, service)
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#captions p.en").first).to_have_text(re.compile(r"\w"))
    expect(page.locator("#captions p.de").first).to_have_text(re.compile(r"\w"))
    expect(page.locator("#laal")).to_have_text(re.compile(r"^\d+\.\d s$"))
    expect(page.locator("#long-yaal")).to_have_text(re.compile(r"^\d+\.\d s$"))
    until(page, lambda: figure(page, "#voice", "energy") > 0.5)
    heard_ms = figure(page, "#upload", "sent-ms")
    page.screenshot(path=folder(SCREENSHOTS) / "speaking-1280.png")
    assert sideways(page) == 0
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=SCREENSHOTS / "speaking-390.png")
    assert sideways(page) == 0
    assert heard_ms < 4 * clip[1] * 1000, "the speaker had finished before all this was there"

    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Ready")
    expect(page.locator("#trouble")).to_be_hidden()
    assert page.locator("#captions .unstable").evaluate_all("spans => spans.every(span => span.textContent === '')")
    expect(page.locator("#voice")).to_have_text("0.0 s")  # what was queued at the end has been heard
    assert figure(page, "#voice", "played-ms") > 300
    assert all(url.startswith(service) for url in requests), "the page asked somebody else"


def test_the_sample_needs_no_microphone_and_leaves_a_transcript(service: str, browse: Browse) -> None:
    page = open_page(browse(allow=False), service)
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator("#state")).to_have_text("Listening")
    expect(page.locator("#state")).to_have_text("Ready")
    expect(page.locator("#voice")).to_have_text("0.0 s")  # all was played
    page.screenshot(path=folder(SCREENSHOTS) / "sample-1280.png")
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
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#captions li")).to_have_count(0)
    expect(page.get_by_role("heading", name="Say it in English")).to_be_visible()


def test_what_the_server_gets_is_what_was_said(service: str, browse: Browse) -> None:
    page = open_page(uncoded(browse(allow=False)), service)
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
    page.screenshot(path=folder(SCREENSHOTS) / "refused-1280.png")
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
        browse("--host-resolver-rules=MAP talks.test 127.0.0.1"),
        service.replace("127.0.0.1", "talks.test"),
        known=False,
    )
    expect(page.get_by_role("alert")).to_contain_text("The microphone needs a secure address")
    expect(page.get_by_role("alert")).to_contain_text("--tls-self-signed")
    expect(page.get_by_role("alert")).to_contain_text(service.replace("127.0.0.1", "localhost"))


def test_a_name_that_the_server_does_not_know_is_told_how_to_be_allowed(service: str, browse: Browse) -> None:
    address = service.replace("127.0.0.1", "talks.test")
    context = browse(
        "--host-resolver-rules=MAP talks.test 127.0.0.1", f"--unsafely-treat-insecure-origin-as-secure={address}"
    )
    page = open_page(context, address, known=False)
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("alert")).to_contain_text("The server refused this page")
    expect(page.get_by_role("alert")).to_contain_text(f"--origin {address}")


def test_a_dropped_connection_comes_back_by_itself_and_nothing_is_lost(steady: str, browse: Browse) -> None:
    wire = Wire(int(steady.rpartition(":")[2]))
    try:
        context = browse()
        whole = open_page(context, steady)
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


def test_who_does_not_come_back_in_time_goes_on_in_another_session_below_what_was_said(
    service: str, browse: Browse
) -> None:
    wire = Wire(int(service.rpartition(":")[2]))
    try:
        page = open_page(browse(), f"http://127.0.0.1:{wire.port}")
        page.get_by_role("button", name="Try the sample").click()
        expect(page.locator("#captions p.en").first).to_have_text(re.compile(r"\w"))
        wire.pull()
        expect(page.locator("#state")).to_have_text("Reconnecting…")
        page.screenshot(path=folder(SCREENSHOTS) / "reconnecting-1280.png")
        for parked in (1, 0):
            until(page, lambda parked=parked: metric(service, "streamst_sessions_parked") == parked)
        before = text(page, "en")
        wire.plug_in()
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#captions li.first-of-run")).to_have_count(2)
        expect(page.locator("#state")).to_have_text("Ready")
        assert text(page, "en").startswith(before)
        whole_ms = 1000 * soundfile.info(SAMPLE).duration
        assert figure(page, "#upload", "sent-ms") > whole_ms - 200, "what was said meanwhile went out as well"
        assert len(text(page, "en").split()) > len(before.split()) + 5
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
    until(page, lambda: len([message for message in told if message["type"] == "config"]) == 3)
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
