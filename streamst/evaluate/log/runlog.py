"""A run's directory: `run.json` (what was run, where), `events.jsonl` (raw events), `speech/` (what was said).

`events.jsonl` has one JSON object a line. The lines of a recording stand together, in order, and are written at once:

    {"type": "begin", "id": 0, "path": "a.wav", "source_ms": 4975.0, "sample_rate_hz": 16000, "clock": "simulated", ...}
    {"type": "push", "id": 0, "audio_ms": 320.0, "arrival_ms": 320.0, "start_ms": 0.1, "end_ms": 14.2, "events": [...]}
    {"type": "finish", ...}     as push: the flush after the last audio
    {"type": "end", "id": 0, "steps": 17}

`audio_ms` is the audio heard after the step, `arrival_ms` when it could be heard, `start_ms` and `end_ms` when the
computation began and ended [ms of wall time since the recording began]. A recording counts when its `end` line is
there: what a killed run left of an unfinished one is counted, said and cut off when the run is resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamst.errors import InputError
from streamst.events import Caption, Event, Finished, Speech, Words

FORMAT = 1
SWEEP = "sweep.json"  # in the directory of several runs
REPORTS = ("report.json", "report.html")
RUN_FILES = (*REPORTS, "events.jsonl", "segments.jsonl", "transcripts", "speech")
Line = dict[str, Any]


@dataclass(frozen=True)
class EventLog:
    """What `events.jsonl` holds."""

    recordings: dict[int, tuple[Line, ...]] = field(default_factory=dict)  # by id, begin to end
    whole_bytes: int = 0  # up to the end of the last whole recording
    cut_lines: int = 0  # lines after it: of recordings that were not finished, the truncated last line included


def event_json(event: Event, samples_before: int = 0) -> Line:
    """One event as a line's entry. Speech is its place in the recording's wav, `samples_before` samples in."""
    body: Line = {"source_ms": event.source_ms, "compute_ms": event.compute_ms}
    match event:
        case Caption():
            keys = ("lang", "segment", "revision", "stable", "unstable", "start_ms", "end_ms", "final")
            spans = {"spans_ms": [list(span) for span in event.spans_ms]} if event.spans_ms else {}
            return {"event": "caption", **body, **{key: getattr(event, key) for key in keys}, **spans}
        case Words():
            return {
                "event": "words",
                **body,
                "lang": event.lang,
                "segment": event.segment,
                "words": list(event.words),
                "aligned_ms": list(event.aligned_ms),
            }
        case Speech():
            return {
                "event": "speech",
                **body,
                "from_sample": samples_before,
                "samples": len(event.pcm),
                "sample_rate_hz": event.sample_rate_hz,
                "text": event.text,
            }
        case Finished():
            keys = ("samples", "segments", "decoder_calls", "compute_s")
            return {"event": "finished", **body, **{key: getattr(event, key) for key in keys}}
        case _:
            raise InputError(f"event {type(event).__name__} has no place in a log")


def read_events(path: Path) -> EventLog:
    """The whole recordings of an `events.jsonl`. InputError with file and line for a damaged line before the last."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return EventLog()
    recordings: dict[int, tuple[Line, ...]] = {}
    block: list[Line] = []
    whole = position = 0
    for number, line in enumerate(lines[:-1], start=1):
        position += len(line) + 1
        if not line:
            continue
        entry = _entry(line, f"{path}:{number}")
        _check_place(entry, block, recordings, f"{path}:{number}")
        block.append(entry)
        if entry["type"] == "end":
            recordings[entry["id"]] = tuple(block)
            block, whole = [], position
    stopped_in = 1 if lines[-1] else 0  # no newline follows: the writer was stopped in it
    return EventLog(recordings, whole, len(block) + stopped_in)


def _entry(line: bytes, where: str) -> Line:
    try:
        entry = json.loads(line)
        return {**entry, "type": entry["type"], "id": entry["id"]}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{where}: not a line of an event log ({error}): {line[:80]!r}") from error


def _check_place(entry: Line, block: list[Line], recordings: Mapping[int, object], where: str) -> None:
    """InputError unless `entry` may follow `block`, the lines of a recording that has not ended."""
    kind, index = entry["type"], entry["id"]
    if kind == "begin":
        if block:
            raise InputError(f"{where}: recording {index} begins before {block[0].get('id')} has ended")
        if index in recordings:
            raise InputError(f"{where}: recording {index} is there twice")
    elif kind not in ("push", "finish", "end"):
        raise InputError(f"{where}: type {kind!r} is not known; use begin, push, finish or end")
    elif not block or block[0]["id"] != index:
        raise InputError(f"{where}: a {kind} of recording {index}, which has not begun")
    if kind == "end" and entry.get("steps") != len(block) - 1:
        raise InputError(f"{where}: recording {index} has {len(block) - 1} steps, its end says {entry.get('steps')}")


class RunDirectory:
    """Writes a run, and continues one that was stopped. Use `open`."""

    def __init__(self, path: Path, config: Mapping[str, Any], log: EventLog) -> None:
        self.path = path
        self.config = dict(config)
        self.done = frozenset(log.recordings)  # ids that need no more work
        self.cut_lines = log.cut_lines  # of unfinished recordings, dropped when this run was opened
        self._new = False  # whether `open` began the run

    @classmethod
    def open(cls, path: Path, config: Mapping[str, Any]) -> RunDirectory:
        """A new run in `path`, or the rest of the same run.

        config: what makes a run the same: {"format", "manifest", "options", "model"}; other keys are only
            remembered.
        Raises InputError when `path` holds another run, naming what differs.
        """
        if (path / SWEEP).exists():
            raise InputError(f"{path} holds a sweep, whose reports a run would overwrite; use another --out")
        known = path / "run.json"
        new = not known.exists()
        if not new:
            _check_same(known, config)
        else:
            refuse_to_overwrite(path, RUN_FILES)
        path.mkdir(parents=True, exist_ok=True)
        (path / "speech").mkdir(exist_ok=True)
        events = path / "events.jsonl"
        if new:
            write_json(known, config)
        log = read_events(events)
        if log.cut_lines:
            with events.open("r+b") as file:
                file.truncate(log.whole_bytes)
        directory = cls(path, config, log)
        directory._new = new
        return directory

    def leave(self) -> None:
        """The run failed: when nothing came of it, a run with other options may have the directory."""
        if not self._new or (self.path / "events.jsonl").exists():
            return
        (self.path / "run.json").unlink()
        with contextlib.suppress(OSError):  # what else lies in there stays
            (self.path / "speech").rmdir()
            self.path.rmdir()

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write the lines of one recording, begin to end, at once and to the disk."""
        block = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        with (self.path / "events.jsonl").open("ab") as file:
            file.write(block.encode())
            file.flush()
            os.fsync(file.fileno())


def refuse_to_overwrite(path: Path, names: Iterable[str]) -> None:
    """InputError where `path` is a file, or a folder that holds one of `names` with something in it."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, not a folder; use another --out")
    for name in names:
        there = path / name
        if there.is_file() or (there.is_dir() and any(there.iterdir())):
            raise InputError(f"{path} holds {name} of something else, which would be overwritten; use another --out")


def read_config(directory: Path) -> Line:
    """`run.json` of a run's directory. InputError where there is none, it is damaged or of another format."""
    path = directory / "run.json"
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{directory} is not a run's directory: {path} cannot be read") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path}: not format {FORMAT} of a run, the only one that this version reads")
    return config


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    scratch.replace(path)


def speech_path(directory: Path, index: int) -> Path:
    """The wav of what recording `index` said."""
    return directory / "speech" / f"{index:06d}.wav"


def _check_same(path: Path, config: Mapping[str, Any]) -> None:
    before = read_config(path.parent)
    for part in ("manifest", "options", "model"):
        old, new = before.get(part, {}), json.loads(json.dumps(config.get(part, {})))
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                raise InputError(
                    f"{path.parent} holds another run: {part} {key} is {old.get(key)!r} there, {new.get(key)!r} now; "
                    "use another --out"
                )
