"""`streamst bench run --url`: a server's answers become the same log as a session's, with the times of a listener."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamst.audio import read_audio, write_wav
from streamst.cli.bench_remote import Heard, remote_player, steps_of
from streamst.errors import InputError
from streamst.evaluate.log.manifest import read_manifest
from streamst.evaluate.report.write import score_run
from streamst.evaluate.run.options import RunOptions
from streamst.evaluate.run.runner import run
from streamst.events import Finished, Speech, Words

STATION = Path(__file__).parent / "data" / "station.flac"
SERVE = "from streamst.cli import main; main()"


def words(ms: float, *said: str) -> Words:
    return Words(source_ms=ms, compute_ms=9.0, lang="de", segment=0, words=said)


def done(samples: int) -> Finished:
    return Finished(source_ms=0.0, compute_ms=0.0, samples=samples, segments=1, decoder_calls=1, compute_s=0.1)


def test_a_step_lasts_from_when_its_audio_could_be_spoken_until_the_answer_was_here() -> None:
    """Hand-worked: 320 ms of audio answered at 400; 640 answered at 900 and 950; 960 answered while that was sent."""
    speech = Speech(source_ms=640.0, compute_ms=1.0, pcm=np.zeros(10, np.float32), sample_rate_hz=24_000, text="b")
    heard: list[Heard] = [
        (words(320, "a"), 400.0), (words(640, "b"), 900.0), (speech, 950.0), (words(960, "c"), 940.0),
        (words(1000, "d"), 1100.0), (done(16_000), 1200.0),
    ]  # fmt: skip
    found = [(line["type"], line["audio_ms"], line["start_ms"], line["end_ms"], len(events))
             for line, events in steps_of(heard)]  # fmt: skip
    assert found == [
        ("push", 320.0, 320.0, 400.0, 1),
        ("push", 640.0, 640.0, 950.0, 2),
        ("push", 960.0, 950.0, 950.0, 1),
        ("finish", 1000.0, 1000.0, 1200.0, 2),
    ]


def test_a_stream_without_its_summary_is_refused() -> None:
    unfinished: list[list[Heard]] = [[], [(words(320, "a"), 400.0)]]
    for heard in unfinished:
        with pytest.raises(InputError, match="without its summary"):
            list(steps_of(heard))


def test_what_only_the_server_can_choose_is_refused() -> None:
    with pytest.raises(InputError, match="chunk_ms is the server's choice"):
        remote_player(RunOptions(url="ws://127.0.0.1:1", chunk_ms=320))
    with pytest.raises(InputError, match="needs --url"):
        remote_player(RunOptions())


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--model", str(tiny_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        found = None
        while found is None:
            line = process.stdout.readline()
            assert line, "the server did not start"
            found = re.search(r"http://[\d.]+:\d+", line)
        yield found.group().replace("http", "ws", 1)
        process.kill()


def test_a_real_server_is_measured_as_a_listener_gets_it(server: str, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", read_audio(STATION)[:24_000], 16_000)
    (tmp_path / "m.tsv").write_text("path\tduration_s\ttext\ttranslation\na.wav\t1.5\tgood morning\tguten Morgen\n")
    options = RunOptions(url=server, policy="wait-k:k=1")
    run(read_manifest(tmp_path / "m.tsv"), options, tmp_path / "out", make_player=remote_player)
    lines = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert (lines[0]["clock"], lines[0]["source_ms"]) == ("remote", 1500.0)
    assert all(line["end_ms"] >= line["audio_ms"] for line in lines[1:-1])  # no answer before its audio was spoken
    assert lines[-2]["events"][-1]["event"] == "finished"
    metrics = score_run(tmp_path / "out", resamples=100).score.metrics
    assert metrics["empty"].value == 0
    assert "RTF" not in metrics  # what took how long over there is not known
    assert metrics["LAAL_CA_queue"].value == pytest.approx(metrics["LAAL_CA_wallclock"].value)
    assert metrics["LAAL_CA_wallclock"].value > metrics["LAAL"].value
