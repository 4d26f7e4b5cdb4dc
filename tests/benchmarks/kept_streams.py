"""What it costs a server to keep its sessions: processor time a stream, many at once, with and without a store.

python tests/benchmarks/kept_streams.py [FILE] [--streams 4] [--seconds 40] [--rounds 2] [--recogniser NAME]

Two nodes of one computer, one with Debian's valkey-server or redis-server, one without; our clients speak to one of
them in real time, all at once, then to the other, in turns. Processor time is that of the node's process. How often
sessions are kept goes by the clock: where the computer is busy with other work they are kept more often for a second of
speech, and the share of the node that keeps none is the lower.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from killable import Nodes, killable  # noqa: E402
from stores import free_port, store_server  # noqa: E402

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16  # noqa: E402
from streamst.client import stream  # noqa: E402
from streamst.events import Words  # noqa: E402
from streamst.server.wire.seam import Settings  # noqa: E402

PIECE = 1600
CALM = {"relieve_when_busy": False, "refuse_when_busy": False, "address_sessions": 0, "address_rate": 0}


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", nargs="?", default=str(ROOT / "web" / "sample.flac"))
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--recogniser", default="")
    asked = parser.parse_args()
    pcm = from_pcm16(to_pcm16(np.resize(read_audio(asked.file), round(16_000 * asked.seconds))))
    rows: list[dict[str, object]] = []
    spent = {"kept": 0.0, "plain": 0.0}
    with (
        tempfile.TemporaryDirectory() as folder,
        store_server(Path(folder)) as store,
        killable("en-de", asked.recogniser, store=store, **CALM) as keeping,
        killable("en-de", asked.recogniser, **CALM) as plain,
    ):
        ports = {"kept": (keeping, free_port()), "plain": (plain, free_port())}
        urls = {name: nodes.start(port) for name, (nodes, port) in ports.items()}
        for name in [*ports] + [*ports, *reversed(ports)] * asked.rounds:
            before_s, before = cpu_s(*ports[name]), snapshots(urls[name])
            words = asyncio.run(talks(urls[name], pcm, asked.streams))
            took_s, count = cpu_s(*ports[name]) - before_s, snapshots(urls[name]) - before
            warm = len(rows) < len(ports)  # the first talks of a node are not counted
            spent[name] += 0.0 if warm else took_s
            each = round(took_s / asked.streams, 3)
            rows.append({"node": name, "warming": warm, "cpu_s_a_stream": each, "snapshots": count, "words": words})
    share = round(spent["plain"] / spent["kept"], 4)
    print(
        json.dumps({"streams": asked.streams, "seconds": asked.seconds, "rows": rows, "plain_to_kept": share}, indent=1)
    )


def cpu_s(nodes: Nodes, port: int) -> float:
    """Processor time of a node's process so far."""
    fields = Path(f"/proc/{nodes.pid(port)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def snapshots(url: str) -> int:
    """How many a node has written."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url.replace("ws", "http", 1) + "/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("streamst_snapshots_total"))


async def talks(url: str, pcm: Pcm, count: int) -> list[int]:
    """How many words each of so many speakers got."""

    async def talk() -> int:
        pieces = (pcm[at : at + PIECE] for at in range(0, len(pcm), PIECE))
        events = stream(url, pieces, Settings(), realtime=True)
        return sum([len(event.words) async for event in events if isinstance(event, Words)])

    return await asyncio.gather(*(talk() for _ in range(count)))


if __name__ == "__main__":
    main()
