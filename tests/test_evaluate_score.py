"""Scores: what a log gives, and that it is what other tools give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scoring import FAST, LOGS, TEXTS, long_log, run_of

from streamst.errors import InputError
from streamst.evaluate.formats.detect import read_log
from streamst.evaluate.formats.references import attach
from streamst.evaluate.metrics.result import Metric
from streamst.evaluate.report.regimes import regime_of
from streamst.evaluate.report.score import Score, score
from streamst.evaluate.report.write import segment_lines


@pytest.fixture(scope="module")
def scored() -> Score:
    return score(run_of(speech=True), FAST)


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
