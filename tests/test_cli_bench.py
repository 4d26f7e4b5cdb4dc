"""`streamst bench` from the command line: real logs, a real session, and errors that name what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from benching import bench

from streamst.audio import read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.formats.detect import read_log

DATA = Path(__file__).parent / "data"
LOGS = DATA / "logs"
LONG = LOGS / "longform"
WITH_REFERENCES = ["--references", str(LONG / "references.txt"), "--segments", str(LONG / "ref_segments.yaml")]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    pcm = read_audio(DATA / "station.flac")
    rows = ["path\tduration_s\tspeaker\ttext\ttranslation\n"]
    for index in range(3):
        write_wav(folder / f"{index}.wav", pcm[index * 14_000 : index * 14_000 + 16_000], 16_000)
        rows.append(f"{index}.wav\t1.0\tslt\twhere is it\two ist es\n")
    path = folder / "manifest.tsv"
    path.write_text("".join(rows))
    return path


@pytest.fixture(scope="module")
def finished(tiny_model: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run."""
    out = tmp_path_factory.mktemp("runs") / "first"
    printed = bench("run", manifest, "--model", tiny_model, "--policy", "wait-k:k=1", "--chunk-ms", 320, "--out", out,
                    "--resamples", 100)  # fmt: skip
    assert "LAAL_CA_queue" in printed
    assert "report.html" in printed
    return out


def test_a_run_leaves_everything_that_is_promised(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "run.json", "events.jsonl", "segments.jsonl", "report.json", "report.html", "speech",
    }  # fmt: skip
    metrics = json.loads((finished / "report.json").read_text())["metrics"]
    promised = "BLEU chrF WER AP AL LAAL DAL ATD LAAL_CA_queue StartOffset EndOffset RTF empty"
    assert set(promised.split()) <= metrics.keys()
    assert all(set(metric) == {"value", "unit", "signature"} for metric in metrics.values())
    assert len((finished / "segments.jsonl").read_text().splitlines()) == 3
    config = json.loads((finished / "run.json").read_text())
    assert config["options"]["chunk_ms"] == 320
    assert config["manifest"]["clips"] == 3


def test_the_same_command_again_plays_nothing_again(finished: Path, tiny_model: Path, manifest: Path) -> None:
    before = (finished / "events.jsonl").read_bytes()
    printed = bench("run", manifest, "--model", tiny_model, "--policy", "wait-k:k=1", "--chunk-ms", 320,
                    "--out", finished, "--resamples", 100)  # fmt: skip
    assert "3 recordings were finished" in printed
    assert (finished / "events.jsonl").read_bytes() == before


def test_recognition_is_scored_without_a_translation(tiny_model: Path, manifest: Path, tmp_path: Path) -> None:
    bench("run", manifest, "--model", tiny_model, "--task", "asr", "--limit", 1, "--out", tmp_path, "--resamples", 100)
    metrics = json.loads((tmp_path / "report.json").read_text())["metrics"]
    assert "WER" in metrics
    assert "BLEU" not in metrics


def test_several_runs_stand_on_one_page(finished: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(finished, tmp_path / "second")
    printed = bench("report", finished, copied, "--out", tmp_path / "page", "--resamples", 100)
    assert "second" in printed
    points = json.loads((tmp_path / "page" / "report.json").read_text())["points"]
    assert [point["name"] for point in points] == ["first", "second"]
    assert points[0]["metrics"] == points[1]["metrics"]
    page = (tmp_path / "page" / "report.html").read_text()
    assert "2 runs, 3 rows each" in page
    assert page.count("data:audio/ogg") >= 6, "of both, what was said and heard"
    with pytest.raises(InputError, match="2 runs on one page need a directory for it: --out DIR"):
        bench("report", finished, copied)
    with pytest.raises(InputError, match="two runs are called second"):
        bench("report", copied, copied, "--out", tmp_path / "page")


def test_a_report_can_be_made_again_from_the_events_alone(finished: Path, tmp_path: Path) -> None:
    for name in ("run.json", "events.jsonl"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    bench("report", tmp_path, "--resamples", 100)
    assert (tmp_path / "report.json").read_text() == (finished / "report.json").read_text()


@pytest.mark.parametrize("format", ["simuleval", "simulstream", "omnisteval"])
def test_what_is_exported_scores_the_same_here(finished: Path, format: str, tmp_path: Path) -> None:
    printed = bench("export", finished, "--format", format, "--out", tmp_path / "out")
    assert str(tmp_path / "out") in printed.replace(" ", "")
    references = [] if format != "simulstream" else [
        "--references", tmp_path / "out" / "references.txt", "--segments", tmp_path / "out" / "segments.yaml",
    ]  # fmt: skip
    bench("score", tmp_path / "out", "--json", tmp_path / "scores.json", "--resamples", 100, *references)
    theirs = json.loads((tmp_path / "scores.json").read_text())["metrics"]
    ours = json.loads((finished / "report.json").read_text())["metrics"]
    same = {"simuleval": "LAAL_CA_simuleval", "omnisteval": "BLEU", "simulstream": "LAAL_CA_queue"}[format]
    for name in ("AL", "LAAL", "DAL", "AP", "ATD", "StartOffset", "EndOffset", "BLEU", "chrF", same):
        assert theirs[name]["value"] == pytest.approx(ours[name]["value"], rel=1e-9), name


@pytest.mark.parametrize(
    "wrong", [("--policy", "wait-q"), ("--chunk-ms", 7), ("--latency", "none"), ("--target", "fr")], ids=lambda w: w[0]
)
def test_a_run_that_could_not_begin_does_not_keep_the_directory_from_the_next(
    tiny_model: Path, manifest: Path, tmp_path: Path, wrong: tuple[str, object]
) -> None:
    command = ("run", manifest, "--model", tiny_model, "--limit", 1, "--resamples", 100, "--out", tmp_path / "a")
    with pytest.raises(InputError, match=str(wrong[1])):
        bench(*command, *wrong)
    assert not (tmp_path / "a").exists()
    bench(*command)


def test_a_run_that_failed_in_its_middle_keeps_its_directory(
    tiny_model: Path, finished: Path, manifest: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "a")
    with pytest.raises(InputError, match="holds another run"):
        bench("run", manifest, "--model", tiny_model, "--out", tmp_path / "a", "--policy", "wait-q")
    assert (tmp_path / "a" / "run.json").exists()


def test_a_run_and_a_sweep_do_not_overwrite_each_others_reports(
    tiny_model: Path, finished: Path, manifest: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds a run"):
        bench("sweep", manifest, "--model", tiny_model, "--out", finished)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(InputError, match="holds a sweep"):
        bench("run", manifest, "--model", tiny_model, "--out", tmp_path)


@pytest.mark.parametrize("wrong", [("--policy", "wait-k:k=1/x"), ("--latency", "none")], ids=lambda w: w[0])
def test_a_sweep_looks_at_all_its_points_before_it_plays_any(
    tiny_model: Path, manifest: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    with pytest.raises(InputError, match="allowed"):
        bench("sweep", manifest, "--model", tiny_model, "--out", tmp_path / "s", *wrong)
    assert not (tmp_path / "s").exists()


def test_a_sweep_reports_every_point_and_goes_on_where_it_was(tiny_model: Path, manifest: Path, tmp_path: Path) -> None:
    command = ["sweep", manifest, "--model", tiny_model, "--policy", "wait-k:k=1/3", "--policy", "local-agreement",
               "--chunk-ms", 320, "--limit", 2, "--out", tmp_path, "--resamples", 100]  # fmt: skip
    printed = bench(*command)
    assert "wait-k_k=1_320ms" in printed
    points = json.loads((tmp_path / "report.json").read_text())["points"]
    assert [p["series"] for p in points] == ["wait-k", "wait-k", "local-agreement"]
    assert all("LAAL_CA_queue" in p["metrics"] for p in points if p["metrics"]["empty"]["value"] < 2)
    logs = {path: path.read_bytes() for path in tmp_path.rglob("events.jsonl")}
    assert len(logs) == 3
    bench(*command)
    bench("report", tmp_path, "--resamples", 100)
    assert {path: path.read_bytes() for path in logs} == logs
    assert "wait-k_k=3_320ms" in (tmp_path / "report.html").read_text()


def test_a_log_of_another_tool_is_scored_with_references_beside_it(tmp_path: Path) -> None:
    scores = ["--json", tmp_path / "s.json", "--resamples", 100]
    printed = bench("score", LONG / "metrics.jsonl", *WITH_REFERENCES, *scores)
    assert "8 reference segments" in printed
    metrics = json.loads((tmp_path / "s.json").read_text())["metrics"]
    assert metrics["StreamLAAL_simulstream"]["value"] == pytest.approx(2300.0220959595954)


def test_a_program_of_ones_own_judges_speech_and_text(tmp_path: Path) -> None:
    score = ["score", LOGS / "simuleval_s2t", "--json", tmp_path / "s.json", "--resamples", 100]
    with pytest.raises(InputError, match="the log has no speech"):
        bench(*score, "--judge", "cat {wav}")
    with pytest.raises(InputError, match=r"COMET needs what was said \(text\)"):
        bench(*score, "--comet", "cat {source} {hypothesis} {reference}")
    with pytest.raises(InputError, match=r"the judge command 'cat' has no \{wav\}"):
        bench(*score, "--judge", "cat")


def test_two_runs_are_compared_recording_by_recording(finished: Path, tmp_path: Path) -> None:
    printed = bench("compare", finished, finished, "--json", tmp_path / "c.json", "--resamples", 100)
    assert "A - B" in printed
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["metrics"]["LAAL"]["difference"]["value"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", LOGS / "nothing"], "nothing: No such file"),
        (["score", DATA / "station.flac"], "unknown log format"),
        (["score", LOGS / "simuleval_s2t", "--format", "simul"], "unknown log format 'simul'; known formats: streamst"),
        (["score", LOGS / "simuleval_s2t", "--segments", LONG / "ref_segments.yaml"], "give --references, too"),
        (["export", LONG, "--format", "csv", "--out", "x"], "unknown format 'csv'; allowed: simuleval"),
        (["export", LONG / "instances.log", "--format", "simulstream", "--out", "x"], "computation of every chunk"),
        (["report", LOGS], "not a run's directory"),
        (["run", LOGS / "none.tsv", "--out", "x"], "none.tsv: No such file"),
        (["run", LOGS / "none.tsv", "--task", "tts", "--out", "x"], "unknown task 'tts'; allowed: st, asr"),
    ],
)
def test_what_cannot_be_done_is_said_by_name(words: list, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        bench(*words)
    assert message in str(caught.value)


def test_a_run_that_was_cut_is_scored_and_says_what_is_missing(finished: Path, tmp_path: Path) -> None:
    raw = (finished / "events.jsonl").read_bytes()
    (tmp_path / "run.json").write_bytes((finished / "run.json").read_bytes())
    (tmp_path / "events.jsonl").write_bytes(raw[:-30])
    printed = bench("score", tmp_path, "--resamples", 100)
    assert "1 recordings of the manifest are not in the log" in printed
    assert "lines at the end of the log were not whole" in printed
    assert len(read_log(tmp_path).recordings) == 2
