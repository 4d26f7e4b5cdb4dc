"""A resampler that is written down and gone on with: the same samples, and those of soxr's own but for rounding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from streamst.audio import Pcm, resample
from streamst.audio.lasting import LastingResampler, ResamplerKept
from streamst.errors import InputError


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_in_any_pieces_and_gone_on_with_anywhere_it_says_the_same(speech: Pcm, rate_hz: int) -> None:
    pcm = resample(speech, 16_000, rate_hz)
    whole = LastingResampler(rate_hz, 16_000).push(pcm, final=True)
    chance, at, said = np.random.default_rng(rate_hz), 0, list[Pcm]()
    resampler = LastingResampler(rate_hz, 16_000)
    while at < len(pcm):
        size = int(chance.integers(1, rate_hz // 4))
        said.append(resampler.push(pcm[at : at + size]))
        at += size
        kept = resampler.keep()
        assert len(kept.run) <= rate_hz  # a second at most
        resampler = LastingResampler(rate_hz, 16_000)
        resampler.go_on(kept)
    said.append(resampler.push(pcm[:0], final=True))
    np.testing.assert_array_equal(np.concatenate(said), whole)
    plain = resample(pcm, rate_hz, 16_000)
    assert len(plain) == len(whole)
    assert np.abs(plain - whole).max() < 1e-6


def test_what_no_resampler_keeps_is_refused() -> None:
    resampler = LastingResampler(48_000, 16_000)
    kept = ResamplerKept(np.zeros(100, np.float32), 0)
    for wrong in ({"run": np.zeros(48_000, np.float32)}, {"skip": -1}, {"run": np.zeros((2, 2), np.float32)}):
        with pytest.raises(InputError, match="is none"):
            resampler.go_on(dataclasses.replace(kept, **wrong))
