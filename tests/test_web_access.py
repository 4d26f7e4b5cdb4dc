"""axe-core finds nothing that keeps anybody out of a page or a panel, in both languages of the page."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import (
    SCREENSHOTS,
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    folder,
    playwright,  # noqa: F401
    sideways,
)
from playwright.sync_api import Page, expect
from talking import WELCOME, light, staged  # noqa: F401
from test_web_looks import OVERLAPS

pytestmark = pytest.mark.browser

CAPTIONS = [
    {"type": "caption", "lang": lang, "segment": 0, "revision": 0, "stable": words, "unstable": "", "start_ms": 0,
     "end_ms": 2000, "final": True, "n": n}
    for n, (lang, words) in enumerate((("en", "A train leaves."), ("de", "Ein Zug fährt ab.")), 1)
]  # fmt: skip
LINES_OF = "labels => labels.map(one => Math.round(one.offsetHeight / labels.at(-1).offsetHeight))"
ROOM = {"id": "ab12", "token": "t", "url": "/listen/ab12#t", "listeners": 3, "lag_ms": 4.0, "lag_p95_ms": 9.0}


def faults(page: Page, where: str) -> list[str]:
    """What axe finds, with the place."""
    found = Axe().run(page).response["violations"]
    return [f"{where}: {one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def test_no_panel_of_the_speakers_page_keeps_anybody_out(light: str, browse: Browse) -> None:
    page, stage = staged(light, browse)
    found = faults(page, "welcome")
    page.locator("#start").click()
    expect(page.locator("#state")).to_have_text("Listening")
    stage.caption(0, "A train leaves.", "Ein Zug fährt ab.")
    stage.caption(1, "It is late.", "Er ist spät.")
    stage.say("room", **ROOM)
    page.locator("#search").fill("train")
    found += faults(page, "a talk")
    for button, box in (
        ("#terms", "#terms-box"),
        ("#more", "#more-box"),
        ("#share", "#share-box"),
        ("#clear", "#sure"),
    ):
        page.locator(button).click()
        expect(page.locator(box)).to_be_visible()
        assert max(page.locator(f"{box} .rows label").evaluate_all(LINES_OF), default=1) <= 2, "words in a column"
        found += faults(page, box)
        page.screenshot(path=folder(SCREENSHOTS) / f"panel-{box[1:]}.png")
        page.keyboard.press("Escape")
    page.locator("#more").click()
    page.locator("#ui").select_option("de")
    page.locator("#push-to-talk").check()
    page.keyboard.press("Escape")
    page.emulate_media(color_scheme="dark")
    found += faults(page, "German, dark")
    for width in range(1280, 319, -80):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERLAPS) == [], f"at {width}"
        assert sideways(page) == 0, f"at {width}"
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("#tune").click()
    found += faults(page, "on a phone")
    page.screenshot(path=SCREENSHOTS / "panel-german-390.png")
    stage.sockets[-1].close(code=1008, reason="this is not allowed")
    expect(page.get_by_role("alert")).to_be_visible()
    found += faults(page, "a trouble")
    assert found == []


def test_no_page_of_a_room_keeps_anybody_out(light: str, browse: Browse) -> None:
    page = browse(width=390, height=844).new_page()
    page.goto(f"{light}/listen/ab12#guess")
    expect(page.locator("#trouble")).to_be_visible()
    found = faults(page, "a link that opens nothing")
    messages = [WELCOME, *CAPTIONS]
    page.route_web_socket(re.compile("/v1/rooms/"), lambda route: [route.send(json.dumps(one)) for one in messages])
    for name in ("listen", "overlay"):
        page.goto(f"{light}/{name}/ab12?{name}#t")
        expect(page.locator("#captions p.de" if name == "listen" else "#text")).to_have_text("Ein Zug fährt ab.")
        found += faults(page, name)
        page.emulate_media(color_scheme="dark")
        found += faults(page, f"{name}, dark")
        page.screenshot(path=folder(SCREENSHOTS) / f"{name}-dark-390.png")
    assert found == []
