"""A log in the format of another tool, as that tool accepts it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from streamst.errors import InputError
from streamst.evaluate.log.elapsed import LOG_CLOCK, clocks_of, elapsed_of

from . import omnisteval, simuleval, simulstream
from .detect import Log

ExportFormat = Literal["simuleval", "simulstream", "omnisteval"]
EXPORTS: tuple[ExportFormat, ...] = get_args(ExportFormat)
CLOCKS = {"simuleval": ("simuleval", LOG_CLOCK), "omnisteval": ("queue", LOG_CLOCK, "simuleval")}


def export(log: Log, format: str, out: Path) -> list[Path]:
    """Write `log` under `out` and return the files. InputError for another format and for what the log does not hold.

    `elapsed` is the clock that the tool means: SimulEval's cumulative one, for OmniSTEval the live queue; of logs
    without raw events, the clock they have. Speech goes to `out/speech`, a SimulEval directory of its own.
    """
    if format not in EXPORTS:
        raise InputError(f"unknown format {format!r}; allowed: {', '.join(EXPORTS)}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} is there already: the log goes to a new folder; use another --out")
    recordings = log.recordings
    texts = [recording for recording in recordings if recording.output != "speech"]
    if format == "simulstream":
        simulstream.write(texts, out)
    else:
        known = clocks_of(recordings, log.format)
        clock = next((clock for clock in CLOCKS[format] if clock in known), None)
        elapsed = [elapsed_of(recording, clock) if clock else () for recording in texts]
        if format == "omnisteval":
            omnisteval.write(texts, elapsed, out)
        elif texts:
            simuleval.write_text(texts, elapsed, out)
    if format == "simuleval" and any(recording.speech for recording in recordings):
        simuleval.write_speech(recordings, out / "speech" if texts else out)
    return sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".wav")
