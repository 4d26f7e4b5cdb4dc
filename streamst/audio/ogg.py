"""Ogg pages as they pass (RFC 3533): a page that is missing, damaged or cut is noticed, which no decoder tells."""

from __future__ import annotations

import zlib

from .source import Source

MAGIC = b"OggS"
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FIRST_PAGE = 2  # flag: of a logical stream
_PIECE_BYTES = 1 << 13


class OggBytes:
    """The bytes of an Ogg file for a decoder, through `read`, link by link of a chain.

    `trouble` says what was found wrong, or "".
    """

    def __init__(self, source: Source) -> None:
        self.trouble = ""
        self.link_samples: int | None = 0  # by the times of this link's pages that were read; None: not known
        self.seconds: float | None = 0.0  # of the links before it
        self._source = source
        self._held = bytearray()  # the beginning of a page
        self._ready = bytearray()  # whole pages of this link
        self._following = b""  # the first page of the next link
        self._numbers: dict[bytes, int] = {}  # of the next page, by the stream's serial number
        self._before, self._rate_hz = 0, 0  # samples before the start, and rate: Opus and Vorbis
        self._in_data = False  # behind the pages that begin a link

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none at the end of a link."""
        while not self._ready and not self._following and self._take_pages():
            pass
        data = bytes(self._ready[:count])
        del self._ready[:count]
        return data

    def next_link(self) -> bool:
        """Go on with the next link of the chain; False where there is none."""
        while self.read(_PIECE_BYTES):
            pass
        known = self.seconds is not None and self.link_samples is not None
        self.seconds = self.seconds + self.link_samples / max(1, self._rate_hz) if known else None  # type: ignore[operator]
        page, self._following = self._following, b""
        self._in_data, self.link_samples, self._rate_hz = False, 0, 0
        if page:
            self._look_at(page)
        return bool(page)

    def _take_pages(self) -> bool:
        """Read on; False at the end, or where another link begins."""
        data = self._source.read(_PIECE_BYTES)
        self._held += data
        while (size := _page_bytes(self._held)) and size <= len(self._held) and not self._following:
            page = bytes(self._held[:size])
            del self._held[:size]
            if page[5] & _FIRST_PAGE and self._in_data:
                self._following = page
            else:
                self._look_at(page)
        if not size and self._held[:4] != MAGIC[: len(self._held)]:
            self._note("damaged: something stands between its pages")
            at = self._held.find(MAGIC, 1)
            del self._held[: at if at > 0 else max(1, len(self._held) - 3)]
        if not data and self._held and not self._following:
            self._note("truncated: it ends inside a page")
        return bool(data)

    def _look_at(self, page: bytes) -> None:
        self._ready += page
        serial, number = page[14:18], int.from_bytes(page[18:22], "little")
        first = bool(page[5] & _FIRST_PAGE)
        if number != (number if first else self._numbers.get(serial, number)):
            self._note("damaged: a page is missing")
        if checksum(page) != page[22:26]:
            self._note("damaged: a page does not match its checksum")
        self._numbers[serial] = number + 1
        self._in_data = not first
        if first:
            self._begin_stream(page[27 + page[26] :])
        elif page[6:14] != b"\xff" * 8 and self.link_samples is not None:
            self.link_samples = max(0, int.from_bytes(page[6:14], "little") - self._before)

    def _begin_stream(self, head: bytes) -> None:
        if self._rate_hz:  # a second stream beside the first: a video
            self.link_samples = None
        elif head[:8] == b"OpusHead":
            self._before, self._rate_hz = int.from_bytes(head[10:12], "little"), 48_000
        elif head[:7] == b"\x01vorbis":
            self._before, self._rate_hz = 0, int.from_bytes(head[12:16], "little")
        else:
            self.link_samples = None

    def _note(self, trouble: str) -> None:
        self.trouble = self.trouble or trouble


def _page_bytes(data: bytearray) -> int:
    """Length of the page that `data` begins with; 0 where that cannot be told yet, or it is none."""
    if len(data) < 27 or data[:4] != MAGIC or len(data) < 27 + data[26]:
        return 0
    return 27 + data[26] + sum(data[27 : 27 + data[26]])


def checksum(page: bytes) -> bytes:
    """The CRC of a page, as its bytes 22 to 25 are to be: polynomial 0x04C11DB7 from the highest bit, begun at 0.

    zlib's goes from the lowest bit: the same with all bits in reverse order.
    """
    emptied = page[:22] + bytes(4) + page[26:]
    mirrored = zlib.crc32(emptied.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return mirrored.to_bytes(4, "big").translate(_REVERSED)
