"""`streamst codec` and `bench codec`: files there and back, comparisons, damage, odd rates and channels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamst.audio import read_audio
from streamst.cli import main
from streamst.codecs.container import CodedFile, read_coded, write_coded
from streamst.errors import InputError
from streamst.evaluate.run.codec_bench import condition, log_mel, mel_distance_db, through

STATION = Path(__file__).parent / "data/station.flac"


def run(*arguments: object) -> int:
    """The exit code of `streamst codec ...`."""
    try:
        main(["codec", *map(str, arguments)])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


@pytest.mark.parametrize("codec", ["opus", "neural"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (96_000, 2)])
def test_a_recording_at_any_rate_goes_through_a_file_and_keeps_its_length(
    codec: str, rate_hz: int, channels: int, tmp_path: Path
) -> None:
    pcm = read_audio(STATION, rate_hz)[: rate_hz // 2]
    soundfile.write(tmp_path / "in.wav", np.repeat(pcm[:, None], channels, 1), rate_hz)
    assert run("encode", tmp_path / "in.wav", tmp_path / "coded", "--codec", codec) == 0
    assert run("decode", tmp_path / "coded", tmp_path / "out.wav") == 0
    heard, original = read_audio(tmp_path / "out.wav"), read_audio(tmp_path / "in.wav")
    assert len(heard) == len(original)
    assert mel_distance_db(original, heard) < 12


def test_entropy_coded_files_are_shorter_and_sound_the_same(tmp_path: Path) -> None:
    long, short = tmp_path / "plain", tmp_path / "coded"
    assert run("encode", STATION, long, "--packet-ms", "1000") == 0
    assert run("encode", STATION, short, "--packet-ms", "1000", "--entropy") == 0
    assert short.stat().st_size < 0.9 * long.stat().st_size
    for name in (long, short):
        assert run("decode", name, name.with_suffix(".wav")) == 0
    assert np.array_equal(read_audio(long.with_suffix(".wav")), read_audio(short.with_suffix(".wav")))


def test_lost_and_damaged_packets_are_concealed_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("encode", STATION, tmp_path / "whole", "--codec", "opus") == 0
    whole = read_coded(tmp_path / "whole")
    broken = bytes([*whole.packets[4][:-1], whole.packets[4][-1] ^ 1])
    packets = [*whole.packets[:4], broken, *whole.packets[5:9], *whole.packets[10:]]
    write_coded(tmp_path / "bad", "opus", whole.samples, packets)
    assert run("decode", tmp_path / "bad", tmp_path / "bad.wav") == 0
    assert len(read_audio(tmp_path / "bad.wav")) == whole.samples
    assert "1 damaged packets; 10 frames concealed" in capsys.readouterr().err


def test_a_file_that_was_cut_off_gives_what_is_whole_and_an_error(tmp_path: Path) -> None:
    assert run("encode", STATION, tmp_path / "whole", "--codec", "opus") == 0
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    assert "cut off or damaged after packet" in read_coded(tmp_path / "cut").cut
    assert run("decode", tmp_path / "cut", tmp_path / "cut.wav") == 2
    assert 1 < soundfile.info(tmp_path / "cut.wav").duration < 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not start with STCF"),
        (b"RIFFxxxxxxxx", "does not start with STCF"),
        (b"STCF\x02\x04opus\0\0\0\0", "version 2"),
        (b"STCF\x01\x04op", "cut off inside its header"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_coded(tmp_path / "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mp3:8000", "allowed: neural, opus"),
        ("opus:1", "allowed: 6000"),
        ("opus:many", "whole number"),
        ("opus+entropy:6000", "only neural"),
    ],
)
def test_a_condition_that_does_not_exist_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        condition(text)


def test_mel_spectra_tell_pitch_and_level() -> None:
    tone = (np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000) * 0.1).astype(np.float32)
    spectrum = log_mel(tone)[10:-10]
    centre = 2595 * np.log10(1 + 1000 / 700) / (2595 * np.log10(1 + 8000 / 700)) * 81 - 1
    assert abs(spectrum.mean(0).argmax() - centre) <= 1
    assert mel_distance_db(tone, tone) == 0
    noise = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    assert mel_distance_db(noise, noise * np.float32(0.1)) == pytest.approx(20, abs=0.3)


def test_compare_prints_a_row_for_each_codec_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codecs = ["--codec", "opus:6000", "--codec", "neural:1500"]
    assert run("compare", STATION, *codecs, "--picture", tmp_path / "p.png") == 0
    table = capsys.readouterr().out
    assert "opus:6000" in table
    assert "STOI" in table
    assert "neural:1500" in table
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_compare_without_pesq_says_so_and_measures_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "streamst.evaluate.metrics.codec_quality.PACKAGES", {"PESQ": "no_such_package", "STOI": "pystoi"}
    )
    assert run("compare", STATION, "--codec", "opus:6000") == 0
    told = capsys.readouterr()
    assert "No PESQ: no_such_package is not installed" in told.err
    assert "STOI" in told.out
    assert "PESQ" not in told.out


def test_bench_takes_the_recordings_of_one_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["path\tduration_s\tsplit", f"{STATION}\t2.0\ttest", "missing.wav\t1.0\ttrain"]
    (tmp_path / "m.tsv").write_text("\n".join(rows), encoding="utf-8")
    options = ["bench", "codec", str(tmp_path / "m.tsv"), "--no-wer", "--codec", "opus:6000", "--split"]
    for split, code in (("test", None), ("dev", 2)):
        with pytest.raises(SystemExit) as stopped:
            main([*options, split])
        assert (stopped.value.code or None) == code
    told = capsys.readouterr()
    assert "opus:6000" in told.out
    assert "no row has the split 'dev'" in told.err


@pytest.mark.parametrize("arguments", [("encode", "in.wav", "coded"), ("compare", "in.wav", "--codec", "opus:6000")])
def test_a_recording_shorter_than_a_sample_is_refused(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", np.full(1, 0.1), 96_000)
    assert run(*arguments) == 2
    assert "in.wav is too short" in capsys.readouterr().err
    assert not Path("coded").exists()


def test_a_very_short_recording_is_compared_by_what_can_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "in.wav", read_audio(STATION)[8000:9600], 16_000)
    assert run("compare", tmp_path / "in.wav", "--codec", "opus:6000") == 0
    assert "mel dB" in capsys.readouterr().out


def test_names_of_files_and_codecs_are_told_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "in.wav", read_audio(STATION)[:8000], 16_000)
    assert run("encode", tmp_path / "in.wav", tmp_path / "a[draft].stc", "--codec", "opus") == 0
    assert run("decode", tmp_path / "a[draft].stc", tmp_path / "b[draft].wav") == 0
    assert run("compare", tmp_path / "in.wav", "--codec", "neural+entropy:3000") == 0
    told = capsys.readouterr().out
    for name in ("a[draft].stc: 0.5 s in", "b[draft].wav: 0.5 s of speech", "neural+entropy:3000"):
        assert name in told


@pytest.mark.parametrize(
    ("picture", "message"),
    [("none/there.png", "does not exist"), ("p.xyz", "allowed: .*png"), ("f.png", "is a folder"), (".", "image")],
)
def test_a_picture_that_cannot_be_drawn_is_told_before_anything_is_coded(
    picture: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.png").mkdir()
    assert run("compare", STATION, "--codec", "opus:6000", "--picture", picture) == 2
    told = capsys.readouterr()
    assert re.search(message, told.err)
    assert not told.out


def test_a_folder_that_is_missing_and_a_rate_of_zero_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("encode", STATION, tmp_path / "coded", "--codec", "opus") == 0
    assert run("decode", tmp_path / "coded", tmp_path / "none" / "out.wav") == 2
    assert "does not exist" in capsys.readouterr().err
    assert run("decode", tmp_path / "coded", tmp_path / "out.wav", "--rate", 0) == 2
    assert "does not speak at 0 Hz" in capsys.readouterr().err


def test_a_condition_without_a_rate_is_what_the_codec_does_unasked() -> None:
    pcm = read_audio(STATION)[:16_000]
    found, usual = (through(one.codec, one.bitrate_bps, pcm) for one in (condition("opus"), condition("opus:16000")))
    assert found.wire_bytes == usual.wire_bytes


@pytest.fixture
def talk(tmp_path: Path) -> CodedFile:
    """22 s in packets of 2 s."""
    pcm = read_audio(STATION)
    soundfile.write(tmp_path / "talk.wav", np.tile(pcm, -(-22 * 16_000 // len(pcm)))[: 22 * 16_000], 16_000)
    assert run("encode", tmp_path / "talk.wav", tmp_path / "talk", "--codec", "opus", "--packet-ms", 2000) == 0
    return read_coded(tmp_path / "talk")


def test_a_long_gap_in_a_file_keeps_its_place_in_time(
    talk: CodedFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coded(tmp_path / "gap", "opus", talk.samples, [*talk.packets[:2], *talk.packets[-4:]])
    assert run("decode", tmp_path / "gap", tmp_path / "gap.wav") == 0
    assert len(read_audio(tmp_path / "gap.wav")) == talk.samples
    assert "0 damaged packets; 600 frames concealed" in capsys.readouterr().err


def test_what_is_missing_late_or_doubled_in_a_file_is_told(
    talk: CodedFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packets = talk.packets[:-2]
    write_coded(tmp_path / "odd", "opus", talk.samples, [*packets, packets[0], packets[3]])
    assert run("decode", tmp_path / "odd", tmp_path / "odd.wav") == 0
    told = capsys.readouterr().err
    assert "2 packets came twice, or too late" in told
    assert "2.0 of 22.0 s are missing" in told


def test_a_file_without_one_good_packet_is_an_error(
    talk: CodedFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coded(tmp_path / "bad", "opus", talk.samples, [bytes([p[0], 3]) + p[2:] for p in talk.packets])
    assert run("decode", tmp_path / "bad", tmp_path / "bad.wav") == 2
    assert "none of the packets in" in (told := capsys.readouterr().err)
    assert "version 3" in told
