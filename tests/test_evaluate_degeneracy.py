"""Signs of a degenerate policy, as OmniSTEval counts them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scoring import FAST, LOGS

from streamst.evaluate.formats.detect import read_log
from streamst.evaluate.formats.references import attach
from streamst.evaluate.metrics.degeneracy import degeneracy
from streamst.evaluate.metrics.latency import Utterance
from streamst.evaluate.report.score import score

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
