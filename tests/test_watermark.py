"""Synthetic speech is marked in any pieces alike, found again after a codec, and nothing else is taken for it."""

from pathlib import Path

import numpy as np
import pytest

from streamst import pipeline, watermark
from streamst.audio import read_audio
from streamst.errors import InputError
from streamst.models.speak.voice import GermanVoice, say

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    voice = pipeline.load("en-de", "cpu").voice
    assert isinstance(voice, GermanVoice)
    return say(voice, "Guten Morgen. Wo ist der nächste Bahnhof?")


def test_what_the_voice_says_is_marked_and_a_recording_is_not(speech: np.ndarray) -> None:
    assert watermark.detect(speech).marked
    assert watermark.detect(speech[1234:]).marked
    assert not watermark.detect(read_audio(DATA / "station.flac")).marked


@pytest.mark.parametrize("samples", [1, 100, 255, 256, 257, 511, 512, 513, 5000])
def test_any_pieces_are_marked_as_the_whole_and_none_is_lost(samples: int) -> None:
    random = np.random.default_rng(samples)
    pcm = random.normal(0, 0.1, samples).astype(np.float32)
    whole, _ = watermark.mark(pcm, watermark.init_state(), final=True)
    assert len(whole) == samples
    pieces, state, at = [], watermark.init_state(), 0
    while at < samples:
        size = int(random.integers(1, 700))
        out, state = watermark.mark(pcm[at : at + size], state)
        pieces.append(out)
        at += size
    out, state = watermark.mark(pcm[:0], state, final=True)
    assert np.array_equal(np.concatenate([*pieces, out]), whole)
    assert state.frame == 0


def test_the_mark_changes_each_cell_by_its_strength_only() -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, 160_000).astype(np.float32)
    marked, _ = watermark.mark(pcm, watermark.init_state(), final=True)
    change_db = 10 * np.log10(np.mean((marked - pcm) ** 2) / np.mean(pcm**2))
    assert -12 < change_db < -8  # 3 dB up or down is a change of 0.29 to 0.41


@pytest.mark.parametrize("kind", ["silence", "short", "noise", "not finite", "endless", "constant"])
def test_odd_sound_carries_no_mark(kind: str) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 48_000).astype(np.float32)
    sounds = {
        "silence": np.zeros(48_000, np.float32),
        "short": noise[:100],
        "noise": noise,
        "not finite": np.full(48_000, np.nan, np.float32),
        "endless": np.full(48_000, np.inf, np.float32),
        "constant": np.ones(48_000, np.float32),
    }
    assert not watermark.detect(sounds[kind]).marked


@pytest.mark.parametrize("sample_rate_hz", [-1, 0, 1, 100, 8_000, 14_374])
def test_a_rate_too_low_for_the_mark_is_refused(sample_rate_hz: int) -> None:
    for ask in (lambda: watermark.detect(np.zeros(9_000, np.float32), sample_rate_hz),
                lambda: watermark.init_state(sample_rate_hz)):  # fmt: skip
        with pytest.raises(InputError, match=rf"{sample_rate_hz} Hz; allowed: 14375 Hz and more"):
            ask()
    assert watermark.detect(np.zeros(48_000, np.float32), 14_375).score == 0


@pytest.mark.parametrize("shape", [(2, 48_000), (48_000, 2), ()])
def test_sound_of_several_channels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="is not mono"):
        watermark.detect(np.zeros(shape, np.float32))


def test_the_mark_survives_clipping(speech: np.ndarray) -> None:
    assert watermark.detect(np.clip(10 * speech, -1, 1)).marked


def test_the_mark_survives_another_rate_and_a_softer_voice(speech: np.ndarray) -> None:
    import soxr

    narrow = soxr.resample(speech, 16_000, 11_025)
    assert watermark.detect(0.05 * np.asarray(soxr.resample(narrow, 11_025, 16_000), np.float32)).marked
