"""SimulEval's output directory: `config.yaml` and `instances.log`, text or speech output.

The format, as SimulEval 1.1.4 writes and scores it: one JSON object a line with index (any distinct ones, in any order:
`--start-index` begins elsewhere than at 0), prediction, delays and elapsed [ms] with one number a unit,
prediction_length, reference, source (a list that begins with the path), source_length [ms]. For speech: prediction is
the path of a wav, delays and durations have one number a chunk, prediction_length is in seconds, intervals are
[start, duration] on the playback timeline.
`elapsed` is the cumulative clock: source heard plus all computation since the first read (`clock.simuleval`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamst.audio import read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk
from streamst.evaluate.log.units import split_units
from streamst.evaluate.metrics.speech import playback
from streamst.evaluate.metrics.speech_quality import RATE_HZ, arrange

from .jsonl import Object, number_of, numbers_of, read_objects, text_of, write_objects

LOG, CONFIG = "instances.log", "config.yaml"


def read(path: Path) -> tuple[list[Recording], int]:
    """The recordings of a SimulEval directory or `instances.log`, and how many truncated last lines were left out."""
    log = path / LOG if path.is_dir() else path
    objects, truncated = read_objects(log)
    recordings: dict[int, Recording] = {}
    for number, entry in objects:
        where, index = f"{log}:{number}", entry.get("index")
        if isinstance(index, float) and index.is_integer():
            index = int(index)
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise InputError(f"{where}: index is {index!r}; a whole number, 0 or more, is expected")
        if index in recordings:
            raise InputError(f"{where}: index {index} is there twice, first as {recordings[index].where}")
        speech = "durations" in entry
        recordings[index] = _speech(entry, where, index, log.parent) if speech else read_text(entry, where, index)
    return [recordings[index] for index in sorted(recordings)], truncated


def read_text(entry: Object, where: str, index: int) -> Recording:
    """One line with text output: of `instances.log`, and of OmniSTEval's JSONL, which has no index."""
    prediction = text_of(entry, "prediction", where)
    delays = numbers_of(entry, "delays", where)
    elapsed = numbers_of(entry, "elapsed", where)
    units, unit = split_units(prediction), "word"
    if len(units) != len(delays):
        characters = split_units(prediction, "char")
        if len(characters) != len(delays):
            raise InputError(
                f"{where}: {len(delays)} delays but the prediction has {len(units)} words "
                f"and {len(characters)} characters"
            )
        units, unit = characters, "char"
    source_ms = number_of(entry, "source_length", where)
    return Recording(
        index=index,
        name=_source(entry),
        where=where,
        source_ms=source_ms,
        units=units,
        delays_ms=delays,
        unit=unit,
        references=_references(entry, where, source_ms),
        elapsed_ms=elapsed,
    )


def _speech(entry: Object, where: str, index: int, folder: Path) -> Recording:
    delays, durations = numbers_of(entry, "delays", where), numbers_of(entry, "durations", where)
    if len(delays) != len(durations):
        raise InputError(f"{where}: {len(delays)} delays but {len(durations)} durations: they must be equal")
    source_ms = number_of(entry, "source_length", where)
    return Recording(
        index=index,
        name=_source(entry),
        where=where,
        source_ms=source_ms,
        units=(),
        delays_ms=(),
        references=_references(entry, where, source_ms),
        speech=tuple(SpeechChunk(delay, length) for delay, length in zip(delays, durations, strict=True)),
        speech_path=folder / text_of(entry, "prediction", where) if delays else None,
        output="speech",
    )


def write_text(recordings: Sequence[Recording], elapsed: Sequence[Sequence[float]], folder: Path) -> None:
    """The text output of a run. `elapsed`: the cumulative clock of each recording's units [ms], empty where unknown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text("source_type: speech\ntarget_type: text\n", encoding="utf-8")
    lines: list[Object] = []
    for index, (recording, times) in enumerate(zip(recordings, elapsed, strict=True)):
        lines.append(
            {
                "index": index,
                "prediction": recording.prediction,
                "delays": [float(d) for d in recording.delays_ms],
                "elapsed": [float(e) for e in times],
                "prediction_length": len(recording.units),
                **_common(recording),
            }
        )
    write_objects(folder / LOG, lines)


def write_speech(recordings: Sequence[Recording], folder: Path) -> None:
    """The speech output of a run: every wav has the pauses that a listener hears between the chunks.

    A recording without speech has an empty prediction, as in SimulEval.
    """
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text("source_type: speech\ntarget_type: speech\n", encoding="utf-8")
    lines: list[Object] = []
    for index, recording in enumerate(recordings):
        durations = [float(chunk.duration_ms) for chunk in recording.speech]
        delays = [float(chunk.delay_ms) for chunk in recording.speech]
        heard = playback(delays, durations)
        intervals = [[interval.start_ms, length] for interval, length in zip(heard, durations, strict=True)]
        end_ms = heard[-1].end_ms if heard else 0.0
        wav = folder / "wavs" / f"{index}_pred.wav"
        offset_ms = intervals[0][0] if intervals else 0.0
        if intervals:
            _write_playback(recording, wav)
        lines.append(
            {
                "index": index,
                "prediction": str(wav.relative_to(folder)) if intervals else "",
                "delays": delays,
                "durations": durations,
                "prediction_offset": offset_ms,
                "elapsed": [],
                "intervals": intervals,
                "prediction_length": (end_ms - offset_ms) / 1000.0 if intervals else 0.0,
                **_common(recording),
            }
        )
    write_objects(folder / LOG, lines)


def _write_playback(recording: Recording, wav: Path) -> None:
    if recording.speech_path is None or not recording.speech_path.is_file():
        raise InputError(f"{recording.where}: the audio of its speech is missing: {recording.speech_path}")
    delays = [chunk.delay_ms for chunk in recording.speech]
    durations = [chunk.duration_ms for chunk in recording.speech]
    pcm = arrange(read_audio(recording.speech_path, RATE_HZ), delays, durations, "kept")
    write_wav(wav, pcm, RATE_HZ)


def _common(recording: Recording) -> Object:
    return {
        "reference": recording.reference or "",
        "source": [recording.name],
        "source_length": float(recording.source_ms),
    }


def _source(entry: Object) -> str:
    source = entry.get("source", "")
    if isinstance(source, list):
        source = source[0] if source else ""
    return str(source)


def _references(entry: Object, where: str, source_ms: float) -> tuple[Reference, ...]:
    if not entry.get("reference"):
        return ()
    return (Reference(0.0, source_ms, translation=text_of(entry, "reference", where)),)
