"""Subtitle files: exact text of small ones, and what holds for any."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import InputError
from streamst.events import Caption
from streamst.subtitles import (
    CUE_CHARACTERS,
    LINE_CHARACTERS,
    CaptionTrack,
    Cue,
    Growing,
    GrowingTrack,
    split_evenly,
    srt,
    vtt,
    write,
)  # fmt: skip


def caption(lang: str, segment: int, stable: str, start_ms: float, end_ms: float, revision: int = 0) -> Caption:
    return Caption(
        source_ms=end_ms, compute_ms=1.0, lang=lang, segment=segment, revision=revision, stable=stable,
        unstable="noch offen", start_ms=start_ms, end_ms=end_ms,
    )  # fmt: skip


def test_srt_is_written_as_players_expect_it() -> None:
    cues = [Cue(0, 1500, ("Guten Morgen.",)), Cue(3_661_007.4, 3_663_000, ("Wo ist", "der Bahnhof?"))]
    assert srt(cues) == (
        "1\n00:00:00,000 --> 00:00:01,500\nGuten Morgen.\n\n"
        "2\n01:01:01,007 --> 01:01:03,000\nWo ist\nder Bahnhof?\n"
    )  # fmt: skip


def test_webvtt_has_its_header_and_escapes_markup() -> None:
    assert srt([Cue(0, 1500, ("A --> B",))]) == "1\n00:00:00,000 --> 00:00:01,500\nA → B\n"
    assert vtt([Cue(250, 1250, ("A < B & C",))]) == "WEBVTT\n\n00:00:00.250 --> 00:00:01.250\nA &lt; B &amp; C\n"


def test_the_newest_caption_of_a_segment_counts_and_unstable_text_is_left_out() -> None:
    track = CaptionTrack()
    track.add(caption("de", 0, "Guten", 200, 900))
    track.add(caption("de", 0, "Guten Morgen.", 200, 1800, revision=1))
    assert track.cues(["de"]) == [Cue(200, 1800, ("Guten Morgen.",))]
    assert track.text("de") == "Guten Morgen."


def test_a_bilingual_cue_shows_both_languages_in_the_order_asked_for() -> None:
    track = CaptionTrack()
    track.add(caption("de", 0, "Guten Morgen.", 300, 1800))
    track.add(caption("en", 0, "Good morning.", 200, 1700))
    assert track.cues(["en", "de"]) == [Cue(200, 1800, ("Good morning.", "Guten Morgen."))]


def test_a_long_segment_is_cut_between_words_and_its_time_shared_out_by_length() -> None:
    track = CaptionTrack()
    track.add(caption("de", 0, " ".join(["zehn Zeichen"] * 10), 1000, 11_000))
    first, second = track.cues(["de"])
    assert (first.start_ms, second.end_ms) == (1000, 11_000)
    assert first.end_ms == second.start_ms == pytest.approx(6000, abs=500)
    assert " ".join([*first.lines, *second.lines]) == " ".join(["zehn Zeichen"] * 10)


def test_a_segment_without_words_makes_no_cue() -> None:
    track = CaptionTrack()
    track.add(caption("de", 0, "  ", 0, 900))
    assert track.cues(["de"]) == []
    assert srt([]) == ""


def test_a_short_cue_stays_a_second_but_never_covers_the_next() -> None:
    track = CaptionTrack()
    track.add(caption("de", 0, "Ja.", 0, 200))
    track.add(caption("de", 1, "Nein.", 600, 700))
    assert [(cue.start_ms, cue.end_ms) for cue in track.cues(["de"])] == [(0, 600), (600, 1600)]


def test_the_ending_of_the_path_chooses_the_format(tmp_path: Path) -> None:
    cues = [Cue(0, 1000, ("Grüß Gott.",))]
    for name, begin in (("a.srt", "1\n"), ("b.VTT", "WEBVTT\n")):
        write(tmp_path / name, cues)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begin)


@pytest.mark.parametrize(("name", "told"), [("a.txt", r"\.srt or \.vtt"), ("none/a.srt", "none does not exist")])
def test_a_path_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        write(tmp_path / name, [])
    assert not list(tmp_path.iterdir())


words = st.lists(st.text("aäbcßz.,", min_size=1, max_size=14), max_size=30).map(" ".join)
segments = st.lists(st.tuples(words, words, st.integers(0, 20_000), st.integers(0, 20_000)), max_size=4)


@settings(deadline=None)
@given(words, st.integers(1, 9))
def test_splitting_keeps_every_word_in_order(text: str, count: int) -> None:
    pieces = split_evenly(text, count)
    assert len(pieces) == count
    assert " ".join(piece for piece in pieces if piece) == text


@settings(deadline=None, max_examples=50)
@given(segments)
def test_cues_of_any_captions_are_in_order_keep_every_word_and_fit_their_lines(
    given_segments: list[tuple[str, str, int, int]],
) -> None:
    track, at = CaptionTrack(), 0
    for number, (english, german, gap, length) in enumerate(given_segments):
        track.add(caption("en", number, english, at + gap, at + gap + length))
        track.add(caption("de", number, german, at + gap, at + gap + length))
        at += gap + length
    cues = track.cues(["de"])
    assert [w for cue in cues for w in " ".join(cue.lines).split()] == track.text("de").split()
    assert all(len(line) <= LINE_CHARACTERS for cue in cues for line in cue.lines)
    assert all(len(" ".join(cue.lines)) <= CUE_CHARACTERS for cue in cues)
    assert all(len(cue.lines) <= 2 for cue in cues)
    assert all(round(cue.start_ms) < round(cue.end_ms) for cue in cues)
    assert all(cue.end_ms <= following.start_ms for cue, following in pairwise(cues))
    both = track.cues(["en", "de"])
    assert all(len(cue.lines) <= 4 and cue.start_ms < cue.end_ms for cue in both)
    shown = sorted(w for cue in both for w in " ".join(cue.lines).split())
    assert shown == sorted(f"{track.text('en')} {track.text('de')}".split())
    assert len(re.findall("-->", srt(both))) == len(both)


spans = st.lists(st.tuples(words, st.integers(0, 9_000), st.integers(0, 9_000)), max_size=6)


@settings(deadline=None, max_examples=100)
@given(spans)
def test_captions_that_overlap_or_last_no_time_make_cues_that_follow_one_another(
    given_spans: list[tuple[str, int, int]],
) -> None:
    track = CaptionTrack()
    for number, (text, start, length) in enumerate(given_spans):
        track.add(caption("de", number, text, start, start + length))
    cues = track.cues(["de"])
    assert all(round(cue.start_ms) < round(cue.end_ms) for cue in cues)
    assert all(cue.end_ms <= following.start_ms for cue, following in pairwise(cues))
    assert [w for cue in cues for w in " ".join(cue.lines).split()] == track.text("de").split()


def test_a_caption_within_another_has_a_cue_of_its_own() -> None:
    track = CaptionTrack()
    for segment, (start, end) in enumerate([(0, 5000), (1000, 3000), (5000, 6000)]):
        track.add(caption("de", segment, f"Satz {segment}.", start, end))
    times = [(cue.start_ms, cue.end_ms) for cue in track.cues(["de"])]
    assert times == [(0, 5000), (5000, 5040), (5040, 6040)]


def test_a_sentence_that_two_lines_cannot_hold_becomes_two_cues() -> None:
    text = "Er hat sich beim Fußballspielen am Wochenende das rechte Handgelenk gebrochen."
    track = CaptionTrack()
    track.add(caption("de", 0, text, 0, 4000))
    cues = track.cues(["de"])
    assert all(len(cue.lines) <= 2 and max(map(len, cue.lines)) <= LINE_CHARACTERS for cue in cues)
    assert " ".join(line for cue in cues for line in cue.lines) == text


def test_a_word_longer_than_a_line_has_a_line_of_its_own() -> None:
    long = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"
    track = CaptionTrack()
    track.add(caption("de", 0, f"Das {long} gilt nicht mehr.", 0, 4000))
    cues = track.cues(["de"])
    assert all(len(cue.lines) <= 2 for cue in cues)
    assert long in [line for cue in cues for line in cue.lines]


captions = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["en", "de"]), st.text("ab ", max_size=60), st.integers(0, 9_000)),
    max_size=14,
)


@settings(deadline=None, max_examples=100)
@given(captions)
def test_subtitles_that_grow_are_those_that_are_written_at_once(
    told: list[tuple[int, str, str, int]],
) -> None:
    track, growing = CaptionTrack(), GrowingTrack(("en", "de"))
    texts = {".srt": (Growing(".srt"), io.StringIO()), ".vtt": (Growing(".vtt"), io.StringIO())}
    ended: set[tuple[int, str]] = set()
    for segment, lang, text, start in told:
        if (segment, lang) in ended:
            continue
        final = len(text) % 3 == 0
        ended |= {(segment, lang)} if final else set()
        caption = Caption(
            source_ms=0, compute_ms=0, lang=lang, segment=segment, revision=0, stable=text,
            start_ms=start, end_ms=start + 500, final=final,
        )  # fmt: skip
        track.add(caption)
        cues = growing.add(caption)
        for form, file in texts.values():
            file.write(form.text(cues))
    rest = growing.rest()
    for form, file in texts.values():
        file.write(form.text(rest))
    whole = track.cues(["en", "de"])
    assert texts[".srt"][1].getvalue() == srt(whole)
    assert texts[".vtt"][1].getvalue() == vtt(whole)
