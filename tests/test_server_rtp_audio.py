"""What a track hands over is one stream, whatever was lost of it."""

from __future__ import annotations

import fractions

import numpy as np
import pytest
from av import AudioFrame
from recordings import speechlike

from streamst.audio import Pcm, to_pcm16
from streamst.server.foreign.rtp_audio import Whole


def frames(pcm: Pcm, rate_hz: int, samples: int, at: int = 0, channels: int = 1) -> list[AudioFrame]:
    made = []
    for begin in range(0, len(pcm), samples):
        piece = np.repeat(pcm[begin : begin + samples], channels)
        frame = AudioFrame(format="s16", layout="stereo" if channels == 2 else "mono", samples=len(piece) // channels)
        frame.planes[0].update(to_pcm16(piece))
        frame.pts, frame.sample_rate, frame.time_base = at + begin, rate_hz, fractions.Fraction(1, rate_hz)
        made.append(frame)
    return made


def heard(*given: AudioFrame) -> tuple[Pcm, float]:
    whole = Whole(16_000)
    return np.concatenate([whole.push(frame) for frame in given]), whole.concealed_s


@pytest.mark.parametrize("channels", [1, 2])
def test_a_track_without_loss_is_what_was_said(channels: int) -> None:
    pcm = speechlike(48_000, 48_000)
    out, concealed_s = heard(*frames(pcm, 48_000, 960, at=123_456, channels=channels))
    assert concealed_s == 0
    assert 15_600 <= len(out) <= 16_000, "the filter holds the last of it"
    assert np.abs(out[500:15_000] - pcm[::3][500:15_000]).max() < 0.01


def test_what_is_missing_is_concealed_and_the_clock_goes_on() -> None:
    pcm = speechlike(48_000, 48_000)
    kept = [frame for number, frame in enumerate(frames(pcm, 48_000, 960)) if number % 10 != 5]
    out, concealed_s = heard(*kept)
    assert concealed_s == pytest.approx(5 * 0.02)
    assert 15_600 <= len(out) <= 16_000, "the filter holds the last of it"
    assert np.abs(out[500:1500] - pcm[::3][500:1500]).max() < 0.01
    gap = out[1600:1900]
    assert np.abs(gap).max() > 0.05, "a voice goes on for a moment"


def test_a_long_gap_and_a_clock_that_starts_anew_are_not_filled() -> None:
    pcm = speechlike(9_600, 48_000)
    out, concealed_s = heard(*frames(pcm, 48_000, 960), *frames(pcm, 48_000, 960, at=48_000 * 60))
    assert concealed_s == 0
    assert len(out) <= 6_400
    out, concealed_s = heard(*frames(pcm, 48_000, 960, at=48_000 * 60), *frames(pcm, 48_000, 960))
    assert concealed_s == 0
    assert 5_600 <= len(out) <= 6_400


def test_a_rate_that_changes_is_no_loss() -> None:
    out, concealed_s = heard(
        *frames(speechlike(9_600, 48_000), 48_000, 960), *frames(speechlike(8_000, 8_000), 8_000, 160)
    )
    assert concealed_s == 0
    assert 17_000 <= len(out) <= 19_200


def test_a_few_frames_far_apart_do_not_become_hours_of_sound() -> None:
    pcm = speechlike(960, 48_000)
    far = [frame for n in range(20) for frame in frames(pcm, 48_000, 960, at=n * 48_000 * 9)]
    _, concealed_s = heard(*far)
    assert concealed_s <= 10.0
