"""Manifests, run logs, and runs of a real session (tiny networks) that are stopped and go on."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamst.audio import read_audio, write_wav
from streamst.errors import InputError
from streamst.evaluate.formats.detect import read_log
from streamst.evaluate.log.clock import unit_times
from streamst.evaluate.log.manifest import Clip, Manifest, Reference, check_audio, read_manifest
from streamst.evaluate.log.recording import Recording, ShownText, from_lines
from streamst.evaluate.log.runlog import FORMAT, RunDirectory, event_json, read_events
from streamst.evaluate.report.write import score_run
from streamst.evaluate.run.drive import Labels, drive, record
from streamst.evaluate.run.runner import RunOptions, player, run
from streamst.evaluate.run.sharing import Shared
from streamst.evaluate.run.sweep import every_policy, expand, plan, sweep
from streamst.events import Caption, Event, Finished, Speech, Words

STATION = Path(__file__).parent / "data" / "station.flac"
HEADER = "path\tduration_s\tspeaker\ttext\ttranslation\n"
LABELS = Labels("en", "de", "word", "words", "st", "simulated")


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Four recordings of 0.7 to 1.1 s, cut from one sentence."""
    folder = tmp_path_factory.mktemp("clips")
    pcm = read_audio(STATION)
    rows = [HEADER]
    for index, (start, end) in enumerate(((0.0, 1.1), (0.6, 1.3), (1.2, 2.1), (1.9, 2.9))):
        write_wav(folder / f"{index}.wav", pcm[round(16_000 * start) : round(16_000 * end)], 16_000)
        rows.append(f"{index}.wav\t{end - start:.3f}\tspeaker {index}\tgood morning\tguten Morgen zusammen\n")
    (folder / "manifest.tsv").write_text("".join(rows))
    return read_manifest(folder / "manifest.tsv")


def options(model: Path, policy: str = "wait-k:k=1", **changes: object) -> RunOptions:
    return RunOptions(model=str(model), policy=policy, chunk_ms=320, speech=False, **changes)  # type: ignore[arg-type]


def without_computation(folder: Path) -> dict:
    """The report of a run without what depends on how fast this machine was."""
    found = score_run(folder, resamples=100).score.as_json()

    def timeless(names: dict) -> dict:
        return {name: value for name, value in names.items() if "_CA_" not in name and name != "RTF"}

    for part in ("metrics", "intervals", "percentiles"):
        found[part] = timeless(found[part])
    for row in found["rows"]:
        row["values"] = timeless(row["values"])
    return found


# ---- manifests ----


def write_manifest(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "m.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_manifest_keeps_text_as_it_stands_and_ignores_other_columns(tmp_path: Path) -> None:
    text = "mood\t" + HEADER + 'glad\ta.wav\t1.5\tann\t5\u00a0%, "so"\t你好\r\n\nsad\tb.wav\t2\tbob\tx\ty\n'
    clips = read_manifest(write_manifest(tmp_path, b"\xef\xbb\xbf" + text.encode())).clips
    assert [c.name for c in clips] == ["a.wav", "b.wav"]
    assert clips[0].references == (Reference(0.0, 1500.0, '5\u00a0%, "so"', "你好"),)
    assert (clips[1].line, clips[1].path, clips[1].speaker) == (4, tmp_path / "b.wav", "bob")


def test_a_manifest_without_translations_has_none_rather_than_empty_ones(tmp_path: Path) -> None:
    clip = read_manifest(write_manifest(tmp_path, "path\tduration_s\na.wav\t1\n")).clips[0]
    assert (clip.references[0].text, clip.references[0].translation) == (None, None)


def test_segments_of_one_recording_become_one_clip_in_order_of_time(tmp_path: Path) -> None:
    text = "path\toffset_s\tduration_s\ttranslation\nt.wav\t5\t2\tzwei\nt.wav\t1\t3\teins\nu.wav\t0\t1\tdrei\n"
    talk, other = read_manifest(write_manifest(tmp_path, text)).clips
    assert [r.translation for r in talk.references] == ["eins", "zwei"]
    assert (talk.duration_ms, other.index) == (7000.0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\tspeaker\na.wav\tx\n", r"m\.tsv:1: the header has no column 'duration_s'; it has path, speaker"),
        (HEADER + "a.wav\t1\tann\tx\n", r"m\.tsv:2: 4 fields, the header has 5 \(path, duration_s"),
        (HEADER + "a.wav\tnan\ta\tx\ty\n", r"m\.tsv:2: duration_s is 'nan'; use seconds above 0"),
        (HEADER + "a.wav\t-1\ta\tx\ty\n", r"m\.tsv:2: duration_s is '-1'"),
        (HEADER + "a.wav\t0\ta\tx\ty\n", r"m\.tsv:2: duration_s is '0'"),
        (HEADER + "a.wav\t1,5\ta\tx\ty\n", r"m\.tsv:2: duration_s is '1,5'"),
        (HEADER + "\t1\ta\tx\ty\n", r"m\.tsv:2: the path is empty"),
        (HEADER + "a.wav\t1\ta\tx\ty\nb.wav\t1\ta\tx\ty\na.wav\t1\ta\tx\ty\n", r"m\.tsv:4: a\.wav stands on line 2 al"),
        (HEADER, r"m\.tsv: no recordings"),
        ("", r"m\.tsv: no recordings"),
        ("path\tpath\tduration_s\na\ta\t1\n", r"m\.tsv:1: the header has column 'path' twice"),
        (HEADER.encode() + b"a.wav\t1\t\xff\tx\ty\n", r"m\.tsv:2: not UTF-8 at byte 8"),
        ("path\tduration_s\toffset_s\na\t1\t-2\n", r"m\.tsv:2: offset_s is '-2'; use seconds, 0 or more"),
    ],
)
def test_a_wrong_manifest_is_refused_with_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_manifest(write_manifest(tmp_path, text))


def test_a_missing_manifest_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tsv: No such file.*TSV"):
        read_manifest(tmp_path / "gone.tsv")


def test_recordings_are_checked_before_anything_is_run(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000)
    (tmp_path / "c.wav").write_text("not audio")
    path = write_manifest(tmp_path, HEADER + "a.wav\t1.1\ta\tx\ty\n")
    check_audio(read_manifest(path))
    for row, message in (
        ("b.wav\t1\ta\tx\ty\n", r"m\.tsv:3: .*b\.wav does not exist"),
        ("c.wav\t1\ta\tx\ty\n", r"m\.tsv:3: .*c\.wav is not audio"),
    ):
        with pytest.raises(InputError, match=message):
            check_audio(read_manifest(write_manifest(tmp_path, HEADER + "a.wav\t1\ta\tx\ty\n" + row)))
    with pytest.raises(InputError, match=r"m\.tsv:2: .*a\.wav lasts 1\.000 s, the manifest says 3\.000 s"):
        check_audio(read_manifest(write_manifest(tmp_path, HEADER + "a.wav\t3\ta\tx\ty\n")))


# ---- what a session says becomes lines, and lines become a recording ----


class Parrot:
    """A session whose answers are given beforehand, one list a push."""

    sample_rate_hz = 16_000

    def __init__(self, answers: list[list[Event]]) -> None:
        self.answers = answers
        self.heard: list[int] = []

    def push(self, pcm: np.ndarray) -> list[Event]:
        self.heard.append(len(pcm))
        return self.answers.pop(0)

    def finish(self) -> list[Event]:
        return self.answers.pop(0)


def words(ms: float, *said: str) -> Words:
    return Words(source_ms=ms, compute_ms=1.0, lang="de", segment=0, words=said)


def caption(ms: float, stable: str, unstable: str = "", lang: str = "de", segment: int = 0) -> Caption:
    return Caption(
        source_ms=ms, compute_ms=1.0, lang=lang, segment=segment, revision=0, stable=stable, unstable=unstable
    )


def recorded(answers: list[list[Event]], tmp_path: Path, labels: Labels = LABELS, samples: int = 12_000) -> Recording:
    (tmp_path / "speech").mkdir(exist_ok=True)
    clip = Clip(0, "a.wav", tmp_path / "a.wav", 2, "ann", (Reference(0.0, 750.0, "a b", "x y"),))
    steps = drive(Parrot(answers), [np.zeros(samples, np.float32)], 5120)
    lines = json.loads(json.dumps(record(clip, steps, labels, 16_000, tmp_path)))
    return from_lines(lines, "test", tmp_path)


def test_the_clock_of_a_run_in_real_time_waits_for_the_audio_and_counts_the_backlog() -> None:
    """Hand-worked: pieces end at 320, 640, 750 ms; computing takes 400 ms each, so the second begins late."""
    now = [10.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    class Slow(Parrot):
        def push(self, pcm: np.ndarray) -> list[Event]:
            now[0] += 0.4
            return super().push(pcm)

    session = Slow([[], [], [], []])
    blocks = [np.zeros(7000, np.float32), np.zeros(5000, np.float32)]
    steps = drive(session, blocks, 5120, "realtime", lambda: now[0], sleep)
    times = [(line["audio_ms"], round(line["start_ms"], 6), round(line["end_ms"], 6)) for line, _ in steps]
    assert times == [(320, 320, 720), (640, 720, 1120), (750, 1120, 1520), (750, 1520, 1520)]
    assert slept == [0.32]
    assert session.heard == [5120, 5120, 1760]


def test_words_have_the_audio_heard_as_their_delay_and_the_end_of_their_step_on_the_live_clock(tmp_path: Path) -> None:
    found = recorded([[words(320, "eins")], [], [words(750, "zwei", "drei")], [words(750, "vier")]], tmp_path)
    assert found.units == ("eins", "zwei", "drei", "vier")
    assert found.delays_ms == (320.0, 750.0, 750.0, 750.0)
    live = unit_times(found.steps, "queue")
    assert live[1] == live[2] <= live[3]
    assert all(e >= d for e, d in zip(live, found.delays_ms, strict=True))


def test_a_word_with_a_no_break_space_is_two_units(tmp_path: Path) -> None:
    assert recorded([[words(320, "5\u00a0%")], [], [], []], tmp_path).units == ("5", "%")


def test_retranslation_is_scored_by_what_the_captions_leave_and_counts_what_they_took_back(tmp_path: Path) -> None:
    labels = Labels("en", "de", "word", "captions", "st", "simulated")
    answers: list[list[Event]] = [
        [caption(320, "", "das Haus"), words(320, "never counted")],
        [caption(640, "das", "Hotel ist"), caption(640, "das", "Hotel ist groß")],
        [caption(750, "das Hotel ist", "klein"), caption(750, "the hotel", lang="en")],
        [caption(750, "das Hotel ist klein", ""), caption(750, "", "Und", segment=1)],
    ]
    found = recorded(answers, tmp_path, labels)
    assert found.prediction == "das Hotel ist klein Und"
    assert found.delays_ms == (320.0, 640.0, 640.0, 750.0, 750.0)
    assert [unit for step in found.steps for unit in step.deleted] == ["Haus", "groß"]
    assert found.transcript == "the hotel"


def test_a_caption_of_an_earlier_segment_rewrites_what_follows_it() -> None:
    text = ShownText("word", "de")
    for said, expected in (
        (caption(1, "a b"), ((), ("a", "b"))),
        (caption(2, "c", segment=1), ((), ("c",))),
        (caption(3, "a x"), (("b", "c"), ("x", "c"))),
        (caption(4, "a x"), ((), ())),
    ):
        assert text.show(event_json(said)) == expected
    assert text.text() == "a x c"
    assert text.show(event_json(caption(5, "a", lang="en"))) is None


def test_recognition_counts_only_what_will_not_change(tmp_path: Path) -> None:
    labels = Labels("en", "de", "word", "stable", "asr", "simulated")
    answers: list[list[Event]] = [
        [caption(320, "a", "bee", lang="en")], [caption(640, "a b", lang="en")], [words(750, "x")], [],
    ]  # fmt: skip
    found = recorded(answers, tmp_path, labels)
    assert (found.units, found.delays_ms, found.reference) == (("a", "b"), (320.0, 640.0), "a b")


def test_speech_is_kept_as_a_wav_and_its_place_in_time(tmp_path: Path) -> None:
    def speech(ms: float, level: float, samples: int) -> Speech:
        pcm = np.full(samples, level, np.float32)
        return Speech(source_ms=ms, compute_ms=2.0, pcm=pcm, sample_rate_hz=24_000, text="x")

    found = recorded([[speech(320, 0.25, 2400)], [speech(640, 0.0, 0)], [speech(750, -0.5, 4800)], []], tmp_path)
    assert [(c.delay_ms, c.duration_ms, c.step) for c in found.speech] == [(320.0, 100.0, 0), (750.0, 200.0, 2)]
    assert found.speech_path is not None
    pcm, rate = soundfile.read(found.speech_path)
    assert (rate, len(pcm)) == (24_000, 7200)
    assert pcm[100] == pytest.approx(0.25, abs=1e-4)
    assert pcm[-1] == pytest.approx(-0.5, abs=1e-4)
    assert not list(tmp_path.rglob("*.part*"))


def test_every_event_of_a_session_has_a_line_and_nothing_of_it_is_lost() -> None:
    done = Finished(source_ms=5.0, compute_ms=1.0, samples=80, segments=2, decoder_calls=3, compute_s=0.5)
    for event in (words(5, "a"), caption(6, "s", "u"), done):
        line = event_json(event)
        kind = line.pop("event")
        back = {"words": Words, "caption": Caption, "finished": Finished}[kind]
        restored = back(**{k: tuple(v) if isinstance(v, list) else v for k, v in line.items()})
        assert restored == event
    with pytest.raises(InputError, match="has no place in a log"):
        event_json(Event(source_ms=0.0, compute_ms=0.0))


# ---- runs ----


def test_a_run_of_a_real_session_is_scored_with_every_metric_that_applies(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    result = run(manifest, options(tiny_model), tmp_path)
    assert (result.finished, result.resumed, result.cut_lines) == (4, 0, 0)
    scored = score_run(tmp_path, resamples=100).score
    promised = "BLEU chrF WER AP AL LAAL DAL ATD YAAL LAAL_CA_queue StartOffset EndOffset RTF NE empty"
    assert set(promised.split()) <= scored.metrics.keys()
    assert "LAAL_CA_wallclock" not in scored.metrics  # it was not paced
    log = read_log(tmp_path)
    for recording, clip in zip(log.recordings, manifest.clips, strict=True):
        assert recording.units, "the tiny model writes something of every recording"
        assert recording.source_ms == 1000 * soundfile.info(clip.path).frames / 16_000
        assert set(recording.delays_ms) <= {320.0, 640.0, 960.0, recording.source_ms}
        assert recording.reference == "guten Morgen zusammen"
    assert json.loads((tmp_path / "run.json").read_text())["options"]["policy"] == "wait-k:k=1"


def test_two_runs_of_the_same_thing_give_the_same_report_but_for_the_computation(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        run(manifest, options(tiny_model), tmp_path / name)
    assert without_computation(tmp_path / "a") == without_computation(tmp_path / "b")


def test_speech_that_went_through_a_codec_is_as_long_and_pcm_loses_nothing(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    figures = {}
    for codec in (None, "pcm16", "neural:1500"):
        run(manifest, options(tiny_model, codec=codec), tmp_path / str(codec))
        figures[codec] = without_computation(tmp_path / str(codec))
        log = read_events(tmp_path / str(codec) / "events.jsonl")
        lengths = [lines[0]["source_ms"] for lines in log.recordings.values()]
        assert lengths == pytest.approx([clip.duration_ms for clip in manifest.clips], abs=1)
    assert figures["pcm16"] == figures[None] != figures["neural:1500"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_that_was_cut_anywhere_and_resumed_equals_one_that_was_not(
    tiny_model: Path, manifest: Manifest, tmp_path: Path, seed: int
) -> None:
    whole = tmp_path / "whole"
    run(manifest, options(tiny_model), whole)
    raw = (whole / "events.jsonl").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "run.json").write_bytes((whole / "run.json").read_bytes())
    (cut / "events.jsonl").write_bytes(raw[: random.Random(seed).randrange(len(raw))])
    finished_before = len(read_events(cut / "events.jsonl").recordings)
    result = run(manifest, options(tiny_model), cut)
    assert (result.resumed, result.finished) == (finished_before, 4 - finished_before)
    assert without_computation(cut) == without_computation(whole)
    again = run(manifest, options(tiny_model), cut)
    assert (again.resumed, again.finished) == (4, 0)
    assert len(read_events(cut / "events.jsonl").recordings) == 4


KILLED = """
import sys
from pathlib import Path
from streamst.evaluate.log.manifest import read_manifest
from streamst.evaluate.run.runner import RunOptions, player, run
manifest, model, out = map(Path, sys.argv[1:])
print("begun", flush=True)
options = RunOptions(model=str(model), policy="wait-k:k=1", chunk_ms=320, speech=False)
run(read_manifest(manifest), options, out, progress=lambda done, _: print("finished one", flush=True))
"""


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_goes_on(tiny_model: Path, manifest: Manifest, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(manifest, options(tiny_model), whole)
    command = [sys.executable, "-c", KILLED, str(manifest.path), str(tiny_model), str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert process.stdout.readline() == "finished one\n"
        process.kill()
    finished_before = len(read_events(killed / "events.jsonl").recordings)
    result = run(manifest, options(tiny_model), killed)
    assert finished_before >= 1
    assert result.resumed == finished_before
    assert without_computation(killed) == without_computation(whole)


@pytest.mark.slow
def test_two_processes_give_the_report_of_one(tiny_model: Path, manifest: Manifest, tmp_path: Path) -> None:
    finished: list[int] = []
    run(manifest, options(tiny_model), tmp_path / "one")
    run(manifest, options(tiny_model), tmp_path / "two", workers=2, progress=lambda done, _: finished.append(done))
    assert finished == [1, 1, 1, 1]
    assert without_computation(tmp_path / "one") == without_computation(tmp_path / "two")


def test_another_run_does_not_go_into_a_directory_that_holds_one(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    nothing = Manifest(manifest.path, (), manifest.sha256)
    run(nothing, options(tiny_model), tmp_path)
    with pytest.raises(InputError, match=r"another run: options policy is 'wait-k:k=1' there, 'wait-k:k=3' now; use"):
        run(nothing, options(tiny_model, "wait-k:k=3"), tmp_path)
    with pytest.raises(InputError, match=r"another run: manifest clips is 0 there, 4 now"):
        run(manifest, options(tiny_model), tmp_path)
    config = json.loads((tmp_path / "run.json").read_text())
    config["model"]["translator"] = "other weights"
    (tmp_path / "run.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"another run: model translator is 'other weights' there, '[0-9a-f]{64}' now"):
        run(nothing, options(tiny_model), tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(InputError, match=r"holds events\.jsonl of something else"):
        run(nothing, options(tiny_model), tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match=rf"run\.json: not format {FORMAT} of a run"):
        run(nothing, options(tiny_model), tmp_path)


def test_a_damaged_line_inside_a_log_is_refused_and_a_torn_last_one_is_counted(tmp_path: Path) -> None:
    lines = [
        {"type": "begin", "id": 0}, {"type": "push", "id": 0}, {"type": "finish", "id": 0},
        {"type": "end", "id": 0, "steps": 2}, {"type": "begin", "id": 1}, {"type": "push", "id": 1},
    ]  # fmt: skip
    text = [json.dumps(line) + "\n" for line in lines]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(text) + '{"type": "fin')
    log = read_events(path)
    assert (sorted(log.recordings), log.cut_lines, log.whole_bytes) == ([0], 3, sum(map(len, text[:4])))
    for broken, message in (
        (["{oops\n", *text], r"events\.jsonl:1: not a line of an event log"),
        ([text[1]], r"events\.jsonl:1: a push of recording 0, which has not begun"),
        ([*text[:4], *text[:4]], r"events\.jsonl:5: recording 0 is there twice"),
        ([text[0], text[0]], r"events\.jsonl:2: recording 0 begins before 0 has ended"),
        ([text[0], text[1], text[3]], r"events\.jsonl:3: recording 0 has 1 steps, its end says 2"),
        (['{"type": "hop", "id": 0}\n'], r"events\.jsonl:1: type 'hop' is not known"),
    ):
        path.write_text("".join(broken))
        with pytest.raises(InputError, match=message):
            read_events(path)


def test_a_number_that_is_none_is_never_written_into_a_log(tmp_path: Path) -> None:
    directory = RunDirectory.open(tmp_path, {"format": FORMAT, "manifest": {}, "options": {}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        directory.append([{"type": "begin", "id": 0, "source_ms": float("nan")}])
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunOptions(task="tts"), "unknown task 'tts'; allowed: st, asr"),
        (lambda: RunOptions(chunk_ms=0), "chunk_ms is 0"),
        (lambda: RunOptions(threads=0), "threads is 0"),
        (lambda: RunOptions(codec="neural:3000", url="ws://there"), "codec 'neural:3000' is for runs in this process"),
        (lambda: player(RunOptions(codec="mp3")), "codec 'mp3' is not known; allowed: neural"),
        (lambda: expand("wait-k:k"), "'k' is not NAME=VALUE"),
        (lambda: plan(RunOptions(), ["wait-k", "wait-k"], [], []), "the sweep has wait-k twice"),
    ],
)
def test_impossible_options_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_points_of_a_sweep_share_work_and_say_what_each_says_alone(
    tiny_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    wanted = ["wait-k:k=1/3", "local-agreement", "streamatt", "confidence:tau=0.0"]
    points = plan(options(tiny_model), wanted, [], [320, 640])
    members = sweep(manifest, points, tmp_path / "swept", resamples=100)
    assert [member.name for member in members] == [point.name for point in points]
    for point in points:
        run(manifest, point.options, tmp_path / "alone" / point.name)
        assert without_computation(tmp_path / "swept" / point.name) == without_computation(
            tmp_path / "alone" / point.name
        )
    begun = read_events(tmp_path / "swept" / points[0].name / "events.jsonl")
    assert len(begun.recordings) == len(manifest.clips)


def test_a_sweep_holds_what_one_recording_needs_however_many_there_are(
    tiny_model: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Shared] = []

    class Watched(Shared):
        def __init__(self) -> None:
            super().__init__()
            begun.append(self)

    monkeypatch.setattr("streamst.evaluate.run.sweep.Shared", Watched)
    points = plan(options(tiny_model), ["wait-k:k=1/3"], [], [])

    def held_after_each_recording(clips: tuple[Clip, ...], out: Path) -> list[int]:
        """Results that are held when the last point of a recording is done."""
        held: list[int] = []
        sweep(
            replace(manifest, clips=clips), points, out, resamples=100,
            progress=lambda point: lambda *_: held.append(len(begun[-1])) if point is points[-1] else None,
        )  # fmt: skip
        return held

    together = held_after_each_recording(manifest.clips, tmp_path / "together")
    alone = [held_after_each_recording((clip,), tmp_path / clip.name)[0] for clip in manifest.clips]
    assert min(alone) > 0
    assert together == alone
    assert len(begun[0]) == 0


def test_who_shares_work_is_charged_for_all_of_it() -> None:
    """A translator whose every step takes a second of a clock of its own."""
    passed_s = [0.0]

    class Slow:
        def forget(self, state: object, words: int) -> tuple[object, int]:
            passed_s[0] += 1.0
            return state, words

    shared, state, other = Shared(lambda: passed_s[0]), object(), object()
    slow = shared.part(Slow())
    times = []
    for heard, words in ((state, 3), (state, 3), (state, 6), (other, 3), (state, 3)):
        begun_s = shared.now()
        assert slow.forget(heard, words) == (heard, words)
        times.append(shared.now() - begun_s)
    assert (times, passed_s) == ([1.0] * 5, [3.0])
    shared.next_recording()
    slow.forget(state, 3)
    assert passed_s == [4.0]


def test_all_policies_are_those_for_which_the_translator_is_enough() -> None:
    plain = every_policy(frozenset({"source-ctc"}))
    assert {policy.partition(":")[0] for policy in plain} == {
        "wait-k", "local-agreement", "hold-n", "consensus", "retranslate",
    }  # fmt: skip
    assert "wait-k:k=1/3/5/7/9" in plain
    assert "alignatt:hold_ms=80/160/240/400/560" in every_policy(frozenset({"alignment"}))


def test_a_sweep_is_every_combination_and_joins_the_points_of_one_policy() -> None:
    assert expand("wait-k:k=1/3,boundaries=ctc") == ["wait-k:k=1,boundaries=ctc", "wait-k:k=3,boundaries=ctc"]
    points = plan(RunOptions(), ["wait-k:k=1/3", "local-agreement"], [], [320, 640])
    assert len(points) == 6
    assert {p.series for p in points} == {"wait-k", "local-agreement"}
    assert (points[1].label, points[1].options.policy, points[1].options.chunk_ms) == ("k=1 640 ms", "wait-k:k=1", 640)
    assert len({p.name for p in points}) == 6
    assert [p.options.latency for p in plan(RunOptions(), [], ["low", "high"], [])] == ["low", "high"]
