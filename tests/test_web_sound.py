"""What the loudspeaker plays in a real Chromium: an echo that is kept out, the original under the dub, two pages."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browsing import (
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    figure,
    playwright,  # noqa: F401
    until,
)
from playwright.sync_api import Page, expect
from talking import Stage, light, loudness, staged, voice  # noqa: F401

pytestmark = pytest.mark.browser

TOLD = """
window.told = []; // the titles of all troubles, though another one takes their place
addEventListener("DOMContentLoaded", () => {
  const title = document.querySelector("#trouble-title");
  if (title) new MutationObserver(() => told.push(title.textContent)).observe(title, {childList: true});
});
"""
LOOP = """
const connect = AudioNode.prototype.connect;
window.AudioContext = class extends AudioContext {
  constructor(options) {
    super(options);
    window.room = {air: new DelayNode(this, {delayTime: 0.12}), ear: new MediaStreamAudioDestinationNode(this)};
    connect.call(connect.call(room.air, new GainNode(this, {gain: 0.5})), room.ear);
  }
};
AudioNode.prototype.connect = function (to, ...rest) { // what the loudspeaker plays is heard by the microphone
  if (this instanceof GainNode && to === this.context.destination) connect.call(this, room.air);
  return connect.call(this, to, ...rest);
};
if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => room.ear.stream.clone();
"""
GAINS = """
window.gains = [];
window.lowest = 9;
const Gain = GainNode;
window.GainNode = class extends Gain { constructor(...given) { super(...given); gains.push(this); } };
setInterval(() => { if (gains.length > 1) lowest = Math.min(lowest, gains[1].gain.value); }, 20);
"""
ECHO = "The translation comes back through the microphone"


def kept(name: str, value: str) -> str:
    """A setting that the browser remembers."""
    return f"if (location.protocol === 'http:') localStorage.setItem('streamst.{name}', {json.dumps(value)});"


def was_told(page: Page, title: str) -> bool:
    return title in page.evaluate("told")


def speak_until_told(page: Page, stage: Stage) -> None:
    """The dub goes on until the page says that it comes back."""
    page.locator("#start").click()
    expect(page.locator("#state")).to_have_text("Listening")

    def holds() -> bool:
        if float((page.locator("#voice").text_content() or "0").split()[0].replace("–", "0")) < 3:
            stage.speak(voice())
        return was_told(page, ECHO)

    until(page, holds)
    assert float(page.locator("#level").get_attribute("data-echo") or 0) >= 0.75, "the correlation that was measured"
    assert loudness(stage.frames) > 1000, "the dub came back before"


def quiet_from_now_on(page: Page, stage: Stage) -> bool:
    """Whether seven messages in a row are silence."""
    before = len(stage.frames)
    until(page, lambda: len(stage.frames) >= before + 7)
    return loudness(stage.frames[before:]) == 0


def test_a_dub_that_comes_back_through_the_microphone_is_told_and_silenced(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse, TOLD + LOOP)
    speak_until_told(page, stage)
    stage.speak(voice())
    until(page, lambda: quiet_from_now_on(page, stage))
    before = figure(page, "#voice", "played-ms")
    stage.speak(voice())
    until(page, lambda: figure(page, "#voice", "played-ms") > before + 2000)
    assert quiet_from_now_on(page, stage), "it goes on in silence"
    expect(page.get_by_role("alert")).to_contain_text(ECHO)
    page.locator("#trouble-action").click()
    stage.speak(voice())
    before = len(stage.frames)
    until(page, lambda: loudness(stage.frames[before:]) > 1000)


def test_the_microphone_is_silent_while_the_dub_is_heard_where_that_is_wished(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse, TOLD + LOOP + kept("guard", "microphone"))
    speak_until_told(page, stage)
    before = figure(page, "#voice", "energy")
    stage.speak(voice())
    until(page, lambda: quiet_from_now_on(page, stage))
    until(page, lambda: figure(page, "#voice", "energy") > before + 1)


def test_the_original_is_softer_under_the_dub_and_each_has_a_volume(
    light: str, browse: Browse, clip: tuple[Path, float]
) -> None:
    page, stage = staged(light, browse, GAINS)
    with page.expect_file_chooser() as chosen:
        page.locator("#input").select_option("file")
    chosen.value.set_files(clip[0])
    page.get_by_role("button", name="Play the file").click()
    expect(page.locator("#state")).to_have_text("Listening")
    until(page, lambda: page.evaluate("gains.length") == 2)
    dub, original = (f"gains[{n}].gain.value" for n in (0, 1))
    full = page.evaluate(original)
    assert full > 0.5
    stage.speak(voice())
    until(page, lambda: page.evaluate("lowest") < 0.25 * full)
    assert page.evaluate(dub) == pytest.approx(1, abs=0.01), "the dub itself is as loud as before"
    until(page, lambda: page.evaluate(original) > 0.95 * full)
    page.get_by_role("button", name="More").click()
    page.get_by_label("Volume of the original").fill("30")
    page.get_by_role("button", name="Done").click()
    until(page, lambda: page.evaluate(original) < 0.6 * full)
    page.locator("#volume").fill("20")
    until(page, lambda: page.evaluate(dub) < 0.5)


def test_who_talks_in_two_tabs_is_told_and_both_are_heard(light: str, browse: Browse) -> None:
    first, one = staged(light, browse, TOLD)
    second = first.context.new_page()
    other = Stage(second)
    second.goto(light + "/")
    second.locator("#dial input").nth(4).wait_for(state="attached")
    for page in (first, second):
        page.bring_to_front()
        page.locator("#start").click()
        expect(page.locator("#state")).to_have_text("Listening")
    until(second, lambda: was_told(second, "You talk in another tab, too"))
    assert not was_told(first, "You talk in another tab, too")
    for stage in (one, other):
        before = len(stage.frames)
        until(second, lambda stage=stage, before=before: len(stage.frames) > before + 5)
    first.bring_to_front()
    first.get_by_role("button", name="Stop").click()
    expect(first.locator("#state")).to_have_text("Ready")
    before = len(other.frames)
    until(second, lambda: len(other.frames) > before + 5)
