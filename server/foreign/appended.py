"""Captions for clients that can only append: the stable text of all segments, piece by piece."""

from __future__ import annotations

from streamst.events import Caption


class Appended:
    """What was told of one language. All deltas, joined, are the stable text with a space between segments."""

    def __init__(self) -> None:
        self._segment = -1
        self._told = ""  # of the segment
        self._begun = False

    def delta(self, caption: Caption) -> str:
        """What `caption` adds, "" for nothing."""
        if caption.segment != self._segment:
            self._segment, self._told = caption.segment, ""
        fresh = caption.stable[len(self._told) :]
        if not fresh:
            return ""
        between = " " if self._begun and not self._told else ""
        self._told, self._begun = caption.stable, True
        return between + fresh
