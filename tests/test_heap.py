"""glibc gives large blocks back."""

import subprocess
import sys

import pytest

GROWS = """
import ctypes, sys
from pathlib import Path
from streamst.heap import keep_small

if sys.argv[1] == "small" and not keep_small():
    sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.free(libc.malloc(24 << 20))  # from here on, left alone, glibc takes blocks of this size from its heap
large = [libc.malloc(4 << 20) for _ in range(8)]
for block in large:
    ctypes.memset(block, 1, 4 << 20)
pin = libc.malloc(1 << 10)  # above them on the heap
for block in large:
    libc.free(block)
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20)
"""


def resident_mib(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", GROWS, kind], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("no glibc here")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_freed_blocks_go_back_to_the_system() -> None:
    assert resident_mib("small") + 24 < resident_mib("as it is")
