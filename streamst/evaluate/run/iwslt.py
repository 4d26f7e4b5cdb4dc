"""The simultaneous task of IWSLT 2026: a folder of talks in, the log that the task takes out.

A talk list is a folder with the audio, `segments.yaml` (a list of {wav, offset, duration}, seconds) and
`references.txt`, a line a segment; `sources.txt` (what is said, a line a segment) gives error rates, too. Talks are
played whole; segments serve to score. What the task takes is a log of simulstream: `metrics.jsonl` with its `cfg.yaml`,
names without folder, which OmniSTEval (0.1.7 or newer) reads with `--hypothesis_format simulstream`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from streamst.errors import InputError
from streamst.evaluate.formats.detect import Log
from streamst.evaluate.formats.references import REFERENCES, SEGMENTS, lines_of, read_entries
from streamst.evaluate.formats.simulstream import write
from streamst.evaluate.log.manifest import Clip, Manifest, Reference

SOURCES = "sources.txt"
SUBMISSION = "submission"  # in the run's directory


def read_talks(
    folder: Path, segments: Path | None = None, references: Path | None = None, sources: Path | None = None
) -> Manifest:
    """The talks of `folder`, in the order of the segments.

    segments, references, sources: where they are not the files of those names in `folder`; a talk list without
    references is played and not scored.

    InputError names the file for: no list, audio that is not there, two talks of one file name (the task's tools know
    a talk by it), and another number of lines than segments.
    """
    definition = _file(folder, segments, SEGMENTS)
    if definition is None:
        raise InputError(f"{folder}: no {SEGMENTS}; a talk list has audio, {SEGMENTS} and {REFERENCES}")
    entries = read_entries(definition)
    if not entries:
        raise InputError(f"{definition}: no segment; a list of {{wav, offset, duration}} is expected")
    translations = _lines(_file(folder, references, REFERENCES), len(entries), definition)
    texts = _lines(_file(folder, sources, SOURCES), len(entries), definition)
    stems: dict[str, str] = {}
    found: dict[str, list[Reference]] = {}
    for (wav, offset_ms, duration_ms), translation, text in zip(entries, translations, texts, strict=True):
        if stems.setdefault(Path(wav).stem, wav) != wav:
            raise InputError(f"{definition}: {wav} and {stems[Path(wav).stem]} have one name to the task's tools")
        if duration_ms <= 0:
            raise InputError(f"{definition}: a segment of {wav} lasts {duration_ms / 1000:g} s; use seconds above 0")
        found.setdefault(wav, []).append(Reference(offset_ms, duration_ms, text, translation))
    clips = tuple(
        Clip(
            index=index,
            name=wav,
            path=_audio(definition.parent, wav),
            line=1 + next(i for i, entry in enumerate(entries) if entry[0] == wav),
            speaker="",
            references=tuple(sorted(parts, key=lambda part: part.offset_ms)),
        )
        for index, (wav, parts) in enumerate(found.items())
    )
    digest = hashlib.sha256(repr((entries, translations, texts)).encode()).hexdigest()
    return Manifest(definition, clips, digest)


def write_submission(log: Log, folder: Path) -> list[Path]:
    """The log that the task takes, of a run over talks, under `folder`; and what OmniSTEval needs beside it."""
    write([replace(recording, name=Path(recording.name).name) for recording in log.recordings], folder)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _file(folder: Path, given: Path | None, usual: str) -> Path | None:
    if given is not None:
        return given
    return folder / usual if (folder / usual).is_file() else None


def _lines(path: Path | None, count: int, definition: Path) -> Sequence[str | None]:
    if path is None:
        return [None] * count
    lines = lines_of(path)
    if len(lines) != count:
        raise InputError(f"{path}: {len(lines)} lines, but {definition} has {count} segments; one a line is needed")
    return lines


def _audio(folder: Path, wav: str) -> Path:
    """The recording beside the list: at its path, or by its name anywhere below."""
    if (folder / wav).is_file():
        return folder / wav
    matches = sorted(folder.rglob(Path(wav).name))
    if len(matches) != 1:
        what = "is not there" if not matches else f"is there {len(matches)} times"
        raise InputError(f"{folder / wav} {what}: the audio of a talk list lies in its folder, each name once")
    return matches[0]
