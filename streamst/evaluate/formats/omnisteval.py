"""OmniSTEval's JSONL: one recording a line with source, prediction, delays, elapsed [ms], source_length [ms].

Our lines carry `reference` too, which OmniSTEval's `shortform` can read. `elapsed` is the live clock (`queue`): the
tool takes it as it is. For `longform` the segmentation and the references stand beside the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamst.evaluate.log.recording import Recording

from .jsonl import read_objects, write_objects
from .references import write_segmentation
from .simuleval import read_text

LOG = "hypothesis.jsonl"


def read(path: Path) -> tuple[list[Recording], int]:
    """The recordings of a log, and how many truncated last lines were left out."""
    log = path / LOG if path.is_dir() else path
    objects, truncated = read_objects(log)
    return [read_text(entry, f"{log}:{number}", i) for i, (number, entry) in enumerate(objects)], truncated


def write(recordings: Sequence[Recording], elapsed: Sequence[Sequence[float]], folder: Path) -> None:
    """`hypothesis.jsonl`, and `segments.yaml` with `references.txt` where all recordings have references."""
    folder.mkdir(parents=True, exist_ok=True)
    write_objects(
        folder / LOG,
        (
            {
                "source": [recording.name],
                "prediction": recording.prediction,
                "reference": recording.reference or "",
                "delays": [float(d) for d in recording.delays_ms],
                "elapsed": [float(e) for e in times],
                "source_length": float(recording.source_ms),
            }
            for recording, times in zip(recordings, elapsed, strict=True)
        ),
    )
    write_segmentation(recordings, folder)
