"""Scores, comparisons and reports: what a log gives, what two logs differ in, and a page that stands on its own."""

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
from rich.console import Console

from streamst.audio import write_wav
from streamst.errors import InputError
from streamst.evaluate.formats.detect import Log, read_log
from streamst.evaluate.formats.references import attach
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk, replay
from streamst.evaluate.metrics.degeneracy import degeneracy
from streamst.evaluate.metrics.latency import Utterance
from streamst.evaluate.metrics.result import Metric
from streamst.evaluate.report.compare import compare
from streamst.evaluate.report.page import Point, page_data, worst_first, write_html
from streamst.evaluate.report.regimes import regime_of
from streamst.evaluate.report.score import Score, ScoreOptions, score
from streamst.evaluate.report.write import comparison_table, figure, metrics_table, segment_lines, verdict

LOGS = Path(__file__).parent / "data" / "logs"
FAST = ScoreOptions(resamples=100)
TEXTS = (
    ("guten Morgen zusammen", "guten Morgen zusammen"),
    ("wo ist der nächste Bahnhof", "wo ist der Bahnhof bitte"),
    ("ich möchte einen Kaffee", "ich will Kaffee"),
    ("vielen Dank für die Hilfe", "vielen Dank für Ihre Hilfe"),
    ("", "das blieb leer"),
)


def run_of(lag_steps: int = 1, mistakes: int = 0, *, speech: bool = False, texts=TEXTS) -> Log:
    """A run of raw events: one word every 400 ms of audio, `lag_steps` behind, the first `mistakes` words wrong."""
    recordings = []
    for index, (hypothesis, reference) in enumerate(texts):
        said = ["falsch" if i < mistakes else word for i, word in enumerate(hypothesis.split())]
        count = len(reference.split()) + 1
        steps = []
        for i in range(count):
            place = i - lag_steps
            new = said[place : place + 1] if place >= 0 else []
            steps.append(Step(400.0 * (i + 1), 50.0, tuple(new)))
        steps.append(Step(400.0 * count, 20.0, tuple(said[max(0, count - lag_steps) :])))
        units, delays = replay(steps, "made up")
        chunks = tuple(
            SpeechChunk(step.heard_ms, 300.0 * len(step.written), number, " ".join(step.written))
            for number, step in enumerate(steps)
            if step.written and speech
        )
        recordings.append(
            Recording(
                index,
                f"{index}.wav",
                f"made up:{index + 1}",
                400.0 * count,
                units,
                delays,
                references=(Reference(0.0, 400.0 * count, "good morning", reference),),
                steps=tuple(steps),
                speech=chunks,
                transcript="good morning" if index else "good mourning",
                captions=((400.0, "good"), (800.0, "good morning" if index else "good mourning")),
            )
        )
    return Log(Path("made-up"), "streamst", tuple(recordings), 0)


@pytest.fixture(scope="module")
def scored() -> Score:
    return score(run_of(speech=True), FAST)


def long_log(name: str) -> Log:
    folder = LOGS / "longform"
    log = read_log(folder / name)
    recordings = attach(log.recordings, folder / "references.txt", folder / "ref_segments.yaml")
    return replace(log, recordings=tuple(recordings))


# ---- scores ----


def test_a_metric_that_does_not_apply_is_absent_and_never_zero(scored: Score) -> None:
    text_only = score(run_of(), FAST)
    assert "EndOffset_speech" in scored.metrics
    assert not [name for name in text_only.metrics if "_speech" in name]
    unreferenced = run_of()
    bare = replace(unreferenced, recordings=tuple(replace(r, references=()) for r in unreferenced.recordings))
    without = score(bare, FAST)
    assert not {"BLEU", "chrF", "TER", "WER"} & without.metrics.keys()
    assert any("5 of 5 recordings have no reference" in note for note in without.notes)
    speech_only = score(read_log(LOGS / "simuleval_s2s"), FAST)
    assert not {"LAAL", "BLEU", "RTF", "WER"} & speech_only.metrics.keys()


def test_an_empty_output_is_counted_and_does_not_look_fast(scored: Score) -> None:
    assert scored.metrics["empty"].value == 1
    assert "empty:1" in scored.metrics["LAAL"].signature
    full = run_of(texts=TEXTS[:4])
    assert score(full, FAST).metrics["LAAL"].value == scored.metrics["LAAL"].value
    assert score(full, FAST).metrics["BLEU"].value > scored.metrics["BLEU"].value  # but it counts for quality
    assert any("1 recordings have no output" in note for note in scored.notes)


def test_when_nothing_was_written_there_is_no_latency_at_all() -> None:
    silent = score(run_of(texts=(("", "eins zwei"), ("", "drei"))), FAST)
    assert silent.metrics["empty"].value == 2
    assert not {"LAAL", "AL", "ATD", "StartOffset", "NE"} & silent.metrics.keys()
    assert silent.metrics["BLEU"].value == 0
    assert silent.metrics["RTF"].value > 0


def test_the_sums_over_a_run_are_those_of_its_recordings(scored: Score) -> None:
    """Hand-worked: 50 ms for every 400 ms and a flush of 20 ms; one word of ten is misheard."""
    steps = [len(reference.split()) + 1 for _, reference in TEXTS]
    assert scored.metrics["RTF"].value == pytest.approx((50 * sum(steps) + 20 * 5) / (400 * sum(steps)))
    assert scored.metrics["WER"].value == pytest.approx(10.0)
    if "WER_whisper" in scored.metrics:  # where that package is installed
        assert scored.metrics["WER_whisper"].value == pytest.approx(10.0)
    assert scored.metrics["StartOffset"].value == 800.0
    assert scored.metrics["StartOffset_CA_queue"].value == 850.0


def test_an_interval_holds_its_value_and_percentiles_stand_in_order(scored: Score) -> None:
    for name, (low, high) in scored.intervals.items():
        if name not in ("BLEU", "chrF", "TER"):  # sacrebleu's are about the mean of its resamples
            assert low - 1e-9 <= scored.metrics[name].value <= high + 1e-9, name
    ranks = scored.percentiles["LAAL"]
    assert ranks["p50"] <= ranks["p90"] <= ranks["p99"]


def test_a_report_is_json_with_value_unit_and_signature(scored: Score) -> None:
    found = json.loads(json.dumps(scored.as_json(), allow_nan=False))
    laal = found["metrics"]["LAAL"]
    assert laal == {"value": scored.metrics["LAAL"].value, "unit": "ms", "signature": scored.metrics["LAAL"].signature}
    assert "reflen:max(hyp,ref)" in laal["signature"]
    assert len(found["rows"]) == 5


def test_the_golden_long_run_gives_the_published_values_whichever_log_it_comes_from() -> None:
    expected = json.loads((LOGS / "longform" / "expected.json").read_text())["values"]
    omnisteval = expected["OmniSTEval 0.1.10, instances_queue.log"]
    stream = expected["StreamLAAL, simulstream 1.0.0 + mweralign 1.4.1 (1.0.1 gives the same here)"]
    found = score(long_log("metrics.jsonl"), FAST).metrics
    for theirs, ours in (
        ("LongYAAL (CU)", "LongYAAL_omnisteval"),
        ("LongLAAL (CU)", "LongLAAL"),
        ("LongDAL (CU)", "LongDAL"),
        ("LongAP (CU)", "LongAP"),
        ("LongYAAL (CA)", "LongYAAL_omnisteval_CA_queue"),
        ("LongLAAL (CA)", "LongLAAL_CA_queue"),
        ("BLEU", "BLEU_soft"),
        ("chrF", "chrF_soft"),
    ):
        assert found[ours].value == pytest.approx(omnisteval[theirs], abs=6e-5), theirs  # four decimals there
    assert found["StreamLAAL_simulstream"].value == pytest.approx(stream["nonCA"], rel=1e-9)
    assert found["StreamLAAL_simulstream_CA_simulstream"].value == pytest.approx(stream["CA"], rel=1e-9)
    assert found["BLEU"].value == pytest.approx(expected["BLEU (13a) after AS-WER segmentation"])
    fbk = expected["StreamLAAL, FBK-fairseq 4cd7c6dc (clipped at 0; mwerSegmenter replaced by mweralign 1.4.1)"]
    other = score(long_log("instances.log"), FAST).metrics
    assert other["StreamLAAL_fbk_CA_fbk"].value == pytest.approx(fbk["CA"], rel=1e-5)
    assert "RTF" not in other  # that log does not tell how long each step took


def test_every_word_of_a_talk_stands_in_exactly_one_row() -> None:
    found = score(long_log("metrics.jsonl"), FAST)
    lines = segment_lines(found)
    assert len(lines) == 8
    for name in ("/data/recA.wav", "/data/recB.wav"):
        recording = next(row.recording for row in found.rows if row.recording.name == name)
        mine = [line for line in lines if line["path"] == name]
        assert " ".join(line["prediction"] for line in mine if line["prediction"]) == recording.prediction
        assert [d for line in mine for d in line["delays"]] == list(recording.delays_ms)
        assert all(len(line["elapsed_queue"]) == len(line["delays"]) for line in mine)


def test_delays_that_are_impossible_are_refused_with_the_line_of_the_log(tmp_path: Path) -> None:
    entry = {"index": 0, "prediction": "a b", "delays": [5, 3], "source_length": 9}
    (tmp_path / "instances.log").write_text(json.dumps(entry) + "\n")
    with pytest.raises(InputError, match=r"instances\.log:1: delay 1 is 3 ms after 5 ms"):
        score(read_log(tmp_path), FAST)


def test_delays_past_the_end_are_scored_as_simuleval_scores_them_and_their_rows_counted_and_named(
    tmp_path: Path,
) -> None:
    """AL and LAAL by hand: (1 - 0 + 9.5 - 4.5) / 2 = 3, and 99 where the first word comes after the end."""
    rows = [([1, 9.5], "a b"), ([99], "a"), ([3, 9], "a b")]
    lines = [
        {"index": i, "prediction": text, "delays": delays, "source_length": 9, "reference": text}
        for i, (delays, text) in enumerate(rows)
    ]
    (tmp_path / "instances.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = score(read_log(tmp_path), FAST)
    assert [row.values["LAAL"] for row in found.rows[:2]] == [3.0, 99.0]
    (note,) = found.notes
    assert note.startswith("2 of 3 recordings have delays past the end of the source and are scored as they stand: ")
    assert "instances.log:1, " in note
    assert "instances.log:2" in note
    assert "instances.log:3" not in note


# ---- comparisons ----


def test_a_run_against_itself_differs_in_nothing() -> None:
    found = compare(score(run_of(), FAST), score(run_of(), FAST), FAST)
    assert found.metrics
    for one in found.metrics:
        assert (one.difference.value, one.difference.p_value) == (0.0, 1.0), one.name
    assert found.trade_off is not None
    assert found.trade_off.verdict == "undecided"


def test_a_faster_run_with_more_mistakes_is_told_apart_on_both_axes() -> None:
    texts = TEXTS[:4] * 5
    fast, slow = (score(run_of(lag, wrong, texts=texts), FAST) for lag, wrong in ((1, 2), (3, 0)))
    # recordings of one name cannot be paired: give each its own
    fast, slow = (
        replace(s, rows=tuple(replace(r, recording=replace(r.recording, name=str(i))) for i, r in enumerate(s.rows)))
        for s in (fast, slow)
    )
    found = compare(fast, slow, FAST)
    by_name = {one.name: one for one in found.metrics}
    assert by_name["LAAL"].difference.high < 0
    assert by_name["LAAL"].difference.p_value < 0.05
    assert by_name["BLEU"].difference.high < 0
    assert by_name["BLEU"].a == fast.metrics["BLEU"].value
    assert found.trade_off is not None
    assert found.trade_off.verdict == "faster-but-worse"
    assert "A is faster, B is better" in verdict(found)
    assert found.as_json()["metrics"]["LAAL"]["difference"]["n"] == 20


def test_a_comparison_has_figures_of_one_kind_in_a_row_and_marks_what_is_more_than_chance() -> None:
    """Error rates and RTF are sums over sums: their difference is that of the figures beside it."""
    texts = TEXTS[:4] * 5
    sides = []
    for lag, wrong in ((1, 2), (3, 0)):
        log = run_of(lag, wrong, texts=texts)
        heard = ("good", "bad morning", "good")
        recordings = tuple(
            replace(r, name=str(i), source_ms=r.source_ms * (1 + i), transcript=heard[(i + lag) % 3])
            for i, r in enumerate(log.recordings)
        )
        sides.append(score(replace(log, recordings=recordings), FAST))
    found = compare(sides[0], sides[1], FAST)
    names = {one.name for one in found.metrics}
    assert {"BLEU", "LAAL", "YAAL", "WER", "CER", "RTF", "StartOffset"} <= names
    for one in found.metrics:
        if not one.difference.left_out:
            assert one.a == pytest.approx(sides[0].metrics[one.name].value), one.name
            assert one.b == pytest.approx(sides[1].metrics[one.name].value), one.name
        assert one.difference.value == pytest.approx(one.a - one.b), one.name
        assert one.difference.low - 1e-9 <= one.difference.value <= one.difference.high + 1e-9, one.name
        assert one.significant == (one.difference.p_value < 0.05)
    by_name = {one.name: one for one in found.metrics}
    assert by_name["LAAL"].significant
    table = printed(comparison_table(found, "one", "other"))
    line = next(line for line in table.splitlines() if line.strip().startswith("LAAL "))
    assert line.rstrip().endswith("*")
    assert "* p < 0.05" in table
    assert found.as_json()["metrics"]["LAAL"]["significant"] is True


def test_runs_over_different_recordings_are_not_compared() -> None:
    a = score(run_of(), FAST)
    with pytest.raises(InputError, match=r"made up:5: 4\.wav is not in the second run"):
        compare(a, score(run_of(texts=TEXTS[:4]), FAST), FAST)
    other = (("x", "another reference"), *TEXTS[1:])
    with pytest.raises(InputError, match=r"made up:1: the runs have different references for 0\.wav"):
        compare(a, score(run_of(texts=other), FAST), FAST)


# ---- tables and pages ----


def printed(table: object) -> str:
    console = Console(width=110, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


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


# ---- other tools' ways of counting ----

SPACED = [
    *("Im", "Jahr", "kamen", "rund", "10\u00a0000", "Gäste", "in", "die", "Stadt", "."),
    *("Das", "waren", "mehr", "als", "im", "Jahr", "zuvor", "."),
]


def test_stream_laal_of_simulstream_cuts_words_at_blanks_only_as_that_tool_does(tmp_path: Path) -> None:
    """simulstream 1.0.0 with mweralign 1.4.1 gives 821.18 and 871.18 ms: "10\u00a0000" is one word to it."""
    lines: list[dict] = [{"id": 0, "metadata": {"wav_name": "t.wav"}}]
    at = 0
    for step, count in enumerate((1, 2, 2, 3, 2, 1, 2, 3, 3), start=1):
        chunk = {"id": 0, "total_audio_processed": round(0.5 + 0.64 * step, 2), "computation_time": 0.05}
        lines.append({**chunk, "generated_tokens": SPACED[at : at + count], "deleted_tokens": []})
        at += count
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "r.txt").write_text(
        "Im Jahr kamen etwa 10\u00a0000 Gäste in die Stadt .\nDas waren mehr als im Vorjahr .\n"
    )
    (tmp_path / "s.yaml").write_text(
        "- {wav: t.wav, offset: 0.3, duration: 3.1}\n- {wav: t.wav, offset: 3.5, duration: 2.9}\n"
    )
    log = read_log(tmp_path)
    log = replace(log, recordings=tuple(attach(log.recordings, tmp_path / "r.txt", tmp_path / "s.yaml")))
    found = {name: metric.value for name, metric in score(log, FAST).metrics.items()}
    assert found["StreamLAAL_simulstream"] == pytest.approx(821.1805555555555, rel=1e-9)
    assert found["StreamLAAL_simulstream_CA_simulstream"] == pytest.approx(871.1805555555555, rel=1e-9)
    assert found["StreamLAAL_fbk"] != found["StreamLAAL_simulstream"]  # that one counts "10" and "000"


@pytest.mark.parametrize(
    ("name", "value", "regime"),
    [
        ("LongYAAL", 2000.0, "low"),
        ("LongYAAL", 2000.1, "high"),
        ("YAAL", 4000.0, "high"),
        ("YAAL", 4001.0, "beyond"),
        ("LAAL", 900.0, None),
    ],
)
def test_a_run_is_in_the_regime_that_iwslt_ranks_it_in(name: str, value: float, regime: str | None) -> None:
    assert regime_of({name: Metric(value, "ms", "made-up")}) == regime


DEGENERACY = LOGS / "degeneracy"
EXPECTED = json.loads((DEGENERACY / "expected.json").read_text(encoding="utf-8"))["values"]
OMNISTEVAL = {
    "SWF": "Simultaneous Words Fraction (%)", "EFSW": "Expected Simul. Words Fraction (%)",
    "DSPTV": "Degeneracy Test Value", "YAAL": "YAAL (CU)", "LAAL": "LAAL (CU)", "AP": "AP (CU)", "DAL": "DAL (CU)",
}  # fmt: skip


@pytest.mark.parametrize("case", EXPECTED)
def test_signs_of_a_degenerate_policy_are_omnistevals_to_its_last_digit(case: str) -> None:
    found = score(read_log(DEGENERACY / case), FAST).as_json()["metrics"]
    for name, theirs in OMNISTEVAL.items():
        assert round(found[name]["value"], 4) == EXPECTED[case][theirs], name


def test_who_says_everything_at_the_end_has_no_simultaneous_word_and_no_value_to_be_acquitted_by() -> None:
    waiting = [Utterance((2000.0, 2000.0), 2000.0, 2), Utterance((900.0,), 900.0, 1)]
    assert {name: metric.value for name, metric in degeneracy(waiting).items()} == {"SWF": 0.0}
    assert degeneracy([Utterance((), 2000.0, 2)]) == {}


def test_signs_of_a_degenerate_policy_by_hand() -> None:
    """Words at 1, 2 and 4 s of 4 s: two of three are early; YAAL of the first two is (1 + 2 - 4/3) / 2."""
    found = degeneracy([Utterance((1000.0, 2000.0, 4000.0), 4000.0, 3)], "Long")
    lag = (1000 + 2000 - 4000 / 3) / 2
    assert found["LongSWF"].value == pytest.approx(200 / 3)
    assert found["LongEFSW"].value == pytest.approx(100 * (4000 - lag) / 4000)
    assert found["LongDSPTV"].value == pytest.approx(100 * (4000 - lag) / 4000 - 200 / 3)


def test_a_talk_has_them_by_segment_under_names_of_their_own() -> None:
    log = read_log(LOGS / "longform" / "metrics.jsonl")
    folder = LOGS / "longform"
    talk = replace(
        log, recordings=tuple(attach(log.recordings, folder / "references.txt", folder / "ref_segments.yaml"))
    )
    metrics = score(talk, FAST).metrics
    assert {"LongSWF", "LongEFSW", "LongDSPTV"} <= set(metrics)
    assert "SWF" not in metrics
    assert 0.0 <= metrics["LongSWF"].value <= 100.0
