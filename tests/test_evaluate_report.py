"""Reports: tables for the terminal, and a page that stands on its own."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scoring import FAST, printed, run_of

from streamst.audio import write_wav
from streamst.evaluate.formats.detect import Log
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk
from streamst.evaluate.report.compare import compare
from streamst.evaluate.report.page import Point, page_data, worst_first, write_html
from streamst.evaluate.report.score import Score, score
from streamst.evaluate.report.write import comparison_table, figure, metrics_table


@pytest.fixture(scope="module")
def scored() -> Score:
    return score(run_of(speech=True), FAST)


def test_the_terminal_shows_the_usual_figures_and_all_on_request(scored: Score) -> None:
    text = printed(metrics_table(scored))
    assert re.search(r"LAAL_CA_queue +[\d.]+ ms +[\d.]+ to [\d.]+", text)
    assert "LAAL_CA_simulstream" not in text
    assert "LAAL_CA_simulstream" in printed(metrics_table(scored, everything=True))
    assert "5 recordings" in text
    both = printed(comparison_table(compare(scored, scored, FAST), "one", "other"))
    assert "A = one" in both
    assert "1.000" in both


@pytest.mark.parametrize(
    ("value", "text"), [(1234.56, "1235"), (123.45, "123.5"), (12.345, "12.35"), (0.5551, "0.555"), (7.0, "7")]
)
def test_figures_have_four_digits(value: float, text: str) -> None:
    assert figure(value) == text


class Page(HTMLParser):
    """What of a page could reach for a network, and its embedded data."""

    def __init__(self) -> None:
        super().__init__()
        self.reaches: list[str] = []
        self.text: dict[str, str] = {}
        self.script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.reaches += [f"{tag} {k}={v}" for k, v in told.items() if k in ("src", "href", "action", "srcset", "data")]
        self.script = told.get("id") or tag

    def handle_data(self, data: str) -> None:
        self.text[self.script] = self.text.get(self.script, "") + data


@pytest.fixture
def page(scored: Score, tmp_path: Path) -> Page:
    path = tmp_path / "report.html"
    evil = replace(scored.rows[0], hypothesis="</script><script>alert(1)</script>")
    with_evil = replace(scored, rows=(evil, *scored.rows[1:]))
    write_html(path, "A <title> & more", [Point("run", "s", "l", with_evil)], {"options": {"policy": "wait-k"}}, None)
    parsed = Page()
    parsed.feed(path.read_text(encoding="utf-8"))
    return parsed


def test_a_page_reaches_for_nothing_outside_itself(page: Page) -> None:
    assert page.reaches == []
    outside = re.findall(r"https?://\S+|@import|url\(", page.text["style"] + page.text["script"])
    assert outside == ['http://www.w3.org/2000/svg";']  # a name, not an address


def test_text_of_a_run_cannot_become_code_of_the_page(page: Page) -> None:
    data = json.loads(page.text["data"])
    assert any(r["prediction"] == "</script><script>alert(1)</script>" for r in data["recordings"])
    assert "alert(1)</script>" not in page.text["script"]


def test_a_timeline_has_what_was_heard_written_and_said_in_time(scored: Score) -> None:
    data = page_data([Point("run", "s", "l", scored)], None)
    first = next(r for r in data["recordings"] if r["name"] == "0.wav")
    assert first["heard"] == [[400, "good"], [800, "mourning"]]
    assert first["written"] == [[800, 850, "guten"], [1200, 1250, "Morgen"], [1600, 1650, "zusammen"]]
    assert first["speech"] == [[850, 1150, "guten"], [1250, 1550, "Morgen"], [1650, 1950, "zusammen"]]
    assert first["envelope"] == []
    assert data["distributions"]["run"]["StartOffset"] == [800.0] * 4


def heard_and_said(folder: Path) -> Recording:
    """A second of tone, and half a second of another that is heard from 850 ms on."""
    time_s = np.arange(16_000) / 16_000
    write_wav(folder / "0.wav", (0.5 * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32), 16_000)
    write_wav(folder / "said.wav", (0.5 * np.sin(2 * np.pi * 900 * time_s[:8000])).astype(np.float32), 16_000)
    steps = (Step(800.0, 50.0, ("Ton",)), Step(1000.0, 10.0))
    return Recording(
        0, "0.wav", "made up:1", 1000.0, ("Ton",), (800.0,), references=(Reference(0.0, 1000.0, "tone", "Ton"),),
        steps=steps, speech=(SpeechChunk(800.0, 500.0, 0, "Ton"),), speech_path=folder / "said.wav", output="both",
    )  # fmt: skip


def loudness(pcm: np.ndarray, hz: float, start_s: float, end_s: float) -> float:
    part = pcm[round(16_000 * start_s) : round(16_000 * end_s)]
    return float(abs(np.exp(-2j * np.pi * hz * np.arange(len(part)) / 16_000) @ part) / len(part))


def test_a_page_can_be_listened_to_and_the_dub_comes_when_a_listener_hears_it(tmp_path: Path) -> None:
    log = Log(tmp_path, "streamst", (heard_and_said(tmp_path),), 0)
    data = page_data([Point("run", "s", "l", score(log, FAST))], tmp_path)
    audio = data["recordings"][0]["audio"]
    assert list(audio) == ["original", "dub, as heard live", "both: original left, dub right"]
    decoded = {}
    for name, address in audio.items():
        head, _, body = address.partition(",")
        assert head == "data:audio/ogg;base64"
        decoded[name], rate_hz = soundfile.read(io.BytesIO(base64.b64decode(body)), dtype="float32")
        assert rate_hz in (16_000, 48_000)
        decoded[name] = decoded[name][:: rate_hz // 16_000]
    both = decoded["both: original left, dub right"]
    assert loudness(both[:, 0], 300, 0.2, 0.7) > 0.15
    assert loudness(both[:, 1], 900, 0.2, 0.7) < 0.02
    assert loudness(both[:, 1], 900, 0.95, 1.25) > 0.15
    assert page_data([Point("run", "s", "l", score(log, FAST))], None)["recordings"][0]["audio"].keys() == {
        "dub, as heard live"
    }


def test_the_worst_of_every_metric_come_first_and_every_row_once(scored: Score) -> None:
    ranked = worst_first(scored.rows)
    assert sorted(r.recording.index for r in ranked) == [0, 1, 2, 3, 4]
    assert ranked[0].hypothesis == ""
    slowest = max(scored.rows, key=lambda row: row.values.get("YAAL", 0.0))
    assert ranked[1] is slowest


OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("#curve svg text")].filter((node) => node.textContent.startsWith("k="))
    .map((node) => node.getBoundingClientRect());
  return boxes.filter((a, i) => boxes.slice(0, i).some((b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3)).length;
}"""


@pytest.mark.browser
def test_labels_of_many_points_do_not_cover_each_other_and_percentiles_are_those_of_the_terminal(
    tmp_path: Path,
) -> None:
    from playwright.sync_api import sync_playwright

    names = ("wait-k", "alignatt", "hold-n", "confidence", "monotonic", "edatt")
    runs = {lag: score(run_of(lag), FAST) for lag in (1, 2, 3)}
    points = [Point(f"{name} {lag}", name, f"k={lag} 320 ms", found) for name in names for lag, found in runs.items()]
    path = tmp_path / "report.html"
    write_html(path, "Sweep", points, {}, None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1240, "height": 900})
        view.goto(path.as_uri())
        assert view.locator("#curve svg text", has_text="k=").count() >= 3
        assert view.evaluate(OVERLAPS) == 0
        assert view.locator("#curve polygon").count() == 0  # so many bands would hide each other
        view.get_by_role("button", name="alignatt").click()
        assert view.locator("#curve polygon").count() == 1
        shown = view.locator("body").text_content() or ""
        browser.close()
    p90 = runs[1].percentiles["LAAL"]["p90"]
    assert f"p90 {p90:.0f} ms" in shown


@pytest.mark.browser
def test_a_browser_draws_curves_and_timelines_without_a_network(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    points = [
        Point(f"{series} {lag}", series, f"lag {lag}", score(run_of(lag, wrong, speech=True), FAST))
        for series, wrong in (("careful", 0), ("hasty", 1))
        for lag in (1, 2, 3)
    ]
    path = tmp_path / "report.html"
    write_html(path, "Sweep", points, {}, None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1240, "height": 900})
        view.context.set_offline(True)
        trouble: list[str] = []
        view.on("pageerror", lambda error: trouble.append(str(error)))
        view.on("request", lambda request: trouble.append(request.url) if request.url[:5] != "file:" else None)
        view.goto(path.as_uri())
        assert view.locator("#curve circle").count() == 6
        assert view.locator("#curve polygon").count() == 2  # confidence bands
        assert view.get_by_label("Latency").input_value() == "YAAL"  # of clips, LongYAAL
        assert view.locator("#curve .regime").count() == 1  # nobody is later than 2 s
        view.get_by_label("Latency").select_option("LAAL_CA_queue")
        assert view.locator("#curve .regime").count() == 0  # they are not defined by it
        assert "LAAL_CA_queue" in (view.locator("#curve svg").text_content() or "")
        view.get_by_label("Run").select_option("hasty 2")
        view.get_by_label("find").fill("Bahnhof")
        assert view.locator("#recordings tbody tr").count() == 1
        view.locator("#recordings tbody tr").click()
        timeline = view.locator("#recordings svg").last.text_content() or ""
        assert "Bahnhof" in timeline
        assert "good" in timeline
        browser.close()
    assert trouble == []
