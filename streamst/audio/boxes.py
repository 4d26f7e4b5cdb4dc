"""MP4 boxes as they pass (ISO 14496-12): an index that counts samples which no bytes of it hold is refused.

A decoder makes room for as many as an index says: a few bytes that say billions would take all memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamst.errors import InputError

from .source import Source

_FAMILY_TEXT = "ftyp styp moov moof mdat free skip wide sidx uuid emsg prft pnot junk pict udta meta"
FAMILY = frozenset(name.encode() for name in _FAMILY_TEXT.split())  # one of which comes first
MOST_INDEX_BYTES = 1 << 25  # of a moov or moof
MOST_SAMPLES = 1 << 32  # of a track, by its chunks: a day at 48 kHz
MOST_ALIKE = 1 << 20  # samples that are told by their number only, beside those that a quarter of the bytes may be
DEEPEST = 10
_INDEX = (b"moov", b"moof")
_HOLDERS = (b"moov", b"moof", b"traf", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"udta")
_ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stss": 4, b"stco": 4, b"co64": 8, b"elst": 12}
_TRUN_FIELDS = (0x100, 0x200, 0x400, 0x800)  # flags, of four bytes a sample each
_PIECE_BYTES = 1 << 16


def is_mp4(head: bytes) -> bool:
    """Whether an MP4 or QuickTime file begins with `head`, 8 bytes or more."""
    return head[4:8] in FAMILY


class Indices:
    """What the indices of one recording count."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._alike = 0
        self._chunks = self._longest = 0  # of a track, and samples of its longest

    def admit(self, kind: bytes, size: int) -> None:
        """InputError for an index of more bytes than any recording's has."""
        if size > MOST_INDEX_BYTES:
            self._refuse(f"its {kind.decode()} promises {size} bytes; allowed: {MOST_INDEX_BYTES}")

    def check(self, box: memoryview, position: int, depth: int = 0) -> None:
        """InputError where a box, `position` bytes into the recording, or one inside it counts more than it holds."""
        head = bytes(box[:16])
        kind, size = head[4:8], _size(head) or len(box)
        content = box[16 if head[:4] == b"\0\0\0\1" else 8 : size]
        if kind not in _HOLDERS:
            self._check_count(kind, content, position)
            return
        if depth > DEEPEST:
            self._refuse(f"its {kind.decode()} lies in more than {DEEPEST} others")
        if kind == b"stbl":
            self._chunks = self._longest = 0
        at = 0
        while len(content) - at >= 8:
            self.check(content[at:], position, depth + 1)
            at += max(8, _size(bytes(content[at : at + 16])) or len(content))
        if kind == b"stbl" and self._chunks * self._longest > MOST_SAMPLES:
            told = f"{self._chunks} chunks of up to {self._longest} samples"
            self._refuse(f"its index counts {told}; allowed: {MOST_SAMPLES} samples")

    def _check_count(self, kind: bytes, content: memoryview, position: int) -> None:
        number, room = int.from_bytes(content[4:8], "big"), None
        if kind in _ENTRY_BYTES:
            room = max(0, len(content) - 8) // _ENTRY_BYTES[kind]
        elif kind == b"stsz" and not number:  # sizes that differ
            number, room = int.from_bytes(content[8:12], "big"), max(0, len(content) - 12) // 4
        elif kind == b"trun":
            flags = int.from_bytes(content[1:4], "big")
            each = 4 * sum(bool(flags & one) for one in _TRUN_FIELDS)
            if each:
                room = max(0, len(content) - 8 - 4 * bool(flags & 1) - 4 * bool(flags & 4)) // each
            else:
                room = MOST_ALIKE + position // 4 - self._alike
                self._alike += number
        if room is not None and number > room:
            self._refuse(f"its {kind.decode()} counts {number} entries; there is room for {max(0, room)}")
        if kind in (b"stco", b"co64"):
            self._chunks = number
        elif kind == b"stsc":
            counts = (int.from_bytes(content[at : at + 4], "big") for at in range(12, 8 + 12 * number, 12))
            self._longest = max(counts, default=0)

    def _refuse(self, reason: str) -> None:
        raise InputError(f"{self._name} is not audio that can be read, or is damaged: {reason}")


class BoxBytes:
    """The bytes of an MP4 for a decoder, through `read`; of an index only once all of it was looked at."""

    def __init__(self, source: Source) -> None:
        self.error: InputError | None = None  # what was refused: the decoder gets no further bytes
        self._source = source
        self._pieces = self._all_pieces()
        self._pending = b""

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none at the end, or where `error` is."""
        if not self._pending:
            try:
                self._pending = next(self._pieces, b"")
            except InputError as error:
                self.error = error
        data, self._pending = self._pending[:count], self._pending[count:]
        return data

    def _all_pieces(self) -> Iterator[bytes]:
        source, indices = self._source, Indices(self._source.name)
        while head := source.peek(16):
            size, kind = _size(head), head[4:8]
            if kind in _INDEX:
                indices.admit(kind, size)
                indices.check(memoryview(source.peek(size or MOST_INDEX_BYTES)), source.position)
            left = size or None  # to the end of everything
            while left != 0 and (data := source.read(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))):
                left = None if left is None else left - len(data)
                yield data


def check_file(source: Source) -> None:
    """Look at the indices of a whole file; InputError for one that is not possible."""
    indices, at, end = Indices(source.name), 0, source.size or 0
    while at + 8 <= end:
        head = source.at(at, 16)
        size = min(_size(head) or end, end - at)
        if head[4:8] in _INDEX:
            indices.admit(head[4:8], size)
            indices.check(memoryview(source.at(at, size)), at)
        at += max(8, size)


def _size(head: bytes) -> int:
    """Of the box that begins so; 0 for one that goes on to the end, or is none."""
    size = int.from_bytes(head[:4], "big")
    if size == 1:
        size = int.from_bytes(head[8:16], "big")
        return size if size >= 16 else 0
    return size if size >= 8 else 0
