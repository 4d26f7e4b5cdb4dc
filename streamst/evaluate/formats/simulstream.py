"""simulstream's `metrics.jsonl`: what was written and taken back at every chunk, and how long that took.

An optional {"model_loading_time"} [s] comes first; {"id", "metadata": {"wav_name"}} comes before a stream's lines; then
one line a chunk with total_audio_processed [s], computation_time [s], generated_tokens and deleted_tokens; the flush at
the end is one more line. Tokens are whole words (the tool's scorers need `detokenizer_type: simuleval` and
`latency_unit: word` in their configuration) or pieces, where "▁" begins a word (`latency_unit: spm`): a word is there
when its last piece is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import yaml

from streamst.errors import InputError
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.recording import Recording, replay
from streamst.evaluate.log.units import split_at_blanks, split_units

from .jsonl import Object, number_of, read_objects, strings_of, text_of, write_objects
from .references import check_stems, write_segmentation

LOG, CONFIG = "metrics.jsonl", "cfg.yaml"
MARK = "▁"  # begins a word, in pieces


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
    said = _latency_unit(log.with_name(CONFIG))
    return [_recording(log, i, names[key], lines[key], said) for i, key in enumerate(names)], truncated


def _latency_unit(config: Path) -> str:
    """What the configuration beside the log says: "word", "char" or "spm"; "word" where it says nothing."""
    try:
        said = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return "word"
    return str(said.get("latency_unit", "word")) if isinstance(said, dict) else "word"


@dataclass
class _Chunk:
    """One line: what was written, after what was taken back, when so much was heard."""

    where: str
    audio_ms: float
    compute_ms: float
    written: list[str]
    deleted: list[str]

    def step(self, split: Callable[[str], Sequence[str]]) -> Step:
        """As a step whose units are what `split` makes of the tokens."""
        written, deleted = (
            tuple(u for token in tokens for u in split(token)) for tokens in (self.written, self.deleted)
        )
        return Step(self.audio_ms, self.compute_ms, written, deleted)


def _recording(log: Path, index: int, name: str, lines: Sequence[tuple[int, Object]], said: str) -> Recording:
    if not lines:
        raise InputError(f"{log}: {name} has no chunk")
    chunks: list[_Chunk] = []
    heard_ms = 0.0
    for number, entry in lines:
        where = f"{log}:{number}"
        audio_ms = 1000.0 * number_of(entry, "total_audio_processed", where)
        compute_ms = 1000.0 * number_of(entry, "computation_time", where)
        if audio_ms < heard_ms:
            raise InputError(f"{where}: total_audio_processed goes back from {heard_ms / 1000} to {audio_ms / 1000} s")
        heard_ms = audio_ms
        written, deleted = (list(strings_of(entry, f"{what}_tokens", where)) for what in ("generated", "deleted"))
        chunks.append(_Chunk(where, audio_ms, compute_ms, written, deleted))
    unit = "char" if said == "char" else "word"
    if said == "spm" or any(MARK in token for chunk in chunks for token in chunk.written):
        chunks = joined(chunks)
    steps = tuple(chunk.step(partial(split_units, unit=unit)) for chunk in chunks)
    units, delays = replay(steps, chunks[0].where)
    words, _ = replay([chunk.step(split_at_blanks) for chunk in chunks], chunks[0].where)
    sizes = tuple(size for word in words if (size := len(split_units(word, unit))))
    return Recording(
        index=index,
        name=name,
        where=chunks[0].where,
        source_ms=heard_ms,
        units=units,
        delays_ms=delays,
        unit=unit,
        steps=steps,
        units_a_word=() if unit == "char" or max(sizes, default=1) == 1 else sizes,
    )


@dataclass(eq=False)
class _Word:
    text: str
    home: list[_Word]  # the words of the chunk that wrote it


def joined(chunks: Sequence[_Chunk]) -> list[_Chunk]:
    """The same with whole words in place of pieces. A word that grows belongs to the chunk that ends it; one of which
    pieces are taken back is taken back. InputError, naming the line, where other pieces are deleted than stand last."""
    pieces: list[str] = []
    standing: list[_Word] = []
    found: list[tuple[list[_Word], list[str]]] = []
    for chunk in chunks:
        count = len(chunk.deleted)
        if pieces[len(pieces) - count :] != chunk.deleted:
            raise InputError(f"{chunk.where} deletes {chunk.deleted}, but the last pieces are {pieces[-count:]}")
        home: list[_Word] = []
        del pieces[len(pieces) - count :]
        gone = _turn(standing, split_at_blanks("".join(pieces).replace(MARK, " ")), home, grows=False)
        pieces += chunk.written
        _turn(standing, split_at_blanks("".join(pieces).replace(MARK, " ")), home, grows=True)
        found.append((home, gone))
    return [
        replace(chunk, written=[word.text for word in home], deleted=gone)
        for chunk, (home, gone) in zip(chunks, found, strict=True)
    ]


def _turn(standing: list[_Word], texts: Sequence[str], home: list[_Word], grows: bool) -> list[str]:
    """Make `standing` read `texts`; new words go to `home`, what goes is returned. A word that grows moves there."""
    same = 0
    while same < min(len(standing), len(texts)) and standing[same].text == texts[same]:
        same += 1
    gone = standing[same:]
    del standing[same:]
    if grows and gone:
        gone[0].home.remove(gone[0])
        gone = []
    fresh = [_Word(text, home) for text in texts[same:]]
    home += fresh
    standing += fresh
    return [word.text for word in gone]


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
