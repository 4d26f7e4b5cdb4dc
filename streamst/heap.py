"""Memory that a process keeps for itself."""

from __future__ import annotations

import ctypes
import sys

BLOCK_BYTES = 128 * 1024  # glibc's own start value, from which it would rise with the largest block freed
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_small() -> bool:
    """Have glibc give large blocks back at once, however many there were; False where there is no glibc.

    Otherwise tensors of ever other sizes break its heap into pieces, and a talk of hours costs about a MiB an hour.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES) and mallopt(M_TRIM_THRESHOLD, BLOCK_BYTES))
