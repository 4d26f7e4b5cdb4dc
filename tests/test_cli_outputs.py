"""What commands write: never over what they read, in the form that the name says, and as it comes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamst import sound
from streamst.audio import read_audio, write_wav
from streamst.cli import main
from streamst.cli.outputs import Beside, check_outputs, written_beside
from streamst.errors import InputError, UnavailableError

COMMAND = "from streamst.cli import main; main()"


def untimed(text: str) -> str:
    return re.sub(r'"compute_m?s": [0-9.e-]+', "", text)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Bursts of noise with pauses, 6 s: the tiny pipeline writes words to them."""
    rng = np.random.default_rng(4)
    bursts = [np.concatenate([rng.standard_normal(12_000) * 0.1, np.zeros(12_000)]) for _ in range(4)]
    write_wav(tmp_path / "noise.wav", np.concatenate(bursts).astype(np.float32), 16_000)
    return tmp_path / "noise.wav"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capfd.readouterr()
    assert ended.value.code == 0, printed
    return printed.out, printed.err


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
@pytest.mark.parametrize("command", ["translate", "stream", "encode", "decode"])
def test_an_output_that_is_the_input_is_refused_and_left_as_it_is(
    capsys: pytest.CaptureFixture[str], noise: Path, tiny_model: Path, command: str, link: str
) -> None:
    before, output = noise.read_bytes(), noise
    if link:
        output = noise.with_name("other.wav")
        (output.symlink_to if link == "symbolic" else output.hardlink_to)(noise)
    told = refused(
        capsys,
        *{
            "translate": ("translate", str(noise), "-o", str(output), "--model", str(tiny_model)),
            "stream": ("stream", str(noise), "--url", "ws://127.0.0.1:9", "-o", str(output)),
            "encode": ("codec", "encode", str(noise), str(output)),
            "decode": ("codec", "decode", str(noise), str(output)),
        }[command],
    )
    assert f"{output} is what is read: writing there would destroy it" in told
    assert noise.read_bytes() == before


@pytest.mark.parametrize("command", [("score", "{}"), ("compare", "{}", "{}"), ("text", "{}")])
def test_figures_do_not_replace_the_log_they_are_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    log = tmp_path / "a.log"
    log.write_text("{}")
    told = refused(capsys, "bench", *(part.format(log) for part in command), "--json", str(log))
    assert "is what is read" in told
    assert log.read_text() == "{}"


def test_figures_do_not_replace_the_references(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("a.log", "references.txt"):
        (tmp_path / name).write_text("{}")
    references = str(tmp_path / "references.txt")
    command = ("bench", "score", str(tmp_path / "a.log"), "--references", references, "--json", references)
    assert "is what is read" in refused(capsys, *command)


@pytest.mark.parametrize("command", ["compare", "codec"])
def test_a_picture_does_not_replace_what_it_shows(
    capsys: pytest.CaptureFixture[str], noise: Path, tmp_path: Path, command: str
) -> None:
    picture = tmp_path / "recording.png"
    picture.write_bytes(noise.read_bytes())
    manifest = tmp_path / "list.tsv"
    manifest.write_text(f"path\tduration_s\tspeaker\ttext\n{picture.name}\t6\tx\tHello.\n")
    words = ("codec", "compare", str(picture)) if command == "compare" else ("bench", "codec", str(manifest))
    assert "is what is read" in refused(capsys, *words, "--picture", str(picture))
    assert picture.read_bytes() == noise.read_bytes()


@pytest.mark.parametrize("name", ["report.json", "report.html", "segments.jsonl", "events.jsonl", "speech/000000.wav"])
def test_a_run_replaces_nothing_that_is_no_runs(
    capsys: pytest.CaptureFixture[str], noise: Path, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "out"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(noise.read_bytes())
    manifest = tmp_path / "list.tsv"
    manifest.write_text(f"path\tduration_s\tspeaker\ttext\nout/{name}\t6\tx\tHello.\n")
    for command in ("run", "sweep") if name.startswith("report") else ("run",):
        told = refused(capsys, "bench", command, str(manifest), "--out", str(folder), "--model", str(tiny_model))
        assert f"out holds {name.partition('/')[0]} of something else, which would be overwritten" in told
    assert [path.name for path in folder.iterdir()] == [name.partition("/")[0]]
    assert (folder / name).read_bytes() == noise.read_bytes()


def test_a_run_goes_into_no_file_and_an_export_into_no_folder_that_is_used(
    capsys: pytest.CaptureFixture[str], noise: Path, tiny_model: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "list.tsv"
    manifest.write_text("path\tduration_s\tspeaker\ttext\nnoise.wav\t6\tx\tHello.\n")
    told = refused(capsys, "bench", "run", str(manifest), "--out", str(noise), "--model", str(tiny_model))
    assert "noise.wav is a file, not a folder" in told
    log = Path(__file__).parent / "data" / "logs"
    one = next(path for path in sorted(log.rglob("instances.log")))
    told = refused(capsys, "bench", "export", str(one), "--format", "simuleval", "--out", str(tmp_path))
    assert f"{tmp_path} is there already: the log goes to a new folder" in told


@pytest.mark.parametrize("quiet", [False, True])
def test_a_file_that_will_be_replaced_is_told(
    capfd: pytest.CaptureFixture[str], noise: Path, tmp_path: Path, tiny_model: Path, quiet: bool
) -> None:
    old = tmp_path / "old.srt"
    for number in range(2):
        asked = [
            "translate",
            str(noise),
            "--srt",
            str(old),
            "--model",
            str(tiny_model),
            *(["--quiet"] if quiet else []),
        ]
        _, told = run(capfd, *asked)
        assert (f"{old} is there already" in told) == (number == 1 and not quiet)
        old.write_text(old.read_text() or "what stood here")


def test_two_outputs_are_two_files(capsys: pytest.CaptureFixture[str], noise: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.srt"
    assert "is to be written twice" in refused(capsys, "translate", str(noise), "--srt", str(target), "-o", str(target))
    assert not target.exists()
    check_outputs([Path("/dev/null")], [Path("/dev/null"), Path("/dev/null"), None])


@pytest.mark.parametrize(("name", "told"), [("a.aac", "not '.aac'"), ("a", "not ''"), ("a.txt", ".wav, .flac, .mp3")])
def test_a_name_that_tells_no_format_of_speech_is_refused(
    capsys: pytest.CaptureFixture[str], noise: Path, tmp_path: Path, name: str, told: str
) -> None:
    assert told in refused(capsys, "translate", str(noise), "-o", str(tmp_path / name))
    assert told in refused(capsys, "say", "Hallo", "-o", str(tmp_path / name))
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("ending", "form"), [("wav", "WAV"), ("flac", "FLAC"), ("mp3", "MP3"), ("ogg", "OGG"), ("opus", "OGG")]
)
def test_speech_is_what_its_name_says(
    capfd: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path, ending: str, form: str
) -> None:
    path = tmp_path / f"said.{ending}"
    run(capfd, "say", "Guten Morgen.", "-o", str(path), "--model", str(tiny_model))
    assert soundfile.info(path).format == form
    assert len(read_audio(path)) > 1_000
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing beside it is left"


def test_speech_on_standard_output_is_a_wav_and_captions_go_to_stderr(noise: Path, tiny_model: Path) -> None:
    command = [sys.executable, "-c", COMMAND, "translate", str(noise), "-o", "-", "--model", str(tiny_model)]
    done = subprocess.run([*command, "--policy", "wait-k:k=1"], capture_output=True, check=True, timeout=300)
    assert done.stdout[:4] == b"RIFF"
    assert (len(done.stdout) - 44) % 2 == 0
    assert b"de  " in done.stderr
    path = noise.with_name("piped.wav")
    path.write_bytes(done.stdout)
    assert len(read_audio(path)) == (len(done.stdout) - 44) // 2 > 0


def test_a_recording_comes_through_standard_input(
    noise: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from_file, _ = run(capfd, "translate", str(noise), "--model", str(tiny_model))
    command = [sys.executable, "-c", COMMAND, "translate", "-", "--model", str(tiny_model)]
    done = subprocess.run(command, input=noise.read_bytes(), capture_output=True, check=True, timeout=300)
    assert done.stdout.decode() == from_file != ""


def test_several_recordings_are_translated_one_after_another(
    capfd: pytest.CaptureFixture[str], noise: Path, tiny_model: Path
) -> None:
    once, _ = run(capfd, "translate", str(noise), "--model", str(tiny_model))
    twice, _ = run(capfd, "translate", str(noise), str(noise), "--model", str(tiny_model))
    assert twice == f"{noise}:\n{once}" * 2
    told = refused(capfd, "translate", str(noise), str(noise), "-o", str(noise.with_name("x.wav")))
    assert "-o and --srt are for one recording; 2 were given" in told


def test_the_recordings_of_a_folder_are_translated_by_name_and_other_files_left(
    capfd: pytest.CaptureFixture[str], noise: Path, tiny_model: Path, tmp_path: Path
) -> None:
    once, _ = run(capfd, "translate", str(noise), "--model", str(tiny_model))
    folder = tmp_path / "talks"
    folder.mkdir()
    for name in ("b.WAV", "a.wav", ".hidden.wav", "notes.txt"):
        (folder / name).write_bytes(noise.read_bytes())
    (folder / "c.wav").mkdir()
    told, _ = run(capfd, "translate", str(folder), "--model", str(tiny_model))
    assert told == "".join(f"{folder / name}:\n{once}" for name in ("a.wav", "b.WAV"))
    assert "2 were given" in refused(capfd, "translate", str(folder), "--srt", str(tmp_path / "x.srt"))
    (folder / "b.WAV").unlink()
    assert "is what is read" in refused(capfd, "translate", str(folder), "-o", str(folder / "a.wav"))


def test_a_folder_without_a_recording_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    told = refused(capsys, "translate", str(tmp_path))
    assert f"{tmp_path} is a folder without a recording: none of its files ends in .wav, .flac" in told


def test_of_several_recordings_the_whole_ones_are_heard_and_the_others_told(
    capfd: pytest.CaptureFixture[str], noise: Path, tiny_model: Path, tmp_path: Path
) -> None:
    once, _ = run(capfd, "translate", str(noise), "--model", str(tiny_model))
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam, " * 40)
    with pytest.raises(SystemExit) as ended:
        main(["translate", str(tmp_path / "letter.wav"), str(noise), "--model", str(tiny_model)])
    printed = capfd.readouterr()
    assert ended.value.code == 2
    assert printed.out.endswith(f"{noise}:\n{once}")
    assert f"streamst: {tmp_path / 'letter.wav'} is not audio" in printed.err
    assert "1 of 2 recordings could not be read whole" in printed.err


@pytest.mark.parametrize("form", ["txt", "srt", "vtt", "json", "jsonl"])
def test_a_format_is_all_that_standard_output_gets(
    capfd: pytest.CaptureFixture[str], noise: Path, tiny_model: Path, tmp_path: Path, form: str
) -> None:
    target = tmp_path / "a.srt"
    common = ("translate", str(noise), "--model", str(tiny_model), "--policy", "wait-k:k=1", "--srt", str(target))
    out, err = run(capfd, *common, "--format", form)
    subtitles = target.read_text(encoding="utf-8")
    german = [line.removeprefix("de  ") for line in err.splitlines() if line.startswith("de  ")]
    assert german
    if form == "txt":
        assert out.splitlines() == german
    elif form == "srt":
        assert out == subtitles
    elif form == "vtt":
        assert out.startswith("WEBVTT\n\n00:00:0")
    elif form == "json":
        whole = json.loads(out)
        assert (whole["source"], whole["target"]) == ("en", "de")
        assert [segment["de"] for segment in whole["segments"] if segment.get("de")] == german
    else:
        events = [json.loads(line) for line in out.splitlines()]
        assert events[-1]["type"] == "finished"
        finals = [event for event in events if event["type"] == "caption" and event["lang"] == "de" and event["final"]]
        assert [event["stable"].strip() for event in finals if event["stable"].strip()] == german
    again, err = run(capfd, *common, "--format", form, "--quiet")
    assert not err
    assert untimed(again) == untimed(out)


def test_a_format_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str], noise: Path) -> None:
    told = refused(capsys, "translate", str(noise), "--format", "xml")
    assert "--format 'xml' is not known; allowed: txt, srt, vtt, json, jsonl" in told
    assert "would both write to standard output" in refused(
        capsys, "translate", str(noise), "-o", "-", "--format", "txt"
    )


def test_quiet_says_nothing(capfd: pytest.CaptureFixture[str], noise: Path, tiny_model: Path) -> None:
    assert run(capfd, "translate", str(noise), "--quiet", "--model", str(tiny_model)) == ("", "")


def test_subtitles_are_written_as_they_come(noise: Path, tiny_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    bursts = [np.concatenate([rng.standard_normal(12_000) * 0.1, np.zeros(24_000)]) for _ in range(8)]
    write_wav(noise, np.concatenate(bursts).astype(np.float32), 16_000)
    target = tmp_path / "a.srt"
    target.write_text("old")
    command = [sys.executable, "-c", COMMAND, "translate", str(noise), "--realtime", "--srt", str(target)]
    options = ["--model", str(tiny_model), "--policy", "wait-k:k=1", "--quiet"]
    with subprocess.Popen([*command, *options]) as process:
        try:
            until = time.monotonic() + 300
            while "-->" not in target.read_text(encoding="utf-8") and time.monotonic() < until:
                assert process.poll() is None, "only when all was heard"
                time.sleep(0.1)
            assert process.poll() is None
        finally:
            process.kill()
    assert target.read_text(encoding="utf-8").startswith("1\n00:00:0")


def test_what_could_not_be_written_whole_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), written_beside(path) as beside:
        _ = beside.write_text("half"), (tmp_path / "none").read_text()
    assert path.read_text() == "old"
    with written_beside(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_nothing_was_heard_for_leaves_the_old_files(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "old.wav").write_bytes(b"speech of yesterday")
    (tmp_path / "old.srt").write_text("subtitles of yesterday")
    outputs = ["-o", str(tmp_path / "old.wav"), "--srt", str(tmp_path / "old.srt")]
    command = [sys.executable, "-c", COMMAND, "translate", "-", "--model", str(tiny_model), *outputs]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "standard input is empty" in done.stderr
    assert (tmp_path / "old.wav").read_bytes() == b"speech of yesterday"
    assert (tmp_path / "old.srt").read_text() == "subtitles of yesterday"


def test_a_link_goes_on_pointing_to_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with written_beside(tmp_path / "link") as beside:
        beside.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_device_is_written_at_once() -> None:
    assert Beside(Path("/dev/null")).path == Path("/dev/null")
    with pytest.raises(InputError, match="the folder /none does not exist"):
        Beside(Path("/none/a.wav"))


def test_without_a_file_speech_is_heard_or_the_missing_loudspeaker_is_told(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(*_: object) -> dict[str, object]:
        raise UnavailableError("no loudspeaker is connected: connect one, or choose it in the system")

    monkeypatch.setattr(sound, "_device", no_device)
    told = refused(capsys, "say", "Hallo", "--model", str(tiny_model))
    assert "no loudspeaker is connected" in told
    assert "or write a file with -o" in told
