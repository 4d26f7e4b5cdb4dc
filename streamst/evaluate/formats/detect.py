"""Which tool wrote a log, and its recordings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from streamst.errors import InputError
from streamst.evaluate.log.recording import Recording, from_lines
from streamst.evaluate.log.runlog import read_config, read_events

from . import omnisteval, simuleval, simulstream

FormatName = Literal["streamst", "simuleval", "simulstream", "omnisteval"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
_LOGS: dict[FormatName, str] = {
    "streamst": "run.json",
    "simuleval": simuleval.LOG,
    "simulstream": simulstream.LOG,
    "omnisteval": omnisteval.LOG,
}


@dataclass(frozen=True)
class Log:
    """A log of any format, read."""

    path: Path
    format: FormatName
    recordings: tuple[Recording, ...]
    truncated: int  # lines at the end that were not whole and were left out
    missing: int = 0  # recordings that the run should have and has not finished


def detect(path: Path) -> FormatName:
    """The format of a file or a directory. InputError names the formats that are known."""
    if path.is_dir():
        for name, file in _LOGS.items():
            if (path / file).is_file():
                return name
        raise InputError(
            f"{path}: no log in this directory; allowed: "
            + ", ".join(f"{file} ({name})" for name, file in _LOGS.items())
        )
    try:
        with path.open("rb") as file:
            first = next((line for line in file if line.strip()), b"")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    try:
        keys = set(json.loads(first))
    except (ValueError, TypeError):
        keys = set()
    if {"type", "id"} <= keys:
        return "streamst"
    if keys & {"model_loading_time", "metadata", "total_audio_processed"}:
        return "simulstream"
    if {"prediction", "delays"} <= keys:
        return "simuleval" if "index" in keys else "omnisteval"
    raise InputError(f"{path}:1: unknown log format: {first[:80]!r}; known formats: {', '.join(FORMATS)}")


def read_log(path: Path, format: str | None = None) -> Log:
    """The log at `path`, a file or a directory, in the given or the detected format. InputError for an unknown one."""
    given: FormatName | None = next((known for known in FORMATS if known == format), None)
    name = detect(path) if format is None else given
    if name is None:
        raise InputError(f"unknown log format {format!r}; known formats: {', '.join(FORMATS)}")
    if name == "streamst":
        return _read_run(path)
    read = {"simuleval": simuleval.read, "simulstream": simulstream.read, "omnisteval": omnisteval.read}[name]
    recordings, truncated = read(path)
    return Log(path, name, tuple(recordings), truncated)


def _read_run(path: Path) -> Log:
    folder = path if path.is_dir() else path.parent
    events = folder / "events.jsonl" if path.is_dir() else path
    log = read_events(events)
    if not log.recordings:
        raise InputError(f"{events}: no finished recording in it")
    expected = read_config(folder)["manifest"]["clips"] if (folder / "run.json").exists() else len(log.recordings)
    recordings = tuple(
        from_lines(lines, f"{events}, recording {key}", folder) for key, lines in sorted(log.recordings.items())
    )
    return Log(path, "streamst", recordings, log.cut_lines, max(0, expected - len(recordings)))
