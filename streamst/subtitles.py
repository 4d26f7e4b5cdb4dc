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

    def cues(self, langs: Sequence[str]) -> list[Cue]:
        """Cues in order and without overlap, stable text only, `langs` below one another in each.

        A segment that is too long for one cue is cut between words, its time shared out by the length of the text.
        """
        cues: list[Cue] = []
        for segment in sorted({number for number, _ in self._newest}):
            captions = [self._newest[segment, lang] for lang in langs if (segment, lang) in self._newest]
            captions = [caption for caption in captions if caption.stable.strip()]
            if captions:
                cues += _segment_cues(captions, after_ms=cues[-1].end_ms if cues else 0.0)
        limits = [following.start_ms for following in cues[1:]] + [math.inf]
        return [_stretched(cue, limit) for cue, limit in zip(cues, limits, strict=False)]


def srt(cues: Iterable[Cue]) -> str:
    """Cues as SubRip text."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n" + "".join(f"{x}\n" for x in cue.lines)
        for number, cue in enumerate(cues, 1)
    )


def vtt(cues: Iterable[Cue]) -> str:
    """Cues as WebVTT text (W3C; `&`, `<` and `>` escaped)."""
    escape = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        + "".join(f"{line.translate(escape)}\n" for line in cue.lines)
        for cue in cues
    )


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
