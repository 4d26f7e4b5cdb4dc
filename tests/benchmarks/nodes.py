"""A talk over nodes of which the one that holds it is killed again and again: what is lost, and how long nothing comes.

python tests/benchmarks/nodes.py [FILE] [--seconds 120] [--kills 20] [--every S] [--nodes 2] [--recogniser own]
    [--redeploy] [--snapshot-s 5]
python tests/benchmarks/nodes.py --ray [--seconds 600] [--kills 20] [--nodes 3] [--redeploy] [--scale-down]

Each node is a process, killed with SIGKILL and back at once; with --redeploy it gets SIGTERM and hands its sessions
over. With --ray the nodes are replicas behind Ray Serve, which brings them back itself; after the kills the application
is deployed anew, which replaces its replicas one by one, and scaled down to one replica. The store is Debian's
valkey-server or redis-server. The client is ours, in real time. Compared with the same audio in one session on this
computer: words lost, doubled and changed, speech samples. A gap is the time from a kill until the next word, caption or
speech that the client had not, `back` until another node has welcomed it; `silent_s` the longest time without any,
before the first kill and after each. Needs a
computer that is not busy: gaps are on the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from killable import Nodes, killable  # noqa: E402
from raying import Cluster, cluster  # noqa: E402
from stores import free_port, store_server  # noqa: E402

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16  # noqa: E402
from streamst.client import stream  # noqa: E402
from streamst.config import from_dict  # noqa: E402
from streamst.errors import UnavailableError  # noqa: E402
from streamst.events import Caption, Speech, Words  # noqa: E402
from streamst.pipeline import load  # noqa: E402
from streamst.server.loading import load_for  # noqa: E402
from streamst.server.operator.config_file import ServeConfig  # noqa: E402
from streamst.server.operator.options import ServerOptions  # noqa: E402
from streamst.server.store.valkey import open_store  # noqa: E402
from streamst.server.wire.seam import Settings, Welcome  # noqa: E402

PIECE = 1600

End = Callable[[str, list[float]], Awaitable[None]]


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", nargs="?", default=str(ROOT / "web" / "sample.flac"))
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--recogniser", default="own")
    parser.add_argument("--model", default="en-de")
    parser.add_argument("--snapshot-s", type=float, default=ServerOptions().snapshot_s)
    parser.add_argument("--every", type=float, default=0.0, help="seconds from kill to kill, about; 0: spread over all")
    for flag in ("--redeploy", "--ray", "--scale-down"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args()
    once = read_audio(asked.file)
    pcm = from_pcm16(to_pcm16(np.resize(once, round(16_000 * asked.seconds))))
    named = {"model": asked.model, "recogniser": asked.recogniser or None}
    made = (
        load_for(from_dict(ServeConfig, named, "options"))
        if asked.ray
        else load(asked.model, recogniser=named["recogniser"])
    )
    session = made.session()
    events = [*session.push(pcm), *session.finish()]
    whole = [word for event in events if isinstance(event, Words) for word in event.words]
    samples = sum(len(event.pcm) for event in events if isinstance(event, Speech))
    calm = {"relieve_when_busy": False, "refuse_when_busy": False, "snapshot_s": asked.snapshot_s}
    with tempfile.TemporaryDirectory() as folder, store_server(Path(folder)) as store:
        if asked.ray:
            options = named | {"max_sessions": 8, "cpus": 0.5}
            options |= {"store": store, "replicas": asked.nodes, **calm}
            with cluster(Path(folder) / "ray", **options) as served:
                ends = [KillReplica(store)] * asked.kills
                ends += [Deploy(store, served, options | {"drain_s": 4.0})] if asked.redeploy else []
                ends += [Deploy(store, served, options | {"replicas": 1})] if asked.scale_down else []
                told = asyncio.run(run([served.url], ends, pcm, asked.every))
        else:
            with killable(asked.model, asked.recogniser, store=store, **calm) as nodes:
                urls = [nodes.start(free_port()) for _ in range(asked.nodes)]
                ends = [partial(renew if asked.redeploy else kill, nodes)] * asked.kills
                told = asyncio.run(run(urls, ends, pcm, asked.every))
    said: list[str] = told.pop("words")  # type: ignore[assignment]
    heard = told.pop("samples")
    changes = difflib.SequenceMatcher(None, whole, said, autojunk=False).get_opcodes()
    lost = sum(i2 - i1 for kind, i1, i2, _, _ in changes if kind in ("delete", "replace"))
    doubled = sum(j2 - j1 for kind, _, _, j1, j2 in changes if kind in ("insert", "replace"))
    other = [change for change in changes if change[0] != "equal"]
    differences = [(" ".join(whole[i1:i2]), " ".join(said[j1:j2])) for _, i1, i2, j1, j2 in other]
    print(
        json.dumps(
            {
                "differences": differences,
                "words": len(whole), "lost": lost, "doubled": doubled, "text_equal": said == whole,
                "speech_samples": samples, "speech_difference": heard - samples, **told,  # type: ignore[operator]
            },
            indent=1,
        )
    )  # fmt: skip


async def run(urls: list[str], ends: Sequence[End], pcm: Pcm, every_s: float) -> dict[str, object]:
    """What a client heard while nodes died. ends: each ends whoever has a session, and tells when."""
    session: list[str] = []
    at_s: list[float] = []
    gaps_s: list[float] = []
    backs_s: list[float] = []
    silent_s: dict[int, float] = {}
    words: list[str] = []
    samples = welcomes = 0
    ended = ""
    every_s = every_s or len(pcm) / 16_000 / (len(ends) + 1)
    killer = asyncio.create_task(end_often(ends, session, at_s, every_s))
    began_s, busy_s = time.perf_counter(), time.process_time()
    before_s = began_s
    pieces = (pcm[at : at + PIECE] for at in range(0, len(pcm), PIECE))
    try:
        async for event in stream(urls, pieces, Settings(), realtime=True):
            match event:
                case Words():
                    words += event.words
                case Speech():
                    samples += len(event.pcm)
                case Caption():
                    pass
                case Welcome():
                    session[:] = [event.session_id]
                    welcomes += 1
                    while len(at_s) > len(backs_s):
                        backs_s.append(time.perf_counter() - at_s[len(backs_s)])
                    continue
                case _:
                    continue
            now_s = time.perf_counter()
            silent_s[len(at_s)] = max(silent_s.get(len(at_s), 0.0), now_s - before_s)
            before_s = now_s
            while len(at_s) > len(gaps_s):
                gaps_s.append(now_s - at_s[len(gaps_s)])
    except UnavailableError as error:
        ended = str(error)
    killer.cancel()
    (trouble,) = await asyncio.gather(killer, return_exceptions=True)
    if isinstance(trouble, Exception):
        raise trouble
    return {
        "words": words, "samples": samples, "ended_by": ended, "times": len(at_s), "connections": welcomes,
        "seconds": round(time.perf_counter() - began_s, 1),
        "client_cpu_s": round(time.process_time() - busy_s, 1),
        "back_p50_s": share(backs_s, 50), "back_p95_s": share(backs_s, 95),
        "gap_p50_s": share(gaps_s, 50), "gap_p95_s": share(gaps_s, 95), "gaps_s": [round(one, 2) for one in gaps_s],
        "silent_s": [round(silent_s[at], 2) for at in sorted(silent_s)],
    }  # fmt: skip


def share(values: list[float], percent: int) -> float | None:
    """The percentile, nearest rank."""
    return round(sorted(values)[-(-len(values) * percent // 100) - 1], 2) if values else None


async def end_often(ends: Sequence[End], session: list[str], at_s: list[float], every_s: float) -> None:
    """End whoever holds the talk, at times that nobody can foresee."""
    chance = random.Random(19)
    for end in ends:
        await asyncio.sleep(every_s * chance.uniform(0.7, 1.2))
        await end(session[0], at_s)


async def kill(nodes: Nodes, _: str, at_s: list[float]) -> None:
    """SIGKILL, and back at once."""
    port = await holder(nodes)
    at_s.append(time.perf_counter())
    nodes.kill(port)
    await asyncio.to_thread(nodes.start, port)


async def renew(nodes: Nodes, _: str, at_s: list[float]) -> None:
    """SIGTERM, and back once it has ended."""
    port = await holder(nodes)
    at_s.append(time.perf_counter())
    nodes.send(port, signal.SIGTERM)
    while await asyncio.to_thread(nodes.sessions, port) is not None:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(nodes.start, port)


async def holder(nodes: Nodes) -> int:
    """The port of the node that has the talk."""
    while (port := await asyncio.to_thread(nodes.holder)) is None:
        await asyncio.sleep(0.05)
    return port


async def owner_of(store: str, session_id: str) -> int:
    """The process that has a session, once one is there that does."""
    shared = open_store(store)
    try:
        while True:
            entry = await shared.read(session_id)
            if entry is not None and entry.owner:
                pid = int(entry.owner.split(".")[-2])
                if Path(f"/proc/{pid}").exists():
                    return pid
            await asyncio.sleep(0.05)
    finally:
        await shared.close()


class KillReplica:
    """SIGKILL for the process that has a session; Ray starts another one."""

    def __init__(self, store: str) -> None:
        self._store = store

    async def __call__(self, session_id: str, at_s: list[float]) -> None:
        pid = await owner_of(self._store, session_id)
        at_s.append(time.perf_counter())
        os.kill(pid, signal.SIGKILL)


class Deploy:
    """Ray serves the application with other arguments, and ends replicas as it sees fit."""

    def __init__(self, store: str, served: Cluster, arguments: Mapping[str, object]) -> None:
        self._store, self._served, self._arguments = store, served, arguments

    async def __call__(self, session_id: str, at_s: list[float]) -> None:
        before = await owner_of(self._store, session_id)
        at_s.append(time.perf_counter())
        await asyncio.to_thread(self._served.deploy, **self._arguments)
        took_s = time.perf_counter() - at_s[-1]
        moved = await owner_of(self._store, session_id) != before
        print(f"deployed in {took_s:.1f} s; the talk {'moved' if moved else 'stayed'}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
