"""References that stand beside a log: an audio definition (YAML) and one reference a line.

The definition is a list of {wav, offset, duration, speaker_id}, seconds, one entry a reference line. simulstream and
OmniSTEval read these files; they know a recording by its file name without folder and suffix, so these must differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from streamst.errors import InputError
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording

SEGMENTS, REFERENCES = "segments.yaml", "references.txt"


def attach(recordings: Sequence[Recording], references: Path, definition: Path | None = None) -> list[Recording]:
    """`recordings` with the references of a text file: a line a recording or, with a definition, a line a segment.

    Raises InputError when the numbers differ or a recording or a definition is without its counterpart.
    """
    lines = lines_of(references)
    if definition is None:
        if len(lines) != len(recordings):
            raise InputError(
                f"{references}: {len(lines)} references for {len(recordings)} recordings; one a line is needed"
            )
        return [
            replace(recording, references=(_reference(recording, 0.0, recording.source_ms, line),))
            for recording, line in zip(recordings, lines, strict=True)
        ]
    segments = read_segmentation(definition)
    if len(segments) != len(lines):
        raise InputError(f"{references}: {len(lines)} references, but {definition} has {len(segments)} segments")
    found = _by_recording(recordings, segments, lines, definition)
    return [replace(recording, references=entries) for recording, entries in zip(recordings, found, strict=True)]


def lines_of(references: Path) -> list[str]:
    """The lines of a text file, without blanks around them. InputError where it cannot be read."""
    try:
        lines = references.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{references}: cannot be read as UTF-8 text: {error}") from error
    if lines[-1] == "":
        lines.pop()
    return [line.strip() for line in lines]


def _by_recording(
    recordings: Sequence[Recording],
    segments: Sequence[tuple[str, float, float]],
    lines: Sequence[str],
    definition: Path,
) -> list[tuple[Reference, ...]]:
    """The references of each recording in order of time."""
    by_stem = {Path(recording.name).stem: recording for recording in recordings}
    if len(by_stem) != len(recordings):
        raise InputError(
            f"{recordings[0].where}: two recordings have the same file name; {definition} cannot tell them apart"
        )
    found: dict[str, list[Reference]] = {stem: [] for stem in by_stem}
    for (stem, offset_ms, duration_ms), line in zip(segments, lines, strict=True):
        if stem not in by_stem:
            raise InputError(f"{definition}: {stem} is not in the log; it has {', '.join(sorted(by_stem)[:5])}")
        found[stem].append(_reference(by_stem[stem], offset_ms, duration_ms, line))
    for stem, entries in found.items():
        if not entries:
            raise InputError(f"{by_stem[stem].where}: {stem} has no segment in {definition}")
    return [tuple(sorted(entries, key=lambda r: r.offset_ms)) for entries in found.values()]


def read_segmentation(path: Path) -> list[tuple[str, float, float]]:
    """(file name without folder and suffix, offset [ms], duration [ms]) of every entry."""
    return [(Path(wav).stem, offset_ms, duration_ms) for wav, offset_ms, duration_ms in read_entries(path)]


def read_entries(path: Path) -> list[tuple[str, float, float]]:
    """(wav as it is written, offset [ms], duration [ms]) of every entry. InputError for what is none."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(entries, list):
        raise InputError(f"{path}: a list of {{wav, offset, duration}} is expected")
    segments = []
    for number, entry in enumerate(entries):
        try:
            offset, duration = float(entry["offset"]), float(entry["duration"])
            wav = str(entry["wav"])
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(f"{path}: entry {number} needs wav, offset and duration: {entry!r}") from error
        if not (math.isfinite(offset) and math.isfinite(duration) and offset >= 0 and duration >= 0):
            raise InputError(f"{path}: entry {number}: offset and duration must be 0 or more: {entry!r}")
        segments.append((wav, 1000.0 * offset, 1000.0 * duration))
    return segments


def write_segmentation(recordings: Sequence[Recording], folder: Path) -> bool:
    """Write `segments.yaml` and `references.txt`; False, and nothing, when a recording has no reference."""
    if any(recording.reference is None for recording in recordings):
        return False
    check_stems(recordings)
    entries, lines = [], []
    for recording in recordings:
        for reference in recording.references:
            whole = not recording.long_form
            duration_ms = recording.source_ms if whole else reference.duration_ms
            entry = {
                "wav": recording.name,
                "offset": reference.offset_ms / 1000.0,
                "duration": duration_ms / 1000.0,
                "speaker_id": recording.speaker or "unknown",
            }
            entries.append("- " + json.dumps(entry, ensure_ascii=False))  # JSON is YAML's flow style
            text = reference.text if recording.task == "asr" else reference.translation
            lines.append(" ".join(str(text).split()))
    (folder / SEGMENTS).write_text("\n".join(entries) + "\n", encoding="utf-8")
    (folder / REFERENCES).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return True


def check_stems(recordings: Sequence[Recording]) -> None:
    """InputError when two recordings have the same file name without folder and suffix."""
    seen: dict[str, str] = {}
    for recording in recordings:
        stem = Path(recording.name).stem
        if stem in seen:
            raise InputError(f"{recording.name} and {seen[stem]}: the same file name, which other tools would mix up")
        seen[stem] = recording.name


def _reference(recording: Recording, offset_ms: float, duration_ms: float, line: str) -> Reference:
    if recording.task == "asr":
        return Reference(offset_ms, duration_ms, text=line)
    return Reference(offset_ms, duration_ms, translation=line)
