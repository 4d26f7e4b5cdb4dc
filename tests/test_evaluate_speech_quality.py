"""ASR metrics of speech output, with a recogniser that really listens: it tells words by the pitch of their tones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.audio import read_audio, write_wav
from streamst.errors import InputError, UnavailableError
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk
from streamst.evaluate.metrics.speech_quality import RATE_HZ, arrange, speech_score

WORDS = {"das": 400, "haus": 600, "ist": 800, "groß": 1000}
WORD_MS = 250.0


def _say(words):
    t = np.arange(round(WORD_MS * RATE_HZ / 1000)) / RATE_HZ
    tones = [np.sin(2 * np.pi * WORDS[word] * t) * np.hanning(len(t)) for word in words]
    return np.concatenate([np.zeros(0), *tones]).astype(np.float32) * 0.5


def _listen(wav: Path) -> str:
    """The words of every quarter of a second that has a tone; "ähm" for every long silence, as a real ASR may say."""
    pcm = read_audio(wav, RATE_HZ)
    size = round(WORD_MS * RATE_HZ / 1000)
    heard = []
    for start in range(0, len(pcm) - size // 2, size):
        block = pcm[start : start + size]
        if np.sqrt(np.mean(block**2)) < 0.01:
            heard.append("ähm")
            continue
        pitch = np.argmax(np.abs(np.fft.rfft(block))) * RATE_HZ / len(block)
        heard.append(min(WORDS, key=lambda word: abs(WORDS[word] - pitch)))
    return " ".join(heard)


class _ToneEar:
    """A recogniser of tones."""

    name = "tone-ear-1"

    def __call__(self, wav):
        return _listen(wav)


EAR = _ToneEar()


def _recording(tmp_path, chunks, text, reference, index=0):
    """chunks: (delay [ms], words)."""
    path = tmp_path / f"{index}.wav"
    write_wav(path, _say([word for _, words in chunks for word in words]), RATE_HZ)
    units = tuple(text.split())
    return Recording(
        index=index,
        name=f"{index}.flac",
        where=f"log:{index}",
        source_ms=4000.0,
        units=units,
        delays_ms=(1000.0,) * len(units),
        references=(Reference(0.0, 4000.0, translation=reference),),
        speech=tuple(SpeechChunk(delay, WORD_MS * len(words)) for delay, words in chunks),
        speech_path=path if chunks else None,
    )


def test_speech_is_scored_without_and_with_its_silences(tmp_path):
    chunks = [(1000.0, ["das", "haus"]), (2500.0, ["ist", "groß"])]
    recording = _recording(tmp_path, chunks, "das haus ist klein", "Das Haus ist groß.")
    metrics = speech_score([recording], EAR).metrics
    assert metrics["ASR-BLEU"].value == pytest.approx(100.0)
    assert metrics["ASR-chrF"].value == pytest.approx(100.0)
    assert metrics["ASR-BLEU_silences"].value < 50.0
    assert metrics["ASR-WER"].value == 25.0
    assert metrics["ASR-BLEU"].signature.startswith("asr:tone-ear-1|silences:removed|norm:streamst-de-1")
    assert metrics["ASR-BLEU_silences"].signature.startswith("asr:tone-ear-1|silences:kept")
    assert metrics["ASR-WER"].signature.startswith("ref:own-text|asr:tone-ear-1")


def test_a_recording_without_speech_counts_as_unheard(tmp_path):
    spoken = _recording(tmp_path, [(1000.0, ["das", "haus"])], "das haus", "das haus")
    silent = _recording(tmp_path, [], "ist groß", "ist groß", index=1)
    metrics = speech_score([spoken, silent], EAR, cache=tmp_path / "cache").metrics
    assert metrics["ASR-WER"].value == 50.0
    assert "n:2" in metrics["ASR-WER"].signature


def test_missing_audio_and_a_missing_recogniser_fail(tmp_path):
    recording = _recording(tmp_path, [(1000.0, ["das"])], "das", "das")
    with pytest.raises(UnavailableError, match="none is configured"):
        speech_score([recording], None)
    assert recording.speech_path is not None
    recording.speech_path.unlink()
    with pytest.raises(InputError, match="log:0: the audio of its speech is missing"):
        speech_score([recording], EAR)
    with pytest.raises(InputError, match="no recording"):
        speech_score([], EAR)


CHUNKS = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 600)), min_size=1, max_size=5)


@settings(deadline=None)
@given(CHUNKS)
def test_silences_can_be_put_in_and_taken_out_again(parts):
    delay, delays = 0, []
    for step, _ in parts:
        delay += step
        delays.append(float(delay))
    durations = [float(duration) for _, duration in parts]
    random = np.random.default_rng(0)
    dense = random.uniform(0.1, 1.0, sum(round(d * RATE_HZ / 1000) for d in durations)).astype(np.float32)
    heard = arrange(dense, delays, durations, "kept")
    assert np.array_equal(heard[heard != 0.0], dense)
    if abs(len(heard) - len(dense)) > 2 * RATE_HZ // 100:  # long enough to be told from rounding
        assert np.array_equal(arrange(heard, delays, durations, "removed"), dense)
    assert np.array_equal(arrange(dense, delays, durations, "removed"), dense)


def test_audio_that_does_not_fit_its_log_is_refused():
    with pytest.raises(InputError, match=r"the speech is 1\.000 s long, but its log says 0\.500 s of chunks"):
        arrange(np.zeros(RATE_HZ, np.float32), [0.0, 2000.0], [250.0, 250.0], "kept")
