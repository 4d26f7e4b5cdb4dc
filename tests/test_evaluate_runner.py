"""Runs of a real session (tiny networks) that are stopped and go on, and their logs."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from runs import options, short_clips, without_computation

from streamst.errors import InputError
from streamst.evaluate.formats.detect import read_log
from streamst.evaluate.log.manifest import Manifest
from streamst.evaluate.log.runlog import FORMAT, RunDirectory, read_events
from streamst.evaluate.report.write import score_run
from streamst.evaluate.run.options import RunOptions
from streamst.evaluate.run.players import player
from streamst.evaluate.run.runner import run
from streamst.evaluate.run.sweep import expand, plan


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return short_clips(tmp_path_factory.mktemp("clips"))


def test_a_run_of_a_real_session_is_scored_with_every_metric_that_applies(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    result = run(manifest, options(tiny_model), tmp_path)
    assert (result.finished, result.resumed, result.cut_lines) == (4, 0, 0)
    scored = score_run(tmp_path, resamples=100).score
    promised = "BLEU chrF WER AP AL LAAL DAL ATD YAAL LAAL_CA_queue StartOffset EndOffset RTF NE empty"
    assert set(promised.split()) <= scored.metrics.keys()
    assert "LAAL_CA_wallclock" not in scored.metrics  # it was not paced
    log = read_log(tmp_path)
    for recording, clip in zip(log.recordings, manifest.clips, strict=True):
        assert recording.units, "the tiny model writes something of every recording"
        assert recording.source_ms == 1000 * soundfile.info(clip.path).frames / 16_000
        assert set(recording.delays_ms) <= {320.0, 640.0, 960.0, recording.source_ms}
        assert recording.reference == "guten Morgen zusammen"
    assert json.loads((tmp_path / "run.json").read_text())["options"]["policy"] == "wait-k:k=1"


def test_two_runs_of_the_same_thing_give_the_same_report_but_for_the_computation(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        run(manifest, options(tiny_model), tmp_path / name)
    assert without_computation(tmp_path / "a") == without_computation(tmp_path / "b")


def test_speech_that_went_through_a_codec_is_as_long_and_pcm_loses_nothing(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    figures = {}
    for codec in (None, "pcm16", "neural:1500"):
        run(manifest, options(tiny_model, codec=codec), tmp_path / str(codec))
        figures[codec] = without_computation(tmp_path / str(codec))
        log = read_events(tmp_path / str(codec) / "events.jsonl")
        lengths = [lines[0]["source_ms"] for _, lines in sorted(log.recordings.items())]
        assert lengths == pytest.approx([clip.duration_ms for clip in manifest.clips], abs=1)
    assert figures["pcm16"] == figures[None] != figures["neural:1500"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_that_was_cut_anywhere_and_resumed_equals_one_that_was_not(
    tiny_model: Path, manifest: Manifest, tmp_path: Path, seed: int
) -> None:
    whole = tmp_path / "whole"
    run(manifest, options(tiny_model), whole)
    raw = (whole / "events.jsonl").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "run.json").write_bytes((whole / "run.json").read_bytes())
    (cut / "events.jsonl").write_bytes(raw[: random.Random(seed).randrange(len(raw))])
    finished_before = len(read_events(cut / "events.jsonl").recordings)
    result = run(manifest, options(tiny_model), cut)
    assert (result.resumed, result.finished) == (finished_before, 4 - finished_before)
    assert without_computation(cut) == without_computation(whole)
    again = run(manifest, options(tiny_model), cut)
    assert (again.resumed, again.finished) == (4, 0)
    assert len(read_events(cut / "events.jsonl").recordings) == 4


KILLED = """
import sys
from pathlib import Path
from streamst.evaluate.log.manifest import read_manifest
from streamst.evaluate.run.options import RunOptions
from streamst.evaluate.run.players import player
from streamst.evaluate.run.runner import run
manifest, model, out = map(Path, sys.argv[1:])
print("begun", flush=True)
options = RunOptions(model=str(model), policy="wait-k:k=1", chunk_ms=320, speech=False)
run(read_manifest(manifest), options, out, progress=lambda done, _: print("finished one", flush=True))
"""


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_goes_on(tiny_model: Path, manifest: Manifest, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(manifest, options(tiny_model), whole)
    command = [sys.executable, "-c", KILLED, str(manifest.path), str(tiny_model), str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert process.stdout.readline() == "finished one\n"
        process.kill()
    finished_before = len(read_events(killed / "events.jsonl").recordings)
    result = run(manifest, options(tiny_model), killed)
    assert finished_before >= 1
    assert result.resumed == finished_before
    assert without_computation(killed) == without_computation(whole)


@pytest.mark.slow
def test_two_processes_give_the_report_of_one(tiny_model: Path, manifest: Manifest, tmp_path: Path) -> None:
    finished: list[int] = []
    run(manifest, options(tiny_model), tmp_path / "one")
    run(manifest, options(tiny_model), tmp_path / "two", workers=2, progress=lambda done, _: finished.append(done))
    assert finished == [1, 1, 1, 1]
    assert without_computation(tmp_path / "one") == without_computation(tmp_path / "two")


def test_another_run_does_not_go_into_a_directory_that_holds_one(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    nothing = Manifest(manifest.path, (), manifest.sha256)
    run(nothing, options(tiny_model), tmp_path)
    with pytest.raises(InputError, match=r"another run: options policy is 'wait-k:k=1' there, 'wait-k:k=3' now; use"):
        run(nothing, options(tiny_model, "wait-k:k=3"), tmp_path)
    with pytest.raises(InputError, match=r"another run: manifest clips is 0 there, 4 now"):
        run(manifest, options(tiny_model), tmp_path)
    config = json.loads((tmp_path / "run.json").read_text())
    config["model"]["translator"] = "other weights"
    (tmp_path / "run.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"another run: model translator is 'other weights' there, '[0-9a-f]{64}' now"):
        run(nothing, options(tiny_model), tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(InputError, match=r"holds events\.jsonl of something else"):
        run(nothing, options(tiny_model), tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match=rf"run\.json: not format {FORMAT} of a run"):
        run(nothing, options(tiny_model), tmp_path)


def test_a_damaged_line_inside_a_log_is_refused_and_a_torn_last_one_is_counted(tmp_path: Path) -> None:
    lines = [
        {"type": "begin", "id": 0}, {"type": "push", "id": 0}, {"type": "finish", "id": 0},
        {"type": "end", "id": 0, "steps": 2}, {"type": "begin", "id": 1}, {"type": "push", "id": 1},
    ]  # fmt: skip
    text = [json.dumps(line) + "\n" for line in lines]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(text) + '{"type": "fin')
    log = read_events(path)
    assert (sorted(log.recordings), log.cut_lines, log.whole_bytes) == ([0], 3, sum(map(len, text[:4])))
    for broken, message in (
        (["{oops\n", *text], r"events\.jsonl:1: not a line of an event log"),
        ([text[1]], r"events\.jsonl:1: a push of recording 0, which has not begun"),
        ([*text[:4], *text[:4]], r"events\.jsonl:5: recording 0 is there twice"),
        ([text[0], text[0]], r"events\.jsonl:2: recording 0 begins before 0 has ended"),
        ([text[0], text[1], text[3]], r"events\.jsonl:3: recording 0 has 1 steps, its end says 2"),
        (['{"type": "hop", "id": 0}\n'], r"events\.jsonl:1: type 'hop' is not known"),
    ):
        path.write_text("".join(broken))
        with pytest.raises(InputError, match=message):
            read_events(path)


def test_a_number_that_is_none_is_never_written_into_a_log(tmp_path: Path) -> None:
    directory = RunDirectory.open(tmp_path, {"format": FORMAT, "manifest": {}, "options": {}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        directory.append([{"type": "begin", "id": 0, "source_ms": float("nan")}])
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunOptions(task="tts"), "unknown task 'tts'; allowed: st, asr"),
        (lambda: RunOptions(chunk_ms=0), "chunk_ms is 0"),
        (lambda: RunOptions(threads=0), "threads is 0"),
        (lambda: RunOptions(codec="neural:3000", url="ws://there"), "codec 'neural:3000' is for runs in this process"),
        (lambda: player(RunOptions(codec="mp3")), "codec 'mp3' is not known; allowed: neural"),
        (lambda: expand("wait-k:k"), "'k' is not NAME=VALUE"),
        (lambda: plan(RunOptions(), ["wait-k", "wait-k"], [], []), "the sweep has wait-k twice"),
    ],
)
def test_impossible_options_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_options_that_the_parts_cannot_have_are_told_before_a_recording_is_heard(tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"^a chunk of 333 ms is not possible"):
        player(RunOptions(model=str(tiny_model), chunk_ms=333))
