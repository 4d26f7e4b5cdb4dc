"""The listeners' page and the overlay in a real Chromium, and the QR code of a room's link."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import base64
import io
import json
import re
import urllib.request

import pytest
import segno
from browsing import (
    SCREENSHOTS,
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    folder,
    playwright,  # noqa: F401
    service,  # noqa: F401
)
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_a_link_that_opens_nothing_says_so_and_text_is_never_markup(service: str, browse: Browse) -> None:
    page = browse().new_page()
    page.goto(f"{service}/listen/0123456789ab#guess")
    expect(page.locator("#trouble")).to_have_text("This link opens nothing. Ask the speaker for a new one.")
    caption = {
        "type": "caption", "n": 1, "lang": "de", "segment": 0, "revision": 0, "stable": "<img src=x onerror=alert(1)>",
        "unstable": "<b>", "start_ms": 0, "end_ms": 1, "final": True,
    }  # fmt: skip
    welcome = {"type": "welcome", "source": "en", "targets": ["de"]}
    page.route_web_socket(
        re.compile("/v1/rooms/"),
        lambda route: [route.send(json.dumps(message)) for message in (welcome, caption)],
    )
    for name in ("listen", "overlay"):
        page.goto(f"{service}/{name}/0123456789ab?{name}#t")
        shown = page.locator("#captions p.de" if name == "listen" else "#text")
        expect(shown).to_have_text(re.compile(r"^<img src=x onerror=alert\(1\)> ?<b>$"))
        assert page.locator("main img, main b").count() == 0


PICTURE = """
<style>
  body { margin: 0; height: 100vh; background: linear-gradient(#7fb2e5, #e8f1d4 55%, #3c6e3f 55%, #9fc27a); }
  img { position: fixed; inset: 0; }
</style>
<img alt="" src="data:image/png;base64,DRAWN">
"""
CLEAR = """async () => {
  const image = document.querySelector("img"), [width, height] = [innerWidth, innerHeight];
  await image.decode();
  const canvas = new OffscreenCanvas(width, height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const alpha = canvas.getImageData(0, 0, width, height).data.filter((_, n) => n % 4 === 3);
  const rows = Array.from({length: height}, (_, y) => alpha.subarray(y * width, (y + 1) * width));
  const painted = (row) => row.some((value) => value > 0);
  const [first, last] = [rows.findIndex(painted), rows.findLastIndex(painted)];
  return {first, last, solid: Math.max(...rows[first + 20])};
}"""


def test_the_overlay_lets_the_picture_through_wherever_nothing_is_said(service: str, browse: Browse) -> None:
    page = browse(width=1280, height=720).new_page()
    words = "Ein Zug fährt um halb neun nach Kiel, und wer ihn versäumt, der wartet bis zum Abend auf den nächsten."
    caption = {
        "type": "caption", "n": 1, "lang": "de", "segment": 0, "revision": 0, "stable": words, "unstable": "",
        "start_ms": 0, "end_ms": 1, "final": True,
    }  # fmt: skip
    welcome = {"type": "welcome", "source": "en", "targets": ["de"]}
    page.route_web_socket(
        re.compile("/v1/rooms/"),
        lambda route: [route.send(json.dumps(message)) for message in (welcome, caption)],
    )
    page.goto(f"{service}/overlay/0123456789ab?lang=de&lines=2&size=44&hide=0#t")
    expect(page.locator("#text")).to_have_text(words)
    drawn = base64.b64encode(page.screenshot(omit_background=True)).decode()  # as OBS takes it
    picture = page.context.new_page()
    picture.set_content(PICTURE.replace("DRAWN", drawn))
    found = picture.evaluate(CLEAR)
    picture.screenshot(path=folder(SCREENSHOTS) / "overlay-over-a-picture.png")
    assert found["first"] > 720 / 2, "the upper half is the picture's"
    assert 2 * 44 < found["last"] - found["first"] < 2 * 1.4 * 44, "two lines"
    assert found["solid"] > 100


def test_the_qr_code_holds_the_link_by_the_name_that_was_asked(service: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urllib.request.Request(f"{service}/v1/sessions", b'{"room": true}')) as answer:
        room = json.loads(answer.read())["room"]
    with direct.open(f"{service}/v1/rooms/{room['id']}/qr.svg?token={room['token']}") as answer:
        assert answer.headers["content-type"] == "image/svg+xml"
        drawn = answer.read().decode()
    expected = io.BytesIO()
    segno.make(f"{service}{room['url']}", error="m", micro=False).save(
        expected, kind="svg", border=4, light="#fff", xmldecl=False
    )
    assert drawn == expected.getvalue().decode()
