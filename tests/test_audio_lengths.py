"""Recordings whose length a header knows, does not know or tells wrong; whole, joined and cut; from files and pipes.

The oracle is the number of samples that were written. Codecs that lose something may add up to two of their frames.
"""

from __future__ import annotations

import io
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import KINDS, NEEDS_SEEKING, RATE, SAMPLES, SECONDS, WHOLE, Kind, speechlike, written

from streamst.audio import known_length_s, length_s, probe, read_audio, read_blocks, write_wav
from streamst.audio.ebml import EbmlBytes
from streamst.audio.ogg import checksum
from streamst.audio.promises import mp3_frame_bytes
from streamst.audio.source import Source
from streamst.cli import main
from streamst.errors import InputError

JOINED = ("wav", "float.wav", "24.wav", "mulaw.wav", "rf64.wav", "flac", "mp3", "guessed.mp3", "opus.ogg", "aac")
UNKNOWABLE = (
    "webm",
    "mkv",
    "wav",
    "float.wav",
    "24.wav",
    "mulaw.wav",
    "adpcm.wav",
    "rf64.wav",
    "w64",
    "au",
    "caf",
)  # written to a pipe: nothing tells whether more was to come


def heard(path: Path | str) -> tuple[int, str]:
    """Samples at 16 kHz, and what the error says."""
    count = 0
    try:
        for block in read_blocks(path):
            count += len(block)
    except InputError as error:
        return count, str(error)
    return count, ""


def put(directory: Path, name: str, data: bytes) -> Path:
    path = directory / f"a.{name}"
    path.write_bytes(data)
    return path


def through_a_pipe(directory: Path, data: bytes) -> tuple[int, str]:
    """Read from a named pipe into which somebody else writes."""
    path = directory / "pipe"
    os.mkfifo(path)

    def feed() -> None:
        with path.open("wb", buffering=0) as pipe:
            for begin in range(0, len(data), 3_000):
                pipe.write(data[begin : begin + 3_000])

    writer = threading.Thread(target=feed)
    writer.start()
    try:
        return heard(path)
    finally:
        writer.join()


@pytest.mark.parametrize(("name", "piped"), WHOLE)
def test_every_recording_is_read_to_its_end(tmp_path: Path, name: str, piped: bool) -> None:
    path = put(tmp_path, name, written(KINDS[name], piped))
    count, trouble = heard(path)
    assert not trouble
    assert abs(count - SAMPLES) <= KINDS[name].slack
    known = known_length_s(path)
    assert known is None or abs(known * RATE - SAMPLES) <= KINDS[name].slack + 300
    assert abs(length_s(path) * RATE - SAMPLES) <= KINDS[name].slack + 300


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("m4a", "mov")])
def test_a_pipe_gives_what_the_file_gives(tmp_path: Path, name: str) -> None:
    count, trouble = through_a_pipe(tmp_path, written(KINDS[name], piped=name not in NEEDS_SEEKING))
    assert not trouble
    assert abs(count - SAMPLES) <= KINDS[name].slack + (600 if name == "mp3" else 0)


def test_an_index_at_the_end_of_a_pipe_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE).astype(np.float32)
    count, trouble = through_a_pipe(tmp_path, written(KINDS["m4a"], pcm=noise))
    assert not count
    assert "whose index stands at its end, where a pipe cannot be read from: give the file" in trouble


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("name", JOINED)
def test_joined_recordings_are_heard_one_after_another(tmp_path: Path, name: str, piped: bool) -> None:
    data = written(KINDS[name], piped)
    count, trouble = heard(put(tmp_path, name, data + data + data))
    assert not trouble
    assert abs(count - 3 * SAMPLES) <= 3 * KINDS[name].slack + (2_000 if "mp3" in name else 0)
    if "mp3" in name:  # the first part's frame counts that part only
        assert abs(length_s(put(tmp_path, name, data + data + data)) * RATE - count) <= 1


def test_chained_vorbis_is_heard_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", speechlike(), RATE, format="OGG", subtype="VORBIS")
    data = (tmp_path / "a.ogg").read_bytes()
    assert heard(tmp_path / "a.ogg") == (SAMPLES, "")
    count, trouble = heard(put(tmp_path, "ogg", data + data))
    assert not trouble
    assert count == 2 * SAMPLES
    assert known_length_s(tmp_path / "a.ogg") == pytest.approx(2 * SECONDS)


CUT = [(name, piped) for name, piped in WHOLE if name not in ("m4a", "mov") and not (piped and name in UNKNOWABLE)]


@pytest.mark.parametrize(("name", "piped"), CUT)
def test_what_was_cut_is_heard_and_told(tmp_path: Path, name: str, piped: bool) -> None:
    data = written(KINDS[name], piped)
    count, trouble = heard(put(tmp_path, name, data[: len(data) * 3 // 5 - 1]))
    assert "is truncated: " in trouble
    assert 0.3 * SAMPLES < count < 0.75 * SAMPLES


@pytest.mark.parametrize("name", [name for name in UNKNOWABLE if name != "adpcm.wav"])
def test_a_recording_of_unknown_length_is_heard_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    data = written(KINDS[name], piped=True)
    count, trouble = heard(put(tmp_path, name, data[: len(data) * 3 // 5 - 1]))
    assert not trouble
    assert 0.5 * SAMPLES < count < 0.7 * SAMPLES


LIST = b"LIST" + (27).to_bytes(4, "little") + b"INFOISFT" + (15).to_bytes(4, "little") + b"some program 2\0\0"
NO_IDEA = [0, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFF000, 0xFFFFFFDA, 0xFFFFFFDB, 0xFFFFFFFF]


def wav(size: int | None = None, before: bytes = b"", behind: bytes = b"", samples: int = SAMPLES) -> bytes:
    """A 16-bit WAV whose `data` says `size` bytes, with chunks before it and anything behind."""
    body = (speechlike(samples) * 32_767).astype("<i2").tobytes()
    told = (len(body) if size is None else size).to_bytes(4, "little")
    form = (1).to_bytes(2, "little") + (1).to_bytes(2, "little") + RATE.to_bytes(4, "little")
    form += (2 * RATE).to_bytes(4, "little") + (2).to_bytes(2, "little") + (16).to_bytes(2, "little")
    head = b"RIFF" + told + b"WAVE" + b"fmt " + (16).to_bytes(4, "little") + form
    return head + before + b"data" + told + body + behind


@pytest.mark.parametrize("before", [b"", LIST, b"JUNK" + (28).to_bytes(4, "little") + bytes(28)])
@pytest.mark.parametrize("size", NO_IDEA)
def test_a_size_that_no_writer_meant_is_no_promise(tmp_path: Path, size: int, before: bytes) -> None:
    path = put(tmp_path, "wav", wav(size, before))
    assert heard(path) == (SAMPLES, "")
    assert known_length_s(path) is None
    assert length_s(path) == SECONDS


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2 * SAMPLES - 2))
def test_samples_behind_the_promised_ones_are_heard(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = put(tmp_path_factory.mktemp("short"), "wav", wav(size))
    pcm = read_audio(path)
    assert len(pcm) == SAMPLES
    np.testing.assert_allclose(pcm, speechlike(), atol=1e-4)


@pytest.mark.parametrize("behind", [LIST, LIST + LIST, b"\0", b"id3 " + (3).to_bytes(4, "little") + b"abc\0"])
def test_chunks_behind_the_samples_are_no_samples(tmp_path: Path, behind: bytes) -> None:
    path = put(tmp_path, "wav", wav(behind=behind))
    assert heard(path) == (SAMPLES, "")
    assert heard(put(tmp_path, "two.wav", path.read_bytes() + path.read_bytes())) == (2 * SAMPLES, "")


@pytest.mark.parametrize("between", [b"", b"cue " + (28).to_bytes(4, "little") + bytes(28)])
@pytest.mark.parametrize("last", [None, 0, 0xFFFFFFFF])
def test_samples_in_a_second_chunk_are_heard(tmp_path: Path, between: bytes, last: int | None) -> None:
    data = written(KINDS["wav"])
    begin, half = data.index(b"data") + 8, SAMPLES
    sizes = [half, len(data) - begin - half if last is None else last]
    first, second = (b"data" + size.to_bytes(4, "little") for size in sizes)
    path = put(
        tmp_path,
        "wav",
        data[: begin - 8] + first + data[begin : begin + half] + between + second + data[begin + half :],
    )
    assert heard(path) == (SAMPLES, "")


@pytest.mark.parametrize("more", [8, 36, 44])
def test_a_size_that_counts_the_header_is_no_cut(tmp_path: Path, more: int) -> None:
    data = wav(2 * SAMPLES + more)
    assert heard(put(tmp_path, "wav", data)) == (SAMPLES, "")
    count, told = heard(put(tmp_path, "wav", data[:-400]))
    assert count == SAMPLES - 200
    assert "truncated" in told


def test_a_length_is_told_only_where_the_header_knows_it(tmp_path: Path) -> None:
    aiff = bytearray(written(KINDS["aiff"]))
    frames = aiff.index(b"COMM") + 10
    aiff[frames : frames + 4] = (0x3F800000).to_bytes(4, "big")  # as sox writes into a pipe
    path = put(tmp_path, "aiff", bytes(aiff))
    assert known_length_s(path) is None
    assert heard(path) == (SAMPLES, "")
    assert known_length_s(put(tmp_path, "wav", written(Kind("wav", "g726", rate_hz=8_000)))) is None


@pytest.mark.parametrize("kind", ["m4a", "aiff"])
def test_another_recording_behind_one_that_holds_its_length_is_told(tmp_path: Path, kind: str) -> None:
    data = written(KINDS[kind])
    count, told = heard(put(tmp_path, kind, data + data))
    assert abs(count - SAMPLES) <= KINDS[kind].slack
    assert "holds another recording behind the first" in told
    assert heard(put(tmp_path, "m4a", data))[1] == ""


@settings(deadline=None)
@given(st.binary(max_size=3), st.integers(1, 48_000))
def test_any_bytes_are_the_header_of_a_frame_or_none(rest: bytes, rate_hz: int) -> None:
    assert mp3_frame_bytes(b"\xff" + rest, rate_hz) >= 0


def test_an_mp3_of_a_version_that_there_is_not_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    data = bytearray(written(KINDS["mp3"]))
    for at in range(len(data) // 2, len(data) - 1):
        if data[at] == 0xFF and data[at + 1] & 0xFE in (0xFA, 0xF2):
            data[at + 1] = data[at + 1] & ~0x18 | 0x08  # the version that is reserved
    count, _ = heard(put(tmp_path, "mp3", bytes(data)))
    assert count > 0.3 * SAMPLES


@pytest.mark.parametrize("name", ["eight.ogg", "eight.mka", "sixteen.ogg"])
def test_more_than_seven_channels_are_heard(tmp_path: Path, name: str) -> None:
    if name.endswith("ogg"):
        path = tmp_path / name
        channels = {"eight": 8, "sixteen": 16}[name.removesuffix(".ogg")]
        soundfile.write(path, np.repeat(speechlike()[:, None], channels, axis=1), RATE, "VORBIS", format="OGG")
    else:
        path = put(tmp_path, "mka", written(Kind("matroska", "alac", layout="7.1(wide)")))
    assert heard(path) == (SAMPLES, "")
    assert np.abs(np.concatenate([*read_blocks(path)])).mean() == pytest.approx(np.abs(speechlike()).mean(), rel=0.05)


def test_a_core_audio_file_that_leads_beyond_every_file_is_refused_in_words(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.caf", speechlike(), RATE, "PCM_16", format="CAF")
    data = (tmp_path / "a.caf").read_bytes()
    joined = put(tmp_path, "caf", data + data)  # what sox leaves behind a pipe looks so, too
    with pytest.raises(InputError, match="is not audio that can be read"):
        list(read_blocks(joined))


@pytest.mark.parametrize("coding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_with_the_higher_byte_first_are_the_same(tmp_path: Path, coding: str, channels: int) -> None:
    samples = np.repeat(speechlike()[:, None], channels, axis=1)
    for name, order in (("rifx", "BIG"), ("riff", "LITTLE")):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, coding, order, "WAV")
    assert (tmp_path / "rifx.wav").read_bytes()[:4] == b"RIFX"
    assert np.array_equal(read_audio(tmp_path / "rifx.wav"), read_audio(tmp_path / "riff.wav"))
    assert np.abs(read_audio(tmp_path / "rifx.wav") - speechlike()).max() < 0.02


def test_an_odd_last_byte_is_no_sample(tmp_path: Path) -> None:
    assert heard(put(tmp_path, "wav", wav(2 * SAMPLES - 1)[:-1])) == (SAMPLES - 1, "")


def test_a_promise_of_some_minutes_more_is_a_cut_and_one_of_hours_is_wrong(tmp_path: Path) -> None:
    count, trouble = heard(put(tmp_path, "wav", wav(2 * RATE * 600)))
    assert count == SAMPLES
    assert "is truncated: 4.00 s of audio where it promises 600.00 s" in trouble
    assert heard(put(tmp_path, "wav", wav(2 * RATE * 3600 * 3))) == (SAMPLES, "")


def test_another_recording_in_another_format_is_told(tmp_path: Path) -> None:
    write_wav(tmp_path / "b.wav", speechlike(), 8_000)
    count, trouble = heard(put(tmp_path, "wav", wav() + (tmp_path / "b.wav").read_bytes()))
    assert count == SAMPLES
    assert trouble.endswith("a.wav holds another recording, in another format, which was not read")


@pytest.mark.parametrize("data", [wav(0)[:44], wav(0)[:44] + LIST, wav(0xFFFFFFFF)[:44]])
def test_a_header_without_samples_is_empty(tmp_path: Path, data: bytes) -> None:
    path = put(tmp_path, "wav", data)
    for look in (probe, read_audio, length_s):
        with pytest.raises(InputError, match=r"a\.wav is empty: a WAV header without samples"):
            look(path)


def test_what_espeak_ng_writes_to_a_pipe_is_heard_whole(tmp_path: Path) -> None:
    spoken = subprocess.run(["espeak-ng", "-v", "en-us", "--stdout", "Good morning."], capture_output=True, check=True)
    assert int.from_bytes(spoken.stdout[40:44], "little") >= 0x7FFFF000
    count, trouble = heard(put(tmp_path, "wav", spoken.stdout))
    assert not trouble
    rate = int.from_bytes(spoken.stdout[24:28], "little")
    assert count == pytest.approx((len(spoken.stdout) - 44) / 2 * RATE / rate, abs=1)


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"APETAGEX" + bytes(24), b"TAG" + b"x" * 125])
@pytest.mark.parametrize("name", ["mp3", "guessed.mp3"])
def test_tags_behind_an_mp3_are_no_cut(tmp_path: Path, name: str, tag: bytes) -> None:
    data = written(KINDS[name])
    assert heard(put(tmp_path, name, data + tag)) == heard(put(tmp_path, "plain.mp3", data))
    count, trouble = through_a_pipe(tmp_path, data + tag + data + tag)
    assert not trouble
    assert abs(count - 2 * SAMPLES) <= 5_000


@pytest.mark.parametrize("quality", ["0", "4", "9"])
def test_a_varying_rate_whose_beginning_is_silent_misleads_nobody(tmp_path: Path, quality: str) -> None:
    pcm = np.concatenate([np.zeros(10 * RATE, np.float32), speechlike(), np.zeros(5 * RATE, np.float32)])
    data = written(KINDS["guessed.mp3"], pcm=pcm, q=quality)
    count, trouble = heard(put(tmp_path, "mp3", data))
    assert not trouble
    assert abs(count - len(pcm)) <= 1_700


def test_a_lost_or_damaged_ogg_page_is_told_and_the_rest_is_heard(tmp_path: Path) -> None:
    data = written(KINDS["opus.ogg"])
    pages = [begin for begin in range(len(data)) if data.startswith(b"OggS", begin)]
    begin, end = pages[3], pages[4]
    count, trouble = heard(put(tmp_path, "lost.ogg", data[:begin] + data[end:]))
    assert "is damaged: a page is missing" in trouble
    assert count > SAMPLES // 2
    flipped = bytearray(data)
    flipped[end - 5] ^= 0xFF
    assert "is damaged: a page does not match its checksum" in heard(put(tmp_path, "ogg", bytes(flipped)))[1]


def test_the_checksum_of_a_page_is_the_one_that_an_encoder_wrote() -> None:
    data = written(KINDS["opus.ogg"])
    size = 27 + data[26] + sum(data[27 : 27 + data[26]])
    assert checksum(data[:size]) == data[22:26]


def test_a_damaged_flac_is_told_and_the_rest_is_heard(tmp_path: Path) -> None:
    for piped in (False, True):
        data = bytearray(written(KINDS["flac"], piped))
        middle = len(data) // 2
        data[middle : middle + 8] = bytes(byte ^ 0x55 for byte in data[middle : middle + 8])
        count, trouble = heard(put(tmp_path, "flac", bytes(data)))
        assert "is damaged at " in trouble
        assert 0.8 * SAMPLES < count <= SAMPLES


@pytest.mark.parametrize("address", ["http://host/talk.mp3", "https://host/a.wav", "rtsp://host/live", "s3://b/a.wav"])
def test_an_address_is_refused_by_its_name(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    scheme = address.partition(":")[0]
    told = f"^{address} is an address, and {scheme} is not read: fetch the recording, or pipe it to -$"
    with pytest.raises(InputError, match=told):
        read_audio(address)
    with pytest.raises(SystemExit):
        main(["translate", address])
    assert "is an address" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"])
def test_a_list_of_other_files_is_not_followed(tmp_path: Path, text: str) -> None:
    inner = put(tmp_path, "wav", wav())
    with pytest.raises(InputError, match="is not audio that can be read"):
        read_audio(put(tmp_path, "list.wav", text.format(inner).encode()))


def test_a_picture_holds_no_sound(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.mp4", "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"a\.mp4 holds no sound"):
        read_audio(tmp_path / "a.mp4")


SECOND = {"opus": KINDS["webm"], "aac": Kind("matroska", "aac", 2_048), "flac": Kind("matroska", "flac")}


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize(("first", "second"), [("opus", "aac"), ("aac", "flac"), ("flac", "opus")])
def test_a_webm_of_another_coding_behind_a_webm_is_heard(tmp_path: Path, first: str, second: str, piped: bool) -> None:
    data = written(SECOND[first], piped) + written(SECOND[second], piped)
    path = put(tmp_path, "webm", data)
    count, trouble = heard(path)
    assert not trouble
    assert abs(count - 2 * SAMPLES) <= SECOND[first].slack + SECOND[second].slack
    assert through_a_pipe(tmp_path, data) == (count, "")
    assert known_length_s(path) is None


def links(data: bytes, count: int) -> list[bytes]:
    """What `EbmlBytes` hands on, read by read of `count`, of each recording."""
    given = EbmlBytes(Source("the recording", io.BufferedReader(io.BytesIO(data))))
    found = []
    while True:
        pieces = []
        while piece := given.read(count):
            pieces.append(piece)
        found.append(b"".join(pieces))
        if not given.next_link():
            return found


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(1, 5))
def test_of_any_bytes_none_is_lost_between_recordings(tail: bytes, count: int) -> None:
    header = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\xff"  # a cluster of unknown size
    block = b"\xa3\x86\x1a\x45\xdf\xa3\x81x"  # a block whose samples look like a header
    assert links(header + block + header, count) == [header + block, header]
    assert b"".join(links(header + tail, count)) == header + tail
