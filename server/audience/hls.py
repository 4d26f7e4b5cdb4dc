"""A room's captions as live HLS: WebVTT in segments, for a player or packager beside a picture. No I/O.

RFC 8216, section 3.5: each segment tells by `X-TIMESTAMP-MAP` where its times lie in the transport stream of the
picture. What was listed never changes. A segment is listed `HOLD_S` after its end, since a caption is known only when
its sentence was heard and translated; what comes later yet is shown in the first segment that is not listed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from streamst.events import Caption
from streamst.subtitles import BRIEFEST_MS, Cue, GrowingTrack, vtt

SEGMENT_S = 6
HOLD_S = 12.0
WINDOW = 600  # segments in a playlist while the talk goes on: an hour
MPEGTS_HZ = 90_000


class LiveSegments:
    """Segments of captions in `langs`, below one another where they are several. Times in seconds of a steady clock."""

    def __init__(self, langs: Sequence[str]) -> None:
        self._track = GrowingTrack(langs)
        self._segments: list[list[Cue]] = []  # that are listed
        self._waiting: list[Cue] = []  # in their order
        self._begun_s: float | None = None  # when the talk began, by what its captions tell of it
        self._end_ms = 0.0  # of the last cue
        self.over = False

    def add(self, caption: Caption, now_s: float) -> None:
        """A caption was said at `now_s`: the talk is at least as old as what it tells."""
        begun_s = now_s - caption.end_ms / 1000
        self._begun_s = begun_s if self._begun_s is None else min(self._begun_s, begun_s)
        self._hold(self._track.add(caption))

    def finish(self) -> None:
        """The talk is over: everything is listed."""
        self._hold(self._track.rest())
        self.over = True
        while self._waiting:
            self._list()

    def advance(self, now_s: float) -> None:
        """List what is due at `now_s`."""
        if self._begun_s is None or self.over:
            return
        while now_s - self._begun_s >= (len(self._segments) + 1) * SEGMENT_S + HOLD_S:
            self._list()

    def playlist(self, query: str) -> str:
        """The media playlist; `query` stands behind the address of each segment."""
        first = 0 if self.over else max(0, len(self._segments) - WINDOW)
        head = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SEGMENT_S}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, len(self._segments)):
            head += [f"#EXTINF:{SEGMENT_S:.3f},", f"captions/{number}.vtt?{query}"]
        return "\n".join([*head, *(["#EXT-X-ENDLIST"] if self.over else []), ""])

    def segment(self, number: int, mpegts: int = 0) -> str | None:
        """Segment `number` as WebVTT, None for one that is not listed. mpegts: where the talk begins in the picture's
        transport stream [1 / 90000 s]."""
        if not 0 <= number < len(self._segments):
            return None
        head = f"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{mpegts},LOCAL:00:00:00.000\n"
        return head + vtt(self._segments[number]).removeprefix("WEBVTT\n")

    def _hold(self, cues: Sequence[Cue]) -> None:
        """Cues begin after those before them, and in a segment that is not listed."""
        for cue in cues:
            begin = max(cue.start_ms, self._end_ms, len(self._segments) * SEGMENT_S * 1000.0)
            self._end_ms = max(cue.end_ms, begin + (cue.end_ms - cue.start_ms if begin > cue.start_ms else BRIEFEST_MS))
            self._waiting.append(Cue(begin, self._end_ms, cue.lines))

    def _list(self) -> None:
        """One more segment: a cue that goes on beyond its end stands in the next one, too."""
        end_ms = (len(self._segments) + 1) * SEGMENT_S * 1000.0
        self._hold(self._track.settle(end_ms))
        self._segments.append([cue for cue in self._waiting if cue.start_ms < end_ms])
        self._waiting = [cue for cue in self._waiting if cue.end_ms > end_ms]


def read_mpegts(given: str | None) -> int | None:
    """Where the talk begins in the picture's transport stream, from a query; None for what is no such number."""
    if given is None:
        return 0
    return int(given) if given.isascii() and given.isdigit() and int(given) < math.pow(2, 33) else None
