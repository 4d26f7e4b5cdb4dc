"""Lists of recordings: what they keep, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import HEADER

from streamst.audio import write_wav
from streamst.errors import InputError
from streamst.evaluate.log.manifest import Reference, check_audio, read_manifest


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


def test_a_translation_that_was_forgotten_is_none_and_that_of_silence_is_empty(tmp_path: Path) -> None:
    text = "path\tduration_s\ttext\ttranslation\na.wav\t1\tHello.\t\nb.wav\t1\t\t\nc.wav\t1\tHello.\tHallo.\n"
    clips = read_manifest(write_manifest(tmp_path, text)).clips
    assert [clip.references[0].translation for clip in clips] == [None, "", "Hallo."]


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
