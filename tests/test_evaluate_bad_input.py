"""What logs and talks can be that no report must hide: counted, named, never dropped."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamst.audio import write_wav
from streamst.errors import InputError
from streamst.evaluate.api import read, score
from streamst.evaluate.formats.detect import Log
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk
from streamst.evaluate.metrics.recognise import CommandRecogniser
from streamst.evaluate.metrics.speech_quality import arrange, speech_score

WORDS = ("wo", "ist", "der", "Bahnhof")


def entry(**other: object) -> dict[str, object]:
    """A line of a log of OmniSTEval."""
    return {"source": ["t.wav"], "prediction": " ".join(WORDS), "delays": [500.0, 900.0, 1400.0, 2000.0],
            "elapsed": [550.0, 950.0, 1450.0, 2050.0], "source_length": 2000.0} | other  # fmt: skip


def log_file(folder: Path, *entries: dict[str, object]) -> Path:
    path = folder / "hypothesis.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in entries), encoding="utf-8")
    return path


def beside(folder: Path, segments: list[tuple[str, float, float]], lines: list[str]) -> dict[str, Any]:
    """References of talks."""
    (folder / "s.yaml").write_text("".join(f"- {{wav: {w}, offset: {o}, duration: {d}}}\n" for w, o, d in segments))
    (folder / "r.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"segments": folder / "s.yaml", "references": folder / "r.txt"}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(delays=[])], r"hypothesis\.jsonl:1: 0 delays but the prediction has 4 words"),
        ([{k: v for k, v in entry().items() if k != "source_length"}], r"hypothesis\.jsonl:1: source_length is None"),
        ([entry(), entry(delays=[None] * 4)], r"hypothesis\.jsonl:2: delays\[0\] is None"),
    ],
)
def test_a_log_without_times_is_refused_with_its_line(entries: list, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(log_file(tmp_path, *entries), format="omnisteval")


def test_a_log_without_computation_times_has_no_aware_metric_and_all_others(tmp_path: Path) -> None:
    bare = {k: v for k, v in entry().items() if k != "elapsed"}
    found = score(log_file(tmp_path, bare), resamples=100)
    assert "YAAL" in found.metrics
    assert not [name for name in found.metrics if "_CA_" in name]


def test_two_talks_of_one_name_are_refused_where_references_tell_talks_by_it(tmp_path: Path) -> None:
    path = log_file(tmp_path, entry(source=["a/t.wav"]), entry(source=["b/t.wav"]))
    with pytest.raises(InputError, match=r"two recordings have the same file name; .*s\.yaml cannot tell them apart"):
        score(path, **beside(tmp_path, [("t.wav", 0, 1), ("t.wav", 1, 1)], ["x", "y"]), resamples=100)
    assert score(path, resamples=100).summary().startswith("2 recordings")  # without them they are two


def test_a_talk_without_references_is_named(tmp_path: Path) -> None:
    path = log_file(tmp_path, entry(), entry(source=["u.wav"]))
    with pytest.raises(InputError, match=r"u has no segment in .*s\.yaml"):
        score(path, **beside(tmp_path, [("t.wav", 0, 1), ("t.wav", 1, 1)], ["wo ist", "der Bahnhof"]), resamples=100)
    notes = score(path, resamples=100).notes
    assert any("2 of 2 recordings have no reference" in note for note in notes)


@pytest.mark.parametrize(
    ("segments", "note"),
    [
        ([("t.wav", 0, 1.2), ("t.wav", 0.8, 1.2)], "1 reference segments begin before the one before them ends: t.wav"),
        ([("t.wav", 0, 1), ("t.wav", 1, 7)], "1 reference segments reach past the end of their recording: t.wav"),
        ([("t.wav", 0, 1), ("t.wav", 6, 1)], "1 reference segments reach past the end of their recording: t.wav"),
    ],
)
def test_segments_that_overlap_or_lie_outside_are_scored_as_they_stand_and_named(
    segments: list, note: str, tmp_path: Path
) -> None:
    found = score(log_file(tmp_path, entry()), **beside(tmp_path, segments, ["wo ist", "der Bahnhof"]), resamples=100)
    assert len(found.rows) == 2
    assert "LongYAAL" in found.metrics
    assert any(note in one for one in found.notes)


def test_segments_that_follow_each_other_are_not_named(tmp_path: Path) -> None:
    files = beside(tmp_path, [("t.wav", 0, 1.0005), ("t.wav", 1, 1)], ["wo ist", "der Bahnhof"])  # rounding
    assert not [one for one in score(log_file(tmp_path, entry()), **files, resamples=100).notes if "segments" in one]


def silent(index: int = 0) -> Recording:
    return Recording(index, f"{index}.wav", f"made up:{index + 1}", 2000.0, (), (), steps=(Step(2000.0, 5.0),))


def test_silence_only_has_no_latency_and_is_counted() -> None:
    found = score(Log(Path("made up"), "streamst", (silent(),), 0), resamples=100)
    assert found.metrics["empty"].value == 1
    assert not {"LAAL", "YAAL", "SWF", "AL"} & set(found.metrics)
    assert found.verdict is None
    nothing = replace(silent(1), references=(Reference(0.0, 2000.0, "", ""),))  # and nothing should be written
    quiet = score(Log(Path("made up"), "streamst", (nothing,), 0), resamples=100)
    assert not [one for one in quiet.failures if one.name == "writes nothing"]


# ---- dubs ----


def dub(folder: Path, index: int, said_ms: float, logged_ms: float) -> Recording:
    """A recording whose log says `logged_ms` of speech, with a wav of `said_ms`."""
    wav = folder / f"said{index}.wav"
    write_wav(wav, np.full(round(16 * said_ms), 0.1, np.float32), 16_000)
    chunks = (SpeechChunk(800.0, logged_ms),) if logged_ms else ()
    return Recording(
        index, f"{index}.wav", f"made up:{index + 1}", 2000.0, WORDS, (800.0,) * 4, output="both", speech=chunks,
        speech_path=wav if chunks else None, references=(Reference(0.0, 2000.0, "x", " ".join(WORDS)),),
    )  # fmt: skip


def recogniser(folder: Path, code: str) -> CommandRecogniser:
    (folder / "asr.py").write_text(code)
    return CommandRecogniser((sys.executable, str(folder / "asr.py"), "{wav}"), "made up")


def test_a_dub_that_is_empty_counts_as_an_empty_transcript(tmp_path: Path) -> None:
    says = recogniser(tmp_path, f"print({' '.join(WORDS)!r})")
    alone = speech_score([dub(tmp_path, 0, 500.0, 500.0)], says).metrics
    both = speech_score([dub(tmp_path, 0, 500.0, 500.0), dub(tmp_path, 1, 10.0, 0.0)], says).metrics
    assert alone["ASR-WER"].value == 0.0
    assert both["ASR-WER"].value == 50.0


def test_a_dub_30_percent_longer_than_its_log_is_refused_with_both_lengths(tmp_path: Path) -> None:
    long = dub(tmp_path, 0, 1300.0, 1000.0)
    with pytest.raises(InputError, match=r"the speech is 1\.300 s long, but its log says 1\.000 s of chunks"):
        speech_score([long], recogniser(tmp_path, "print('x')"))
    assert len(arrange(np.zeros(16_000, np.float32), [800.0], [1000.0], "removed")) == 16_000


def test_a_recogniser_that_fails_on_one_clip_counts_and_names_it(tmp_path: Path) -> None:
    fails = recogniser(
        tmp_path, f"import sys\nif sys.argv[1].endswith('1.wav'): sys.exit('no such sound')\nprint({' '.join(WORDS)!r})"
    )
    recordings = [dub(tmp_path, index, said_ms, said_ms) for index, said_ms in enumerate((500.0, 600.0))]
    found = speech_score(recordings, fails, cache=tmp_path / "cache")
    assert found.metrics["ASR-WER"].value == 50.0
    (note,) = found.notes
    assert note.startswith(
        "the recogniser failed on the speech of 1 of 2 recordings, which count as not understood: 1.wav"
    )
    assert note.endswith("no such sound)")
    assert len(list((tmp_path / "cache").iterdir())) == 1, "what failed is asked again the next time"


def test_a_recogniser_that_fails_on_everything_is_an_error(tmp_path: Path) -> None:
    fails = recogniser(tmp_path, "import sys\nsys.exit('no such sound')")
    with pytest.raises(InputError, match=r"recogniser 'made up' failed on .*0\.wav: no such sound"):
        speech_score([dub(tmp_path, index, 500.0, 500.0) for index in range(2)], fails)
