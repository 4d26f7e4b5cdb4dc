"""Failure modes in words, and the verdict that a missing value does not escape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamst.evaluate.formats.detect import Log, read_log
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk
from streamst.evaluate.report.page import Point, write_html
from streamst.evaluate.report.score import Score, ScoreOptions, score

DEGENERACY = Path(__file__).parent / "data" / "logs" / "degeneracy"
FAST = ScoreOptions(resamples=100)
TEXT = "wir gehen heute in die große Stadt und trinken dort einen Kaffee"
LENGTH_MS = 6000.0


def recording(
    delays_ms: list[float], text: str = TEXT, index: int = 0, reference: str = TEXT, **more: object
) -> Recording:
    """A clip of six seconds in which word i was written when `delays_ms[i]` had been heard."""
    units = tuple(text.split())
    return Recording(
        index, f"{index}.wav", f"made up:{index + 1}", LENGTH_MS, units, tuple(delays_ms),
        references=(Reference(0.0, LENGTH_MS, "x", reference),), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def even(text: str = TEXT, lag_ms: float = 1000.0) -> list[float]:
    """An honest writer: even pace, a second behind."""
    count = len(text.split())
    return [min(LENGTH_MS, lag_ms + i * LENGTH_MS / count) for i in range(count)]


def judged(*recordings: Recording) -> Score:
    return score(Log(Path("made up"), "streamst", recordings, 0), FAST)


def said(found: Score) -> set[str]:
    return {one.name for one in found.failures if one.convicted}


def test_an_honest_writer_is_simultaneous_and_nothing_is_said_of_it() -> None:
    found = judged(recording(even()), recording(even(lag_ms=2000.0), index=1))
    assert found.verdict == "simultaneous"
    assert said(found) == set()
    assert found.convictions() == []


ALL = len(TEXT.split())
CHEATS = {
    "all at the end": ([LENGTH_MS] * ALL, "writes everything at the end"),
    "all a moment before the end": ([LENGTH_MS - 1] * ALL, "writes everything at the end"),
    "one word early, the rest at the end": ([300.0, *[LENGTH_MS] * (ALL - 1)], "writes everything at the end"),
    "guesses at the beginning": ([300.0 + i for i in range(ALL)], "writes everything at the beginning"),
}


@pytest.mark.parametrize("name", CHEATS)
def test_who_waits_or_guesses_is_degenerate_whatever_its_mean_says(name: str) -> None:
    delays, mode = CHEATS[name]
    found = judged(recording(delays), recording(delays, index=1))
    assert found.verdict == "degenerate"
    assert mode in said(found)
    assert any(line.startswith(f"{mode}: 2 of 2") for line in found.convictions())


def test_a_value_that_is_not_there_acquits_nobody() -> None:
    """Two words a clip are too few for a mode, and nothing before the end has no DSPTV."""
    found = judged(recording([LENGTH_MS] * 2, "zwei Worte", reference="zwei Worte"))
    assert "DSPTV" not in found.metrics
    assert found.metrics["SWF"].value == 0.0
    assert found.verdict == "suspicious"


def test_one_recording_that_waits_among_many_is_counted_and_not_said_of_the_run() -> None:
    honest = [recording(even(), index=i) for i in range(4)]
    found = judged(recording([LENGTH_MS] * ALL, index=9), *honest)
    waits = next(one for one in found.failures if one.name == "writes everything at the end")
    assert (waits.count, waits.judged, waits.examples, waits.convicted) == (1, 5, ("9.wav",), False)
    assert found.verdict == "simultaneous"


def test_a_talk_whose_words_all_come_with_the_applause_is_degenerate() -> None:
    half = LENGTH_MS / 2
    first, second = "wir gehen heute in", "die große Stadt und"
    references = (Reference(0.0, half, "x", first), Reference(half, half, "x", second))
    units = tuple(f"{first} {second}".split())
    talk = Recording(0, "talk.wav", "made up:1", LENGTH_MS, units, (LENGTH_MS,) * 8, references=references)
    found = judged(talk)
    assert found.verdict == "degenerate"
    assert next(one for one in found.failures if one.name == "writes everything at the end").judged == 1


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("der der der Hund", "repeats itself"),
        ("in die Stadt in die Stadt gehen", "repeats itself"),
        (f"{TEXT} {TEXT} {TEXT}", "writes too much"),
        ("wir gehen heute dort", "writes too little"),
        ("", "writes nothing"),
    ],
)
def test_what_is_wrong_with_the_words_is_named(text: str, mode: str) -> None:
    assert mode in said(judged(recording(even(text) if text else [], text), recording(even(), index=1)))


def test_a_repetition_that_the_reference_has_too_is_none() -> None:
    text = "sie läuft und läuft und läuft immer weiter"
    assert "repeats itself" not in said(judged(recording(even(text), text, reference=text)))


def test_whole_sentences_at_once_are_named_and_are_not_degenerate() -> None:
    found = judged(recording([4000.0] * ALL))
    assert "writes whole sentences at once" in said(found)
    assert found.verdict != "degenerate"


def test_speech_that_waits_for_speech_and_computing_that_is_too_slow_are_named() -> None:
    chunks = (SpeechChunk(1000.0, 8000.0), SpeechChunk(2000.0, 500.0))
    steps = (Step(3000.0, 9000.0, tuple(TEXT.split())), Step(LENGTH_MS, 10.0))
    found = judged(recording([3000.0] * ALL, speech=chunks, output="both", steps=steps))
    assert {"speaks over itself", "is slower than the speaker"} <= said(found)
    ahead = (SpeechChunk(1000.0, 3000.0), SpeechChunk(1000.0, 4000.0), SpeechChunk(4000.0, 500.0))  # one sentence
    assert "speaks over itself" not in said(judged(recording(even(), speech=ahead, output="both")))


def test_a_writer_that_takes_back_more_than_it_keeps_is_named() -> None:
    steps = (
        Step(1000.0, 1.0, ("a", "b", "c")),
        Step(2000.0, 1.0, ("d", "e"), ("a", "b", "c")),
        Step(3000.0, 1.0, ("f",), ("e",)),
    )
    assert "takes back more than it keeps" in said(judged(recording([2000.0, 3000.0], "d f", steps=steps)))


@pytest.mark.parametrize(
    ("case", "verdict"), [("case0", "simultaneous"), ("case2", "simultaneous"), ("case5", "degenerate")]
)
def test_the_verdict_on_golden_logs(case: str, verdict: str) -> None:
    """case7, like case5, is past OmniSTEval's 20 points: below."""
    assert score(read_log(DEGENERACY / case), FAST).verdict == verdict


def test_who_is_past_twenty_points_is_at_least_suspicious() -> None:
    found = score(read_log(DEGENERACY / "case7"), FAST)
    assert found.metrics["DSPTV"].value > 20
    assert found.verdict in ("suspicious", "degenerate")
    assert found.convictions()


def test_a_report_has_them_for_programs() -> None:
    found = json.loads(json.dumps(judged(recording([LENGTH_MS] * ALL)).as_json()))
    assert found["verdict"] == "degenerate"
    waits = found["failures"]["writes everything at the end"]
    assert (waits["count"], waits["of"], waits["convicted"], waits["convicts_from"]) == (1, 1, True, 0.5)


def test_the_verdict_on_who_waits_stands_out_on_the_page(tmp_path: Path) -> None:
    waits = judged(recording([LENGTH_MS] * ALL))
    write_html(tmp_path / "report.html", "two", [Point(name, name, name, waits) for name in ("one", "other")], {}, None)
    assert "<td class='number warn'>degenerate</td>" in (tmp_path / "report.html").read_text(encoding="utf-8")
