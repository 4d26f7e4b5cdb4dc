"""ASR metrics of the speech output of a run: recognised without and with the silences that a listener hears.

ASR-BLEU, ASR-chrF   transcript against the reference translation, of the speech alone
ASR-BLEU_silences    the same of what is heard, pauses between the chunks included; up to five points lower
ASR-WER, ASR-CER     transcript against the text that the system wrote: can its speech be understood?
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from streamst.audio import Pcm, read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.log.recording import Recording

from .normalise import normalise, normaliser_for
from .quality import error_rate, sacrebleu_score, tokenizer_for
from .recognise import Recogniser, Transcript, transcribe
from .result import Metric
from .speech import playback

RATE_HZ = 16_000
Silences = Literal["kept", "removed"]
WANTED: tuple[tuple[str, str, Silences], ...] = (  # name in a report, metric, silences
    ("ASR-BLEU", "ASR-BLEU", "removed"),
    ("ASR-chrF", "ASR-chrF", "removed"),
    ("ASR-BLEU_silences", "ASR-BLEU", "kept"),
)


def arrange(pcm: Pcm, delays_ms: Sequence[float], durations_ms: Sequence[float], silences: Silences) -> Pcm:
    """Speech with or without its silences, from either.

    pcm: (samples,) at 16 kHz, the chunks one after the other, or with their silences as SimulEval writes them, from
        the begin of the first chunk; which of the two it is follows from its length.
    Raises InputError when its length fits neither.
    """
    intervals = playback(delays_ms, durations_ms)
    begin_ms = intervals[0].start_ms if intervals else 0.0
    starts = [round((i.start_ms - begin_ms) * RATE_HZ / 1000) for i in intervals]
    sizes = [round(duration * RATE_HZ / 1000) for duration in durations_ms]
    dense, spread = sum(sizes), (starts[-1] + sizes[-1] if intervals else 0)
    slack = len(sizes) + RATE_HZ // 100  # each chunk was rounded to samples; resampling moves the end
    if min(abs(len(pcm) - dense), abs(len(pcm) - spread)) > slack:
        lengths = f"{dense / RATE_HZ:.3f} s of chunks, {spread / RATE_HZ:.3f} s with silences"
        raise InputError(f"the speech is {len(pcm) / RATE_HZ:.3f} s long, but its log says {lengths}")
    has_silences = abs(len(pcm) - spread) < abs(len(pcm) - dense)
    if has_silences == (silences == "kept"):
        return pcm
    source, target = (starts, _one_after_another(sizes)) if has_silences else (_one_after_another(sizes), starts)
    out = np.zeros(spread if silences == "kept" else dense, dtype=np.float32)
    for begin, place, size in zip(source, target, sizes, strict=True):
        piece = pcm[begin : begin + size]
        out[place : place + len(piece)] = piece[: len(out) - place]
    return out


@dataclass(frozen=True)
class SpeechScore:
    """What a recogniser makes of speech. notes: what a reader of the metrics must know."""

    metrics: dict[str, Metric]
    notes: tuple[str, ...] = ()


def speech_score(
    recordings: Sequence[Recording], recogniser: Recogniser | None, target: str = "de", cache: Path | None = None
) -> SpeechScore:
    """All ASR metrics that apply, by name. A recording without speech, and one on which the recogniser fails, has an
    empty transcript and counts as such; the notes name those on which it failed.

    cache: folder of transcripts, see `recognise.transcribe`. Raises UnavailableError without a recogniser, InputError
    when there is no recording, the audio of speech is missing, or the recogniser fails on all of it.
    """
    if not recordings:
        raise InputError("there is no recording to recognise the speech of")
    kinds: tuple[Silences, ...] = ("removed", "kept")
    found = {kind: _transcripts(recordings, recogniser, kind, cache) for kind in kinds}
    transcripts = {kind: [one.text for one in found[kind]] for kind in kinds}
    name = "" if recogniser is None else recogniser.name
    normaliser, tokenize = normaliser_for(target), tokenizer_for(target)
    metrics: dict[str, Metric] = {}
    told = [i for i, recording in enumerate(recordings) if recording.reference]
    if told:
        references = [str(recordings[i].reference) for i in told]
        for entry, metric, kind in WANTED:
            heard = [transcripts[kind][i] for i in told]
            metrics[entry] = asr_score(metric, heard, references, name, normaliser, silences=kind, tokenize=tokenize)
    metrics |= understood(recordings, transcripts["removed"], name, normaliser)
    asked = [one for recording, one in zip(recordings, found["removed"], strict=True) if recording.speech]
    if asked and all(one.failed for one in asked):
        raise InputError(asked[0].failed)
    failed = {
        r.name: one.failed for kind in kinds for r, one in zip(recordings, found[kind], strict=True) if one.failed
    }
    return SpeechScore(metrics, failures_of(failed, len(recordings)))


def understood(
    recordings: Sequence[Recording], transcripts: Sequence[str], recogniser: str, normaliser: str
) -> dict[str, Metric]:
    """ASR-WER and ASR-CER: transcripts of the speech alone against the text that the system wrote."""
    written = [i for i, recording in enumerate(recordings) if recording.units]
    found: dict[str, Metric] = {}
    for entry in ("ASR-WER", "ASR-CER") if written else ():
        texts, heard = [recordings[i].prediction for i in written], [transcripts[i] for i in written]
        one = asr_score(entry, heard, texts, recogniser, normaliser, silences="removed")
        found[entry] = Metric(one.value, one.unit, f"ref:own-text|{one.signature}")
    return found


def failures_of(failed: Mapping[str, str], count: int) -> tuple[str, ...]:
    """A note that names the recordings (of `count`) on which the recogniser failed, and why, by name."""
    if not failed:
        return ()
    name, why = next(iter(failed.items()))
    names = ", ".join(list(failed)[:3]) + (", ..." if len(failed) > 3 else "")
    return (
        f"the recogniser failed on the speech of {len(failed)} of {count} recordings, which count as not understood: "
        f"{names} ({name}: {why})",
    )


def asr_score(
    name: str,
    transcripts: Sequence[str],
    references: Sequence[str],
    recogniser: str,
    normaliser: str,
    *,
    silences: Silences,
    tokenize: str = "13a",
) -> Metric:
    """ASR-BLEU, ASR-chrF, ASR-WER or ASR-CER; both sides go through `normaliser`.

    recogniser: its name. silences: whether the recognised audio had the pauses of real-time playback ("kept") or the
    speech alone ("removed"); the two differ by up to five BLEU points, so the signature says which it was.
    Raises InputError for another metric, and where all references are empty.
    """
    base = name.removeprefix("ASR-")
    if base == name or base not in ("BLEU", "chrF", "WER", "CER"):
        raise InputError(f"unknown metric {name!r}; allowed: ASR-BLEU, ASR-chrF, ASR-WER, ASR-CER")
    if base in ("WER", "CER"):
        result = error_rate(base, transcripts, references, normaliser)
    else:
        clean = ([normalise(t, normaliser) for t in texts] for texts in (transcripts, references))
        result = sacrebleu_score(base, *clean, tokenize=tokenize)
    if result is None:
        raise InputError(f"{name}: all references are empty")
    told = f"asr:{recogniser.replace('|', '/')}|silences:{silences}"
    told += "" if base in ("WER", "CER") else f"|norm:{normaliser}"
    return Metric(result.value, result.unit, f"{told}|{result.signature}")


def _transcripts(
    recordings: Sequence[Recording], recogniser: Recogniser | None, silences: Silences, cache: Path | None
) -> list[Transcript]:
    with tempfile.TemporaryDirectory() as folder:
        wavs: list[Path | None] = []
        for index, recording in enumerate(recordings):
            if not recording.speech:
                wavs.append(None)
                continue
            delays = [chunk.delay_ms for chunk in recording.speech]
            durations = [chunk.duration_ms for chunk in recording.speech]
            wav = Path(folder, f"{index}.wav")
            write_wav(wav, arrange(spoken_audio(recording), delays, durations, silences), RATE_HZ)
            wavs.append(wav)
        return transcribe(recogniser, wavs, cache)


def spoken_audio(recording: Recording) -> Pcm:
    """(samples,) at 16 kHz, what a recording said. InputError, naming its line, where it is missing."""
    if recording.speech_path is None or not recording.speech_path.is_file():
        raise InputError(f"{recording.where}: the audio of its speech is missing: {recording.speech_path}")
    return read_audio(recording.speech_path, RATE_HZ)


def _one_after_another(sizes: Sequence[int]) -> list[int]:
    """Where each chunk begins when they stand one after the other."""
    return [0, *itertools.accumulate(sizes)][: len(sizes)]
