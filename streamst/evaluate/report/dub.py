"""The speech output of talks, as it is heard: recognised, its words placed in time, cut to the reference segments.

The dub is recognised piece by piece, each of at most half a minute, cut where the listener hears the longest pause.
Where the recogniser does not tell when it heard a word, the words are aligned to the audio (`metrics/forced.py`). A
word is there when a listener begins to hear it; its delay is the source that was heard by then. Per sentence:

LongStartOffset_speech  begin of the first word - begin of the segment
LongEndOffset_speech    end of the last word - end of the segment
LongATD_speech          average token delay, words as chunks of speech, delays before the segment as its begin
LongYAAL_speech         as LongYAAL of text, by when words begin to be heard
ASR-BLEU, ASR-chrF      of the segments as AS-WER cuts them, as the text's BLEU is; ASR-BLEU_silences with the pauses
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamst.audio import Pcm, write_wav
from streamst.errors import InputError
from streamst.evaluate.log.elapsed import clocks_of
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.metrics import longform, speech
from streamst.evaluate.metrics.forced import align_speech
from streamst.evaluate.metrics.latency import yet_another_average_lagging
from streamst.evaluate.metrics.longform import SEGMENTERS, ReferenceSegment, resegment
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import tokenizer_for
from streamst.evaluate.metrics.recognise import Recogniser, SpokenWord, Transcript, transcribe
from streamst.evaluate.metrics.result import Metric, signature
from streamst.evaluate.metrics.speech import Interval, SpokenUtterance, playback
from streamst.evaluate.metrics.speech_quality import (
    RATE_HZ,
    WANTED,
    Silences,
    arrange,
    asr_score,
    failures_of,
    spoken_audio,
    understood,
)

from .rows import Values, speech_clocks, spoken_of

PIECE_MS = 30_000.0  # of speech that is recognised at once, at most


@dataclass(frozen=True)
class DubScore:
    """metrics by name; notes; values: of each reference segment of each talk, in order."""

    metrics: dict[str, Metric]
    notes: tuple[str, ...]
    values: tuple[Values, ...]


@dataclass(frozen=True)
class _Heard:
    """One talk's dub. words: with their place in the speech without pauses. text_with_pauses: the same, recognised with
    the pauses that a listener hears."""

    talk: Recording
    words: tuple[SpokenWord, ...]
    text_with_pauses: str
    found_by: str  # how the words' times were found
    failed: str


def dub_score(
    talks: Sequence[Recording], recogniser: Recogniser | None, target: str = "de", cache: Path | None = None,
    log_format: str = "streamst",
) -> DubScore:  # fmt: skip
    """What `recogniser` hears of the dubs of `talks`. Talks without speech, and pieces on which it fails, count as
    nothing heard. Errors as `metrics.speech_quality.speech_score`."""
    heard = [_listen(talk, recogniser, target, cache) for talk in talks]
    asked = [one for one in heard if one.talk.speech]
    if asked and all(one.failed and not one.words and not one.text_with_pauses for one in asked):
        raise InputError(asked[0].failed)
    name = "" if recogniser is None else recogniser.name
    values: list[Values] = [{} for talk in talks for _ in talk.references]
    for clock in speech_clocks(talks, clocks_of(talks, log_format)):
        rows = iter(values)
        for one in heard:
            for found in _timed(one, clock):
                next(rows).update(found)
    found_by = "+".join(sorted({one.found_by for one in heard if one.words}))
    metrics = _quality(heard, name, target) | _means(values, name, found_by)
    silent = [talk.name for talk in talks if not talk.speech]
    notes = [f"{len(silent)} of {len(talks)} talks have no speech: {', '.join(silent[:3])}"] if silent else []
    failed = {one.talk.name: one.failed for one in heard if one.failed}
    return DubScore(metrics, (*notes, *failures_of(failed, len(talks))), tuple(values))


def cuts(heard: Sequence[Interval], longest_ms: float = PIECE_MS) -> list[slice]:
    """Chunks in pieces of at most `longest_ms` of speech (one chunk at least), each cut before the chunk of its second
    half that the longest pause is heard before."""
    pieces: list[slice] = []
    first = 0
    while first < len(heard):
        end, spoken_ms, best = first, 0.0, (-1.0, 0)
        while end < len(heard):
            length_ms = heard[end].end_ms - heard[end].start_ms
            if end > first and spoken_ms + length_ms > longest_ms:
                break
            if end > first and spoken_ms >= longest_ms / 2:
                best = max(best, (heard[end].start_ms - heard[end - 1].end_ms, end))
            spoken_ms += length_ms
            end += 1
        if end < len(heard):  # the pause before the chunk that does not fit counts, too
            best = max(best, (heard[end].start_ms - heard[end - 1].end_ms, end))
            end = best[1]
        pieces.append(slice(first, end))
        first = end
    return pieces


def placed(words: Sequence[SpokenWord], durations_ms: Sequence[float], heard: Sequence[Interval]) -> list[SpokenWord]:
    """Words of speech without pauses at the times at which a listener hears them."""
    found: list[SpokenWord] = []
    number, begun_ms = 0, 0.0  # the chunk, and where it begins without pauses

    def at(ms: float, end: bool) -> float:
        nonlocal number, begun_ms
        while number < len(heard) - 1 and (
            ms > begun_ms + durations_ms[number] or (not end and ms >= begun_ms + durations_ms[number])
        ):
            begun_ms += durations_ms[number]
            number += 1
        return heard[number].start_ms + min(ms - begun_ms, durations_ms[number])

    for word in words:
        start_ms = at(word.start_ms, False)
        found.append(SpokenWord(word.text, start_ms, max(start_ms, at(max(word.start_ms, word.end_ms), True))))
    return found


def _listen(talk: Recording, recogniser: Recogniser | None, target: str, cache: Path | None) -> _Heard:
    if not talk.speech:
        return _Heard(talk, (), "", "", "")
    delays = [chunk.delay_ms for chunk in talk.speech]
    durations = [chunk.duration_ms for chunk in talk.speech]
    dense = arrange(spoken_audio(talk), delays, durations, "removed")
    pieces = cuts(playback(delays, durations))
    starts = [sum(durations[: piece.start]) for piece in pieces]
    audio: list[Pcm] = [
        dense[_sample(a) : _sample(b)] for a, b in zip(starts, [*starts[1:], sum(durations)], strict=True)
    ]
    with_pauses = [arrange(pcm, delays[p], durations[p], "kept") for pcm, p in zip(audio, pieces, strict=True)]
    transcripts = _recognised(audio, recogniser, cache)
    paused = _recognised(with_pauses, recogniser, cache)
    words: list[SpokenWord] = []
    ways: set[str] = set()
    for start_ms, pcm, one in zip(starts, audio, transcripts, strict=True):
        own, way = _words(one, pcm, target)
        ways |= {way} if own else set()
        words += [SpokenWord(word.text, start_ms + word.start_ms, start_ms + word.end_ms) for word in own]
    failed = next((one.failed for one in (*transcripts, *paused) if one.failed), "")
    return _Heard(talk, tuple(words), " ".join(one.text for one in paused), "+".join(sorted(ways)), failed)


def _recognised(audio: Sequence[Pcm], recogniser: Recogniser | None, cache: Path | None) -> list[Transcript]:
    with tempfile.TemporaryDirectory() as folder:
        wavs: list[Path | None] = []
        for number, pcm in enumerate(audio):
            wavs.append(Path(folder, f"{number}.wav") if len(pcm) else None)
            if len(pcm):
                write_wav(Path(folder, f"{number}.wav"), pcm, RATE_HZ)
        return transcribe(recogniser, wavs, cache)


def _words(transcript: Transcript, pcm: Pcm, target: str) -> tuple[list[SpokenWord], str]:
    """The words of a piece of speech with their times, and how these were found."""
    if transcript.words:
        split = [
            SpokenWord(part, word.start_ms, word.end_ms) for word in transcript.words for part in word.text.split()
        ]
        return split, "recogniser"
    words = transcript.text.split()
    times, way = align_speech(pcm, words, target) if words else ([], "")
    return [SpokenWord(word, *when) for word, when in zip(words, times, strict=True)], way


def _segments(talk: Recording, words: Sequence[str], delays: Sequence[float], segmenter: str) -> list[longform.Segment]:
    references = tuple(ReferenceSegment(r.offset_ms, r.duration_ms, r.translation or "") for r in talk.references)
    whole = longform.Recording(tuple(words), tuple(delays), talk.source_ms, references)
    return list(resegment(whole, segmenter))


def _timed(heard: _Heard, clock: str) -> list[Values]:
    """The latencies of each segment of a talk on a clock, "" for none."""
    talk, suffix = heard.talk, f"_CA_{clock}" if clock else ""
    if not heard.words:
        return [{} for _ in talk.references]
    spoken = spoken_of(talk, clock)
    played = playback(spoken.elapsed_ms or spoken.delays_ms, spoken.durations_ms)
    words = placed(heard.words, spoken.durations_ms, played)
    values: list[Values] = []
    first = 0
    for segment, reference in zip(
        _segments(talk, [word.text for word in words], [word.start_ms for word in words], "soft"),
        talk.references,
        strict=True,
    ):
        own = words[first : first + len(segment.utterance.delays_ms)]
        first += len(own)
        values.append({})
        if not own:
            continue
        starts = tuple(max(0.0, word.start_ms - reference.offset_ms) for word in own)
        chunks = SpokenUtterance(starts, tuple(word.end_ms - word.start_ms for word in own), reference.duration_ms)
        found = {
            "StartOffset": own[0].start_ms - reference.offset_ms,
            "EndOffset": own[-1].end_ms - reference.offset_ms - reference.duration_ms,
            "ATD": speech.average_token_delay(chunks),
            "YAAL": yet_another_average_lagging(segment.utterance, segment.recording_end_ms),
        }
        values[-1] = {f"Long{key}_speech{suffix}": value for key, value in found.items() if value is not None}
    return values


def _means(values: Sequence[Values], recogniser: str, found_by: str) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for name in dict.fromkeys(name for row in values for name in row):
        own = [row[name] for row in values if name in row]
        fields = {
            "output": "speech", "asr": recogniser.replace("|", "/"), "times": found_by,
            "at": "begin-of-word", "segmenter": SEGMENTERS["soft"], "ca": name.partition("_CA_")[2] or "none",
            "n": len(values), "undefined": len(values) - len(own),
        }  # fmt: skip
        metrics[name] = Metric(math.fsum(own) / len(own), "ms", signature(fields))
    return metrics


def _quality(heard: Sequence[_Heard], recogniser: str, target: str) -> dict[str, Metric]:
    normaliser, tokenize = normaliser_for(target), tokenizer_for(target)
    told = [one for one in heard if all(r.translation is not None for r in one.talk.references)]
    metrics: dict[str, Metric] = {}
    texts: dict[Silences, list[str]] = {}
    if any(r.translation for one in told for r in one.talk.references):
        references = [r.translation or "" for one in told for r in one.talk.references]
        texts["removed"] = [text for one in told for text in _cut(one.talk, [word.text for word in one.words])]
        texts["kept"] = [text for one in told for text in _cut(one.talk, one.text_with_pauses.split())]
        for entry, metric, kind in WANTED:
            metrics[entry] = asr_score(
                metric, texts[kind], references, recogniser, normaliser, silences=kind, tokenize=tokenize
            )
            found = metrics[entry]
            metrics[entry] = Metric(found.value, found.unit, f"{found.signature}|segmenter:{SEGMENTERS['aswer']}")
    whole = [" ".join(word.text for word in one.words) for one in heard]
    return metrics | understood([one.talk for one in heard], whole, recogniser, normaliser)


def _cut(talk: Recording, words: Sequence[str]) -> list[str]:
    return [segment.hypothesis for segment in _segments(talk, words, [0.0] * len(words), "aswer")]


def _sample(ms: float) -> int:
    return round(ms * RATE_HZ / 1000)
