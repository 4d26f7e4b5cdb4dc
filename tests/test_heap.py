"""glibc gives large blocks back, and keeps those that are needed again and again."""

import subprocess
import sys

import pytest

START = """
import ctypes, resource, sys
from pathlib import Path
from streamst.heap import keep_small

if sys.argv[1] == "small" and not keep_small():
    sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
"""
GROWS = """
libc.free(libc.malloc(30 << 20))  # from here on, left alone, glibc takes blocks of this size from its heap
large = [libc.malloc(20 << 20) for _ in range(2)]
for block in large:
    ctypes.memset(block, 1, 20 << 20)
for block in large:
    libc.free(block)
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20)
"""
AGAIN = """
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = libc.malloc(4 << 20)
    ctypes.memset(block, 1, 4 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def printed(script: str, kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", START + script, kind], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("no glibc here")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_freed_blocks_go_back_to_the_system() -> None:
    assert printed(GROWS, "small") + 24 < printed(GROWS, "as it is")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_blocks_that_are_needed_again_and_again_are_not_fetched_anew_each_time() -> None:
    assert printed(AGAIN, "small") < 2 * (4 << 20) // 4096


SETTLES = """
import gc
from streamst.heap import settle
kept = [[number] for number in range(1000)]
settle()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
assert not any(one is kept for one in gc.get_objects())
"""


def test_what_is_there_when_a_server_settles_is_looked_through_no_more() -> None:
    subprocess.run([sys.executable, "-c", SETTLES], check=True)
