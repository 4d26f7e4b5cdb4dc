"""Features do not depend on how the audio was cut, nor on the future."""

import numpy as np
import peer_audio
import pytest
import scipy.signal
import torch

from streamst.features import FeatureConfig, LogMel, mel_filters


def test_chunked_features_equal_offline_for_random_chunkings() -> None:
    model = LogMel(FeatureConfig())
    x = 0.1 * torch.randn(3, 160 * 500)
    offline = model(x)
    rng = np.random.default_rng(0)
    for _ in range(3):
        state, parts, position = model.init_state(3), [], 0
        while position < x.shape[1]:
            size = 160 * int(rng.integers(0, 40))
            y, state = model.step(x[:, position : position + size], state)
            parts.append(y)
            position += size
        assert torch.allclose(torch.cat(parts, 1), offline, atol=1e-4)


def test_the_mel_filters_are_torchaudios() -> None:
    c = FeatureConfig()
    theirs = peer_audio.torchaudio().functional.melscale_fbanks(
        c.fft_samples // 2 + 1, c.low_hz, c.high_hz, c.bands, c.sample_rate_hz, mel_scale="htk"
    )
    np.testing.assert_allclose(mel_filters(c), theirs.numpy(), atol=1e-5)


def test_spectrum_equals_scipys_of_the_same_frames() -> None:
    config = FeatureConfig()
    x = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * 0.1
    ours = LogMel(config)(torch.from_numpy(x)[None])[0].numpy()
    padded = np.concatenate([np.zeros(240), x])
    frames = np.stack([padded[t * 160 : t * 160 + 400] for t in range(100)])
    window = scipy.signal.get_window("hann", 400, fftbins=True)
    power = np.abs(np.fft.rfft(frames * window, 512)) ** 2
    assert np.allclose(ours, np.log(np.maximum(power @ mel_filters(config), config.floor)), atol=2e-3)


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)[None]
    band = int(LogMel(FeatureConfig())(tone)[0, 50].argmax())
    filters = mel_filters(FeatureConfig())
    assert abs(filters[:, band].argmax() * 16_000 / 512 - 1000) < 60


def test_features_never_see_the_future() -> None:
    model = LogMel(FeatureConfig())
    x = torch.randn(1, 3200)
    changed = x.clone()
    changed[:, 1600:] = 0
    assert torch.equal(model(x)[:, :10], model(changed)[:, :10])


def test_half_a_hop_is_refused() -> None:
    model = LogMel(FeatureConfig())
    with pytest.raises(ValueError, match="100 samples are not a multiple of the hop of 160"):
        model.step(torch.zeros(1, 100), model.init_state(1))
