"""Logs of other tools and our own are read as they are, written as those tools read them, and refused clearly."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.audio import write_wav
from streamst.errors import InputError
from streamst.evaluate.formats import omnisteval, simuleval, simulstream
from streamst.evaluate.formats.detect import detect, read_log
from streamst.evaluate.formats.references import attach, check_stems
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.elapsed import elapsed_of
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk, replay
from streamst.evaluate.report.rows import short_rows

LOGS = Path(__file__).parent / "data" / "logs"


def recording(index: int = 0, name: str = "a.wav", steps: tuple[Step, ...] = (), **changes: object) -> Recording:
    units, delays = replay(steps, "test")
    values: dict[str, object] = {
        "index": index,
        "name": name,
        "where": f"test:{index + 1}",
        "source_ms": steps[-1].heard_ms if steps else 1000.0,
        "units": units,
        "delays_ms": delays,
        "steps": steps,
        "references": (Reference(0.0, 1000.0, "two words", "zwei Wörter"),),
        **changes,
    }
    return Recording(**values)  # type: ignore[arg-type]


STEPS = (
    Step(320.0, 40.0, ("Guten",)),
    Step(640.0, 400.0, ("Tag", "wie")),
    Step(1000.0, 30.0, ("Welt!",), deleted=("wie",)),
    Step(1000.0, 10.0),
)


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("simuleval_s2t", "simuleval"),
        ("simuleval_s2t/instances.log", "simuleval"),
        ("simuleval_s2s", "simuleval"),
        ("simulstream", "simulstream"),
        ("longform/metrics.jsonl", "simulstream"),
    ],
)
def test_the_format_of_a_log_is_told_from_its_content(path: str, format: str) -> None:
    assert detect(LOGS / path) == format


def test_an_unknown_format_names_the_file_and_the_formats_that_are_known(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("hello\n")
    with pytest.raises(InputError, match=r"x\.log:1: unknown log format.*streamst, simuleval, simulstream, omnisteval"):
        detect(log)
    with pytest.raises(InputError, match=r"no log in this directory.*instances\.log"):
        detect(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        detect(tmp_path / "nothing")


def test_the_directory_that_simuleval_wrote_gives_the_values_that_simuleval_gave() -> None:
    header, values = (LOGS / "simuleval_s2t" / "scores.tsv").read_text().splitlines()
    expected = dict(zip(header.split("\t"), map(float, values.split("\t")), strict=True))
    log = read_log(LOGS / "simuleval_s2t")
    rows = short_rows(log.recordings, ["simuleval"])
    for name in ("AP", "AL", "LAAL", "DAL", "ATD"):
        ours = np.mean([row.values[name] for row in rows])
        with_compute = np.mean([row.values[f"{name}_CA_simuleval"] for row in rows])
        assert ours == pytest.approx(expected[name], abs=5e-4), name  # the tool prints three decimals
        assert with_compute == pytest.approx(expected[f"{name}_CA"], abs=5e-4), name


def test_speech_output_that_simuleval_wrote_gives_its_offsets() -> None:
    header, values = (LOGS / "simuleval_s2s" / "scores.tsv").read_text().splitlines()
    expected = dict(zip(header.split("\t"), map(float, values.split("\t")), strict=True))
    rows = short_rows(read_log(LOGS / "simuleval_s2s").recordings, [])
    for name in ("StartOffset", "EndOffset", "NumChunks"):
        assert np.mean([row.values[f"{name}_speech"] for row in rows]) == pytest.approx(expected[name], abs=5e-4), name
    assert all("LAAL" not in row.values for row in rows)  # no text in that log, so no latency of text


def test_a_simulstream_log_keeps_what_was_taken_back() -> None:
    first, second = read_log(LOGS / "simulstream").recordings
    assert " ".join(first.units) == "w1 v2 w3 w4 v5 w6 w7 v8 w9 w10 end."
    assert sum(len(step.deleted) for step in first.steps) == 3
    assert first.delays_ms[1] == 3000.0  # v2 replaced w2 when three seconds were heard
    assert second.source_ms == 6000.0
    assert second.steps[-1].compute_ms == pytest.approx(0.009775161743164062)


def test_both_golden_logs_of_one_long_run_hold_the_same_units_and_delays() -> None:
    ours = read_log(LOGS / "longform" / "instances.log").recordings
    theirs = read_log(LOGS / "longform" / "metrics.jsonl").recordings
    for a, b in zip(ours, theirs, strict=True):
        assert a.units == b.units
        assert a.delays_ms == b.delays_ms
        assert elapsed_of(a, "simuleval") == pytest.approx(elapsed_of(b, "simuleval"), abs=1e-6)


@pytest.mark.parametrize("name", ["simuleval", "simulstream", "omnisteval"])
def test_what_is_exported_is_read_back_the_same(name: str, tmp_path: Path) -> None:
    runs = [recording(0, "a.wav", STEPS), recording(1, "b.wav", (Step(900.0, 5.0),))]
    elapsed = [elapsed_of(r, "simuleval") for r in runs]
    if name == "simuleval":
        simuleval.write_text(runs, elapsed, tmp_path)
    elif name == "omnisteval":
        omnisteval.write(runs, elapsed, tmp_path)
    else:
        simulstream.write(runs, tmp_path)
    log = read_log(tmp_path)
    assert log.format == name
    for before, after in zip(runs, log.recordings, strict=True):
        assert (after.units, after.delays_ms, after.source_ms) == (before.units, before.delays_ms, before.source_ms)
        assert after.name == before.name
        assert elapsed_of(after, "simuleval" if name != "omnisteval" else "log") == pytest.approx(
            elapsed_of(before, "simuleval")
        )
        if name != "simulstream":
            assert after.reference == "zwei Wörter"
        else:
            assert [s.deleted for s in after.steps] == [s.deleted for s in before.steps]


words = st.text(st.characters(exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc")), min_size=1, max_size=6).filter(
    lambda w: w.split() == [w] and "▁" not in w
)


@given(st.lists(st.tuples(st.floats(1, 500), st.floats(0, 900), st.lists(words, max_size=3)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_words_and_times_survive_a_simulstream_log(tmp_path_factory: pytest.TempPathFactory, pieces: list) -> None:
    heard, steps = 0.0, []
    for step_ms, compute_ms, written in pieces:
        heard += step_ms
        steps.append(Step(heard, compute_ms, tuple(written)))
    before = recording(steps=tuple(steps))
    folder = tmp_path_factory.mktemp("log")
    simulstream.write([before], folder)
    after = read_log(folder).recordings[0]
    assert after.units == before.units
    assert after.delays_ms == pytest.approx(before.delays_ms)
    assert [s.compute_ms for s in after.steps] == pytest.approx([s.compute_ms for s in before.steps])


def test_chinese_is_counted_in_characters_in_every_format(tmp_path: Path) -> None:
    steps = (Step(500.0, 1.0, ("你", "好")), Step(1000.0, 1.0, ("吗",)))
    run = recording(steps=steps, unit="char", references=(Reference(0.0, 1000.0, "how are you", "你好吗"),))
    assert run.prediction == "你好吗"
    simuleval.write_text([run], [elapsed_of(run, "simuleval")], tmp_path)
    after = read_log(tmp_path).recordings[0]
    assert (after.unit, after.units) == ("char", ("你", "好", "吗"))
    simulstream.write([run], tmp_path / "s")
    assert yaml.safe_load((tmp_path / "s" / "cfg.yaml").read_text())["latency_unit"] == "char"
    assert read_log(tmp_path / "s").recordings[0].unit == "char"


def test_speech_is_exported_with_the_pauses_that_a_listener_hears(tmp_path: Path) -> None:
    said = np.concatenate([np.full(1600, 0.5, np.float32), np.full(3200, -0.5, np.float32)])
    write_wav(tmp_path / "said.wav", said, 16_000)
    chunks = (SpeechChunk(500.0, 100.0, 0, "a"), SpeechChunk(1000.0, 200.0, 1, "b"))
    run = recording(steps=STEPS, speech=chunks, speech_path=tmp_path / "said.wav", output="both")
    simuleval.write_speech([run, recording(1, "b.wav", STEPS)], tmp_path / "out")
    entry, silent = [json.loads(line) for line in (tmp_path / "out" / "instances.log").read_text().splitlines()]
    assert entry["intervals"] == [[500.0, 100.0], [1000.0, 200.0]]
    assert entry["prediction_offset"] == 500.0
    assert entry["prediction_length"] == pytest.approx(0.7)
    pcm, rate = soundfile.read(tmp_path / "out" / entry["prediction"])
    assert (rate, len(pcm)) == (16_000, 11_200)  # 700 ms: both chunks and the pause between them
    assert pcm[800] == pytest.approx(0.5, abs=1e-3)
    assert not pcm[1600:8000].any()
    assert pcm[9000] == pytest.approx(-0.5, abs=1e-3)
    assert (silent["prediction"], silent["delays"]) == ("", [])


def test_references_are_attached_by_segment_and_by_line(tmp_path: Path) -> None:
    log = read_log(LOGS / "longform" / "metrics.jsonl")
    folder = LOGS / "longform"
    first, second = attach(log.recordings, folder / "references.txt", folder / "ref_segments.yaml")
    assert len(first.references) == 5
    assert second.references[0].translation == "Die Latenz ist genauso wichtig wie die Qualität ."
    assert first.long_form
    lines = tmp_path / "r.txt"
    lines.write_text("eins\nzwei\n")
    assert [r.reference for r in attach(log.recordings, lines)] == ["eins", "zwei"]


def test_references_that_do_not_fit_the_log_are_refused_with_both_numbers(tmp_path: Path) -> None:
    log = read_log(LOGS / "longform" / "metrics.jsonl")
    lines = tmp_path / "r.txt"
    lines.write_text("eins\n")
    with pytest.raises(InputError, match=r"r\.txt: 1 references for 2 recordings"):
        attach(log.recordings, lines)
    with pytest.raises(InputError, match=r"r\.txt: 1 references, but .*ref_segments\.yaml has 8 segments"):
        attach(log.recordings, lines, LOGS / "longform" / "ref_segments.yaml")
    definition = tmp_path / "d.yaml"
    definition.write_text("- {wav: other.wav, offset: 0, duration: 1}\n")
    with pytest.raises(InputError, match="other is not in the log"):
        attach(log.recordings, lines, definition)
    definition.write_text("- {wav: recA.wav, offset: 0, duration: 1}\n")
    with pytest.raises(InputError, match="recB has no segment"):
        attach(log.recordings, lines, definition)
    definition.write_text("- {wav: recA.wav, offset: .nan, duration: 1}\n")
    with pytest.raises(InputError, match="entry 0: offset and duration must be 0 or more"):
        attach(log.recordings, lines, definition)


def test_two_recordings_of_one_file_name_are_not_exported_to_tools_that_mix_them_up() -> None:
    with pytest.raises(InputError, match=r"x/a\.wav and y/a\.flac"):
        check_stems([recording(0, "y/a.flac", STEPS), recording(1, "x/a.wav", STEPS)])


BAD_LINES = [
    ('{"index": 0, "prediction": "a b", "delays": [1], "source_length": 9}', r":1: 1 delays but the prediction has 2"),
    ('{"index": -1, "prediction": "a", "delays": [1], "source_length": 9}', r":1: index is -1; a whole number, 0 or"),
    ('{"index": "0", "prediction": "a", "delays": [1], "source_length": 9}', r":1: index is '0'; a whole number"),
    ('{"index": true, "prediction": "a", "delays": [1], "source_length": 9}', r":1: index is True; a whole number"),
    ('{"index": 0, "prediction": "a", "delays": [NaN], "source_length": 9}', r":1: delays\[0\] is nan; a finite"),
    ('{"index": 0, "prediction": "a", "delays": [-1], "source_length": 9}', r":1: delays\[0\] is -1"),
    ('{"index": 0, "prediction": "a", "delays": [1]}', r":1: source_length is None"),
    ('{"index": 0, "prediction": 5, "delays": [1], "source_length": 9}', r":1: prediction is 5; a string"),
    ('{"index": 0, "prediction": "a", "delays": [1], "elapsed": [1, 2], "source_length": 9}', r":1: 1 words but 2"),
    ('{"index": 0, "prediction": "a", "delays": 7, "source_length": 9}', r":1: delays is 7; a list of numbers"),
    ('{"index": 0, "prediction": "x.wav", "delays": [1], "durations": [], "source_length": 9}', r"1 delays but 0 dur"),
    ('{"id": 0, "total_audio_processed": 1.0, "computation_time": 0.1}', r":1: stream 0 has no line with metadata"),
    ('{"id": 0, "metadata": {}}', r":1: wav_name is None"),
    ('{"id": 0, "metadata": {"wav_name": "a.wav"}}', "a.wav has no chunk"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_refused_with_file_and_line(line: str, message: str, tmp_path: Path) -> None:
    log = tmp_path / "bad.log"
    log.write_text(line + "\n")
    with pytest.raises(InputError, match=r"bad\.log.*" + message if message.startswith(":") else message):
        read_log(log)


STREAM = '{"id": 0, "metadata": {"wav_name": "a.wav"}}\n'
CHUNK = (
    '{"id": 0, "total_audio_processed": %s, "computation_time": 0.1, "generated_tokens": %s, "deleted_tokens": %s}\n'
)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([("1.0", '["a"]', "[]"), ("2.0", "[]", '["b"]')], r"step 1 deletes \['b'\], but the last units are \['a'\]"),
        (
            [("1.0", '["▁a", "b"]', "[]"), ("2.0", "[]", '["c"]')],
            r":3 deletes \['c'\], but the last pieces are \['b'\]",
        ),
        ([("1.0", '["▁a"]', "[]"), ("2.0", "[]", '["▁a", "▁a"]')], r":3 deletes \['▁a', '▁a'\]"),
        ([("2.0", "[]", "[]"), ("1.0", "[]", "[]")], r":3: total_audio_processed goes back from 2.0 to 1.0 s"),
        ([("1.0", '"a"', "[]")], r":2: generated_tokens is 'a'; a list of strings"),
    ],
)
def test_an_impossible_chunk_is_refused_with_its_line(chunks: list, message: str, tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text(STREAM + "".join(CHUNK % chunk for chunk in chunks))
    with pytest.raises(InputError, match=message):
        read_log(log)


# Chunks of one second each, generated and deleted; the words and delays [s] that simulstream 1.0.0 reads from them with
# `detokenizer_type: simuleval`, `latency_unit: spm` (its LogReader counts in words).
PIECES = [
    ([(["▁Gut"], []), (["en", "▁Morgen"], []), (["."], [])], ["Guten", "Morgen."], [2.0, 3.0]),
    ([(["▁Gut", "en", "▁M"], []), ([], ["▁M"]), (["▁Tag"], [])], ["Guten", "Tag"], [1.0, 3.0]),
    ([(["▁Gut", "en"], []), (["e"], ["en"])], ["Gute"], [2.0]),
    ([(["▁der", "▁H"], []), ([], []), (["aus"], []), (["▁"], []), (["x"], [])], ["der", "Haus", "x"], [1.0, 3.0, 5.0]),
    ([(["▁a"], []), (["▁b"], []), ([], ["▁b"]), (["a"], [])], ["aa"], [4.0]),
    ([(["▁10\u00a0", "000"], []), (["▁Euro"], [])], ["10\u00a0000", "Euro"], [1.0, 2.0]),
    ([(["aus"], []), (["x", "."], [])], ["ausx."], [2.0]),
]


@pytest.mark.parametrize(("chunks", "words", "delays"), PIECES)
def test_a_word_of_pieces_is_there_when_its_last_piece_is(
    chunks: list[tuple[list[str], list[str]]], words: list[str], delays: list[float], tmp_path: Path
) -> None:
    told = [(f"{n}.0", json.dumps(new), json.dumps(gone)) for n, (new, gone) in enumerate(chunks, start=1)]
    (tmp_path / "metrics.jsonl").write_text(STREAM + "".join(CHUNK % chunk for chunk in told))
    (tmp_path / "cfg.yaml").write_text("detokenizer_type: simuleval\nlatency_unit: spm\n")
    found = read_log(tmp_path).recordings[0]
    assert found.prediction == " ".join(words).replace("\u00a0", " ")
    ends = itertools.accumulate(found.units_a_word or [1] * len(found.units))
    assert [found.delays_ms[end - 1] / 1000 for end in ends] == delays


def test_a_word_that_grows_is_not_taken_for_one_that_was_taken_back(tmp_path: Path) -> None:
    chunks = [("1.0", '["▁Gut"]', "[]"), ("2.0", '["en", "▁Mor"]', "[]"), ("3.0", '["gen"]', "[]")]
    (tmp_path / "metrics.jsonl").write_text(STREAM + "".join(CHUNK % chunk for chunk in chunks))
    assert [(s.written, s.deleted) for s in read_log(tmp_path).recordings[0].steps] == [
        ((), ()), (("Guten",), ()), (("Morgen",), ()),
    ]  # fmt: skip


def test_a_simuleval_log_may_begin_at_any_index_and_be_in_any_order(tmp_path: Path) -> None:
    entry = '{"index": %d, "prediction": "w%d", "delays": [1], "source_length": 9}\n'
    log = tmp_path / "instances.log"
    log.write_text("".join(entry % (index, index) for index in (12, 10, 70)))
    assert [(r.index, r.prediction) for r in read_log(log).recordings] == [(10, "w10"), (12, "w12"), (70, "w70")]
    log.write_text((entry % (12, 12)).replace("12,", "12.0,"))
    assert [r.index for r in read_log(log).recordings] == [12]
    log.write_text("".join(entry % (index, index) for index in (12, 10, 12)))
    with pytest.raises(InputError, match=r"instances\.log:3: index 12 is there twice, first as .*instances\.log:1"):
        read_log(log)


def test_a_truncated_last_line_is_left_out_and_counted(tmp_path: Path) -> None:
    whole = (LOGS / "simuleval_s2t" / "instances.log").read_text()
    log = tmp_path / "instances.log"
    log.write_text(whole[:-40])
    cut = read_log(log)
    assert (len(cut.recordings), cut.truncated) == (1, 1)
    log.write_text(whole[40:])
    with pytest.raises(InputError, match=r"instances\.log:1"):
        read_log(log, "simuleval")


def test_white_space_of_any_kind_separates_units_and_never_stands_in_one(tmp_path: Path) -> None:
    log = tmp_path / "instances.log"
    entry = {"index": 0, "prediction": "a\u00a0b\tc\u3000d", "delays": [1, 2, 3, 4], "source_length": 9}
    log.write_text(json.dumps(entry, ensure_ascii=False) + "\n")
    assert read_log(log).recordings[0].units == ("a", "b", "c", "d")
