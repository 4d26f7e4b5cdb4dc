"""The manifest of an evaluation: a TSV file that names recordings and what should be heard and read in them.

The first line is a header. `path` (relative to the manifest) and `duration_s` are needed; `speaker`, `text` (what is
said) and `translation` (what should be written) are used where they are there; other columns are ignored. A long talk
with several reference segments has one line a segment, all with the same `path`, and a column `offset_s` that says
where a segment starts (`duration_s`: how long it is). Fields are plain text between tabs: no quotes, no escapes.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from streamst.audio import length_s
from streamst.errors import InputError

REQUIRED = ("path", "duration_s")


@dataclass(frozen=True)
class Reference:
    """What should come out of one stretch of a recording. None where the manifest has no such column."""

    offset_ms: float  # from the start of the recording
    duration_ms: float
    text: str | None = None  # source language
    translation: str | None = None  # target language


@dataclass(frozen=True)
class Clip:
    """One recording to play, with its reference segments in order of time."""

    index: int  # from 0, the order of the manifest
    name: str  # the path as the manifest writes it
    path: Path
    line: int  # of the manifest, from 1
    speaker: str
    references: tuple[Reference, ...]

    @property
    def duration_ms(self) -> float:
        """Where the last reference segment ends: the audio may go on."""
        return max(r.offset_ms + r.duration_ms for r in self.references)


@dataclass(frozen=True)
class Manifest:
    path: Path
    clips: tuple[Clip, ...]
    sha256: str  # of the file


def read_manifest(path: Path, limit: int | None = None, split: str | None = None) -> Manifest:
    """The clips of the manifest at `path`, at most `limit` of them. InputError names the file and the line.

    split: only rows whose column `split` says so.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; a manifest is a TSV file with a header line") from error
    rows = [(line, row) for line, row in _rows(path, raw) if split in (None, row.get("split"))]
    if not rows:
        raise InputError(f"{path}: no row has the split {split!r}")
    clips: dict[str, list[tuple[int, dict[str, str], Reference]]] = {}
    for line, row in rows:
        name = row["path"]
        if not name:
            raise InputError(f"{path}:{line}: the path is empty")
        duration_ms = _seconds(path, line, "duration_s", row["duration_s"], above_zero=True)
        offset_ms = _seconds(path, line, "offset_s", row["offset_s"]) if "offset_s" in row else 0.0
        if name in clips and "offset_s" not in row:
            raise InputError(
                f"{path}:{line}: {name} stands on line {clips[name][0][0]} already; several reference segments of one "
                "recording need a column offset_s"
            )
        text, translation = row.get("text"), row.get("translation")
        if text and not translation:
            translation = None  # forgotten: where nothing is said both are empty
        reference = Reference(offset_ms, duration_ms, text, translation)
        clips.setdefault(name, []).append((line, row, reference))
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit} is not allowed; use 1 or more")
    built = [
        Clip(
            index=index,
            name=name,
            path=path.parent / name,
            line=entries[0][0],
            speaker=entries[0][1].get("speaker", ""),
            references=tuple(sorted((r for _, _, r in entries), key=lambda r: r.offset_ms)),
        )
        for index, (name, entries) in enumerate(list(clips.items())[:limit])
    ]
    return Manifest(path, tuple(built), hashlib.sha256(raw).hexdigest())


def check_audio(manifest: Manifest, tolerance_ms: float = 250.0) -> None:
    """InputError with the manifest's line for a recording that is missing, unreadable, or not as long as it says.

    A clip with one reference must last `duration_s` within `tolerance_ms` or 5 %; a longer recording with several
    segments must reach the end of the last. The length of the audio itself is what the metrics use.
    """
    for clip in manifest.clips:
        where = f"{manifest.path}:{clip.line}"
        try:
            length_ms = 1000.0 * length_s(clip.path)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        slack = max(tolerance_ms, 0.05 * clip.duration_ms)
        short = length_ms + slack < clip.duration_ms
        whole = len(clip.references) == 1 and clip.references[0].offset_ms == 0.0
        if short or (whole and length_ms > clip.duration_ms + slack):
            said_s, is_s = clip.duration_ms / 1000, length_ms / 1000
            raise InputError(f"{where}: {clip.path} lasts {is_s:.3f} s, the manifest says {said_s:.3f} s")


def _rows(path: Path, raw: bytes) -> list[tuple[int, dict[str, str]]]:
    header: list[str] | None = None
    rows: list[tuple[int, dict[str, str]]] = []
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}: not UTF-8 at byte {error.start} of the line") from error
        if not text:
            continue
        fields = text.split("\t")
        if header is None:
            header = fields
            for name in REQUIRED:
                if name not in header:
                    raise InputError(f"{path}:{number}: the header has no column {name!r}; it has {', '.join(header)}")
            twice = {name for name in header if header.count(name) > 1}
            if twice:
                raise InputError(f"{path}:{number}: the header has column {min(twice)!r} twice")
            continue
        if len(fields) != len(header):
            columns = ", ".join(header)
            raise InputError(f"{path}:{number}: {len(fields)} fields, the header has {len(header)} ({columns})")
        rows.append((number, dict(zip(header, fields, strict=True))))
    if not rows:
        raise InputError(f"{path}: no recordings; a manifest has a header line and one line a recording")
    return rows


def _seconds(path: Path, line: int, column: str, value: str, above_zero: bool = False) -> float:
    """Milliseconds of a field in seconds."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0 or (above_zero and seconds == 0):
        allowed = "seconds above 0" if above_zero else "seconds, 0 or more"
        raise InputError(f"{path}:{line}: {column} is {value!r}; use {allowed}")
    return seconds * 1000.0
