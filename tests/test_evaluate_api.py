"""`import streamst.evaluate`: five lines, no PyTorch; every event as a table."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from benching import bench

import streamst.evaluate as evaluate
from streamst.errors import InputError, UnavailableError
from streamst.evaluate.formats.detect import Log
from streamst.evaluate.formats.table import COLUMNS, events_of, write_table
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.recording import Recording, SpeechChunk, replay

LOGS = Path(__file__).parent / "data" / "logs"
LONG = LOGS / "longform"
REFERENCES, SEGMENTS = LONG / "references.txt", LONG / "ref_segments.yaml"

FIVE_LINES = """
import streamst.evaluate as evaluate
found = evaluate.score({log!r})
print(found.metrics["YAAL"].value, found.intervals["YAAL"], found.verdict)
events = evaluate.events({log!r})
print(len(events), evaluate.compare({log!r}, {log!r}).metrics[0].name)
import sys
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "matplotlib", "pyarrow")]
"""


def test_five_lines_score_a_log_and_load_no_pytorch() -> None:
    code = FIVE_LINES.format(log=str(LOGS / "degeneracy" / "case0"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "simultaneous" in done.stdout


def test_the_public_names_are_four_and_another_is_refused_with_them() -> None:
    assert evaluate.__all__ == ["compare", "events", "read", "score"]
    assert set(evaluate.__all__) <= set(dir(evaluate))
    with pytest.raises(AttributeError, match="no attribute 'scores'; it offers compare, events, read, score"):
        getattr(evaluate, "scores")  # noqa: B009


def test_a_talk_is_scored_with_the_references_beside_it_from_a_path_or_from_what_was_read() -> None:
    found = evaluate.score(LONG / "metrics.jsonl", references=REFERENCES, segments=SEGMENTS, resamples=100)
    log = evaluate.read(LONG / "metrics.jsonl", references=REFERENCES, segments=SEGMENTS)
    assert evaluate.score(log, resamples=100).as_json() == found.as_json()
    assert "LongYAAL" in found.metrics
    same = evaluate.compare(log, log, resamples=100)
    assert next(one for one in same.metrics if one.name == "LongYAAL").difference.value == 0.0


def test_references_of_what_was_read_already_and_segments_alone_are_refused() -> None:
    log = evaluate.read(LONG / "metrics.jsonl")
    with pytest.raises(InputError, match="given to `read`"):
        evaluate.score(log, references=REFERENCES, segments=SEGMENTS)
    with pytest.raises(InputError, match="give references, too"):
        evaluate.read(LONG / "metrics.jsonl", segments=SEGMENTS)


# ---- every event as a table ----


def spoken() -> Log:
    """Two steps: "a b" is written, then "b" is taken back for "c d", which is said."""
    steps = (Step(320.0, 40.0, ("a", "b")), Step(640.0, 10.0, ("c", "d"), ("b",)))
    units, delays = replay(steps, "made up")
    speech = (SpeechChunk(640.0, 500.0, 1, "c d"),)
    recording = Recording(0, 'a,"b".wav', "made up:1", 640.0, units, delays, steps=steps, speech=speech, output="both")
    return Log(Path("made up"), "simulstream", (recording,), 0)


def test_every_event_is_a_row_in_order_with_what_is_known_of_it() -> None:
    rows = events_of(spoken())
    assert [(row["step"], row["event"], row["text"]) for row in rows] == [
        (0, "step", None), (0, "word", "a"), (0, "word", "b"),
        (1, "step", None), (1, "deleted", "b"), (1, "word", "c"), (1, "word", "d"), (1, "speech", "c d"),
    ]  # fmt: skip
    assert all(tuple(row) == tuple(COLUMNS) for row in rows)
    assert [row["ready_ms"] for row in rows[:4]] == [360.0, 360.0, 360.0, 650.0]
    assert (rows[-1]["start_ms"], rows[-1]["end_ms"]) == (650.0, 1150.0)
    assert rows[3]["compute_ms"] == 10.0


def test_a_log_of_units_alone_has_a_row_a_unit() -> None:
    (one, *_) = rows = evaluate.events(LOGS / "degeneracy" / "case0")
    assert {row["event"] for row in rows} == {"word"}
    assert (one["heard_ms"], one["ready_ms"], one["step"], one["text"]) == (1630.5, 1670.5, None, "großen")


def test_csv_is_read_back_the_same(tmp_path: Path) -> None:
    rows = events_of(spoken())
    write_table(rows, tmp_path / "events.csv")
    with (tmp_path / "events.csv").open(encoding="utf-8", newline="") as file:
        back = list(csv.DictReader(file))
    assert [row["text"] for row in back] == [row["text"] or "" for row in rows]
    assert {row["path"] for row in back} == {'a,"b".wav'}
    assert back[0]["segment"] == ""


def test_parquet_keeps_kinds_and_what_is_missing(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = events_of(spoken())
    write_table(rows, tmp_path / "events.parquet")
    assert parquet.read_table(tmp_path / "events.parquet").to_pylist() == rows


def test_without_pyarrow_the_error_names_it_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnavailableError, match=r"needs pyarrow: pip install 'streamst\[parquet\]'"):
        bench("export", LOGS / "degeneracy" / "case0", "--to", tmp_path / "events.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    printed = bench("export", LONG / "metrics.jsonl", "--to", tmp_path / "events.csv")
    assert "events.csv:" in printed
    lines = (tmp_path / "events.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert len(lines) > 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "events.xlsx"], "the ending '.xlsx' is not known; allowed: .csv, .parquet"),
        (["--to", "e.csv", "--format", "simuleval"], "--format and --out are for other tools' logs"),
        (["--format", "simuleval"], "needs --format and --out, or --to"),
        ([], "needs --format and --out, or --to"),
    ],
)
def test_what_cannot_be_exported_is_said(words: list[str], message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        bench("export", LONG / "metrics.jsonl", *words)
    assert message in str(caught.value)
