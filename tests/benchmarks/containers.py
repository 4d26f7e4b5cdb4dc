"""Mutated recordings, one after the other, cut at random: what becomes of them, and of the memory.

    python tests/benchmarks/containers.py [--count 10000] [--seed N]

Containers, codings and mutations are those of tests/test_server_containers.py. Anything but samples or a refusal in
words ends the run with its traceback. Resident memory goes up and down; a leak shows in what is in use, and in how
many objects there are.
"""

from __future__ import annotations

import argparse
import collections
import sys
import threading
import time
from pathlib import Path

import numpy as np

from streamst.errors import ProtocolError

sys.path.insert(0, str(Path(__file__).parents[1]))
import test_server_containers as cases  # of the tests
from memory import in_use_mib, objects, resident_mib


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ends: collections.Counter[str] = collections.Counter()
    slowest_s = 0.0
    for number in range(options.count):
        draw = np.random.default_rng((options.seed, number))
        begun_s = time.perf_counter()
        try:
            _, trouble = cases.unpacked(cases.mutated(draw), draw)
            ends["heard, and something told" if trouble else "heard"] += 1
        except ProtocolError:
            ends["refused"] += 1
        slowest_s = max(slowest_s, time.perf_counter() - begun_s)
        if number + 1 in (100, options.count) or not (number + 1) % 1000:
            told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
            known = objects()
            held = f"{resident_mib():.0f} MiB, {in_use_mib():.1f} in use, {known} objects"
            print(f"{number + 1}: {told}; {held}, {threading.active_count()} threads", flush=True)
    print(f"the slowest took {slowest_s:.2f} s")


if __name__ == "__main__":
    main()
