"""Speech output of talks: what a perfect recogniser reads scores as the text does; words are placed in time."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.audio import Pcm, read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.formats.detect import Log
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk
from streamst.evaluate.metrics.forced import align_speech, spread
from streamst.evaluate.metrics.recognise import SpokenWord, Transcript, named_recogniser
from streamst.evaluate.metrics.speech import playback
from streamst.evaluate.report.dub import cuts, dub_score, placed
from streamst.evaluate.report.judge import Judges, judged
from streamst.evaluate.report.rows import long_segments
from streamst.evaluate.report.score import ScoreOptions, score

RATE_HZ = 16_000
VOCABULARY = "haus hund stadt wir gehen heute nicht schnell der die das und mit klein".split()  # noqa: SIM905
TONES = {word: 300.0 + 60 * number for number, word in enumerate(VOCABULARY)}


def sound(word: str, duration_ms: float) -> Pcm:
    count = round(RATE_HZ * duration_ms / 1000)
    return (0.5 * np.sin(2 * np.pi * TONES[word] * np.arange(count) / RATE_HZ)).astype(np.float32)


class PerfectEar:
    """Reads tones that are words; with their times where `timed`."""

    def __init__(self, timed: bool = True) -> None:
        self.name, self.timed = "tones", timed

    def __call__(self, wav: Path) -> Transcript:
        pcm, size = read_audio(wav, RATE_HZ), 320
        blocks = [pcm[at : at + size] for at in range(0, len(pcm) - size // 2, size)]
        tones = [TONES[word] for word in VOCABULARY]
        found: list[SpokenWord] = []
        last = ""
        for number, block in enumerate(blocks):
            word = ""
            if np.abs(block).max() > 0.01:
                spectrum = np.abs(np.fft.rfft(block, RATE_HZ // 4))
                word = VOCABULARY[int(np.argmin(np.abs(np.array(tones) - 4.0 * int(spectrum.argmax()))))]
            if word and word == last:
                found[-1] = SpokenWord(word, found[-1].start_ms, 20.0 * (number + 1))
            elif word:
                found.append(SpokenWord(word, 20.0 * number, 20.0 * (number + 1)))
            last = word
        return Transcript(" ".join(word.text for word in found), tuple(found) if self.timed else ())


def talk(
    folder: Path, words: Sequence[str], delays: Sequence[float], durations: Sequence[float], segments: int,
    index: int = 0,
) -> Recording:  # fmt: skip
    """A talk whose every word is a chunk of speech, in reference segments of equal length."""
    source_ms = 1000.0 * np.ceil((delays[-1] + 500.0) / 1000.0)
    bounds = np.linspace(0, len(words), segments + 1).astype(int)
    texts = [words[a:b] for a, b in itertools.pairwise(bounds)]
    references = tuple(
        Reference(number * source_ms / segments, source_ms / segments, "x", " ".join(text))
        for number, text in enumerate(texts)
    )
    wav = folder / f"said{index}.wav"
    write_wav(wav, np.concatenate([sound(w, d) for w, d in zip(words, durations, strict=True)]), RATE_HZ)
    steps = tuple(Step(delay, 5.0, (word,)) for word, delay in zip(words, delays, strict=True))
    chunks = tuple(
        SpeechChunk(delay, duration, number, word)
        for number, (word, delay, duration) in enumerate(zip(words, delays, durations, strict=True))
    )
    return Recording(
        index, f"{index}.wav", f"made up:{index + 1}", float(source_ms), tuple(words), tuple(delays),
        references=references, steps=steps, speech=chunks, speech_path=wav, output="both",
    )  # fmt: skip


def scored(*talks: Recording) -> Log:
    return Log(Path("made up"), "streamst", talks, 0)


WORDS = st.lists(
    st.tuples(st.sampled_from(range(1, len(VOCABULARY))), st.integers(9, 40), st.integers(5, 9)),
    min_size=6, max_size=24,
)  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(WORDS, st.integers(2, 4))
def test_a_dub_that_is_read_perfectly_scores_as_the_text_does(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, int, int]], segments: int
) -> None:
    """A voice that begins a word when it is written, and is done before the next."""
    number, delay, words, delays, durations = 0, 0.0, [], [], []
    for step, wait, length in said:
        number = (number + step) % len(VOCABULARY)  # never the same twice running: a tone cannot tell
        delay += 20.0 * wait
        words.append(VOCABULARY[number])
        delays.append(delay)
        durations.append(20.0 * length)
    one = talk(tmp_path_factory.mktemp("talk"), words, delays, durations, segments)
    text = score(scored(one), ScoreOptions(resamples=100)).metrics
    found = dub_score([one], PerfectEar())
    assert found.metrics["ASR-BLEU"].value == pytest.approx(text["BLEU"].value)
    assert found.metrics["ASR-chrF"].value == pytest.approx(text["chrF"].value)
    assert found.metrics["ASR-WER"].value == 0.0
    spoken, written = found.metrics.get("LongYAAL_speech"), text.get("LongYAAL")
    assert (spoken is None) == (written is None)
    if spoken is not None and written is not None:
        assert spoken.value == pytest.approx(written.value, abs=1e-6)
    segmented = long_segments([one], "soft")
    for row, segment in zip(found.values, segmented, strict=True):
        delays_of = segment.utterance.delays_ms
        assert row.get("LongStartOffset_speech") == (pytest.approx(delays_of[0]) if delays_of else None)
    assert "times:recogniser" in found.metrics["LongStartOffset_speech"].signature
    assert not found.notes


def test_speech_that_queues_is_heard_later_than_it_is_written(tmp_path: Path) -> None:
    """Hand-worked: three words of 400 ms, all written at 1,000 ms; a fourth at 5,000 ms."""
    words = ["haus", "hund", "stadt", "wir"]
    one = talk(tmp_path, words, [1000.0, 1000.0, 1000.0, 5000.0], [400.0] * 4, 2)
    found = dub_score([one], PerfectEar())
    assert [row["LongStartOffset_speech"] for row in found.values] == [1000.0, 1800.0 - 3000.0]
    assert [row["LongEndOffset_speech"] for row in found.values] == [1800.0 - 3000.0, 5400.0 - 6000.0]
    live = [row["LongEndOffset_speech_CA_queue"] for row in found.values]
    assert live[0] == pytest.approx(-1195.0)  # 5 ms of computing before the first
    assert found.metrics["LongEndOffset_speech"].value == -900.0


def test_words_without_times_are_aligned_and_the_signature_says_how(tmp_path: Path) -> None:
    words, delays = ["haus", "hund", "stadt", "wir"], [1000.0, 2000.0, 3000.0, 4000.0]
    one = talk(tmp_path, words, delays, [400.0] * 4, 2)
    found = dub_score([one], PerfectEar(timed=False), target="fr")
    assert "times:letters" in found.metrics["LongYAAL_speech"].signature
    assert found.metrics["ASR-BLEU"].value == dub_score([one], PerfectEar()).metrics["ASR-BLEU"].value
    aligned = dub_score([one], PerfectEar(timed=False), target="de")
    assert "times:voice-aligner" in aligned.metrics["LongYAAL_speech"].signature
    starts = [row["LongStartOffset_speech"] for row in aligned.values]
    assert starts == pytest.approx([1000.0, 500.0], abs=1001.0)


def test_words_are_spread_over_what_sounds_by_their_letters() -> None:
    pcm = np.zeros(RATE_HZ, np.float32)
    pcm[4000:12_000] = 0.5
    assert spread(pcm, ["ab", "abcd", "ab"]) == [(250.0, 375.0), (375.0, 625.0), (625.0, 750.0)]
    assert spread(pcm, []) == []
    assert align_speech(pcm, ["..."], "de") == (spread(pcm, ["..."]), "letters"), "nothing that can be spoken"


def test_the_voice_says_where_its_words_are() -> None:
    """German of the shipped voice: each word lies where it was spoken, to a tenth of a second."""
    from streamst.models.seam import Speak
    from streamst.pipeline import load

    voice = load().voice
    assert voice is not None
    words, state, edges, pieces = ["Guten", "Morgen,", "wo", "ist", "der", "Bahnhof?"], voice.init_state(), [], []
    for number, word in enumerate(words):
        ((pcm, state),) = voice.speak_all([Speak((word,), state, number == len(words) - 1)])
        pieces.append(pcm)
        edges.append(1000.0 * sum(map(len, pieces)) / RATE_HZ)
    times, way = align_speech(np.concatenate(pieces), words, "de")
    assert way == "voice-aligner"
    assert [a <= b for a, b in times] == [True] * 6
    # A word is spoken when the next is known: its audio ends with the next push, but for the last two.
    ends = [end for _, end in times]
    for number in range(4):
        assert ends[number] == pytest.approx(edges[number + 1], abs=120.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 20_000)), min_size=1, max_size=30))
def test_pieces_hold_every_chunk_once_and_are_no_longer_than_they_may_be(parts: list[tuple[int, int]]) -> None:
    delays = np.cumsum([step for step, _ in parts]).astype(float).tolist()
    durations = [float(length) for _, length in parts]
    pieces = cuts(playback(delays, durations), 30_000.0)
    assert [number for piece in pieces for number in range(piece.start, piece.stop)] == list(range(len(parts)))
    for piece in pieces:
        assert sum(durations[piece]) <= 30_000.0 or piece.stop - piece.start == 1


def test_words_of_dense_speech_are_placed_after_the_pauses_that_are_heard() -> None:
    heard = playback([1000.0, 1100.0, 5000.0], [400.0, 300.0, 500.0])
    words = [SpokenWord("a", 0.0, 400.0), SpokenWord("b", 400.0, 690.0), SpokenWord("c", 690.0, 900.0)]
    words.append(SpokenWord("d", 1190.0, 1300.0))  # longer than all speech
    found = placed(words, [400.0, 300.0, 500.0], heard)
    assert [(w.start_ms, w.end_ms) for w in found] == [
        (1000.0, 1400.0), (1400.0, 1690.0), (1690.0, 5200.0), (5490.0, 5500.0),
    ]  # fmt: skip


def test_a_talk_without_speech_and_a_recogniser_that_fails_are_counted_and_named(tmp_path: Path) -> None:
    spoken = talk(tmp_path, ["haus", "hund"], [500.0, 1500.0], [400.0, 400.0], 2)
    other = talk(tmp_path, ["stadt", "wir"], [500.0, 1500.0], [400.0, 440.0], 2, 1)
    silent = Recording(
        2, "2.wav", "made up:3", 2000.0, (), (), references=spoken.references, steps=(Step(2000.0, 1.0),), output="both"
    )

    class Fails(PerfectEar):
        def __call__(self, wav: Path) -> Transcript:
            if len(read_audio(wav, RATE_HZ)) >= 13_440:
                raise InputError("too loud")
            return super().__call__(wav)

    found = dub_score([spoken, other, silent], Fails())
    assert found.notes[0] == "1 of 3 talks have no speech: 2.wav"
    assert "failed on the speech of 2 of 3 recordings" in found.notes[1]  # with its pauses the first is long, too
    assert [bool(row) for row in found.values] == [True, True, False, False, False, False]
    assert found.metrics["ASR-WER"].value == 50.0
    everything = score(scored(spoken, other), ScoreOptions(resamples=100))
    script = tmp_path / "ear.py"
    script.write_text("print('haus hund')")
    command = f"{sys.executable} {script} {{wav}}"
    told = judged(everything, Judges(command), resamples=100)
    assert {"LongYAAL_speech", "ASR-BLEU", "LongATD_speech_CA_queue"} <= set(told.metrics)
    assert "LongStartOffset_speech" in told.intervals
    assert "LongStartOffset_speech" in told.rows[0].values
    json.dumps(told.as_json(), allow_nan=False)


def test_recognisers_are_known_by_name_and_must_hear_the_language() -> None:
    with pytest.raises(InputError, match=r"recogniser 'own' hears 'en', but the speech is 'de'"):
        named_recogniser("own", "de")
    with pytest.raises(InputError, match=r"recogniser 'nobody:x' is not known; allowed: own, ear, whisper:DIR"):
        named_recogniser("nobody:x", "de")
