"""Every event of a log as a table, for notebooks: CSV, or Parquet with pyarrow.

One row an event, in order; a column that an event does not have is empty.

recording, path   number and name of the recording
step              number of the step (chunk of audio) that it came of, from 0
heard_ms          audio heard then, the chunk included
ready_ms          when the step was done on the live clock (`queue`), where the log has computation
event             step (each begins with one), caption, word, deleted, speech
lang, segment, revision, final    of a caption
text, unstable    of a caption: its two parts; of a word, a deletion or speech: what it is
start_ms, end_ms  of a caption: where its speech is; of a word: `end_ms` of the source word it was read from, where the
                  translator tells; of speech: when a live listener hears it
compute_ms        of a step: how long it computed
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamst.errors import InputError, UnavailableError
from streamst.evaluate.log.clock import step_times
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.log.runlog import read_events
from streamst.evaluate.metrics.speech import playback

from .detect import Log

COLUMNS: dict[str, type] = {
    "recording": int, "path": str, "step": int, "heard_ms": float, "ready_ms": float, "event": str, "lang": str,
    "segment": int, "revision": int, "final": bool, "text": str, "unstable": str, "start_ms": float, "end_ms": float,
    "compute_ms": float,
}  # fmt: skip
ENDINGS = (".csv", ".parquet")
Row = dict[str, Any]


def events_of(log: Log) -> list[Row]:
    """The table as a list of rows, each with every column."""
    raw: Mapping[int, Sequence[Row]] = {}
    if log.format == "streamst":
        events = log.path / "events.jsonl" if log.path.is_dir() else log.path
        raw = read_events(events).recordings
    rows = (row for recording in log.recordings for row in _rows(recording, raw.get(recording.index, ())))
    return [{name: row.get(name) for name in COLUMNS} for row in rows]


def write_table(rows: Sequence[Row], path: Path, ending: str | None = None) -> None:
    """Write the table as `ending` says (that of `path` unless given).

    InputError for one that is not in ENDINGS, UnavailableError for Parquet without pyarrow.
    """
    ending = path.suffix if ending is None else ending
    if ending == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    elif ending == ".parquet":
        _write_parquet(rows, path)
    else:
        raise InputError(f"{path}: the ending {ending!r} is not known; allowed: {', '.join(ENDINGS)}")


def _write_parquet(rows: Sequence[Row], path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise UnavailableError(
            "a table in Parquet needs pyarrow: pip install 'streamst[parquet]', or use a name that ends in .csv"
        ) from None
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


def _rows(recording: Recording, raw: Sequence[Row]) -> Iterator[Row]:
    """The rows of one recording: of its steps, or, where the log has none, of its units alone."""
    base = {"recording": recording.index, "path": recording.name}
    if not recording.steps:
        times: Sequence[float | None] = recording.elapsed_ms or [None] * len(recording.units)
        for unit, delay, ready in zip(recording.units, recording.delays_ms, times, strict=True):
            yield {**base, "heard_ms": delay, "ready_ms": ready, "event": "word", "text": unit}
        yield from ({**base, **row} for row in _spoken(recording))
        return
    steps = [line for line in raw if line["type"] in ("push", "finish")]
    spoken = _spoken(recording)
    for number, (step, ready) in enumerate(zip(recording.steps, step_times(recording.steps, "queue"), strict=True)):
        at = {**base, "step": number, "heard_ms": step.heard_ms, "ready_ms": ready}
        yield {**at, "event": "step", "compute_ms": step.compute_ms}
        told = steps[number]["events"] if steps else ()
        yield from ({**at, **_caption(event)} for event in told if event["event"] == "caption")
        yield from ({**at, "event": "deleted", "text": unit} for unit in step.deleted)
        aligned = [ms for event in told if event["event"] == "words" for ms in event["aligned_ms"]]
        read_to = aligned if len(aligned) == len(step.written) else [None] * len(step.written)
        for unit, end_ms in zip(step.written, read_to, strict=True):
            yield {**at, "event": "word", "text": unit, "end_ms": end_ms}
        yield from ({**at, **row} for row in spoken if row["step"] == number)
    yield from ({**base, **row} for row in spoken if row["step"] is None)


def _caption(event: Row) -> Row:
    keys = ("event", "lang", "segment", "revision", "final", "unstable", "start_ms", "end_ms")
    return {key: event[key] for key in keys} | {"text": event["stable"]}


def _spoken(recording: Recording) -> list[Row]:
    """Speech as a live listener hears it."""
    chunks = recording.speech
    known = recording.steps and all(chunk.step is not None for chunk in chunks)
    times = step_times(recording.steps, "queue") if known else ()
    ready = [times[chunk.step or 0] if times else chunk.delay_ms for chunk in chunks]
    heard = playback(ready, [chunk.duration_ms for chunk in chunks])
    return [
        {
            "event": "speech", "step": chunk.step, "heard_ms": chunk.delay_ms, "text": chunk.text,
            "start_ms": interval.start_ms, "end_ms": interval.end_ms,
        }
        for chunk, interval in zip(chunks, heard, strict=True)
    ]  # fmt: skip
