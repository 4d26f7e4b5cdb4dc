"""Runs the recordings of a manifest through a session into a run's directory; continues where a killed run stopped.

The session is the product's own: `streamst.pipeline.load(model).session(...)`, in this process, in worker processes, or
behind a websocket. On the simulated clock audio is pushed as fast as it is computed, and the clocks of
`streamst.evaluate.log.clock` say what a live listener would have got.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamst
from streamst.errors import InputError, StreamstError
from streamst.evaluate.log.manifest import Manifest, check_audio
from streamst.evaluate.log.runlog import FORMAT, Line, RunDirectory

from .options import RunOptions
from .players import MakePlayer, in_processes, players
from .together import TOGETHER

if TYPE_CHECKING:
    from streamst.assembly import Plan

Progress = Callable[[int, float], None]  # recordings finished, their audio [s]


@dataclass(frozen=True)
class RunResult:
    """What a call of `run` did."""

    finished: int  # recordings run now
    resumed: int  # found finished
    cut_lines: int  # lines of unfinished recordings that were dropped


def run(
    manifest: Manifest,
    options: RunOptions,
    out: Path,
    workers: int = 1,
    progress: Progress | None = None,
    make_player: MakePlayer | None = None,
    together: int | None = None,
) -> RunResult:
    """Run what of `manifest` is not in `out` yet. InputError names unreadable audio, or what differs from `out`'s run.

    workers: processes; 1 runs in this one. make_player: `player` unless given; called once a
    process, so for several workers it is a function of a module. together: recordings that a process plays at once on
    the simulated clock, where no player is given; other clocks play one after the other. None is 16 with the
    model's own recognisers, which hear the same in company, and 1 with others.
    """
    if together is None:
        together = 1 if options.url or not isinstance(_plan(options).recogniser, Path) else TOGETHER
    for name, value in (("workers", workers), ("together", together)):
        if value < 1:
            raise InputError(f"{name} is {value}; use 1 or more")
    check_audio(manifest)
    directory = RunDirectory.open(out, describe_run(manifest, options, workers, together))
    todo = [clip for clip in manifest.clips if clip.index not in directory.done]
    make, group = players(make_player, options, together)
    lines = in_processes(todo, options, out, workers, make, group) if workers > 1 else make(options)(todo, out)
    try:
        for clip, block in lines:
            directory.append(block)
            if progress:
                progress(1, clip.duration_ms / 1000.0)
    except StreamstError:
        directory.leave()
        raise
    return RunResult(len(todo), len(manifest.clips) - len(todo), directory.cut_lines)


def describe_run(manifest: Manifest, options: RunOptions, workers: int, together: int = 1) -> Line:
    """`run.json`."""
    return {
        "format": FORMAT,
        "manifest": {"sha256": manifest.sha256, "clips": len(manifest.clips)},
        "options": asdict(options),
        "model": _weights(options),
        "manifest_path": str(manifest.path.resolve()),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "workers": workers,
        "together": together,
        "versions": _versions(),
        "git": _git_revision(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
        },
    }


def _weights(options: RunOptions) -> dict[str, str]:
    """SHA-256 of each network's weights; none for a server's, which it does not tell."""
    if options.url:
        return {}
    folders = _plan(options).folders()
    return {path.name: str(json.loads((path / "config.json").read_bytes())["sha256"]) for path in folders}


def _plan(options: RunOptions) -> Plan:
    from streamst.assembly import plan

    return plan(options.model, options.recogniser, options.writer, options.voice, options.source, options.target)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "numpy", "sacrebleu")
    return {"streamst": streamst.__version__, "python": platform.python_version(), **{n: version(n) for n in names}}


def _git_revision() -> str | None:
    """The revision of the source tree, "+" when it has changes; None where the package does not run from one."""
    folder = Path(streamst.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True)
        dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return (head.stdout.strip() + ("+" if dirty.stdout.strip() else "")) or None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or sys.platform
