"""Packets of the neural codec: a versioned header, codes at 10 bits each, and a check sum.

    byte 0      0xC5
    byte 1      version (1)
    byte 2      codebooks a frame (1 to 32)
    byte 3-4    frames in the packet, little-endian (1 to 4096)
    byte 5-6    number of the first frame modulo 65536, little-endian
    byte 7-...  frames x codebooks codes, 10 bits each, most significant bit first, zero bits to the next byte
    last 4      CRC-32 (IEEE 802.3) of everything before, little-endian

Frames go one after the other, a frame's codebooks from coarse to fine.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamst.errors import InputError

MAGIC = 0xC5
VERSION = 1
CODE_BITS = 10
MAX_CODEBOOKS = 32
MAX_FRAMES = 4096
HEADER = struct.Struct("<BBBHH")
CHECK = struct.Struct("<I")
FRAME_NUMBERS = 1 << 16

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Packet:
    """Codes (frames, codebooks) and the number of the first frame, modulo 65536."""

    codes: Codes
    first_frame: int = 0


def packet_bytes(frames: int, codebooks: int) -> int:
    """Length of a packet."""
    return HEADER.size + (frames * codebooks * CODE_BITS + 7) // 8 + CHECK.size


def pack(packet: Packet) -> bytes:
    """The packet as bytes; InputError for a shape or a code that has no place in it."""
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
    header = HEADER.pack(MAGIC, VERSION, codebooks, frames, packet.first_frame % FRAME_NUMBERS)
    body = header + np.packbits(bits.reshape(-1)).tobytes()
    return body + CHECK.pack(zlib.crc32(body))


def unpack_all(data: bytes) -> list[Packet]:
    """The packets that follow each other in `data`; InputError when any of them is not whole and right."""
    packets, start = [], 0
    while start < len(data):
        end = len(data)
        if end - start >= HEADER.size:
            _, _, codebooks, frames, _ = HEADER.unpack_from(data, start)
            end = min(end, start + packet_bytes(frames, codebooks))
        packets.append(unpack(data[start:end]))
        start = end
    return packets


def unpack(data: bytes) -> Packet:
    """The packet in `data`; InputError, saying what is wrong, for anything that `pack` did not make."""
    if len(data) < HEADER.size + CHECK.size:
        raise InputError(f"a codec packet has at least {HEADER.size + CHECK.size} bytes, this one {len(data)}")
    magic, version, codebooks, frames, first_frame = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise InputError(f"not a codec packet: it starts with 0x{magic:02X}, not 0x{MAGIC:02X}")
    if version != VERSION:
        raise InputError(f"codec packet of version {version}; this decoder reads version {VERSION}")
    if not (1 <= frames <= MAX_FRAMES and 1 <= codebooks <= MAX_CODEBOOKS):
        raise InputError(
            f"codec packet claims {frames} frames of {codebooks} codebooks; "
            f"allowed: 1 to {MAX_FRAMES} of 1 to {MAX_CODEBOOKS}"
        )
    expected = packet_bytes(frames, codebooks)
    if len(data) != expected:
        raise InputError(f"codec packet of {len(data)} bytes; {frames} frames of {codebooks} codebooks take {expected}")
    body, (check,) = data[: -CHECK.size], CHECK.unpack_from(data, len(data) - CHECK.size)
    if zlib.crc32(body) != check:
        raise InputError("codec packet is damaged: its check sum does not match")
    count = frames * codebooks
    bits = np.unpackbits(np.frombuffer(body, np.uint8, offset=HEADER.size))
    if bits[count * CODE_BITS :].any():
        raise InputError("codec packet has bits after its last code")
    values = bits[: count * CODE_BITS].reshape(count, CODE_BITS).astype(np.int64) @ (1 << np.arange(CODE_BITS)[::-1])
    return Packet(values.reshape(frames, codebooks), first_frame)
