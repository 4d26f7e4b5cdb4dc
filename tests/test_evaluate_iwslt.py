"""`bench iwslt`: a folder of talks, played whole, and the log that the task takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benching import bench

from streamst.audio import read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.api import score
from streamst.evaluate.formats.detect import Log, read_log
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.run.iwslt import read_talks, write_submission

DATA = Path(__file__).parent / "data"
ENTRIES = (("a.wav", 0.0, 1.0), ("a.wav", 1.2, 0.8), ("b.wav", 0.5, 1.5))


def talk_list(folder: Path, entries=ENTRIES, references: list[str] | None = None) -> Path:
    """Two recordings of two seconds in `folder`/audio, segments and references."""
    (folder / "audio").mkdir(parents=True)
    pcm = read_audio(DATA / "station.flac")
    for name in ("a.wav", "b.wav"):
        write_wav(folder / "audio" / name, np.resize(pcm, 32_000), 16_000)
    lines = [f"- {{wav: {wav}, offset: {offset}, duration: {duration}}}" for wav, offset, duration in entries]
    (folder / "segments.yaml").write_text("\n".join(lines) + "\n")
    words = ["wo ist es", "dort drüben", "guten Tag"] if references is None else references
    if words:
        (folder / "references.txt").write_text("\n".join(words) + "\n")
    return folder


def test_segments_of_a_recording_are_one_talk_with_its_references_in_order(tmp_path: Path) -> None:
    talks = read_talks(talk_list(tmp_path / "talks", (ENTRIES[1], ENTRIES[2], ENTRIES[0])))
    assert [clip.name for clip in talks.clips] == ["a.wav", "b.wav"]
    assert [r.translation for r in talks.clips[0].references] == ["guten Tag", "wo ist es"]
    assert talks.clips[0].path == tmp_path / "talks" / "audio" / "a.wav"
    assert talks.clips[1].references[0].offset_ms == 500.0


def test_a_folder_becomes_the_log_of_the_task_that_scores_as_the_run_does(tiny_model: Path, tmp_path: Path) -> None:
    talks, out = talk_list(tmp_path / "talks"), tmp_path / "run"
    printed = bench("iwslt", talks, "--model", tiny_model, "--policy", "wait-k:k=1", "--chunk-ms", 320, "--out", out,
                    "--resamples", 100)  # fmt: skip
    submission = out / "submission"
    assert {path.name for path in submission.iterdir()} == {
        "metrics.jsonl", "cfg.yaml", "segments.yaml", "references.txt",
    }  # fmt: skip
    assert "StreamLAAL_fbk" in printed
    lines = [json.loads(line) for line in (submission / "metrics.jsonl").read_text().splitlines()]
    assert [line["metadata"]["wav_name"] for line in lines if "metadata" in line] == ["a.wav", "b.wav"]
    metrics = json.loads((out / "report.json").read_text())["metrics"]
    beside = {name: submission / f"{name}.{end}" for name, end in (("references", "txt"), ("segments", "yaml"))}
    again = score(
        submission / "metrics.jsonl", references=beside["references"], segments=beside["segments"], resamples=100
    )
    for name in ("LongDAL", "LongLAAL", "LongLAAL_CA_queue", "StreamLAAL_simulstream", "BLEU_soft", "chrF"):
        assert again.metrics[name].value == pytest.approx(metrics[name]["value"]), name
    assert bench("iwslt", talks, "--model", tiny_model, "--policy", "wait-k:k=1", "--chunk-ms", 320, "--out", out,
                 "--resamples", 100)  # goes on where it was  # fmt: skip


def test_a_talk_list_without_references_is_played_and_nothing_is_scored(tiny_model: Path, tmp_path: Path) -> None:
    talks, out = talk_list(tmp_path / "talks", references=[]), tmp_path / "run"
    printed = bench("iwslt", talks, "--model", tiny_model, "--chunk-ms", 320, "--limit", 1, "--out", out)
    assert "has no references: nothing is scored" in printed
    assert (out / "submission" / "metrics.jsonl").is_file()
    assert not (out / "report.json").exists()
    assert len(read_log(out).recordings) == 1


@pytest.mark.parametrize(
    ("entries", "references", "message"),
    [
        (ENTRIES, ["only one"], "references.txt: 1 lines, but .*segments.yaml has 3 segments"),
        ((("a.wav", 0.0, 1.0), ("other/a.wav", 0.0, 1.0)), ["x", "y"], "other/a.wav and a.wav have one name"),
        ((("c.wav", 0.0, 1.0),), ["x"], "c.wav is not there"),
        ((("a.wav", 0.0, 0.0),), ["x"], "a segment of a.wav lasts 0 s; use seconds above 0"),
        ((("a.wav", -1.0, 1.0),), ["x"], "entry 0: offset and duration must be 0 or more"),
    ],
)
def test_a_list_that_cannot_be_is_refused_with_its_file(
    entries: tuple, references: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_talks(talk_list(tmp_path / "talks", entries, references))


def test_a_folder_without_a_list_and_audio_that_is_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no segments\.yaml; a talk list has audio"):
        read_talks(tmp_path)
    talks = talk_list(tmp_path / "talks")
    (talks / "more").mkdir()
    (talks / "more" / "a.wav").write_bytes((talks / "audio" / "a.wav").read_bytes())
    with pytest.raises(InputError, match=r"a\.wav is there 2 times"):
        read_talks(talks)


def test_segments_past_the_end_of_the_audio_are_refused_before_anything_is_played(
    tiny_model: Path, tmp_path: Path
) -> None:
    talks = talk_list(tmp_path / "talks", (("a.wav", 1.0, 9.0),), ["x"])
    with pytest.raises(InputError, match=r"a\.wav lasts 2\.000 s, the manifest says 10\.000 s"):
        bench("iwslt", talks, "--model", tiny_model, "--out", tmp_path / "run")


def test_a_talk_without_a_word_stands_in_the_log_all_the_same(tmp_path: Path) -> None:
    steps = (Step(500.0, 1.0), Step(1000.0, 1.0))
    silent = Recording(0, "talks/a.wav", "made up:1", 1000.0, (), (), steps=steps)
    write_submission(Log(tmp_path, "streamst", (silent,), 0), tmp_path / "submission")
    (back,) = read_log(tmp_path / "submission").recordings
    assert (back.name, back.units, len(back.steps)) == ("a.wav", (), 2)
