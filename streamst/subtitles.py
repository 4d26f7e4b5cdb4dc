"""Subtitle files, SRT and WebVTT, from a session's captions: at any moment, in one language or in several."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from streamst.errors import InputError
from streamst.events import Caption

LINE_CHARACTERS = 42  # the usual limits for subtitles: two lines of 42
CUE_CHARACTERS = 2 * LINE_CHARACTERS
SHORTEST_MS = 1_000.0  # a cue stays at least this long where the next one leaves the time
BRIEFEST_MS = 40.0  # and this long in any case: captions that overlap push later ones back


@dataclass(frozen=True)
class Cue:
    """What is shown from `start_ms` until `end_ms` after the stream's start."""

    start_ms: float
    end_ms: float
    lines: tuple[str, ...]


class CaptionTrack:
    """The newest caption of every segment and language: feed it every caption, ask it for cues whenever wanted."""

    def __init__(self) -> None:
        self._newest: dict[tuple[int, str], Caption] = {}

    def add(self, caption: Caption) -> None:
        """Keep `caption` in place of the older one of its segment and language."""
        self._newest[caption.segment, caption.lang] = caption

    def text(self, lang: str) -> str:
        """Everything that was said in `lang`, segments joined by a space."""
        pieces = (c.stable.strip() for (_, of), c in sorted(self._newest.items()) if of == lang)
        return " ".join(piece for piece in pieces if piece)

    @property
    def captions(self) -> list[Caption]:
        """All that are kept, by segment."""
        return [caption for _, caption in sorted(self._newest.items())]

    def cues(self, langs: Sequence[str]) -> list[Cue]:
        """Cues in order and without overlap, stable text only, `langs` below one another in each.

        A segment that is too long for one cue is cut between words, its time shared out by the length of the text.
        """
        growing = GrowingTrack(langs)
        cues = [cue for caption in self.captions for cue in growing.add(caption)]
        return cues + growing.rest()


class GrowingTrack:
    """Cues as soon as nothing can change them: feed it every caption.

    A segment's are made when it is final in all of `langs`, and those of the segments before it are; the last of them
    waits for the next one, which limits how long it is shown.
    """

    def __init__(self, langs: Sequence[str]) -> None:
        self._langs = tuple(langs)
        self._newest: dict[int, dict[str, Caption]] = {}  # of segments that have no cues yet
        self._next = 0
        self._held: Cue | None = None
        self._after_ms = 0.0  # where the cue before the held one ends, as far as that is known

    def add(self, caption: Caption) -> list[Cue]:
        """What `caption` completes."""
        if caption.lang not in self._langs or caption.segment < self._next:
            return []
        self._newest.setdefault(caption.segment, {})[caption.lang] = caption
        ready: list[Cue] = []
        while all(caption.final for caption in self._captions(self._next)) and len(self._captions(self._next)) == len(
            self._langs
        ):
            ready += self._made(self._next)
            self._next += 1
        return ready

    def settle(self, before_ms: float) -> list[Cue]:
        """The cue that waits for the next one, where it begins before `before_ms`: it waits no longer."""
        held = self._held
        if held is None or held.start_ms >= before_ms:
            return []
        self._held, self._after_ms = None, held.end_ms
        return [_stretched(held, math.inf)]

    def rest(self) -> list[Cue]:
        """At the end: what is not final, too."""
        ready = [cue for segment in sorted(self._newest) for cue in self._made(segment)]
        if self._held is not None:
            ready.append(_stretched(self._held, math.inf))
        self._held = None
        return ready

    def _captions(self, segment: int) -> list[Caption]:
        found = self._newest.get(segment, {})
        return [found[lang] for lang in self._langs if lang in found]

    def _made(self, segment: int) -> list[Cue]:
        captions = [caption for caption in self._captions(segment) if caption.stable.strip()]
        del self._newest[segment]
        ready: list[Cue] = []
        after_ms = self._held.end_ms if self._held is not None else self._after_ms
        for cue in _segment_cues(captions, after_ms) if captions else ():
            if self._held is not None:
                ready.append(_stretched(self._held, cue.start_ms))
            self._held = cue
        return ready


def srt(cues: Iterable[Cue]) -> str:
    """Cues as SubRip text."""
    return Growing(".srt").text(cues)


def vtt(cues: Iterable[Cue]) -> str:
    """Cues as WebVTT text (W3C; `&`, `<` and `>` escaped)."""
    return Growing(".vtt").text(cues)


class Growing:
    """The text of a subtitle file, piece by piece; `ending` names the format."""

    def __init__(self, ending: str) -> None:
        self._is_vtt = ending == ".vtt"
        self._count = 0
        self._begun = False

    def text(self, cues: Iterable[Cue]) -> str:
        """What `cues` add."""
        pieces = ["WEBVTT\n"] if self._is_vtt and not self._begun else []
        self._begun = True
        for cue in cues:
            self._count += 1
            pieces.append(self._cue(cue))
        return "".join(pieces)

    def _cue(self, cue: Cue) -> str:
        point, lines = ",", "".join(f"{line}\n" for line in cue.lines)
        number = f"{self._count}\n"
        if self._is_vtt:
            point, number = ".", ""
            lines = lines.translate(str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"}))
        else:
            lines = lines.replace("-->", "→")  # which only times have
        times = f"{_clock(cue.start_ms, point)} --> {_clock(cue.end_ms, point)}\n"
        return ("\n" if self._is_vtt or self._count > 1 else "") + number + times + lines


FORMATS = {".srt": srt, ".vtt": vtt}


def check_path(path: str | os.PathLike[str]) -> Path:
    """`path` if its name tells a subtitle format and its folder exists; otherwise InputError."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: subtitles end in {' or '.join(FORMATS)}, not {path.suffix!r}")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: the folder {path.parent} does not exist")
    return path


def write(path: str | os.PathLike[str], cues: Iterable[Cue]) -> None:
    """Write cues in the format that the path's ending names."""
    path = check_path(path)
    path.write_text(FORMATS[path.suffix.lower()](cues), encoding="utf-8", newline="\n")


def _segment_cues(captions: Sequence[Caption], after_ms: float) -> list[Cue]:
    """The cues of one segment; none begins before `after_ms`."""
    texts = [" ".join(caption.stable.split()) for caption in captions]
    count = max(math.ceil(len(text) / CUE_CHARACTERS) for text in texts)
    while not all(_fits(part) for text in texts for part in split_evenly(text, count)):
        count += 1
    columns = [split_evenly(text, count) for text in texts]
    lengths = [length for i in range(count) if (length := sum(len(column[i]) for column in columns))]
    rows = [row for row in zip(*columns, strict=True) if any(row)]
    start = max(after_ms, min(caption.start_ms for caption in captions))
    shared_ms = max(0.0, max(caption.end_ms for caption in captions) - start - BRIEFEST_MS * len(rows))
    ends = accumulate((BRIEFEST_MS + shared_ms * length / sum(lengths) for length in lengths), initial=start)
    return [
        Cue(begin, end, tuple(line for part in row for line in _wrap(part)))
        for (begin, end), row in zip(pairwise(ends), rows, strict=True)
    ]


def _stretched(cue: Cue, limit_ms: float) -> Cue:
    """`cue`, shown for at least `SHORTEST_MS` unless that would go past `limit_ms`."""
    wanted = min(cue.start_ms + SHORTEST_MS, limit_ms)
    return Cue(cue.start_ms, max(cue.end_ms, wanted), cue.lines)


def split_evenly(text: str, count: int) -> list[str]:
    """`text` cut between words into `count` pieces of about equal length; with fewer words some are empty."""
    pieces: list[list[str]] = [[] for _ in range(count)]
    passed = 0
    for word in text.split():
        middle = passed + len(word) / 2
        pieces[min(count - 1, int(count * middle / max(1, len(text))))].append(word)
        passed += len(word) + 1
    return [" ".join(piece) for piece in pieces]


def _fits(text: str) -> bool:
    """Whether two lines hold `text`; a word that is longer than a line has one of its own."""
    lines = textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
    return len(lines) <= 2


def _wrap(text: str) -> list[str]:
    """At most two lines for what `_fits`, of about equal length where they can be."""
    halves = split_evenly(text, 2)
    if len(text) > LINE_CHARACTERS and all(0 < len(half) <= LINE_CHARACTERS for half in halves):
        return halves
    return textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def _clock(ms: float, point: str) -> str:
    """`HH:MM:SS,mmm`."""
    total = max(0, round(ms))
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1_000 % 60:02}{point}{total % 1_000:03}"
