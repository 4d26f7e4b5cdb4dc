"""Audio files and PCM: every usual format, every way a file can be wrong, and resampling in streams."""

from __future__ import annotations

import resource
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.audio import (
    Pcm,
    Resampler,
    WavWriter,
    from_pcm16,
    probe,
    read_audio,
    read_blocks,
    resample,
    to_pcm16,
    write_wav,
)  # fmt: skip
from streamst.errors import InputError

STATION = Path(__file__).parent / "data" / "station.flac"
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "24.wav": ("WAV", "PCM_24"),
    "float.wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis.ogg": ("OGG", "VORBIS"),
    "opus.ogg": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
}


def tone(seconds: float, rate_hz: int, hz: float = 440.0) -> Pcm:
    return (0.4 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def level(pcm: Pcm, rate_hz: int, hz: float) -> float:
    """Amplitude of the tone at `hz` in the middle of `pcm`."""
    middle = pcm[rate_hz // 4 : rate_hz // 4 + rate_hz // 2]
    phase = np.exp(-2j * np.pi * hz * np.arange(len(middle)) / rate_hz)
    return float(2 * abs((middle * phase).mean()))


@pytest.mark.parametrize("ending", FORMATS)
def test_every_usual_format_is_read_as_mono_at_16_khz(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"tone.{ending}"
    container, subtype = FORMATS[ending]
    soundfile.write(path, tone(1, 48_000), 48_000, format=container, subtype=subtype)
    heard = read_audio(path)
    assert len(heard) == pytest.approx(16_000, abs=1_200)  # MP3 pads
    assert heard.dtype == np.float32
    assert level(heard, 16_000, 440.0) == pytest.approx(0.4, rel=0.05)
    assert probe(path).sample_rate_hz == 48_000


@pytest.mark.parametrize("ending", FORMATS)
def test_reading_in_blocks_equals_reading_at_once(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"noise.{ending}"
    container, subtype = FORMATS[ending]
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, 48_000)
    soundfile.write(path, noise, 16_000, format=container, subtype=subtype)
    whole, _ = soundfile.read(path, dtype="float32")  # libsndfile, another decoder
    heard = read_audio(path)
    assert len(heard) == len(whole)
    # FFmpeg decodes Opus at 48 kHz, libsndfile at the encoder's rate; two MP3 decoders round differently
    np.testing.assert_allclose(heard, whole, atol={"opus.ogg": 0.3, "mp3": 2e-4}.get(ending, 1e-6))
    assert np.corrcoef(heard, whole)[0, 1] > (0.98 if ending == "opus.ogg" else 0.9999)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_file_of_any_rate_keeps_its_length_and_its_tone(tmp_path: Path, rate_hz: int) -> None:
    write_wav(tmp_path / "a.wav", tone(1.5, rate_hz), rate_hz)
    heard = read_audio(tmp_path / "a.wav")
    assert len(heard) == pytest.approx(24_000, abs=1)
    assert level(heard, 16_000, 440.0) == pytest.approx(0.4, rel=0.01)


def test_stereo_becomes_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = tone(1, 16_000, 300.0), tone(1, 16_000, 700.0)
    soundfile.write(tmp_path / "s.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "s.wav"), (left + right) / 2, atol=1e-6)
    assert probe(tmp_path / "s.wav").channels == 2


def test_the_spoken_fixture_is_what_its_description_says() -> None:
    info = probe(STATION)
    assert (info.sample_rate_hz, info.channels, info.frames, info.format) == (16_000, 1, 47_600, "flac flac")
    assert info.duration_s == pytest.approx(2.975)
    assert len(read_audio(STATION)) == 47_600


def damaged(path: Path, change: Callable[[bytes], bytes], ending: str = "wav") -> Path:
    container, subtype = FORMATS[ending]
    soundfile.write(path, tone(2, 16_000), 16_000, format=container, subtype=subtype)
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize("content", [b"this is a letter, not a sound\n" * 50, bytes(5_000), b"RIFF\x00\x00"])
def test_what_is_not_audio_is_called_that_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"letter\.wav is not audio .* use WAV, FLAC, Ogg, MP3, AIFF, M4A, MP4, WebM"):
        read_audio(path)


def test_missing_empty_and_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    header = damaged(tmp_path / "header.wav", lambda data: data[:40] + bytes(4))
    for path, told in [
        (tmp_path / "none.wav", r"none\.wav does not exist"),
        (tmp_path / "empty.wav", r"empty\.wav is empty"),
        (header, r"header\.wav is empty: a WAV header without samples"),
        (tmp_path, "is a folder, not an audio file"),
    ]:
        with pytest.raises(InputError, match=told):
            read_audio(path)
        with pytest.raises(InputError, match=told):
            probe(path)


@pytest.mark.parametrize("ending", ["wav", "float.wav", "flac", "opus.ogg", "mp3"])
def test_a_truncated_file_gives_what_it_holds_and_then_says_so(tmp_path: Path, ending: str) -> None:
    path = damaged(tmp_path / f"cut.{ending}", lambda data: data[: len(data) * 3 // 5], ending)
    heard = 0
    told = r"cut\.\S+ (is truncated: |cannot be read past )"

    def read() -> None:
        nonlocal heard
        for block in read_blocks(path):
            heard += len(block)

    with pytest.raises(InputError, match=told):
        read()
    assert 8_000 <= heard < 32_000


def test_a_truncated_wav_tells_how_much_is_there_and_how_much_was_promised(tmp_path: Path) -> None:
    path = damaged(tmp_path / "cut.wav", lambda data: data[: 44 + 16_000])
    with pytest.raises(InputError, match=r"cut\.wav is truncated: 0\.50 s of audio where it promises 2\.00 s"):
        read_audio(path)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", bytes(4)])
def test_a_wav_that_was_written_to_a_pipe_promises_nothing(tmp_path: Path, size: bytes) -> None:
    path = damaged(tmp_path / "piped.wav", lambda data: data[:4] + size + data[8:40] + size + data[44:])
    assert len(read_audio(path)) == 32_000
    assert probe(path).frames is None


def test_a_sample_that_is_not_a_number_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    pcm = tone(1, 16_000)
    pcm[9_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", pcm, 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"nan\.wav cannot be read past 0\.50 s: a sample there is not a number"):
        read_audio(tmp_path / "nan.wav")


def test_a_file_of_three_hours_is_read_without_holding_it(tmp_path: Path) -> None:
    path, samples = tmp_path / "talk.wav", 3 * 3600 * 16_000
    write_wav(path, tone(1, 16_000), 16_000)
    header = bytearray(path.read_bytes()[:44])
    header[4:8], header[40:44] = (36 + 2 * samples).to_bytes(4, "little"), (2 * samples).to_bytes(4, "little")
    with path.open("r+b") as file:
        file.write(header)
        file.truncate(44 + 2 * samples)  # silence that takes no room on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    longest = heard = 0
    for block in read_blocks(path):
        longest, heard = max(longest, len(block)), heard + len(block)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert heard == samples
    assert longest == 4_000
    assert grown < 64 << 20, "the file would take 690 MB as float32"


pieces = st.lists(st.integers(0, 3_000), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(pieces, st.sampled_from([8_000, 11_025, 24_000, 44_100, 48_000]))
def test_resampling_in_pieces_of_any_size_equals_resampling_at_once(sizes: list[int], rate_hz: int) -> None:
    pcm = np.random.default_rng(1).standard_normal(sum(sizes)).astype(np.float32)
    resampler = Resampler(rate_hz, 16_000)
    cuts = np.split(pcm, np.cumsum(sizes)[:-1])
    out = [resampler.push(piece, final=place == len(cuts) - 1) for place, piece in enumerate(cuts)]
    np.testing.assert_allclose(np.concatenate(out), resample(pcm, rate_hz, 16_000), atol=1e-5)
    assert abs(sum(map(len, out)) - len(pcm) * 16_000 / rate_hz) <= 1


def test_streaming_resampling_agrees_with_the_librarys_own_of_a_whole_signal() -> None:
    pcm = np.random.default_rng(2).standard_normal(20_000).astype(np.float32)
    np.testing.assert_allclose(resample(pcm, 44_100, 16_000), soxr.resample(pcm, 44_100, 16_000), atol=2e-4)


def test_a_resampler_is_fresh_after_its_end() -> None:
    pcm = tone(0.3, 8_000)
    resampler = Resampler(8_000, 16_000)
    np.testing.assert_array_equal(resampler.push(pcm, final=True), resampler.push(pcm, final=True))


def test_downsampling_removes_what_the_lower_rate_cannot_hold() -> None:
    mixed = tone(1, 48_000, 1_000.0) + tone(1, 48_000, 11_000.0)
    heard = resample(mixed, 48_000, 16_000)
    assert level(heard, 16_000, 1_000.0) == pytest.approx(0.4, rel=0.01)
    assert level(heard, 16_000, 5_000.0) < 1e-3, "11 kHz would fold to 5 kHz"


@pytest.mark.parametrize("rate_hz", [0, -1, 3_999, 384_001])
def test_an_impossible_rate_is_refused_with_the_allowed_range(rate_hz: int) -> None:
    with pytest.raises(InputError, match=rf"{rate_hz} Hz is not usable; allowed: 4000 to 384000 Hz"):
        Resampler(rate_hz, 16_000)


def test_pcm16_is_little_endian_and_clips() -> None:
    assert to_pcm16(np.array([0.0, 0.5, -1.0, 1.0, 3.0, -3.0], np.float32)).hex() == "000000400080ff7fff7f0080"
    np.testing.assert_array_equal(from_pcm16(bytes.fromhex("000000400080")), np.array([0.0, 0.5, -1.0], np.float32))


@given(st.binary(max_size=400).filter(lambda data: len(data) % 2 == 0))
def test_pcm16_comes_back_as_it_was(data: bytes) -> None:
    assert to_pcm16(from_pcm16(data)) == data


def test_half_a_sample_is_an_error() -> None:
    with pytest.raises(InputError, match="even number of bytes, not 3"):
        from_pcm16(b"abc")


def test_a_written_wav_is_read_by_the_standard_library(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([0.0, 0.25, -1.0], np.float32), 24_000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert np.frombuffer(file.readframes(9), "<i2").tolist() == [0, 8_192, -32_768]


def test_padding_fills_with_silence_up_to_the_place_and_never_cuts(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav", 8_000) as file:
        file.write(np.full(5, 0.5, np.float32))
        file.pad_to(20_000)
        file.pad_to(10)
        file.write(np.full(1, 0.5, np.float32))
    written, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert len(written) == 20_001
    assert np.flatnonzero(written).tolist() == [0, 1, 2, 3, 4, 20_000]


def test_a_wav_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none/a\.wav cannot be written"):
        write_wav(tmp_path / "none" / "a.wav", tone(0.1, 8_000), 8_000)
