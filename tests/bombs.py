"""Recordings of a few kilobytes that promise enormous sizes, or hold hours."""

from __future__ import annotations

import numpy as np
from recordings import KINDS, Kind, by_soundfile, written

MOST = b"\xff\xff\xff\xff"
LONGEST = b"\x7f" + b"\xff" * 7


def patched(name: str, box: bytes, offset: int, new: bytes) -> bytes:
    """A recording with other bytes at `offset` from where `box` stands."""
    data = written(KINDS[name])
    at = data.index(box) + offset
    return data[:at] + new + data[at + len(new) :]


def alike(count: int, fragments: int) -> bytes:
    """Fragments that count so many samples each, of which nothing but their number is told."""
    data = written(KINDS["fragments.mp4"])
    moov = data[: data.index(b"moof") - 4]
    trun = (16).to_bytes(4, "big") + b"trun" + bytes(4) + count.to_bytes(4, "big")
    tfhd = (20).to_bytes(4, "big") + b"tfhd\0\x02\0\x10" + (1).to_bytes(4, "big") + bytes(4)
    traf = (8 + len(tfhd) + len(trun)).to_bytes(4, "big") + b"traf" + tfhd + trun
    mfhd = (16).to_bytes(4, "big") + b"mfhd" + bytes(4) + (1).to_bytes(4, "big")
    moof = (8 + len(mfhd) + len(traf)).to_bytes(4, "big") + b"moof" + mfhd + traf
    return moov + moof * fragments


def many_chunks(count: int) -> bytes:
    """So many chunks, all at the same place, each said to hold two billion samples."""
    data = patched("mov", b"stsc", 16, b"\x7f\xff\xff\xff")
    at = data.index(b"stco")
    place = data[at + 12 : at + 16]
    old = int.from_bytes(data[at - 4 : at], "big")
    stco = (16 + 4 * count).to_bytes(4, "big") + b"stco" + bytes(4) + count.to_bytes(4, "big") + place * count
    more = len(stco) - old
    data = data[: at - 4] + stco + data[at - 4 + old :]
    for holder in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        begin = data.index(holder) - 4
        size = int.from_bytes(data[begin : begin + 4], "big") + more
        data = data[:begin] + size.to_bytes(4, "big") + data[begin + 4 :]
    return data


def nested(depth: int) -> bytes:
    """Boxes in boxes."""
    box = b""
    for _ in range(depth):
        box = (8 + len(box)).to_bytes(4, "big") + b"udta" + box
    return written(KINDS["fragments.mp4"])[:28] + (8 + len(box)).to_bytes(4, "big") + b"moov" + box


def promising() -> dict[str, bytes]:
    """By what they promise."""
    fragments, flac = written(KINDS["fragments.mp4"]), written(KINDS["flac"])
    return {
        "wav, data": patched("wav", b"data", 4, MOST),
        "wav, format": patched("wav", b"fmt ", 4, b"\xf0\xff\xff\xff"),
        "wav, channels": patched("wav", b"fmt ", 10, b"\xff\xff"),
        "wav, rate": patched("wav", b"fmt ", 12, MOST),
        "rf64, data": patched("rf64.wav", b"ds64", 16, LONGEST[::-1]),
        "m4a, sizes": patched("m4a", b"stsz", 12, b"\x05\xf5\xe1\x00"),
        "m4a, times": patched("m4a", b"stts", 8, MOST),
        "m4a, samples of one time": patched("m4a", b"stts", 12, MOST),
        "m4a, chunks": patched("m4a", b"stco", 8, MOST),
        "m4a, samples of a chunk": patched("m4a", b"stsc", 16, b"\x7f\xff\xff\xff"),
        "m4a, index": patched("m4a", b"moov", -4, MOST),
        "mov, samples": patched("mov", b"stsz", 12, b"\x7f\xff\xff\xff"),
        "mov, samples of a chunk": patched("mov", b"stsc", 16, b"\x7f\xff\xff\xff"),
        "mov, many chunks of many samples": many_chunks(100_000),
        "fragments, samples": patched("fragments.mp4", b"trun", 8, b"\x04\x00\x00\x00"),
        "fragments, one after the other": alike(1_000_000, 200),
        "fragments, data": patched("fragments.mp4", b"mdat", -4, MOST),
        "mp4, boxes in boxes": nested(2_000),
        "mp4, a first box": b"\0\0\0\1free" + LONGEST + fragments,
        "flac, samples": flac[:21] + bytes([flac[21] | 0x0F]) + MOST + flac[26:],
        "flac, a tag": flac[:4] + b"\x04\xff\xff\xff" + flac[8:],
        "aiff, samples": patched("aiff", b"SSND", 4, b"\x7f\xff\xff\xff"),
        "caf, data": patched("caf", b"data", 4, LONGEST),
        "au, begin": written(KINDS["au"])[:4] + MOST,
        "mp3, a tag": b"ID3\x04\0\0\x7f\x7f\x7f\x7fAPIC\x7f\x7f\x7f\x70\0\0" + written(KINDS["mp3"]),
        "webm, a block": written(Kind("webm", "libopus", rate_hz=48_000))[:600] + b"\xa3\x01\x7f" + b"\xff" * 6,
    }


def hours(count: int) -> bytes:
    """So many hours of silence, and a header that tells no length."""
    data = by_soundfile(np.zeros(count * 3600 * 8_000, np.int16), "FLAC", "PCM_16", 8_000)
    return data[:21] + bytes([data[21] & 0xF0]) + bytes(4) + data[26:]
