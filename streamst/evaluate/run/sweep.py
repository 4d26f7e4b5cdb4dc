"""A curve: the same recordings with several policies, parameters, positions of the dial and chunk sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamst.errors import InputError, StreamstError
from streamst.evaluate.log.manifest import Manifest, check_audio
from streamst.evaluate.log.runlog import REPORTS, SWEEP, RunDirectory, refuse_to_overwrite, write_json
from streamst.evaluate.report.write import Member, score_run, write_report
from streamst.policies.base import Need, missing_needs
from streamst.policies.catalog import LADDERS, LATENCY_NAMES, make_policy, parse_policy

from .options import RunOptions
from .players import MakePlayer, pipeline_of, playing
from .runner import Progress, describe_run, run
from .sharing import Shared


@dataclass(frozen=True)
class Setting:
    """One point of a sweep."""

    name: str  # unique; also its folder's
    series: str  # points of one series are joined in the plot
    label: str
    options: RunOptions


def expand(policy: str) -> list[str]:
    """`wait-k:k=1/3/5` as `wait-k:k=1`, `wait-k:k=3`, `wait-k:k=5`; several such parameters make a grid."""
    name, colon, rest = policy.partition(":")
    if not colon:
        return [policy]
    choices: list[list[str]] = []
    for item in rest.split(","):
        key, equals, values = item.partition("=")
        if not equals or not all(values.split("/")):
            raise InputError(f"policy {policy!r}: {item!r} is not NAME=VALUE or NAME=VALUE/VALUE, as in wait-k:k=1/3/5")
        choices.append([f"{key}={value}" for value in values.split("/")])
    return [f"{name}:{','.join(chosen)}" for chosen in itertools.product(*choices)]


def plan(
    base: RunOptions, policies: Sequence[str], latencies: Sequence[str], chunks_ms: Sequence[int]
) -> list[Setting]:
    """Every combination. Without policies, the dial's own; without latencies and chunks, those of `base`.

    InputError when two points would be the same run, and for a policy or a position of the dial that there is not; only
    a server knows its own.
    """
    wanted = [expanded for policy in policies for expanded in expand(policy)] or [base.policy]
    if base.url is None:
        for policy in filter(None, wanted):
            parse_policy(policy)
        for latency in set(latencies) - set(LATENCY_NAMES):
            raise InputError(f"unknown latency {latency!r}; allowed: {', '.join(LATENCY_NAMES)}")
    points: list[Setting] = []
    for policy, latency, chunk_ms in itertools.product(
        wanted, latencies or [base.latency], chunks_ms or [base.chunk_ms]
    ):
        name, _, parameters = (policy or "").partition(":")
        chunk = f"{chunk_ms} ms" if len(chunks_ms) > 1 else ""
        dial = latency if len(latencies) > 1 else ""
        label = " ".join(filter(None, (parameters, dial, chunk))) or name or latency
        series = name or "latency dial"
        slug = "_".join(filter(None, (policy or "dial", dial, f"{chunk_ms}ms" if chunk_ms else "")))
        slug = "".join(c if c.isalnum() or c in "-_.=" else "_" for c in slug)
        points.append(Setting(slug, series, label, replace(base, policy=policy, latency=latency, chunk_ms=chunk_ms)))
    names = [point.name for point in points]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the sweep has {name} twice")
    if not points:
        raise InputError("the sweep has no point")
    return points


def sweep(
    manifest: Manifest,
    points: Sequence[Setting],
    out: Path,
    workers: int = 1,
    progress: Callable[[Setting], Progress] | None = None,
    resamples: int = 1000,
    make_player: MakePlayer | None = None,
) -> list[Member]:
    """Run and score every point under `out`; a sweep that was stopped goes on where it was.

    In one process on the simulated clock the points share what they compute alike (`sharing.py`): the figures are those
    of runs one by one, in a fraction of the time.
    """
    if (out / "run.json").exists():
        raise InputError(f"{out} holds a run, whose reports a sweep would overwrite; use another --out")
    if not (out / SWEEP).exists():
        refuse_to_overwrite(out, REPORTS)
    out.mkdir(parents=True, exist_ok=True)
    write_json(
        out / SWEEP,
        {"points": [{"name": p.name, "series": p.series, "label": p.label, "folder": p.name} for p in points]},
    )
    alone = workers > 1 or make_player is not None or any(point.options.clock != "simulated" for point in points)
    if not alone:
        _run_together(manifest, points, out, progress)
    found = []
    for point in points:
        if alone:
            run(manifest, point.options, out / point.name, workers, progress(point) if progress else None, make_player)
        report = score_run(out / point.name, resamples)
        write_report(report, point.name)
        found.append(Member(point.name, point.series, point.label, report))
    return found


def every_policy(provides: frozenset[Need]) -> list[str]:
    """Each policy for which a translator that `provides` these is enough, with its main knob from early to late."""
    return [
        f"{name}:{knob}={'/'.join(str(value) for value in dict.fromkeys(values))}"
        for name, (knob, values) in LADDERS.items()
        if not missing_needs(make_policy(name), provides)
    ]


def _run_together(
    manifest: Manifest, points: Sequence[Setting], out: Path, progress: Callable[[Setting], Progress] | None
) -> None:
    """What of `manifest` is not there yet: all points of a recording, then the next recording."""
    check_audio(manifest)
    options = points[0].options
    pipeline = pipeline_of(options)
    shared, models = Shared(), pipeline.models
    models = replace(models, recogniser=shared.part(models.recogniser), writer=shared.part(models.writer))
    pipeline = replace(pipeline, models=models)
    jobs = [
        (point, RunDirectory.open(out / point.name, describe_run(manifest, point.options, 1)),
         playing(pipeline, point.options, shared.now), progress(point) if progress else None)
        for point in points
    ]  # fmt: skip
    try:
        for clip in manifest.clips:
            for point, directory, play, told in jobs:
                if clip.index not in directory.done:
                    directory.append(play(clip, out / point.name))
                    if told:
                        told(1, clip.duration_ms / 1000.0)
            shared.next_recording()
    except StreamstError:
        for _, directory, _, _ in jobs:
            directory.leave()
        raise
