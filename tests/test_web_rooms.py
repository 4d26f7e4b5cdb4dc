"""The listeners' page and the overlay in a real Chromium, and the QR code of a room's link."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import io
import json
import re
import urllib.request

import pytest
import segno
from browsing import (
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
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
