"""A curve: the same recordings with several policies, parameters, positions of the dial and chunk sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamst.errors import InputError
from streamst.evaluate.manifest import Manifest
from streamst.evaluate.report import SWEEP, Member, score_run, write_report
from streamst.evaluate.runlog import write_json
from streamst.evaluate.runner import MakePlayer, Progress, RunOptions, run


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

    InputError when two points would be the same run.
    """
    wanted = [expanded for policy in policies for expanded in expand(policy)] or [base.policy]
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
    """Run and score every point under `out`; a sweep that was stopped goes on where it was."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(
        out / SWEEP,
        {"points": [{"name": p.name, "series": p.series, "label": p.label, "folder": p.name} for p in points]},
    )
    found = []
    for point in points:
        run(manifest, point.options, out / point.name, workers, progress(point) if progress else None, make_player)
        report = score_run(out / point.name, resamples)
        write_report(report, point.name)
        found.append(Member(point.name, point.series, point.label, report))
    return found
