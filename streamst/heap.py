"""Memory that a process keeps for itself."""

from __future__ import annotations

import ctypes
import gc
import sys

BLOCK_BYTES = 16 << 20  # above those that a chunk of many speakers needs again and again, below a model's and a file's
SPARE_BYTES = 32 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_small() -> bool:
    """Have glibc give blocks of more than 16 MiB back at once, and what it has spare beyond 32 MiB, however many there
    were; False where there is no glibc.

    Left alone it raises both limits with the largest block freed, and tensors of ever other sizes break its heap into
    pieces. Lower limits cost time: a block that comes from the system comes page by page, each zeroed at its first use.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES) and mallopt(M_TRIM_THRESHOLD, SPARE_BYTES))


def settle() -> None:
    """Have the collector of cyclic garbage pass over all that is there now, as a model stays as long as its process:
    looking through 190,000 objects takes it 0.1 s, in which nobody is heard."""
    gc.collect()
    gc.freeze()
