"""Codec quality: SI-SDR against its definition, PESQ and STOI against what intact and spoilt speech must give.

`pesq` has to be compiled and is not part of the development environment: what needs it runs where it is installed.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamst.errors import InputError, UnavailableError
from streamst.evaluate.metrics import codec_quality

MEASURES = ["SI-SDR", "STOI", "ESTOI", *(["PESQ"] if find_spec("pesq") else [])]
STATION = Path(__file__).parent / "data/station.flac"


@pytest.fixture(scope="module")
def speech():
    pcm, rate = soundfile.read(STATION, dtype="float32")
    assert rate == 16_000
    return pcm[: 16_000 * 4]


def _noisy(signal, snr_db, seed=0):
    noise = np.random.default_rng(seed).standard_normal(len(signal))
    noise *= np.sqrt(np.mean(signal**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return signal + noise


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
def test_si_sdr_of_orthogonal_noise_is_its_signal_to_noise_ratio_at_any_scale(snr_db):
    random = np.random.default_rng(0)
    x = random.standard_normal(8000)
    x -= x.mean()
    noise = random.standard_normal(8000)
    noise -= noise.mean()
    noise -= (noise @ x) / (x @ x) * x
    noise *= np.sqrt((x @ x) / (noise @ noise)) * 10 ** (-snr_db / 20)
    for scale, offset in ((1.0, 0.0), (0.03, 0.5), (-2.0, 0.0)):
        assert codec_quality.si_sdr_db(x, scale * (x + noise) + offset) == pytest.approx(snr_db, abs=1e-9)


def test_si_sdr_is_capped_for_identical_signals_and_undefined_for_silence(speech):
    assert codec_quality.si_sdr_db(speech, speech) == codec_quality.SI_SDR_CAP_DB
    assert codec_quality.si_sdr_db(speech, 0.0 * speech) == -codec_quality.SI_SDR_CAP_DB
    assert codec_quality.si_sdr_db(0.0 * speech, speech) is None


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_best_for_intact_speech_and_falls_with_noise(name, speech):
    decoded = (speech, _noisy(speech, 20.0), _noisy(speech, 0.0))
    best, good, bad = (codec_quality.corpus(name, [(speech, signal)]) for signal in decoded)
    assert best is not None
    assert good is not None
    assert bad is not None
    assert best.value > good.value > bad.value
    assert best.value == pytest.approx({"PESQ": 4.644, "SI-SDR": 100.0}.get(name, 1.0), abs=1e-3)


def test_pesq_refuses_rates_that_it_is_not_defined_for(speech):
    with pytest.raises(InputError, match="not at 24000 Hz"):
        codec_quality.pesq_mos(speech, speech, 24_000)


@pytest.mark.parametrize("name", [name for name in MEASURES if name == "PESQ"])
def test_pesq_knows_narrow_band_and_leaves_silence_out(name, speech):
    narrow = speech[::2]
    result = codec_quality.corpus(name, [(narrow, narrow), (0.0 * narrow, narrow)], sample_rate_hz=8000)
    assert result is not None
    assert result.value == pytest.approx(4.549, abs=1e-3)
    assert "rate:8000Hz" in result.signature
    assert "band:narrow|n:2|undefined:1" in result.signature


def test_pairs_without_a_value_are_counted(speech):
    result = codec_quality.corpus("STOI", [(speech, speech), (0.0 * speech, speech), (speech[:2000], speech[:2000])])
    assert result is not None
    assert result.value == pytest.approx(1.0)
    assert "n:3|undefined:2" in result.signature
    assert codec_quality.corpus("STOI", [(0.0 * speech, speech)]) is None


@pytest.mark.parametrize("package", ["pesq", "pystoi"])
def test_a_missing_package_is_named_with_the_way_to_get_it(package, speech, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnavailableError, match=f"pip install {package}"):
        codec_quality.corpus({"pesq": "PESQ", "pystoi": "STOI"}[package], [(speech, speech)])


def test_signals_that_do_not_match_are_refused(speech):
    with pytest.raises(InputError, match="two mono signals of one length"):
        codec_quality.si_sdr_db(speech, speech[:-1])
    with pytest.raises(InputError, match="two mono signals of one length"):
        codec_quality.si_sdr_db(speech[:0], speech[:0])
    with pytest.raises(InputError, match="NaN or infinite"):
        codec_quality.si_sdr_db(speech, speech * np.float32("nan"))
    with pytest.raises(InputError, match="unknown codec metric 'POLQA'; allowed: SI-SDR, PESQ"):
        codec_quality.corpus("POLQA", [(speech, speech)])


@pytest.mark.skipif(find_spec("pesq") is None, reason="needs pesq")
def test_pesq_of_a_long_recording_is_the_mean_over_its_parts(speech):
    pauses = np.zeros(8000, np.float32)
    long = np.concatenate([speech[:12_000], pauses] * 80)  # more utterances than P.862's program holds
    noisy = _noisy(long, 15.0)
    parts = zip(np.array_split(long, 5), np.array_split(noisy, 5), strict=True)
    expected = np.mean(np.array([codec_quality.pesq_mos(*part) for part in parts], float))
    assert codec_quality.pesq_mos(long, noisy) == pytest.approx(expected)


@pytest.mark.skipif(find_spec("pesq") is None, reason="needs pesq")
def test_pesq_is_undefined_for_less_than_a_quarter_of_a_second(speech):
    assert codec_quality.pesq_mos(speech[8000:11_000], speech[8000:11_000]) is None
