"""WAV files whose header does not know how long they are: RIFF, RIFX, RF64 and BW64, from files and pipes.

The decoder is given one header without a length, and samples only. How many there are is decided here: a size that no
writer meant (it could not seek back) promises nothing; what follows the promised samples is another chunk, another
recording (files that were joined), or more samples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamst.errors import InputError

from .source import Source

MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
UNKNOWN_BYTES = 0x7FFFF000  # from here on writers to pipes say "no idea": sox, espeak-ng, ffmpeg, GStreamer
BELIEVED_MISSING_S = 3600.0  # a header that promises hours more than there are is a wrong one
_LONGEST_FORMAT_BYTES = 4096
_LONGEST_LATER_CHUNK_BYTES = 1 << 24
_PLAIN = (1, 3, 6, 7, 0xFFFE)  # PCM, float, A-law, mu-law, extensible
_SWAPPED = (1, 3, 6, 7)  # which RIFX holds with the higher byte first
_BLOCKS = (2, 0x11, 0x31)  # ADPCM by Microsoft and IMA, GSM 6.10
_PIECE_BYTES = 1 << 13


@dataclass(frozen=True)
class Header:
    """What stands before the samples of one recording."""

    format: bytes  # the `fmt ` chunk's content
    order: Literal["little", "big"]
    promised: int | None  # bytes of samples
    wide: bool = False  # Wave64: ids of 16 bytes, sizes of 8

    @property
    def pad_to(self) -> int:
        """Where the next chunk begins."""
        return 8 if self.wide else 2

    @property
    def block_bytes(self) -> int:
        """The smallest piece that can be decoded."""
        return max(1, int.from_bytes(self.format[12:14], self.order))

    @property
    def counted(self) -> bool:
        """Whether it says how many samples stand in a block."""
        return int.from_bytes(self.format[:2], self.order) in _PLAIN + _BLOCKS

    @property
    def samples_per_block(self) -> int:
        """1 for what is not compressed into blocks."""
        kind = int.from_bytes(self.format[:2], self.order)
        return max(1, int.from_bytes(self.format[18:20], self.order)) if kind in _BLOCKS else 1

    def believed(self, missing: int) -> int:
        """`missing` bytes, or 0 where nobody can have meant so many."""
        rate_hz = int.from_bytes(self.format[4:8], self.order)
        missing_s = missing / self.block_bytes * self.samples_per_block / max(1, rate_hz)
        return missing if missing_s < BELIEVED_MISSING_S else 0

    def without_length(self) -> bytes:
        """A header for the same samples that says nothing of their number."""
        form, unknown = self.format, b"\xff" * 4
        if self.order == "big":
            form = struct.pack("<HHIIHH", *struct.unpack(">HHIIHH", form[:16]))
        return b"".join([b"RIFF", unknown, b"WAVEfmt ", len(form).to_bytes(4, "little"), form, b"data", unknown])

    def little(self, samples: bytes) -> bytes:
        """Whole blocks with the lower byte first: a decoder takes those of RIFX for such, and makes noise of them."""
        width = int.from_bytes(self.format[14:16], self.order) // 8
        if self.order == "little" or width < 2 or len(samples) % width:
            return samples
        return np.frombuffer(samples, np.uint8).reshape(-1, width)[:, ::-1].tobytes()


class WavBytes:
    """The bytes of a WAV file for a decoder, through `read`."""

    def __init__(self, source: Source) -> None:
        self.given = 0  # bytes of samples
        self.missing = 0  # bytes that were promised, and are not there
        self.trouble = ""  # what was not read, and why
        self._source = source
        self._header = _read_header(source)
        self._begin = source.position
        self._pieces = self._all_pieces()
        self._pending = b""

    @property
    def promised_samples(self) -> int | None:
        """Samples a channel that the header promises; None where it is wrong, or does not know."""
        header, size = self._header, self._source.size
        if not header.promised or not header.counted:
            return None
        end = self._begin + header.promised
        if size is not None and end < size:
            behind = self._source.at(end + -header.promised % header.pad_to, 4)
            if behind and not _is_printable(behind):
                return None
        if size is not None and header.believed(max(0, end - size)) != max(0, end - size):
            return None
        return header.promised // header.block_bytes * header.samples_per_block

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none at the end."""
        if not self._pending:
            self._pending = next(self._pieces, b"")
        data, self._pending = self._pending[:count], self._pending[count:]
        return data

    def _all_pieces(self) -> Iterator[bytes]:
        header = self._header
        yield header.without_length()
        while True:
            yield from self._samples(header)
            if not is_wav(self._source.peek(16)):
                return
            try:
                following = _read_header(self._source)
            except InputError:  # a header and nothing more
                return
            if following.format[:16] != header.format[:16]:
                self.trouble = "holds another recording, in another format, which was not read"
                return
            header = following

    def _samples(self, header: Header) -> Iterator[bytes]:
        """The samples of one recording; the source then stands at the next one, or at its end."""
        left = promised = header.promised
        while True:
            if left is not None and left < header.block_bytes:
                left = promised = self._behind(header, promised or 0)
                if left == 0:
                    return
            window = self._source.peek(_PIECE_BYTES + 16)
            end = _next_recording(window)
            whole = min(end, _PIECE_BYTES, _PIECE_BYTES if left is None else left)
            size = whole - whole % header.block_bytes
            if not size:
                self._source.skip(end)  # the beginning of a sample
                missing = header.believed(left or 0)
                self.missing += missing if missing > self._begin else 0  # some count the header, too
                return
            self.given += size
            left = None if left is None else left - size
            yield header.little(self._source.read(size))

    def _behind(self, header: Header, promised: int) -> int | None:
        """How many bytes of samples stand behind the `promised` ones: none where chunks, which are skipped, another
        recording or nothing does; those of another chunk of samples; None where they just go on."""
        offset = promised % header.block_bytes
        padding = -promised % header.pad_to
        if not any(self._source.peek(offset + padding)[offset:]):
            offset += padding
        while True:
            head = self._source.peek(offset + 24)[offset:]
            if len(head) < header.block_bytes or is_wav(head):
                self._source.skip(offset + (0 if is_wav(head) else len(head)))
                return 0
            if len(head) < 8:
                return None
            size = int.from_bytes(head[4:8], header.order)
            if header.wide:
                size = int.from_bytes(head[16:24], "little") - 8
            if head[:4] == b"data" and not header.wide:
                self._source.skip(offset + 8)
                return None if not size or size >= UNKNOWN_BYTES else size
            if not _is_printable(head[:4]) or not 0 <= size <= _LONGEST_LATER_CHUNK_BYTES:
                return None
            self._source.skip(offset + 8 + size)
            offset = -size % header.pad_to


def _is_printable(name: bytes) -> bool:
    return all(0x20 <= letter < 0x7F for letter in name)


def is_wav(head: bytes) -> bool:
    """Whether a WAV file begins with `head`, 12 bytes or more."""
    return head[:4] in MAGICS and head[8:12] == b"WAVE"


def is_wave64(head: bytes) -> bool:
    """Whether a Sony Wave64 file begins with `head`, 40 bytes or more."""
    return head[:4] == b"riff" and head[24:28] == b"wave"


def _next_recording(samples: bytes) -> int:
    """Where among `samples` the header of another recording begins; their length where none does."""
    at = samples.find(b"WAVE")
    while at >= 0:
        if at >= 8 and is_wav(samples[at - 8 : at + 4]):
            return at - 8
        at = samples.find(b"WAVE", at + 1)
    return len(samples)


def _read_wave64(source: Source) -> Header:
    source.skip(40)
    form = b""
    while len(chunk := source.peek(24)) == 24:
        size = int.from_bytes(chunk[16:], "little") - 24
        source.skip(24)
        if chunk[:4] == b"data":
            if len(form) < 16:
                break
            return Header(form, "little", max(0, size), wide=True)
        if chunk[:4] == b"fmt ":
            form = source.peek(min(max(0, size), _LONGEST_FORMAT_BYTES))
        source.skip(size + -size % 8)
    raise InputError(f"{source.name} is not audio that can be read, or is damaged: a Wave64 header without samples")


def _read_header(source: Source) -> Header:
    """Read up to the samples; InputError where there are none, or no format before them."""
    if is_wave64(source.peek(40)):
        return _read_wave64(source)
    magic = source.peek(4)
    source.skip(4)
    order = "big" if magic == b"RIFX" else "little"
    source.skip(8)
    form, long_size = b"", None
    while len(chunk := source.peek(8)) == 8:
        source.skip(8)
        size = int.from_bytes(chunk[4:], order)
        if chunk[:4] == b"data":
            if len(form) < 16:
                break
            if size == 0xFFFFFFFF and long_size is not None:
                size = long_size
            elif size >= UNKNOWN_BYTES and (source.size is None or source.position + size > source.size):
                return Header(form, order, None)
            return Header(form, order, size)
        kept = source.peek(min(size, _LONGEST_FORMAT_BYTES)) if chunk[:4] in (b"fmt ", b"ds64") else b""
        if chunk[:4] == b"fmt ":
            form = kept
            if order == "big" and int.from_bytes(form[:2], order) not in _SWAPPED:
                raise InputError(f"{source.name} is a RIFX file in a coding that is not read here; use WAV or FLAC")
        elif chunk[:4] == b"ds64":
            long_size = int.from_bytes(kept[8:16], order)
        source.skip(size + size % 2)
    raise InputError(f"{source.name} is not audio that can be read, or is damaged: a WAV header without samples")
