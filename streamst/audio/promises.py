"""How long a recording is by its own header, where the decoder only guesses: MP3 and Matroska."""

from __future__ import annotations

from .source import Source

_SAMPLES = {3: 1152, 2: 576, 0: 576}  # a Layer III frame's, by the version bits: MPEG 1, 2, 2.5
_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SIDE_BYTES = {(3, False): 32, (3, True): 17, (2, False): 17, (2, True): 9, (0, False): 17, (0, True): 9}
_LONGEST_TAG_BYTES = 1 << 24  # of an ID3v2 tag: pictures
_LONGEST_HEADER_BYTES = 1 << 16
_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def mp3_samples(source: Source) -> int | None:
    """Samples by a Xing or Info frame, without the encoder's delay and padding; None where there is no such frame, and
    where behind the bytes that it counts stands another recording."""
    head = source.peek(10)
    begin = 0
    if head[:3] == b"ID3" and len(head) == 10:
        begin = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    if begin > _LONGEST_TAG_BYTES:
        return None
    frame = source.peek(begin + 256)[begin:]
    if len(frame) < 200 or not _is_layer_3(frame):
        return None
    version, mono = frame[1] >> 3 & 3, frame[3] >> 6 == 3
    at = 4 + _SIDE_BYTES.get((version, mono), 0)
    if frame[at : at + 4] not in (b"Xing", b"Info") or not frame[at + 7] & 1:
        return None
    flags, count = frame[at + 7], int.from_bytes(frame[at + 8 : at + 12], "big")
    if flags & 2 and source.size is not None:
        behind = source.at(begin + int.from_bytes(frame[at + 12 : at + 16], "big"), 4)
        if len(behind) == 4 and (behind[:3] == b"ID3" or _is_layer_3(behind)):
            return None
    encoder = at + 12 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    trimmed = int.from_bytes(frame[encoder + 21 : encoder + 24], "big")
    return max(0, count * _SAMPLES[version] - (trimmed >> 12) - (trimmed & 0xFFF))


def mp3_frame_bytes(header: bytes, sample_rate_hz: int) -> int:
    """Length of the Layer III frame that begins with `header` (ISO 11172-3, 2.4.1.3); 0 where it does not tell."""
    if len(header) < 4 or not _is_layer_3(header):
        return 0
    version, rate, padding = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 1 & 1
    rates = _KBPS_1 if version == 3 else _KBPS_2
    return _SAMPLES[version] // 8 * rates[rate] * 1000 // sample_rate_hz + padding if 0 < rate < 15 else 0


def _is_layer_3(header: bytes) -> bool:
    """Whether a frame of Layer III begins so, of a version that there is."""
    return header[0] == 0xFF and header[1] & 0xE6 == 0xE2 and header[1] >> 3 & 3 in _SAMPLES


def whole_bytes(source: Source) -> int | None:
    """Bytes of a whole Matroska, WebM or Core Audio file; None where its writer did not know, or it is another."""
    head = source.head  # which is all that is looked at of what may still be being made
    if head[:4] == b"caff":
        return _caf_bytes(source.peek(_LONGEST_HEADER_BYTES))
    if head[:4] != _MATROSKA:
        return None
    size, length = _number(head[4:])
    at = 4 + length + (size or 0)
    if size is None or head[at : at + 4] != _SEGMENT:
        return None
    size, length = _number(head[at + 4 :])
    return None if size is None else at + 4 + length + size


def another_begins(source: Source) -> bool:
    """Whether behind an MP4, AIFF or Matroska of known size in a file stands another, which no reader of the first one
    sees."""
    head = source.head
    if source.size is None:
        return False
    if head[:4] == _MATROSKA:
        end = whole_bytes(source)
        return end is not None and source.at(end, 4) == _MATROSKA
    if head[4:8] != b"ftyp":
        size = int.from_bytes(head[4:8], "big")
        return head[:4] == b"FORM" and source.at(8 + size + size % 2, 4) == b"FORM"
    at = 0
    while at + 8 <= source.size:
        box = source.at(at, 16)
        if at and box[4:8] == b"ftyp":
            return True
        size = int.from_bytes(box[:4], "big")
        size = int.from_bytes(box[8:], "big") if size == 1 else size
        if size < 8:
            return False
        at += size
    return False


def _caf_bytes(head: bytes) -> int | None:
    at = 8
    while len(chunk := head[at : at + 12]) == 12:
        size = int.from_bytes(chunk[4:], "big", signed=True)
        if chunk[:4] == b"data" or size < 0:
            return at + 12 + size if size >= 0 else None
        at += 12 + size
    return None


def _number(data: bytes) -> tuple[int | None, int]:
    """An EBML size (RFC 8794, section 4) and how many bytes it takes; None for "unknown"."""
    first = data[0] if data else 0
    length = 9 - first.bit_length()
    if not first or len(data) < length:
        return None, 0
    value = int.from_bytes(data[:length], "big") & (1 << 7 * length) - 1
    return (None if value == (1 << 7 * length) - 1 else value), length
