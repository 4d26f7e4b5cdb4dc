"""What two logs differ in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scoring import FAST, TEXTS, printed, run_of

from streamst.errors import InputError
from streamst.evaluate.report.compare import compare
from streamst.evaluate.report.score import score
from streamst.evaluate.report.write import comparison_table, verdict


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
