"""Packets of the neural codec: a versioned header, codes at 10 bits each, and a check sum.

    byte 0      0xC5
    byte 1      version (1)
    byte 2      codebooks a frame (1 to 32)
    byte 3-4    frames in the packet, little-endian (1 to 4096)
    byte 5-6    number of the first frame modulo 65536, little-endian
    byte 7-...  frames x codebooks codes, 10 bits each, most significant bit first, zero bits to the next byte
    last 4      CRC-32 (IEEE 802.3) of everything before, little-endian

Frames go one after the other, a frame's codebooks from coarse to fine.

Version 2 is entropy coded (`entropy.py`), where that is shorter. Between the frame number and the check sum stand

    byte 7      number of the entropy coder's model: only the same one reads the packet
    byte 8-9    length of the coded codes in bytes, little-endian
    byte 10-... the coded codes
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamst.errors import InputError

MAGIC = 0xC5
VERSION = 1
CODED_VERSION = 2
CODE_BITS = 10
MAX_CODEBOOKS = 32
MAX_FRAMES = 4096
HEADER = struct.Struct("<BBBHH")
CODED = struct.Struct("<BH")
CHECK = struct.Struct("<I")
FRAME_NUMBERS = 1 << 16

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Packet:
    """Codes (frames, codebooks) and the number of the first frame, modulo 65536."""

    codes: Codes
    first_frame: int = 0


class EntropyCoder(Protocol):
    """Fewer bits for likely codes. Every packet stands for itself."""

    number: int  # of the model, 0 to 255

    def encode(self, codes: Codes) -> bytes:
        """codes (frames, codebooks), coded."""
        ...

    def decode(self, data: bytes, frames: int, codebooks: int) -> Codes:
        """The inverse; InputError for what `encode` did not make."""
        ...


def packet_bytes(frames: int, codebooks: int) -> int:
    """Length of a packet that is not entropy coded."""
    return HEADER.size + (frames * codebooks * CODE_BITS + 7) // 8 + CHECK.size


def pack(packet: Packet, entropy: EntropyCoder | None = None) -> bytes:
    """The packet as bytes, the shorter of both kinds; InputError for a shape or a code that has no place in it."""
    codes = np.asarray(packet.codes)
    if codes.ndim != 2:
        raise InputError(f"codes have the shape (frames, codebooks), not {codes.shape}")
    frames, codebooks = codes.shape
    if not (1 <= frames <= MAX_FRAMES and 1 <= codebooks <= MAX_CODEBOOKS):
        raise InputError(
            f"a packet holds 1 to {MAX_FRAMES} frames of 1 to {MAX_CODEBOOKS} codebooks, not {frames} of {codebooks}"
        )
    if codes.min() < 0 or codes.max() >= 1 << CODE_BITS:
        raise InputError(f"codes lie between 0 and {(1 << CODE_BITS) - 1}; found {codes.min()} to {codes.max()}")
    shifts = np.arange(CODE_BITS - 1, -1, -1)
    bits = ((codes.reshape(-1, 1) >> shifts) & 1).astype(np.uint8)
    version, content = VERSION, np.packbits(bits.reshape(-1)).tobytes()
    if entropy is not None:
        coded = entropy.encode(codes)
        if CODED.size + len(coded) < len(content):
            version, content = CODED_VERSION, CODED.pack(entropy.number, len(coded)) + coded
    body = HEADER.pack(MAGIC, version, codebooks, frames, packet.first_frame % FRAME_NUMBERS) + content
    return body + CHECK.pack(zlib.crc32(body))


def spans(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each packet in `data` starts and ends by what its header claims, and the frames it claims.

    Nothing is checked: the last one may be cut off, and what has no whole header counts 0 frames.
    """
    start = 0
    while start < len(data):
        end, frames = len(data), 0
        if end - start >= HEADER.size and data[start] == MAGIC:
            _, version, codebooks, frames, _ = HEADER.unpack_from(data, start)
            size = packet_bytes(frames, codebooks)
            if version == CODED_VERSION and end - start >= HEADER.size + CODED.size:
                size = HEADER.size + CODED.size + CODED.unpack_from(data, start + HEADER.size)[1] + CHECK.size
            end = min(end, start + size)
        yield start, end, frames
        start = end


def unpack_all(data: bytes, entropy: EntropyCoder | None = None) -> list[Packet]:
    """The packets that follow each other in `data`; InputError when any of them is not whole and right."""
    return [unpack(data[start:end], entropy) for start, end, _ in spans(data)]


def _checked(data: bytes) -> tuple[int, int, int, int]:
    """Version, codebooks, frames and first frame of a packet whose header, length and check sum are right."""
    if len(data) < HEADER.size + CHECK.size:
        raise InputError(f"a codec packet has at least {HEADER.size + CHECK.size} bytes, this one {len(data)}")
    magic, version, codebooks, frames, first_frame = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise InputError(f"not a codec packet: it starts with 0x{magic:02X}, not 0x{MAGIC:02X}")
    if version not in (VERSION, CODED_VERSION):
        raise InputError(f"codec packet of version {version}; this decoder reads version {VERSION} and {CODED_VERSION}")
    if not (1 <= frames <= MAX_FRAMES and 1 <= codebooks <= MAX_CODEBOOKS):
        raise InputError(
            f"codec packet claims {frames} frames of {codebooks} codebooks; "
            f"allowed: 1 to {MAX_FRAMES} of 1 to {MAX_CODEBOOKS}"
        )
    _, expected, _ = next(spans(data + b"\0" * (packet_bytes(frames, codebooks) + (1 << 16))))
    if len(data) != expected:
        raise InputError(f"codec packet of {len(data)} bytes; {frames} frames of {codebooks} codebooks take {expected}")
    body, (check,) = data[: -CHECK.size], CHECK.unpack_from(data, len(data) - CHECK.size)
    if zlib.crc32(body) != check:
        raise InputError("codec packet is damaged: its check sum does not match")
    return version, codebooks, frames, first_frame


def first_frame_of(data: bytes) -> int:
    """The number of the first frame in the packet `data`; InputError as in `unpack`, but for codes nobody reads."""
    return _checked(data)[3]


def unpack(data: bytes, entropy: EntropyCoder | None = None) -> Packet:
    """The packet in `data`; InputError, saying what is wrong, for anything that `pack` did not make.

    entropy: what reads entropy-coded packets; without it they are an InputError, too.
    """
    version, codebooks, frames, first_frame = _checked(data)
    body = data[: -CHECK.size]
    if version == VERSION:
        return Packet(_plain(body[HEADER.size :], frames, codebooks), first_frame)
    number, _ = CODED.unpack_from(body, HEADER.size)
    if entropy is None or entropy.number != number:
        known = "none" if entropy is None else f"number {entropy.number}"
        raise InputError(f"codec packet is coded by entropy model {number}; this decoder has {known}")
    return Packet(entropy.decode(body[HEADER.size + CODED.size :], frames, codebooks), first_frame)


def _plain(content: bytes, frames: int, codebooks: int) -> Codes:
    """Codes (frames, codebooks) from 10 bits each."""
    count = frames * codebooks
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    if bits[count * CODE_BITS :].any():
        raise InputError("codec packet has bits after its last code")
    values = bits[: count * CODE_BITS].reshape(count, CODE_BITS).astype(np.int64) @ (1 << np.arange(CODE_BITS)[::-1])
    return values.reshape(frames, codebooks)
