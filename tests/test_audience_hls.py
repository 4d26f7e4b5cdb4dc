"""Captions as live HLS: what is listed never changes, nothing is lost, nothing comes twice."""

from __future__ import annotations

import re

import pytest

from streamst.events import Caption
from streamst.server.audience.hls import HOLD_S, SEGMENT_S, LiveSegments, read_mpegts


def caption(segment: int, start_s: float, end_s: float, text: str, *, lang: str = "de", final: bool = True) -> Caption:
    start_ms, end_ms = 1000 * start_s, 1000 * end_s
    return Caption(
        lang=lang, segment=segment, revision=0, stable=text, final=final,
        start_ms=start_ms, end_ms=end_ms, source_ms=end_ms, compute_ms=0.0,
    )  # fmt: skip


def listed(live: LiveSegments) -> list[str]:
    """The segments of the playlist, in its order."""
    numbers = [int(number) for number in re.findall(r"^captions/(\d+)\.vtt\?lang=de$", live.playlist("lang=de"), re.M)]
    return [text for number in numbers if (text := live.segment(number)) is not None]


def test_a_segment_is_listed_a_while_after_its_end_and_then_never_changes() -> None:
    live = LiveSegments(["de"])
    live.add(caption(0, 0.5, 2, "Guten Tag."), now_s=103)  # begun at 101
    live.add(caption(1, 3, 8, "Wie geht es?"), now_s=110)
    live.advance(101 + SEGMENT_S + HOLD_S - 0.1)
    assert listed(live) == []
    live.add(caption(2, 13, 14, "Gut."), now_s=115)
    live.advance(101 + SEGMENT_S + HOLD_S)
    (first,) = listed(live)
    assert first.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n")
    assert "00:00:00.500 --> 00:00:02.000\nGuten Tag.\n" in first
    assert "00:00:03.000 --> 00:00:08.000\nWie geht es?\n" in first
    live.add(caption(3, 15, 16, "Und Ihnen?"), now_s=118)
    live.advance(101 + 3 * SEGMENT_S + HOLD_S)
    assert len(listed(live)) == 3
    assert listed(live)[0] == first
    assert "Wie geht es?" in listed(live)[1], "a caption that goes on stands in the next segment, too"
    assert "#EXT-X-ENDLIST" not in live.playlist("")
    live.finish()
    assert live.playlist("").endswith("#EXT-X-ENDLIST\n")
    assert "Und Ihnen?" in listed(live)[2], "the last sentence before a pause waits for no other"


def test_what_comes_too_late_is_shown_in_the_first_segment_that_is_not_listed() -> None:
    live = LiveSegments(["de"])
    live.add(caption(0, 0, 1, "Eins."), now_s=1)
    live.add(caption(1, 2, 3, "Zwei.", final=False), now_s=3)
    live.advance(SEGMENT_S + HOLD_S)
    live.add(caption(1, 2, 3, "Zwei.", final=True), now_s=SEGMENT_S + HOLD_S + 1)
    live.add(caption(2, 4, 5, "Drei."), now_s=SEGMENT_S + HOLD_S + 1)
    live.finish()
    whole = "".join(listed(live))
    words = ["Eins.", "Zwei.", "Drei."]
    assert [whole.count(word) for word in words] == [1, 1, 1]
    assert [word for word in re.findall(r"^\w+\.$", whole, re.M)] == words
    assert "00:00:00.000 --> 00:00:01.000\nEins." in listed(live)[0]
    assert "00:00:06.000 --> 00:00:07.000\nZwei." in listed(live)[1]


def test_the_times_map_to_the_pictures_and_only_what_is_listed_is_there() -> None:
    live = LiveSegments(["de"])
    live.add(caption(0, 0, 1, "a < b & c"), now_s=1)
    live.finish()
    assert (live.segment(0, 900_000) or "").startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,")
    assert "a &lt; b &amp; c" in (live.segment(0) or "")
    assert live.segment(1) is None
    assert live.segment(-1) is None


@pytest.mark.parametrize(
    ("given", "read"), [(None, 0), ("900000", 900_000), ("-1", None), ("x", None), (str(2**33), None)]
)
def test_where_the_talk_begins_in_the_picture(given: str | None, read: int | None) -> None:
    assert read_mpegts(given) == read
