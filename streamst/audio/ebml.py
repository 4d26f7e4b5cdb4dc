"""Matroska and WebM elements as they pass (RFC 8794, RFC 9559): where another recording begins behind the first.

A decoder that went on would take its frames for those of the first one's coding.
"""

from __future__ import annotations

from .source import Source

MAGIC = b"\x1a\x45\xdf\xa3"  # the header that a recording begins with
_ENTERED = (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75")  # Segment, Cluster: what they hold is looked at in its turn
_PIECE_BYTES = 1 << 13
_LONGEST_NAME, _LONGEST_SIZE = 4, 8  # bytes


class EbmlBytes:
    """The bytes of a Matroska file for a decoder, through `read`, one recording after another."""

    trouble = ""  # what is wrong with them the decoder tells

    def __init__(self, source: Source) -> None:
        self._source = source
        self._held = bytearray()  # not passed yet
        self._ready = bytearray()
        self._left = 0  # bytes of an element that are still to pass
        self._begun = self._another = False
        self._lost = False  # what stands there is no element: the rest passes as it is

    def read(self, count: int) -> bytes:
        """At most `count` bytes, as soon as there are some; none at the end of a recording."""
        if not self._ready:
            self._pass_on(False)
        while not self._ready and not self._another and self._take():
            pass
        data = bytes(self._ready[:count])
        del self._ready[:count]
        return data

    def next_link(self) -> bool:
        """Go on with the recording that stands behind this one; False where there is none."""
        while self.read(_PIECE_BYTES):
            pass
        found, self._another, self._begun = self._another, False, False
        return found

    def _take(self) -> bool:
        """Read on; False at the end."""
        data = self._source.read(_PIECE_BYTES)
        self._held += data
        self._pass_on(not data)
        return bool(data)

    def _pass_on(self, ended: bool) -> None:
        """Hand on what is held, but for the head of an element that is not whole, and for another recording."""
        while self._held and not self._another:
            passing = min(self._left, len(self._held))
            self._left -= passing
            if self._lost:
                passing = len(self._held)
            elif not passing:
                passing = self._head()
                if not passing and not ended:
                    return
                passing = passing or len(self._held)
            if not self._another:
                self._ready += self._held[:passing]
                del self._held[:passing]

    def _head(self) -> int:
        """The length of the head of the element that is held; 0 while it is not whole."""
        name_bytes, size_bytes = _length(self._held[:1]), 0
        if len(self._held) > name_bytes:
            size_bytes = _length(self._held[name_bytes : name_bytes + 1])
        if name_bytes > _LONGEST_NAME or size_bytes > _LONGEST_SIZE:
            self._lost = True
            return len(self._held)
        if not size_bytes or len(self._held) < name_bytes + size_bytes:
            return 0
        name = bytes(self._held[:name_bytes])
        if name == MAGIC and self._begun:
            self._another = True
            return 0
        self._begun = True
        if name not in _ENTERED:
            size = int.from_bytes(self._held[name_bytes : name_bytes + size_bytes], "big")
            most = (1 << 7 * size_bytes) - 1
            self._left = size & most
            self._lost = self._left == most  # of unknown size are Segments and Clusters only
        return name_bytes + size_bytes


def _length(first: bytes | bytearray) -> int:
    """How many bytes a number has that begins with the byte `first`; 9 where none does."""
    return 9 - first[0].bit_length()
