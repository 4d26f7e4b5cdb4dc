"""A long day: `python tests/benchmarks/soak.py [--minutes 30] [--speakers 2] [--plot soak.png] [--readings FILE.tsv]`.

Starts a server, lets so many speakers talk to it in real time, each in streams of half a minute, one after the other,
and every five seconds writes down the server's memory, its file descriptors and the lag of the words since. Prints the
means of the first and the last quarter side by side: what leaks, grows; and the share of a core that the server took.
Choose the speakers for about three quarters of the machine (`python tests/benchmarks/streams.py` tells how many it
carries). Who is refused, or told that the server has no time, comes back a second later and is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamst.audio import Pcm, read_audio
from streamst.client import stream
from streamst.errors import StreamstError
from streamst.server.wire.seam import Closed, Latency, Settings

SAMPLE = Path(__file__).parents[2] / "web" / "sample.flac"
SERVE = "from streamst.cli import main; main()"
RATE, EVERY_S, STREAM_S = 16_000, 5.0, 30


@dataclass
class Reading:
    """The server at one moment."""

    at_s: float
    rss_mib: float
    descriptors: int
    lag_ms: float | None  # median of the words since the reading before


class Soak:
    """Speakers, a server, and what was read of it."""

    def __init__(self, pid: int, address: str, ends_s: float, kept: Path | None = None) -> None:
        """kept: where readings are written as they come."""
        self.pid, self.address, self.ends_s, self.kept = pid, address, ends_s, kept
        self.readings: list[Reading] = []
        self.streams = self.words = self.broken = 0
        self._lags_ms: list[float] = []

    async def speak(self, pcm: Pcm, settings: Settings) -> None:
        """One speaker, until the end."""
        while time.monotonic() < self.ends_s:
            try:
                async for event in stream(self.address, [pcm], settings, realtime=True):
                    if isinstance(event, Latency) and event.lag_ms is not None:
                        self._lags_ms.append(event.lag_ms)
                    elif isinstance(event, Closed):
                        self.streams += 1
                        self.words += event.summary.words
            except StreamstError:
                self.broken += 1
                await asyncio.sleep(1.0)

    async def watch(self, began_s: float) -> None:
        """Read the server, until the end."""
        while time.monotonic() < self.ends_s:
            await asyncio.sleep(EVERY_S)
            lags, self._lags_ms = self._lags_ms, []
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            self.readings.append(
                Reading(
                    time.monotonic() - began_s,
                    pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
                    len(os.listdir(f"/proc/{self.pid}/fd")),
                    statistics.median(lags) if lags else None,
                )
            )
            if self.kept is not None:
                with self.kept.open("a") as file:
                    print(*dataclasses.astuple(self.readings[-1]), sep="\t", file=file)

    def computed_s(self) -> float:
        """Processor time of the server so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def plot(readings: list[Reading], path: Path) -> None:
    """Three curves over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, sharex=True, figsize=(8, 6), layout="constrained")
    minutes = [reading.at_s / 60 for reading in readings]
    rows = (("RSS [MiB]", "rss_mib"), ("file descriptors", "descriptors"), ("lag [ms]", "lag_ms"))
    for axis, (label, name) in zip(axes, rows, strict=True):
        values = [getattr(reading, name) for reading in readings]
        axis.plot(minutes, [np.nan if value is None else value for value in values])
        axis.set_ylabel(label)
        axis.set_ylim(0, 1.15 * max(value for value in values if value is not None))
    axes[-1].set_xlabel("minutes")
    figure.savefig(path)


async def run(soak: Soak, pcm: Pcm, speakers: int, settings: Settings) -> float:
    """Everybody at once; the share of a core that the server took."""
    began_s, before_s = time.monotonic(), soak.computed_s()
    watching = soak.watch(began_s)
    await asyncio.gather(watching, *(soak.speak(np.roll(pcm, i * RATE * 3), settings) for i in range(speakers)))
    return (soak.computed_s() - before_s) / (time.monotonic() - began_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--speakers", type=int, default=2)
    parser.add_argument("--captions", action="store_true", help="Without speech.")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--readings", type=Path, help="Table to append to, a line each five seconds.")
    options = parser.parse_args()
    pcm = np.resize(read_audio(SAMPLE), STREAM_S * RATE)
    settings = Settings(output=("captions",) if options.captions else ("captions", "audio"))
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--port", "0", "--max-sessions", str(options.speakers + 1)],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            found = next(filter(None, (re.search(r"https?://[\d.]+:\d+", line) for line in server.stdout)))
            soak = Soak(server.pid, found.group(), time.monotonic() + 60 * options.minutes, options.readings)
            share = asyncio.run(run(soak, pcm, options.speakers, settings))
        finally:
            server.terminate()
    quarter = max(1, len(soak.readings) // 4)
    print(f"{options.speakers} speakers, {options.minutes:g} min: {soak.streams} streams, {soak.words} words")
    print(f"streams that the server refused or broke off: {soak.broken}; it took {100 * share:.0f} % of a core")
    for label, name in (("RSS [MiB]", "rss_mib"), ("file descriptors", "descriptors"), ("lag [ms]", "lag_ms")):
        known = [
            [v for r in part if (v := getattr(r, name)) is not None]
            for part in (soak.readings[:quarter], soak.readings[-quarter:])
        ]
        first, last = (statistics.fmean(values) if values else float("nan") for values in known)
        print(f"{label}: first quarter {first:.1f}, last {last:.1f}, ratio {last / first:.3f}")
    if options.plot is not None:
        plot(soak.readings, options.plot)


if __name__ == "__main__":
    main()
