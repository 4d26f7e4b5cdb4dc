"""Opus behind the codec seam: rates, alignment, chunks on the wire, damage, loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.audio import Pcm, read_audio
from streamst.codecs.opus import MAX_FRAME_BYTES, Chunk, OpusCodec, pack, unpack_all
from streamst.errors import InputError

STATION = Path(__file__).parent / "data/station.flac"
FRAME = 320
CODEC = OpusCodec()


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return read_audio(STATION)


def likeness(one: Pcm, other: Pcm) -> float:
    size = min(len(one), len(other))
    return float(np.corrcoef(one[:size], other[:size])[0, 1])


@pytest.mark.parametrize("bitrate", CODEC.bitrates_bps)
def test_speech_comes_back_aligned_and_whole_at_every_rate(speech: Pcm, bitrate: int) -> None:
    encoder, decoder = CODEC.encoder(bitrate), CODEC.decoder()
    packets = [encoder.push(piece) for piece in np.array_split(speech, 29)] + [encoder.flush()]
    heard = np.concatenate([decoder.push(packet) for packet in packets])
    assert len(heard) >= len(speech) + CODEC.delay_samples
    aligned = heard[CODEC.delay_samples :]
    best = likeness(speech, aligned)
    assert best > 0.8  # not more: the high-pass filter of libopus for speech turns the phase of low tones
    for off_by in (40, -40):
        moved = heard[CODEC.delay_samples + off_by :]
        assert likeness(speech, moved) < best - 0.1


def test_the_rate_is_about_what_was_asked_for(speech: Pcm) -> None:
    for bitrate in (8_000, 16_000, 64_000):
        encoder = CODEC.encoder(bitrate)
        sent = sum(len(frame) for chunk in unpack_all(encoder.push(np.tile(speech, 3))) for frame in chunk.frames)
        assert 0.6 * bitrate < sent * 8 / (3 * len(speech) / 16_000) < 1.3 * bitrate


def test_any_pieces_give_the_same_frames(speech: Pcm) -> None:
    one, other = CODEC.encoder(), CODEC.encoder()
    whole = [frame for chunk in unpack_all(one.push(speech)) for frame in chunk.frames]
    packets = b"".join(other.push(piece) for piece in np.array_split(speech, 101))
    chunks = unpack_all(packets)
    assert [frame for chunk in chunks for frame in chunk.frames] == whole
    starts = np.cumsum([0, *[len(chunk.frames) for chunk in chunks]])
    assert [chunk.first_frame for chunk in chunks] == starts[:-1].tolist()


def test_a_flushed_encoder_is_fresh(speech: Pcm) -> None:
    encoder = CODEC.encoder()
    first = encoder.push(speech[:5000]) + encoder.flush()
    assert encoder.push(speech[:5000]) + encoder.flush() == first
    assert CODEC.encoder().flush() == b""


def test_the_rate_may_change_in_mid_stream_without_a_click(speech: Pcm) -> None:
    encoder, decoder = CODEC.encoder(32_000), CODEC.decoder()
    half = len(speech) // 2 // FRAME * FRAME
    first = encoder.push(speech[:half])
    encoder.bitrate_bps = 12_000
    second = encoder.push(speech[half:])
    assert len(second) < 0.7 * len(first)
    heard = np.concatenate([decoder.push(first), decoder.push(second)])[CODEC.delay_samples :]
    assert likeness(heard[half - FRAME : half + 3 * FRAME], speech[half - FRAME : half + 3 * FRAME]) > 0.7


@given(st.lists(st.binary(min_size=1, max_size=700), min_size=1, max_size=9), st.integers(0, 70_000), st.data())
def test_chunks_round_trip_and_any_damage_is_noticed(frames: list[bytes], first: int, data: st.DataObject) -> None:
    good = pack(Chunk(tuple(frames), first))
    assert unpack_all(good + good) == [Chunk(tuple(frames), first % 65_536)] * 2
    position = data.draw(st.integers(0, len(good) - 1))
    flipped = bytearray(good)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    for bad in (bytes(flipped), good[:position] or b"\0", good[:position] + good[position + 1 :], good + b"\0"):
        with pytest.raises(InputError):
            unpack_all(bad)


@given(st.binary(min_size=1, max_size=100))
def test_arbitrary_bytes_are_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        CODEC.decoder().push(data)


@pytest.mark.parametrize(
    ("frames", "message"),
    [((), "1 to 255 frames, not 0"), ((b"",), "not 0"), ((bytes(MAX_FRAME_BYTES + 1),), "not 1276")],
)
def test_what_has_no_place_in_a_chunk_is_refused(frames: tuple[bytes, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack(Chunk(frames))


@pytest.mark.parametrize("table_of_contents", [0b00000_0_00, 0b00001_0_01, 0b01100_0_00, 0b11110_0_00])
def test_frames_of_another_length_are_refused(table_of_contents: int) -> None:
    with pytest.raises(InputError, match="does not last 20 ms"):
        CODEC.decoder().push(pack(Chunk((bytes([table_of_contents, 1, 2, 3]),))))


def test_a_damaged_chunk_leaves_the_decoder_as_it_was(speech: Pcm) -> None:
    encoder = CODEC.encoder()
    packets = [encoder.push(piece) for piece in speech[: 20 * FRAME].reshape(4, -1)]
    undisturbed, decoder = CODEC.decoder(), CODEC.decoder()
    for packet in packets:
        expected = undisturbed.push(packet)
        with pytest.raises(InputError):
            decoder.push(packet[:-1])
        assert np.array_equal(decoder.push(packet), expected)


@pytest.mark.parametrize(
    "pcm", [np.array([np.nan]), np.array([-np.inf]), np.zeros((2, 320))], ids=["nan", "infinite", "stereo"]
)
def test_unusable_audio_raises_and_leaves_the_encoder_as_it_was(speech: Pcm, pcm: np.ndarray) -> None:
    clean, disturbed = CODEC.encoder(), CODEC.encoder()
    with pytest.raises(InputError):
        disturbed.push(pcm)
    assert disturbed.push(speech[:3000]) == clean.push(speech[:3000])


def test_clipped_audio_is_coded_as_full_scale(speech: Pcm) -> None:
    loud = speech * 20
    assert CODEC.encoder().push(loud) == CODEC.encoder().push(np.clip(loud, -1, 1))


@pytest.mark.parametrize("bitrate", [0, 5_999, 510_000])
def test_an_unknown_rate_names_the_allowed_ones(bitrate: int) -> None:
    with pytest.raises(InputError, match=f"{bitrate} bit/s here; allowed: 6000, 8000"):
        CODEC.encoder(bitrate)
    encoder = CODEC.encoder()
    with pytest.raises(InputError, match="allowed"):
        encoder.bitrate_bps = bitrate
    assert encoder.bitrate_bps == 16_000


def test_a_lost_chunk_is_covered_and_fades_and_the_stream_goes_on(speech: Pcm) -> None:
    encoder, decoder = CODEC.encoder(), CODEC.decoder()
    start = 20 * FRAME
    before = decoder.push(encoder.push(speech[:start]))
    encoder.push(speech[start : start + 10 * FRAME])
    lost = decoder.conceal(10)
    assert decoder.next_frame == 30
    assert len(lost) == 10 * FRAME
    assert abs(float(lost[0] - before[-1])) < 0.2
    level = np.abs(lost).reshape(10, FRAME).max(1)
    assert level[0] > 0.3 * np.abs(before[-FRAME:]).max()
    assert not lost[6 * FRAME :].any()
    after = decoder.push(encoder.push(speech[start + 10 * FRAME :]))
    at = start + 16 * FRAME
    resumed = after[6 * FRAME + CODEC.delay_samples :]
    assert likeness(resumed, speech[at : at + len(resumed)]) > 0.75
