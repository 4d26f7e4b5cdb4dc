"""What stands around a talk on the speaker's page, in a real Chromium: sources, volumes, echo, keys, files, words."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from browsing import (
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    playwright,  # noqa: F401
    text,
    until,
)
from playwright.sync_api import FilePayload, Page, Request, expect
from talking import light, loudness, staged, voice  # noqa: F401

pytestmark = pytest.mark.browser

NOISE: FilePayload = {"name": "noise.mp3", "mimeType": "audio/mpeg", "buffer": b"no sound at all" * 99}
GERMAN_FIRST = """
if (location.protocol === "http:") localStorage.getItem("streamst.ui") ?? localStorage.setItem("streamst.ui", "de");
"""


def terms_file(words: str) -> FilePayload:
    return {"name": "terms.tsv", "mimeType": "text/tab-separated-values", "buffer": words.encode()}


def live(page: Page) -> None:
    page.locator("#start").click()
    expect(page.locator("#state")).to_have_text("Listening")


def test_a_file_is_heard_and_one_that_is_no_audio_is_told(light: str, browse: Browse, clip: tuple[Path, float]) -> None:
    page, stage = staged(light, browse)
    with page.expect_file_chooser() as noise:
        page.locator("#input").select_option("file")
    noise.value.set_files(NOISE)
    expect(page.locator("#input")).to_contain_text("File: noise.mp3")
    page.get_by_role("button", name="Play the file").click()
    expect(page.get_by_role("alert")).to_contain_text("The file cannot be heard")
    with page.expect_file_chooser() as another:
        page.get_by_role("button", name="Play the file").click()
    another.value.set_files(clip[0])
    expect(page.locator("#input")).to_contain_text("File: clip.wav")
    page.get_by_role("button", name="Play the file").click()
    expect(page.locator("#state")).to_have_text("Listening")
    until(page, lambda: loudness(stage.frames) > 1000)
    assert page.locator("#level").get_attribute("role") == "meter"
    until(page, lambda: float(page.locator("#level").get_attribute("aria-valuenow") or 0) > 5)


def test_a_tab_is_heard_and_one_that_is_shared_without_sound_is_told(light: str, browse: Browse) -> None:
    sound = """
        const tone = () => {
          const context = new AudioContext(), end = new MediaStreamAudioDestinationNode(context);
          const tone = new OscillatorNode(context, {frequency: 300});
          tone.connect(end);
          tone.start();
          return end.stream.getAudioTracks()[0];
        };
        if (navigator.mediaDevices) navigator.mediaDevices.getDisplayMedia = async () => {
          const stream = document.createElement("canvas").captureStream();
          if (window.silent) return stream;
          stream.addTrack(window.track = tone());
          return stream;
        };"""
    page, stage = staged(light, browse, sound)
    page.locator("#input").select_option("tab")
    page.evaluate("window.silent = true")
    page.get_by_role("button", name="Share sound").click()
    expect(page.get_by_role("alert")).to_contain_text("No sound is shared")
    expect(page.get_by_role("alert")).to_contain_text("Also share tab audio")
    page.evaluate("window.silent = false")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#state")).to_have_text("Listening")
    until(page, lambda: loudness(stage.frames) > 10_000)
    page.evaluate("track.dispatchEvent(new Event('ended'))")
    expect(page.get_by_role("alert")).to_contain_text("The sharing has ended")


def test_push_to_talk_sends_silence_until_the_button_or_the_space_bar_is_held(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse)
    page.locator("#scroller").focus()
    page.keyboard.press("?")
    page.get_by_label("Push to talk").check()
    page.keyboard.press("s")  # in a dialog keys are not commands
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#state")).to_have_text("Ready")
    page.locator("#scroller").focus()
    page.keyboard.press("s")
    expect(page.locator("#state")).to_have_text("Not talking")
    until(page, lambda: len(stage.frames) > 6)
    assert loudness(stage.frames) == 0
    page.locator("#scroller").focus()
    page.keyboard.down(" ")
    expect(page.locator("#state")).to_have_text("Listening")
    until(page, lambda: loudness(stage.frames) > 1000)
    page.keyboard.up(" ")
    expect(page.locator("#state")).to_have_text("Not talking")
    before = len(stage.frames)
    until(page, lambda: len(stage.frames) > before + 4)
    assert loudness(stage.frames[before + 2 :]) == 0
    page.get_by_role("button", name="Hold to talk").hover()
    page.mouse.down()
    expect(page.get_by_role("button", name="Hold to talk")).to_have_attribute("aria-pressed", "true")
    page.mouse.up()
    expect(page.locator("#state")).to_have_text("Not talking")


def test_text_is_saved_in_every_form_with_the_speech_copied_searched_and_enlarged(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse, "", width=1280)
    page.context.grant_permissions(["clipboard-read", "clipboard-write", "microphone"], origin=light)
    live(page)
    stage.caption(0, "A train <b>leaves</b>.", "Ein Zug fährt ab.")
    stage.caption(1, "The train is late.", "Der Zug & mehr.")
    stage.speak(voice()[:16_000])
    expect(page.locator("#captions li")).to_have_count(2)
    expect(page.locator("#format option[value=wav]")).to_have_count(1)
    page.locator("#start").click()
    expect(page.locator("#state")).to_have_text("Ready")

    def saved(form: str) -> bytes:
        page.locator("#format").select_option(form)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save").click()
        return Path(download.value.path()).read_bytes()

    assert saved("txt").decode().count("de: ") == 2
    assert b"00:00:03,000 --> 00:00:05,500" in saved("srt-both")
    vtt = saved("vtt-both").decode()
    assert vtt.startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nA train &lt;b&gt;leaves&lt;/b&gt;.\nEin Zug fährt ab.\n"
    )
    assert "Der Zug &amp; mehr." in vtt
    with wave.open(io.BytesIO(saved("wav"))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32_768
    assert np.allclose(pcm[-16_000:], voice()[:16_000], atol=2 / 32_768)
    page.get_by_role("button", name="Copy the text").click()
    expect(page.locator("#copied")).to_have_text("Copied")
    assert "de: Ein Zug fährt ab." in page.evaluate("navigator.clipboard.readText()")

    page.keyboard.press("/")
    page.keyboard.type("zug")
    expect(page.locator("#search-count")).to_have_text("2 found")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#search-count")).to_have_text("2 of 2")
    assert page.evaluate("[...CSS.highlights.get('found-here')].map(String)") == ["Zug"]
    page.keyboard.press("Escape")
    expect(page.locator("#search-count")).to_have_text("")

    size = "parseFloat(getComputedStyle(document.querySelector('#captions p.de')).fontSize)"
    before = page.evaluate(size)
    page.get_by_role("button", name="Larger letters").click()
    page.locator("#scroller").focus()
    page.keyboard.press("+")
    assert page.evaluate(size) == pytest.approx(1.45 * before, rel=0.01)
    page.keyboard.press("?")
    page.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    page.locator("#scroller").focus()
    page.keyboard.press("+")
    page.reload()
    kept = "document.querySelector('#stage').style.getPropertyValue('--size')"
    until(page, lambda: page.evaluate(kept) == "1.45")


def test_subtitles_stand_in_a_window_of_their_own_as_text(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse)
    if not page.evaluate("'documentPictureInPicture' in window"):
        expect(page.locator("#float")).to_be_hidden()
        return
    live(page)
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Subtitles in a window").click()
    stage.caption(0, "A train.", "Ein <i>Zug</i>.")
    expect(opened.value.locator("p")).to_have_text("Ein <i>Zug</i>.")
    assert opened.value.locator("i").count() == 0
    assert opened.value.locator("p").get_attribute("lang") == "de"
    page.get_by_role("button", name="Subtitles in a window").click()
    until(page, lambda: page.evaluate("documentPictureInPicture.window === null"))


def test_the_page_speaks_german_and_changes_its_language_in_the_midst_of_a_talk(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse, GERMAN_FIRST)
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_role("button", name="Sprechen", exact=True).click()
    expect(page.locator("#state")).to_have_text("Hört zu")
    stage.caption(0, "Stop. Ready.", "Halt. Bereit.")
    expect(page.get_by_text("Voice queue")).to_have_count(0)
    expect(page.locator("#voice-legend")).to_have_text("Stimme (Deutsch)")
    page.get_by_role("button", name="Mehr").click()
    page.get_by_label("Sprache dieser Seite").select_option("en")
    expect(page.locator("#state")).to_have_text("Listening")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.locator("#voice-legend")).to_have_text("German voice")
    assert (text(page, "en"), text(page, "de")) == ("Stop. Ready.", "Halt. Bereit."), "what was said is not translated"


def test_a_glossary_is_typed_and_read_from_a_file_kept_sent_and_never_markup(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse)
    page.get_by_role("button", name="Glossary").click()
    box = page.get_by_role("textbox", name="Glossary")
    box.fill("metformin = Metformin\nOkafor\n= nothing\n")
    page.locator("#terms-file").set_input_files(terms_file("<img src=x onerror=alert(1)>\tBild\n"))
    expect(page.locator("#terms-state")).to_have_text("3 terms.")
    expect(page.locator("#terms-faults")).to_contain_text("line 3, “= nothing”")
    page.get_by_role("button", name="Done").click()
    live(page)
    terms = [["metformin", "Metformin"], ["Okafor", ""], ["<img src=x onerror=alert(1)>", "Bild"]]
    until(page, lambda: bool(stage.configs))
    assert stage.configs[0]["glossary"] == terms
    reason = {"entry": 3, "source": "<img src=x onerror=alert(1)>", "reason": "<b>it cannot be spoken</b>"}
    stage.say("configured", glossary={"used": 2, "left_out": 1, "reasons": [reason]})
    expect(page.locator("#terms-count")).to_have_text("2")
    page.get_by_role("button", name="Glossary").click()
    expect(page.locator("#terms-state")).to_contain_text("The server uses 2.")
    expect(page.locator("#terms-faults")).to_contain_text("<img src=x onerror=alert(1)>: <b>it cannot be spoken</b>")
    assert page.locator("dialog img[src=x], dialog li b").count() == 0
    page.reload()
    expect(page.locator("#terms-count")).to_have_text("3")
    names = ["".join("abcdefghij"[int(digit)] for digit in f"{n:04}") for n in range(10_000)]
    page.get_by_role("button", name="Glossary").click()
    box.fill("")
    page.locator("#terms-file").set_input_files(terms_file("".join(f"{name}\tBegriff\n" for name in names)))
    expect(page.locator("#terms-state")).to_have_text("10000 terms.")
    page.get_by_role("button", name="Done").click()
    live(page)
    until(page, lambda: len(stage.configs[-1].get("glossary", ())) == 10_000)


def test_the_first_view_is_small_and_the_page_can_be_installed(light: str, browse: Browse) -> None:
    page = browse().new_page()
    finished: list[Request] = []
    page.on("requestfinished", lambda one: finished.append(one))
    page.goto(light + "/")
    expect(page.locator("#dial input")).to_have_count(5)
    page.wait_for_load_state("networkidle")
    sizes = [request.sizes()["responseBodySize"] for request in list(finished)]
    assert len(sizes) > 20
    assert sum(sizes) <= 150_000
    devtools = page.context.new_cdp_session(page)
    found = devtools.send("Page.getAppManifest")
    assert found["errors"] == []
    assert json.loads(found["data"])["display"] == "standalone"
    missing = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in missing if error["errorId"] != "in-incognito"] == []
