"""ASR metrics of the speech output of a run: recognised without and with the silences that a listener hears.

ASR-BLEU, ASR-chrF   transcript against the reference translation, of the speech alone
ASR-BLEU_silences    the same of what is heard, pauses between the chunks included; up to five points lower
ASR-WER, ASR-CER     transcript against the text that the system wrote: can its speech be understood?
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamst.audio import Pcm, read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.log.recording import Recording

from .normalise import normaliser_for
from .quality import tokenizer_for
from .recognise import Recogniser, Silences, asr_score, transcribe
from .result import Metric
from .speech import playback

RATE_HZ = 16_000


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


def speech_metrics(
    recordings: Sequence[Recording], recogniser: Recogniser | None, target: str = "de", cache: Path | None = None
) -> dict[str, Metric]:
    """All ASR metrics that apply, by name. A recording without speech has an empty transcript and counts as such.

    cache: folder of transcripts, see `recognise.transcribe`. Raises UnavailableError without a recogniser, InputError
    when there is no recording or the audio of speech is missing.
    """
    if not recordings:
        raise InputError("there is no recording to recognise the speech of")
    kinds: tuple[Silences, ...] = ("removed", "kept")
    transcripts = {kind: _transcripts(recordings, recogniser, kind, cache) for kind in kinds}
    name = "" if recogniser is None else recogniser.name
    normaliser, tokenize = normaliser_for(target), tokenizer_for(target)
    metrics: dict[str, Metric] = {}
    told = [i for i, recording in enumerate(recordings) if recording.reference]
    if told:
        references = [str(recordings[i].reference) for i in told]
        wanted: tuple[tuple[str, str, Silences], ...] = (
            ("ASR-BLEU", "ASR-BLEU", "removed"),
            ("ASR-chrF", "ASR-chrF", "removed"),
            ("ASR-BLEU_silences", "ASR-BLEU", "kept"),
        )
        for entry, metric, kind in wanted:
            heard = [transcripts[kind][i] for i in told]
            metrics[entry] = asr_score(metric, heard, references, name, normaliser, silences=kind, tokenize=tokenize)
    written = [i for i, recording in enumerate(recordings) if recording.units]
    if written:
        texts = [recordings[i].prediction for i in written]
        heard = [transcripts["removed"][i] for i in written]
        for entry in ("ASR-WER", "ASR-CER"):
            found = asr_score(entry, heard, texts, name, normaliser, silences="removed")
            metrics[entry] = Metric(found.value, found.unit, f"ref:own-text|{found.signature}")
    return metrics


def _transcripts(
    recordings: Sequence[Recording], recogniser: Recogniser | None, silences: Silences, cache: Path | None
) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        wavs: list[Path | None] = []
        for index, recording in enumerate(recordings):
            if not recording.speech:
                wavs.append(None)
                continue
            if recording.speech_path is None or not recording.speech_path.is_file():
                raise InputError(f"{recording.where}: the audio of its speech is missing: {recording.speech_path}")
            pcm = read_audio(recording.speech_path, RATE_HZ)
            delays = [chunk.delay_ms for chunk in recording.speech]
            durations = [chunk.duration_ms for chunk in recording.speech]
            wav = Path(folder, f"{index}.wav")
            write_wav(wav, arrange(pcm, delays, durations, silences), RATE_HZ)
            wavs.append(wav)
        return transcribe(recogniser, wavs, cache)


def _one_after_another(sizes: Sequence[int]) -> list[int]:
    """Where each chunk begins when they stand one after the other."""
    return [0, *itertools.accumulate(sizes)][: len(sizes)]
