"""Files of codec packets: `streamst codec encode` writes them, `decode` reads them.

byte 0-3    "STCF"
byte 4      version (1)
byte 5      length of the codec's name, then the name (ASCII)
4 bytes     samples of the original at the codec's rate, little-endian
packets     each with its length before it (4 bytes, little-endian)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streamst.errors import InputError

MAGIC = b"STCF"
VERSION = 1
LENGTH = struct.Struct("<I")
LONGEST_PACKET = 1 << 24


@dataclass(frozen=True)
class CodedFile:
    """A recording in packets."""

    codec: str
    samples: int
    packets: tuple[bytes, ...]
    cut: str = ""  # what is wrong with the file's end


def write_coded(path: Path, codec: str, samples: int, packets: Iterable[bytes]) -> int:
    """Write the file and return its length [bytes]."""
    name = codec.encode("ascii")
    parts = [MAGIC, bytes([VERSION, len(name)]), name, LENGTH.pack(samples)]
    for packet in packets:
        parts += [LENGTH.pack(len(packet)), packet]
    data = b"".join(parts)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    return len(data)


def read_coded(path: Path) -> CodedFile:
    """The file at `path`; what is whole of one that was cut off. InputError when it is no such file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if data[:4] != MAGIC or len(data) < 6:
        raise InputError(f"{path} is not a file of codec packets: it does not start with {MAGIC.decode()}")
    if data[4] != VERSION:
        raise InputError(f"{path} has version {data[4]}; this program reads version {VERSION}")
    at = 6 + data[5]
    if len(data) < at + LENGTH.size or not data[6:at].isascii():
        raise InputError(f"{path} is cut off inside its header")
    name, (samples,) = data[6:at].decode(), LENGTH.unpack_from(data, at)
    at += LENGTH.size
    packets: list[bytes] = []
    while at + LENGTH.size <= len(data):
        (size,) = LENGTH.unpack_from(data, at)
        if size > LONGEST_PACKET or at + LENGTH.size + size > len(data):
            break
        packets.append(data[at + LENGTH.size : at + LENGTH.size + size])
        at += LENGTH.size + size
    cut = "" if at == len(data) else f"{path} is cut off or damaged after packet {len(packets)}, byte {at}"
    return CodedFile(name, samples, tuple(packets), cut)
