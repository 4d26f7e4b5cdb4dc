"""simulstream's `metrics.jsonl`: what was written and taken back at every chunk, and how long that took.

An optional {"model_loading_time"} [s] comes first; {"id", "metadata": {"wav_name"}} comes before a stream's lines; then
one line a chunk with total_audio_processed [s], computation_time [s], generated_tokens and deleted_tokens; the flush at
the end is one more line. Tokens are whole words (the tool's scorers need `detokenizer_type: simuleval` and
`latency_unit: word` in their configuration).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from streamst.errors import InputError
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.recording import Recording, replay
from streamst.evaluate.log.units import split_units

from .jsonl import Object, number_of, read_objects, strings_of, text_of, write_objects
from .references import check_stems, write_segmentation

LOG, CONFIG = "metrics.jsonl", "cfg.yaml"


def read(path: Path) -> tuple[list[Recording], int]:
    """The recordings of a log, and how many truncated last lines were left out."""
    log = path / LOG if path.is_dir() else path
    objects, truncated = read_objects(log)
    names: dict[object, str] = {}
    lines: dict[object, list[tuple[int, Object]]] = {}
    for number, entry in objects:
        where = f"{log}:{number}"
        if "id" not in entry:
            if "model_loading_time" not in entry:
                raise InputError(f"{where}: a line needs an id; it has {', '.join(entry) or 'nothing'}")
        elif "metadata" in entry:
            if entry["id"] in names:
                raise InputError(f"{where}: stream {entry['id']!r} is introduced twice")
            metadata = entry["metadata"]
            names[entry["id"]] = text_of(metadata if isinstance(metadata, dict) else {}, "wav_name", where)
            lines[entry["id"]] = []
        elif entry["id"] not in names:
            raise InputError(f"{where}: stream {entry['id']!r} has no line with metadata before it")
        else:
            lines[entry["id"]].append((number, entry))
    unit = _unit(log.with_name(CONFIG))
    return [_recording(log, i, names[key], lines[key], unit) for i, key in enumerate(names)], truncated


def _unit(config: Path) -> str:
    """ "word", or "char" where the configuration beside the log says so."""
    try:
        said = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return "word"
    return "char" if isinstance(said, dict) and said.get("latency_unit") == "char" else "word"


def _recording(log: Path, index: int, name: str, lines: Sequence[tuple[int, Object]], unit: str) -> Recording:
    if not lines:
        raise InputError(f"{log}: {name} has no chunk")
    steps: list[Step] = []
    heard_ms = 0.0
    for number, entry in lines:
        where = f"{log}:{number}"
        audio_ms = 1000.0 * number_of(entry, "total_audio_processed", where)
        compute_ms = 1000.0 * number_of(entry, "computation_time", where)
        if audio_ms < heard_ms:
            raise InputError(f"{where}: total_audio_processed goes back from {heard_ms / 1000} to {audio_ms / 1000} s")
        heard_ms = audio_ms
        written = _units(strings_of(entry, "generated_tokens", where), where, unit)
        deleted = _units(strings_of(entry, "deleted_tokens", where), where, unit)
        steps.append(Step(audio_ms, compute_ms, written, deleted))
    where = f"{log}:{lines[0][0]}"
    units, delays = replay(steps, where)
    return Recording(
        index=index,
        name=name,
        where=where,
        source_ms=heard_ms,
        units=units,
        delays_ms=delays,
        unit=unit,
        steps=tuple(steps),
    )


def write(recordings: Sequence[Recording], folder: Path, loading_s: float | None = None) -> None:
    """`metrics.jsonl`, `cfg.yaml`, and `segments.yaml` with `references.txt` where all recordings have references.

    Raises InputError for a recording whose log does not tell when the computation happened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_stems(recordings)
    objects: list[Object] = [] if loading_s is None else [{"model_loading_time": loading_s}]
    for index, recording in enumerate(recordings):
        if not recording.steps:
            raise InputError(
                f"{recording.where}: a simulstream log needs the computation of every chunk; this log has none"
            )
        objects.append({"id": index, "metadata": {"wav_name": recording.name}})
        objects.extend(
            {
                "id": index,
                "total_audio_processed": step.heard_ms / 1000.0,
                "computation_time": step.compute_ms / 1000.0,
                "generated_tokens": list(step.written),
                "deleted_tokens": list(step.deleted),
            }
            for step in recording.steps
        )
    write_objects(folder / LOG, objects)
    unit = recordings[0].unit if recordings else "word"
    (folder / CONFIG).write_text(f'detokenizer_type: "simuleval"\nlatency_unit: "{unit}"\n', encoding="utf-8")
    write_segmentation(recordings, folder)


def _units(tokens: Sequence[str], where: str, unit: str) -> tuple[str, ...]:
    for token in tokens:
        if "▁" in token:
            raise InputError(f"{where}: token {token!r} is a piece of a word; only logs of whole words can be read")
    return tuple(part for token in tokens for part in split_units(token, unit))
