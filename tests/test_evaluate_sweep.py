"""Sweeps: points that share work, and what each would say alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runs import options, short_clips, without_computation

from streamst.evaluate.log.manifest import Clip, Manifest
from streamst.evaluate.log.runlog import read_events
from streamst.evaluate.run.options import RunOptions
from streamst.evaluate.run.runner import run
from streamst.evaluate.run.sharing import Shared
from streamst.evaluate.run.sweep import every_policy, expand, plan, sweep


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return short_clips(tmp_path_factory.mktemp("clips"))


def test_points_of_a_sweep_share_work_and_say_what_each_says_alone(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    wanted = ["wait-k:k=1/3", "local-agreement", "streamatt", "confidence:tau=0.0"]
    points = plan(options(tiny_model), wanted, [], [320, 640])
    members = sweep(manifest, points, tmp_path / "swept", resamples=100)
    assert [member.name for member in members] == [point.name for point in points]
    for point in points:
        run(manifest, point.options, tmp_path / "alone" / point.name)
        assert without_computation(tmp_path / "swept" / point.name) == without_computation(
            tmp_path / "alone" / point.name
        )
    begun = read_events(tmp_path / "swept" / points[0].name / "events.jsonl")
    assert len(begun.recordings) == len(manifest.clips)


def test_a_sweep_holds_what_one_recording_needs_however_many_there_are(
    tiny_model: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Shared] = []

    class Watched(Shared):
        def __init__(self) -> None:
            super().__init__()
            begun.append(self)

    monkeypatch.setattr("streamst.evaluate.run.sweep.Shared", Watched)
    points = plan(options(tiny_model), ["wait-k:k=1/3"], [], [])

    def held_after_each_recording(clips: tuple[Clip, ...], out: Path) -> list[int]:
        """Results that are held when the last point of a recording is done."""
        held: list[int] = []
        sweep(
            replace(manifest, clips=clips), points, out, resamples=100,
            progress=lambda point: lambda *_: held.append(len(begun[-1])) if point is points[-1] else None,
        )  # fmt: skip
        return held

    together = held_after_each_recording(manifest.clips, tmp_path / "together")
    alone = [held_after_each_recording((clip,), tmp_path / clip.name)[0] for clip in manifest.clips]
    assert min(alone) > 0
    assert together == alone
    assert len(begun[0]) == 0


def test_who_shares_work_is_charged_for_all_of_it() -> None:
    """A translator whose every step takes a second of a clock of its own."""
    passed_s = [0.0]

    class Slow:
        def forget(self, state: object, words: int) -> tuple[object, int]:
            passed_s[0] += 1.0
            return state, words

    shared, state, other = Shared(lambda: passed_s[0]), object(), object()
    slow = shared.part(Slow())
    times = []
    for heard, words in ((state, 3), (state, 3), (state, 6), (other, 3), (state, 3)):
        begun_s = shared.now()
        assert slow.forget(heard, words) == (heard, words)
        times.append(shared.now() - begun_s)
    assert (times, passed_s) == ([1.0] * 5, [3.0])
    shared.next_recording()
    slow.forget(state, 3)
    assert passed_s == [4.0]


def test_all_policies_are_those_for_which_the_translator_is_enough() -> None:
    plain = every_policy(frozenset({"source-ctc"}))
    assert {policy.partition(":")[0] for policy in plain} == {
        "wait-k", "local-agreement", "hold-n", "consensus", "retranslate",
    }  # fmt: skip
    assert "wait-k:k=1/3/5/7/9" in plain
    assert "alignatt:hold_ms=80/160/240/400/560" in every_policy(frozenset({"alignment"}))


def test_a_sweep_is_every_combination_and_joins_the_points_of_one_policy() -> None:
    assert expand("wait-k:k=1/3,boundaries=ctc") == ["wait-k:k=1,boundaries=ctc", "wait-k:k=3,boundaries=ctc"]
    points = plan(RunOptions(), ["wait-k:k=1/3", "local-agreement"], [], [320, 640])
    assert len(points) == 6
    assert {p.series for p in points} == {"wait-k", "local-agreement"}
    assert (points[1].label, points[1].options.policy, points[1].options.chunk_ms) == ("k=1 640 ms", "wait-k:k=1", 640)
    assert len({p.name for p in points}) == 6
    assert [p.options.latency for p in plan(RunOptions(), [], ["low", "high"], [])] == ["low", "high"]
