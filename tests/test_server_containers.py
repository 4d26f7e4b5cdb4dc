"""Recordings as they are made, in containers that nobody has named: cut anywhere, truncated, mutated, out of bounds."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
from recordings import KINDS, RATE, SAMPLES, WHOLE, Kind, by_soundfile, no_threads, silent_film, speechlike, written

from streamst.audio import Pcm
from streamst.audio.pieces import SILENT_BYTES, Unpacker
from streamst.errors import InputError, ProtocolError
from streamst.server.wire.containers import Unpacking


def doubled(channels: int) -> np.ndarray:
    return np.stack([speechlike()] * channels, axis=1)


FRAGMENTS = (("movflags", "frag_keyframe+empty_moov+default_base_moof"),)
CASES: dict[str, tuple[bytes, int]] = {
    f"{name}{' to a pipe' if piped else ''}": (written(KINDS[name], piped), KINDS[name].slack)
    for name, piped in WHOLE
    if name not in ("m4a", "mov")
} | {
    "8-bit.wav": (by_soundfile(speechlike(), "WAV", "PCM_U8"), 0),
    "32-bit.wav": (by_soundfile(speechlike(), "WAV", "PCM_32"), 0),
    "double.wav": (by_soundfile(speechlike(), "WAV", "DOUBLE"), 0),
    "alaw.wav": (by_soundfile(speechlike(), "WAV", "ALAW"), 0),
    "gsm.wav": (by_soundfile(speechlike(), "WAV", "GSM610"), 700),
    "stereo.wav": (by_soundfile(doubled(2), "WAV", "PCM_16"), 0),
    "six channels, extensible.wav": (by_soundfile(doubled(6), "WAVEX", "PCM_24"), 0),
    "96 kHz.wav": (by_soundfile(speechlike(SAMPLES * 6, 96_000), "WAV", "PCM_16", 96_000), 50),
    "stereo.flac": (by_soundfile(doubled(2), "FLAC", "PCM_24"), 0),
    "vorbis.ogg": (by_soundfile(speechlike(), "OGG", "VORBIS"), 0),
    "libsndfile's opus.ogg": (by_soundfile(speechlike(), "OGG", "OPUS"), 700),
    "libsndfile's mp3": (by_soundfile(speechlike(), "MP3", "MPEG_LAYER_III"), 1_700),
    "many fragments.mp4": (written(Kind("mp4", "aac", options=(*FRAGMENTS, ("frag_duration", "100000")))), 2_048),
    "7.1 alac.mka": (written(Kind("matroska", "alac", layout="7.1(wide)")), 0),
    "eight channels, vorbis.ogg": (by_soundfile(doubled(8), "OGG", "VORBIS"), 0),
    "fragments.mov": (written(Kind("mov", "pcm_s16le", options=FRAGMENTS)), 0),
    "an ID3 tag in front.mp3": (b"ID3\x04\0\0\0\0\x0f\x50" + bytes(2_000) + written(KINDS["mp3"]), 1_700),
}


def unpacked(data: bytes, draw: np.random.Generator, longest: int = 3_000) -> tuple[Pcm, str]:
    """What is heard of a recording that is cut at random, and what was wrong with it."""
    unpacking, found, at = Unpacking(RATE), [], 0
    try:
        while at < len(data):
            size = int(draw.integers(1, longest))
            for piece in unpacking.split(data[at : at + size]):
                found.append(unpacking.hear(piece))
                while unpacking.waiting:
                    found.append(unpacking.hear(b""))
            at += size
        found.append(unpacking.end())
        while unpacking.waiting:
            found.append(unpacking.end())
        assert max(map(len, found)) <= 2 * RATE, "more was held than a second and a block"
        return np.concatenate(found), unpacking.trouble
    finally:
        unpacking.close()


def fault(data: bytes) -> str:
    """What was wrong with a recording of which nothing is heard."""
    try:
        pcm, trouble = unpacked(data, np.random.default_rng(0))
    except ProtocolError as error:
        return f"{error.code} {error}"
    assert not len(pcm)
    return f"1007 {trouble}"


def loudness(pcm: Pcm) -> np.ndarray:
    """A value for each tenth of a second."""
    whole = pcm[: len(pcm) // 1_600 * 1_600].reshape(-1, 1_600)
    return np.sqrt((whole**2).mean(1))


def test_there_are_forty_cases() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("case", CASES)
def test_a_recording_of_any_kind_is_heard_whole_wherever_it_is_cut(case: str) -> None:
    data, slack = CASES[case]
    for seed in range(2):
        pcm, trouble = unpacked(data, np.random.default_rng(seed))
        assert not trouble
        assert abs(len(pcm) - SAMPLES) <= slack
        true = loudness(speechlike())[:37]
        shifted = [loudness(pcm[begin:])[:37] for begin in range(0, slack + 1, 300)]  # what was lossy may begin later
        assert max(np.corrcoef(heard, true)[0, 1] for heard in shifted) > 0.9
        assert shifted[0].mean() == pytest.approx(true.mean(), rel=0.15)
    assert no_threads()


@pytest.mark.parametrize("case", ["flac", "webm", "opus.ogg", "wav", "fragments.mp4"])
def test_single_bytes_give_what_the_whole_gives(case: str) -> None:
    data = CASES[case][0][:9_000]
    whole, _ = unpacked(data, np.random.default_rng(0), longest=100_000)
    single, _ = unpacked(data, np.random.default_rng(0), longest=2)
    assert len(whole) > 1_000
    assert np.array_equal(whole, single)


@pytest.mark.parametrize("name", [name for name in KINDS if name in ("m4a", "mov")])
def test_an_index_at_the_end_is_told_in_words(name: str) -> None:
    pcm = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE).astype(np.float32)
    assert "an MP4 whose index stands at its end" in fault(written(KINDS[name], pcm=pcm))


@pytest.mark.parametrize("name", ["flac", "opus.ogg", "adpcm.wav", "aac", "fragments.mp4", "webm"])
def test_what_stands_before_a_cut_is_heard_and_the_cut_is_told_where_the_container_knows_of_it(name: str) -> None:
    data = written(KINDS[name])
    pcm, trouble = unpacked(data[: int(len(data) * 0.6)], np.random.default_rng(0))
    assert 0.3 * SAMPLES < len(pcm) < 0.8 * SAMPLES
    assert "truncated" in trouble or name == "adpcm.wav"


@pytest.mark.parametrize(
    "data",
    [b"this is no audio at all", b"\x89PNG\r\n\x1a\n" + bytes(99), b"<!DOCTYPE html><html>", bytes(5_000)],
)
def test_what_is_no_recording_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"it begins with b.*, as no recording does; use WAV, FLAC") as caught:
        unpacked(data, np.random.default_rng(0))
    assert caught.value.code == 1007


def test_a_recording_without_sound_is_refused_in_words() -> None:
    picture = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x18\x53\x80\x67\xff" + bytes(50_000)
    told = fault(picture)
    assert told.startswith("1007")
    assert "the recording is not audio that can be read" in told
    assert no_threads()


@pytest.mark.parametrize(("container", "codec"), [("webm", "libvpx"), ("mp4", "mpeg4")])
def test_a_film_without_sound_is_refused_in_words(container: str, codec: str) -> None:
    told = fault(silent_film(container, codec))
    assert told.startswith("1007")
    assert "the recording holds no sound" in told
    assert no_threads()


def test_a_coding_that_nobody_knows_is_refused_in_words() -> None:
    told = fault(CASES["webm"][0].replace(b"A_OPUS", b"A_NONE"))
    assert "the recording holds sound in a coding that cannot be read; use WAV" in told
    assert no_threads()


def test_a_header_and_nothing_but_padding_is_no_reason_to_go_on_for_ever() -> None:
    unpacker = Unpacker()
    unpacker.feed(written(KINDS["flac"])[:4] + b"\x01" + (1 << 23).to_bytes(3, "big"))  # padding that is promised
    with contextlib.suppress(InputError):
        for _ in range(SILENT_BYTES // 65_536 + 2):
            unpacker.feed(bytes(65_536))
    assert unpacker.over
    assert "the recording" in unpacker.trouble
    assert no_threads()


def test_an_hour_of_silence_in_a_few_bytes_comes_a_second_at_a_time() -> None:
    data = by_soundfile(np.zeros(3_600 * 8_000, np.int16), "FLAC", "PCM_16", 8_000)
    assert len(data) < 400_000
    unpacking, count, most = Unpacking(RATE), 0, 0
    for piece in unpacking.split(data):
        pcm = unpacking.hear(piece)
        while len(pcm) or unpacking.waiting:
            count, most = count + len(pcm), max(most, len(pcm))
            pcm = unpacking.hear(b"")
    count += len(unpacking.end())
    while unpacking.waiting:
        count += len(unpacking.end())
    unpacking.close()
    assert most <= 2 * RATE
    assert count == pytest.approx(3_600 * RATE, abs=4 * RATE)


@pytest.mark.parametrize(("rate_hz", "channels"), [(1_000, 1), (2_000_000, 1), (16_000, 200)])
def test_absurd_rates_and_channels_are_refused_in_words(rate_hz: int, channels: int) -> None:
    samples = np.zeros((400, channels), np.int16)
    told = fault(by_soundfile(samples, "WAV", "PCM_16", rate_hz))
    assert re.search(
        r"the recording has 200 channels; allowed: |a sample rate of \d+ Hz is not usable; allowed: ", told
    )
    assert no_threads()


def mutated(draw: np.random.Generator) -> bytes:
    """A recording with bytes changed, cut out, doubled or moved."""
    data = bytearray(CASES[str(draw.choice(list(CASES)))][0])
    for _ in range(int(draw.integers(1, 5))):
        at, size = int(draw.integers(len(data))), int(draw.integers(1, 400))
        if draw.random() < 0.5:
            at = int(draw.integers(min(600, len(data))))
        match int(draw.integers(4)):
            case 0:
                data[at : at + size] = draw.bytes(size)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case _:
                data[at] ^= 1 << int(draw.integers(8))
        data = data or bytearray(b"\0")
    return bytes(data)


@pytest.mark.parametrize("seed", range(10))
def test_mutated_recordings_are_heard_or_refused_and_nothing_else(seed: int) -> None:
    refused = 0
    for number in range(30):
        draw = np.random.default_rng((seed, number))
        try:
            pcm, _ = unpacked(mutated(draw), draw)
        except ProtocolError as error:
            refused += error.code == 1007
            continue
        assert np.isfinite(pcm).all()
        assert np.abs(pcm).max(initial=0) < 2
    assert refused < 30
    assert no_threads()
