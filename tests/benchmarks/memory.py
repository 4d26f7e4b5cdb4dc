"""What memory this process holds: resident, and what of malloc's nobody has given back."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class HeapInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS.split()]


def resident_mib() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def in_use_mib() -> float:
    """What of malloc's memory nobody has given back: a leak grows here, what lies broken between blocks does not."""
    glibc = ctypes.CDLL(None)
    glibc.mallinfo2.restype = HeapInfo
    info = glibc.mallinfo2()
    return (info.uordblks + info.hblkhd) / 2**20


def objects() -> int:
    """How many objects Python's collector knows, once it has collected."""
    gc.collect()
    return len(gc.get_objects())
