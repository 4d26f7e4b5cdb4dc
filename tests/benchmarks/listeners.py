"""What many listeners of one speaker cost: how much later than the speaker they read, and what the server takes.

    python tests/benchmarks/listeners.py [AUDIO] [--counts 1 50 500] [--seconds 30] [--hear 0] [--plot FILE]

A real server, a speaker in real time, and N websockets in a room of it, all on this machine; the listeners are in a
process of their own. Extra delay: from when the first of all, the speaker among them, had a caption until a listener
had it, by one clock. `--hear 10` has so many of the listeners take speech (Opus) as well. `--more 10000` has so many
others knock meanwhile, for whom the room has no place, and prints what they are told. CPU and memory are the
server's. Beside other programs `chrt -r 1 python …` (Linux, root) lets all of this run before them, as on a machine
that does nothing else; the clients then run before the server, so that each is timed when it gets what it gets and not
when the server has served the others.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import connect

from streamst.audio import Pcm, read_audio
from streamst.server.wire.native import SUBPROTOCOL, pack_audio

RATE_HZ, PIECE_MS = 16_000, 160
SAMPLE = Path(__file__).parents[2] / "web" / "sample.flac"
TICKS = os.sysconf("SC_CLK_TCK")
STAY_S = 4.0
AT_ONCE = 50  # of those who find no place
Key = tuple[str, int, int]  # language, segment and revision of a caption


class Listener(asyncio.Protocol):
    """A websocket that notes what comes and when, and looks at it afterwards: it takes next to no time of its own."""

    def __init__(self, host: str, path: str) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.came: list[tuple[float, bytes]] = []
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request.encode())

    def stay(self) -> None:
        """Show the server that it is there."""
        self._transport.write(bytes([0x8A, 0x80, 0, 0, 0, 0]))  # a masked pong

    def data_received(self, data: bytes) -> None:
        self.came.append((time.monotonic(), data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def messages(self) -> list[tuple[float, dict[str, Any]]]:
        """The text messages, each with when its last byte came."""
        stream = b"".join(data for _, data in self.came)
        ends = np.cumsum([len(data) for _, data in self.came])
        found, at = [], stream.index(b"\r\n\r\n") + 4
        while at + 2 <= len(stream):
            kind, size, head = stream[at] & 15, stream[at + 1] & 127, 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(stream[at + 2 : at + head], "big")
            at += head + size
            if kind == 1 and at <= len(stream):
                came_s = self.came[int(np.searchsorted(ends, at))][0]
                found.append((came_s, json.loads(stream[at - size : at])))
        return found


def before_the_server() -> None:
    """Let this process run before the server, where programs are of real time."""
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_getparam(0).sched_priority + 1))


def caption_key(message: dict[str, Any]) -> Key:
    return message["lang"], message["segment"], message["revision"]


def listeners(address: str, room: dict[str, str], count: int, hear: int, tell: Connection) -> None:
    """The process of the listeners: says when all are in, and in the end when each caption came to each of them."""
    before_the_server()

    async def run() -> list[dict[Key, float]]:
        parts = urlsplit(address)
        loop = asyncio.get_running_loop()
        made: list[Listener] = []
        for number in range(count):
            wish = "&audio=1&codec=opus" if number < hear else ""
            path = f"/v1/rooms/{room['id']}/stream?token={room['token']}{wish}"
            one = Listener(parts.netloc, path)
            await loop.create_connection(lambda one=one: one, str(parts.hostname), int(parts.port or 0))
            made.append(one)
        while not all(one.came for one in made):
            await asyncio.sleep(0.05)
        tell.send("in")
        over = asyncio.gather(*(one.over for one in made))
        while not over.done():
            await asyncio.wait([over], timeout=STAY_S)
            for one in made:
                one.stay()
        return [
            {caption_key(message): came_s for came_s, message in one.messages() if message["type"] == "caption"}
            for one in made
        ]

    tell.send(asyncio.run(run()))


class Knocker(Listener):
    """One who goes when it is told to."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if told(self):
            self._transport.close()


def told(one: Listener) -> str:
    """What a listener is told who is let go: an HTTP status, or the code of its close; "" while it may stay."""
    stream = b"".join(data for _, data in one.came)
    status = stream.partition(b"\r\n")[0].decode().removeprefix("HTTP/1.1 ")
    close = stream.rfind(b"\x88", stream.find(b"\r\n\r\n"))
    if status.startswith("101"):
        return "" if close < 0 else str(int.from_bytes(stream[close + 2 : close + 4]))
    return status


def knockers(address: str, room: dict[str, str], count: int, tell: Connection) -> None:
    """The process of those who find no place: how many were told what."""
    before_the_server()

    async def run() -> Counter[str]:
        parts, found = urlsplit(address), Counter[str]()
        path = f"/v1/rooms/{room['id']}/stream?token={room['token']}"
        for at in range(0, count, AT_ONCE):
            made = [Knocker(parts.netloc, path) for _ in range(min(AT_ONCE, count - at))]
            for one in made:
                await asyncio.get_running_loop().create_connection(
                    lambda one=one: one, str(parts.hostname), int(parts.port or 0)
                )
            await asyncio.wait([one.over for one in made], timeout=60)
            found.update(told(one) or "nothing" for one in made)
        return found

    tell.send(asyncio.run(run()))


@dataclass
class Talk:
    """What the speaker saw."""

    came_s: dict[Key, float] = field(default_factory=dict)
    lag_ms: list[float] = field(default_factory=list)  # of its own captions


async def speak(address: str, token: str, pcm: Pcm, latency: str) -> Talk:
    talk = Talk()
    url = address.replace("http", "ws", 1) + "/v1/stream"
    async with connect(url, subprotocols=[SUBPROTOCOL, f"token.{token}"], compression=None) as socket:  # type: ignore[list-item]

        async def send() -> None:
            await socket.send(json.dumps({"type": "config", "latency": latency, "output": ["captions"]}))
            size, began_s = RATE_HZ * PIECE_MS // 1000, time.monotonic()
            for number, at in enumerate(range(0, len(pcm), size)):
                await asyncio.sleep(max(0.0, began_s + (at + size) / RATE_HZ - time.monotonic()))
                payload = (pcm[at : at + size] * 32_767).astype("<i2").tobytes()
                await socket.send(pack_audio("pcm16", number, at, payload))
            await socket.send('{"type":"end"}')

        sending = asyncio.create_task(send())
        async for message in socket:
            now_s = time.monotonic()
            if isinstance(message, str) and '"type":"caption"' in message:
                talk.came_s[caption_key(json.loads(message))] = now_s
        await sending
    return talk


def used(pid: int) -> tuple[float, float]:
    """CPU time [s] and resident memory [MB] of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return (int(fields[11]) + int(fields[12])) / TICKS, resident / 1024


def served(places: int) -> tuple[subprocess.Popen[str], str]:
    config = Path(tempfile.mkdtemp()) / "streamst.toml"
    config.write_text(
        "refuse_when_busy = false\nrelieve_when_busy = false\naddress_connections = 0\naddress_rate = 0\n"
        f"address_listeners = 0\nroom_listeners = {places}\nmax_listeners = {places}\n"
    )
    command = [sys.executable, "-m", "streamst", "serve", "--port", "0", "--device", "cpu", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "http" in line:
            return process, "http" + line.split("http")[1].split()[0]
    raise SystemExit("the server did not start")


@dataclass(frozen=True)
class Trial:
    """What so many listeners cost."""

    count: int
    delays_ms: list[float]  # of every caption to every listener
    cpu_percent: float
    memory_mb: float


def trial(process: subprocess.Popen[str], address: str, pcm: Pcm, count: int, options: argparse.Namespace) -> Trial:
    """A talk to `count` listeners, printed."""
    body = json.dumps({"room": True, "latency": options.latency}).encode()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urllib.request.Request(f"{address}/v1/sessions", body)) as answer:
        place = json.loads(answer.read())
    ours, theirs = multiprocessing.Pipe()
    ours_too, theirs_too = multiprocessing.Pipe()
    hear = min(count, options.hear)
    audience = multiprocessing.Process(target=listeners, args=(address, place["room"], count, hear, theirs))
    audience.start()
    ours.recv()
    crowd = multiprocessing.Process(target=knockers, args=(address, place["room"], options.more, theirs_too))
    if options.more:
        crowd.start()
    before_s, _ = used(process.pid)
    begun_s = time.monotonic()
    talk = asyncio.run(speak(address, place["token"], pcm, options.latency))
    took_s = time.monotonic() - begun_s
    cpu_s, memory_mb = used(process.pid)
    heard: list[dict[Key, float]] = ours.recv()
    audience.join()
    first_s = {key: min(one[key] for one in [talk.came_s, *heard] if key in one) for key in talk.came_s}
    delays = [1000 * (one[key] - said_s) for one in heard for key, said_s in first_s.items() if key in one]
    speaker_ms = np.percentile([1000 * (talk.came_s[key] - said_s) for key, said_s in first_s.items()], 95)
    missing = sum(key not in one for one in heard for key in talk.came_s)
    p50, p95, p99 = np.percentile(delays, [50, 95, 99])
    cpu_percent = 100 * (cpu_s - before_s) / took_s
    print(
        f"{count:4d} listeners: {len(talk.came_s)} captions, {missing} missing, extra delay p50 {p50:.1f} "
        f"p95 {p95:.1f} p99 {p99:.1f} ms, the speaker's p95 {speaker_ms:.1f} ms, "
        f"CPU {cpu_percent:.0f} % of a core, memory {memory_mb:.0f} MB",
        flush=True,
    )
    if options.more:
        answers = ", ".join(f"{code}: {times}" for code, times in ours_too.recv().most_common())
        print(f"     {options.more} more knocked and were told {answers}", flush=True)
        crowd.join()
    return Trial(count, delays, cpu_percent, memory_mb)


def plot(path: Path, trials: list[Trial]) -> None:
    """How the delays are spread, and what the server takes."""
    from matplotlib.figure import Figure

    figure = Figure((9, 3.4), layout="constrained")
    delays, cost = figure.subplots(1, 2, width_ratios=[3, 2])
    for one in trials:
        share = 100 * np.arange(1, len(one.delays_ms) + 1) / len(one.delays_ms)
        delays.step(np.maximum(np.sort(one.delays_ms), 0.05), share, label=f"{one.count} listeners", where="post")
    delays.axvline(100, color="grey", linestyle=":", label="aim for p95")
    delays.axhline(95, color="grey", linestyle=":", linewidth=0.8)
    delays.set(xscale="log", xlabel="later than the first who has it [ms]", ylabel="captions of all listeners [%]")
    delays.legend(loc="lower right")
    counts = [str(one.count) for one in trials]
    cost.bar(counts, [one.cpu_percent for one in trials], color="tab:blue")
    cost.set(xlabel="listeners", ylabel="server's CPU [% of a core]", ylim=(0, 100))
    cost.yaxis.label.set_color("tab:blue")
    memory = cost.twinx()
    memory.plot(counts, [one.memory_mb for one in trials], "o-", color="tab:orange")
    memory.set(ylabel="server's memory [MB]", ylim=(0, 1.3 * max(one.memory_mb for one in trials)))
    memory.yaxis.label.set_color("tab:orange")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("audio", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 50, 500])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--hear", type=int, default=0)
    parser.add_argument("--more", type=int, default=0)
    parser.add_argument("--latency", default="low")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    clip = read_audio(options.audio)
    pcm = np.tile(clip, int(options.seconds * RATE_HZ / len(clip)) + 1)[: int(options.seconds * RATE_HZ)]
    process, address = served(max(options.counts))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} core(s) for server, speaker and listeners; load of the machine {load}")
    before_the_server()
    try:
        trials = [trial(process, address, pcm, count, options) for count in options.counts]
    finally:
        process.terminate()
        process.wait(30)
    if options.plot is not None:
        plot(options.plot, trials)


if __name__ == "__main__":
    main()
