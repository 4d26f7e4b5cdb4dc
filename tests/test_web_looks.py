"""How the page looks to those who need it otherwise: forced colours, twice the size, narrow windows, dark."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from browsing import (
    SCREENSHOTS,
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    folder,
    open_page,
    playwright,  # noqa: F401
    service,  # noqa: F401
    sideways,
    until,
)
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser

ROWS = [
    {
        "run": 1, "segment": n, "startMs": 4000 * n, "endMs": 4000 * n + 3500,
        "texts": [
            [lang, {"stable": words, "unstable": "", "revision": 0, "final": True, "startMs": 0, "endMs": 1}]
            for lang, words in (("en", f"Sentence {n} of the talk."), ("de", f"Satz {n} des Vortrags."))
        ],
    }
    for n in range(12)
]  # fmt: skip
OVERLAPS = """() => {
    const parts = [
        ".top h1", ".pair", ".state", "#theme", "legend", ".segments", ".switch", ".volume", "select",
        ".actions .button", "#tune", ".figures dt", ".figures dd", ".waves", ".foot p",
    ];
    const shown = [...document.querySelectorAll(parts.join())].filter(
        one => one.checkVisibility() && one.getClientRects().length && !one.closest(".hidden-text"));
    const boxes = shown.map(one => one.getBoundingClientRect());
    const over = [];
    for (let a = 0; a < shown.length; a++) for (let b = a + 1; b < shown.length; b++) {
        if (shown[a].contains(shown[b]) || shown[b].contains(shown[a])) continue;
        const wide = Math.min(boxes[a].right, boxes[b].right) - Math.max(boxes[a].left, boxes[b].left);
        const high = Math.min(boxes[a].bottom, boxes[b].bottom) - Math.max(boxes[a].top, boxes[b].top);
        if (wide > 1 && high > 2) over.push(`${shown[a].outerHTML.slice(0, 60)} | ${shown[b].outerHTML.slice(0, 60)}`);
    }
    return over;
}"""
LINES = """() => {
    const scroller = document.querySelector("#scroller").getBoundingClientRect();
    return [...document.querySelectorAll("#captions p")].filter(line => {
        const box = line.getBoundingClientRect();
        return box.top >= scroller.top - 1 && box.bottom <= scroller.bottom + 1 && box.bottom <= innerHeight;
    }).length;
}"""

INKED = """() => {
    const canvas = document.querySelector("#waves"), ratio = devicePixelRatio;
    const names = [...canvas.parentElement.querySelectorAll("span")];
    const wide = Math.max(...names.map(name => name.offsetLeft + name.offsetWidth));
    const inked = (from, to) => canvas.getContext("2d")
        .getImageData(from * ratio, 0, (to - from) * ratio, canvas.height)
        .data.filter((value, n) => n % 4 === 3 && value > 0).length;
    return [inked(0, wide), inked(wide, wide + 20), inked(wide + 20, canvas.clientWidth)];
}"""
STILL = """async () => {
    const canvas = document.querySelector("#waves"), before = canvas.toDataURL();
    await new Promise(later => setTimeout(later, 400));
    return before === canvas.toDataURL();
}"""


def with_captions(page: Page) -> None:
    """Twelve sentences, as after a talk."""
    page.add_init_script(f"sessionStorage.setItem('streamst.rows', {json.dumps(json.dumps(ROWS))})")
    page.reload()
    expect(page.locator("#captions li")).to_have_count(12)


def colours(page: Page, selector: str) -> dict[str, str]:
    return page.locator(selector).evaluate(
        "one => { const style = getComputedStyle(one); return {back: style.backgroundColor, edge: style.borderTopColor,"
        " width: style.borderTopWidth}; }"
    )


def test_forced_colours_show_the_voice_switch_and_the_chosen_latency(service: str, browse: Browse) -> None:
    page = open_page(browse(), service)
    page.emulate_media(forced_colors="active")
    page.screenshot(path=folder(SCREENSHOTS) / "forced-1280.png")
    system = page.evaluate(
        """names => {
            const one = document.createElement("i");
            document.body.append(one);
            one.style.forcedColorAdjust = "none";
            const colour = name => (one.style.color = name, getComputedStyle(one).color);
            return Object.fromEntries(names.map(name => [name, colour(name)]));
        }""",
        ["Canvas", "Highlight", "ButtonText"],
    )
    on = colours(page, ".switch i")
    page.locator("#speech").uncheck()
    off = colours(page, ".switch i")
    assert on["back"] == system["Highlight"] != off["back"]
    assert off["back"] == system["Canvas"] != off["edge"] == system["ButtonText"]
    assert off["width"] == "2px"
    chosen = colours(page, "#dial label:has(:checked)")["back"]
    others = {colours(page, f"#dial label:nth-child({n})")["back"] for n in (1, 2, 4, 5)}
    assert chosen == system["Highlight"]
    assert chosen not in others


@pytest.mark.parametrize(("width", "height"), [(640, 400), (640, 360), (720, 450), (512, 384)])
def test_twice_the_size_leaves_many_lines_of_captions(service: str, browse: Browse, width: int, height: int) -> None:
    page = open_page(browse(width=width, height=height), service)
    with_captions(page)
    page.screenshot(path=folder(SCREENSHOTS) / f"zoomed-{width}x{height}.png")
    assert page.evaluate(LINES) >= 6
    assert sideways(page) == 0
    assert page.evaluate(OVERLAPS) == []
    for name in ("Start talking", re.compile("sample"), "Settings"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("radio", name="high", exact=True).check()
    page.locator("#save").scroll_into_view_if_needed()
    expect(page.locator("#save")).to_be_in_viewport(ratio=1)
    assert page.evaluate(OVERLAPS) == []
    page.screenshot(path=SCREENSHOTS / f"zoomed-settings-{width}x{height}.png")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (390, 664), (320, 568)])
def test_settings_and_a_message_leave_three_lines_of_captions(
    service: str, browse: Browse, width: int, height: int
) -> None:
    page = open_page(browse(width=width, height=height), service)
    with_captions(page)
    page.get_by_role("button", name="Settings").click()
    page.locator("#echo").evaluate("one => { one.hidden = false; }")
    expect(page.locator("#echo")).to_be_in_viewport(ratio=1)
    until(page, lambda: page.evaluate(LINES) >= 3)
    page.screenshot(path=folder(SCREENSHOTS) / f"settings-and-message-{width}x{height}.png")
    assert page.evaluate(OVERLAPS) == []
    assert sideways(page) == 0
    page.locator("#save").scroll_into_view_if_needed()
    expect(page.locator("#save")).to_be_in_viewport(ratio=1)


def test_nothing_lies_over_anything_at_any_width(service: str, browse: Browse) -> None:
    page = open_page(browse(), service)
    with_captions(page)
    for height in (800, 400):
        for width in range(1400, 319, -20):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(OVERLAPS) == [], f"at {width} x {height}"
            assert sideways(page) == 0, f"at {width} x {height}"


def test_letters_of_twice_the_size_lie_over_nothing(service: str, browse: Browse) -> None:
    page = open_page(browse("--blink-settings=defaultFontSize=32", width=1280, height=800), service)
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
    with_captions(page)
    page.screenshot(path=folder(SCREENSHOTS) / "letters-200.png")
    assert page.evaluate(OVERLAPS) == []


def test_a_window_made_narrower_draws_no_bar_over_the_lanes_names(service: str, browse: Browse) -> None:
    page = open_page(browse(), service)
    page.get_by_role("button", name="Try the sample").click()
    expect(page.locator("#state")).to_have_text("Listening")
    until(page, lambda: page.evaluate(INKED)[1] > 0)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Ready")
    until(page, lambda: page.evaluate(STILL))
    page.set_viewport_size({"width": 1100, "height": 800})
    page.wait_for_function("innerWidth === 1100")
    page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    page.screenshot(path=folder(SCREENSHOTS) / "narrower-1100.png")
    over_the_names, *beside_them = page.evaluate(INKED)
    assert over_the_names == 0
    assert sum(beside_them) > 0


def test_what_the_server_offers_is_what_may_be_chosen(service: str, browse: Browse) -> None:
    page = browse().new_page()
    info: dict[str, Any] = {
        "source": "fr", "targets": ["it", "ja"], "latencies": ["swift", "slow"], "policies": ["wait-k", "hold-n"],
        "output": ["captions"], "defaults": {"target": "ja", "policy": None, "latency": "slow"},
    }  # fmt: skip

    def answer(route: Route) -> None:
        route.fulfill(json=info)

    page.route("**/v1/info", answer)
    page.goto(service + "/")
    expect(page.get_by_role("radio")).to_have_count(2)
    expect(page.get_by_role("radio", name="slow")).to_be_checked()
    expect(page.get_by_role("heading", name="Say it in French")).to_be_visible()
    assert page.title() == "StreamST · speak French, hear Japanese"
    target = page.get_by_label("Language of the translation")
    assert target.locator("option").all_inner_texts() == ["Italiano", "日本語"]
    assert target.input_value() == "ja"
    target.select_option("it")
    expect(page.locator(".heads .target")).to_contain_text("Italiano")
    expect(page.get_by_text("Italian voice")).to_be_visible()
    expect(page.get_by_text("Not on this server")).to_be_visible()
    expect(page.get_by_role("button", name="sample")).to_be_hidden()
    page.locator("#policy").select_option("hold-n")
    page.reload()
    expect(page.get_by_role("radio")).to_have_count(2)
    assert (target.input_value(), page.locator("#policy").input_value()) == ("it", "hold-n")
    seen = page.locator("body").inner_text()
    assert "German" not in seen
    assert "Deutsch" not in seen
    assert "English" not in seen


def test_pictures_of_the_page_for_the_eye(service: str, browse: Browse) -> None:
    page = open_page(browse(), service)
    page.screenshot(path=folder(SCREENSHOTS) / "welcome-1280.png")
    with_captions(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
        for width, height in ((1280, 800), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=SCREENSHOTS / f"{scheme}-{width}.png")
            tops = page.locator("#captions li").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().top)")
            assert all(above < below for above, below in pairwise(tops))
            assert sideways(page) == 0
