"""Recordings that are played at once say what each says alone, and are charged for what each takes alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamst.audio import read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.log.manifest import Manifest, read_manifest
from streamst.evaluate.log.runlog import read_events
from streamst.evaluate.report.write import score_run
from streamst.evaluate.run.options import RunOptions
from streamst.evaluate.run.runner import run
from streamst.evaluate.run.together import Desk, Price, Stopwatch
from streamst.models.seam import Models, Write

STATION = Path(__file__).parent / "data" / "station.flac"
HEADER = "path\tduration_s\tspeaker\ttext\ttranslation\n"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Seven recordings of 0.3 to 2.4 s."""
    folder = tmp_path_factory.mktemp("clips")
    pcm = read_audio(STATION)
    rows = [HEADER]
    for index, seconds in enumerate((1.1, 0.3, 2.4, 0.9, 1.6, 0.7, 1.3)):
        write_wav(folder / f"{index}.wav", pcm[3000 * index : 3000 * index + round(16_000 * seconds)], 16_000)
        rows.append(f"{index}.wav\t{seconds}\tspeaker {index}\tgood morning\tguten Morgen zusammen\n")
    (folder / "manifest.tsv").write_text("".join(rows))
    return read_manifest(folder / "manifest.tsv")


def said(folder: Path) -> dict[int, list[Any]]:
    """What each recording's log holds but for the computation."""
    found: dict[int, list[Any]] = {}
    for index, lines in read_events(folder / "events.jsonl").recordings.items():
        told = [lines[0]]
        for line in lines[1:-1]:
            events = [{k: v for k, v in event.items() if "comput" not in k} for event in line["events"]]
            told.append({"type": line["type"], "audio_ms": line["audio_ms"], "events": events})
        found[index] = told
    return found


@pytest.mark.parametrize("policy", ["wait-k:k=1", "local-agreement"])
def test_what_is_said_and_spoken_does_not_depend_on_the_company(
    tiny_model: Path, manifest: Manifest, tmp_path: Path, policy: str
) -> None:
    for count in (1, 3, 16):
        options = RunOptions(model=str(tiny_model), policy=policy, chunk_ms=320)
        run(manifest, options, tmp_path / str(count), together=count)
    alone = said(tmp_path / "1")
    assert len(alone) == 7
    assert said(tmp_path / "3") == alone
    assert said(tmp_path / "16") == alone
    for index in alone:
        name = f"speech/{index:06d}.wav"
        if (tmp_path / "1" / name).exists():
            one, three = (read_audio(tmp_path / count / name) for count in ("1", "3"))
            np.testing.assert_allclose(three, one, atol=1e-3)  # as loud as a bit of the wav's sixteen, or two
    steps = [step for r in read_events(tmp_path / "16" / "events.jsonl").recordings.values() for step in r[1:-1]]
    assert all(step["end_ms"] >= step["start_ms"] >= 0 for step in steps)
    assert "RTF" in score_run(tmp_path / "16", resamples=100).score.metrics
    assert json.loads((tmp_path / "3" / "run.json").read_text())["together"] == 3


def test_two_processes_play_several_at_once_each(tiny_model: Path, manifest: Manifest, tmp_path: Path) -> None:
    options = RunOptions(model=str(tiny_model), policy="wait-k:k=1", chunk_ms=320, speech=False)
    finished: list[int] = []
    run(manifest, options, tmp_path / "one", together=1)
    run(manifest, options, tmp_path / "two", 2, lambda done, _: finished.append(done), together=2)
    assert sum(finished) == 7
    assert said(tmp_path / "two") == said(tmp_path / "one")


def test_a_recording_that_cannot_be_played_is_named_by_its_line(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    options = RunOptions(model=str(tiny_model), policy="wait-k:k=1", chunk_ms=330)
    with pytest.raises(InputError, match=r"a chunk of 330 ms is not possible"):
        run(manifest, options, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="together is 0; use 1 or more"):
        run(manifest, options, tmp_path / "run", together=0)


class Timed:
    """A writer of 10 s a call and 1 s a piece, on a clock of its own."""

    source, targets, provides = "en", ("de",), frozenset[str]()

    def __init__(self) -> None:
        self.passed_s, self.calls = 0.0, []

    def now(self) -> float:
        return self.passed_s

    def write_all(self, work: Sequence[Write]) -> list[int]:
        self.passed_s += 10.0 + len(work)
        self.calls.append(len(work))
        return [one.frames for one in work]


class Hearing:
    language, provides = "en", frozenset[str]()


def test_batched_work_is_charged_as_it_costs_alone() -> None:
    writer = Timed()
    desk = Desk(Models(Hearing(), writer), writer.now)  # type: ignore[arg-type]
    for turn in range(40):
        work = [Write((), 100 * turn + place, (), False, "de") for place in range(5)]
        found = desk.perform(work)
        assert [result for result, _ in found] == [one.frames for one in work]
        assert [round(seconds, 6) for _, seconds in found] == [11.0] * 5
    assert writer.calls.count(1) == 6, "of the 1st, 2nd, 4th, 8th, 16th and 32nd batch, and each 16th, one goes alone"
    assert writer.passed_s < 40 * 5 * 11.0 / 3


def test_a_stopwatch_counts_its_own_time_and_what_it_is_charged() -> None:
    clock = [0.0]
    watch = Stopwatch(lambda: clock[0])
    for works_s, charged_s in ((1.0, 0.0), (2.0, 5.0)):
        watch.go(charged_s)
        clock[0] += works_s
        watch.halt()
        clock[0] += 100.0
    assert watch.now() == 8.0
    assert Price().charge(3, 2.0) == 2.0
