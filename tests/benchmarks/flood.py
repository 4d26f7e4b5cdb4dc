"""Two thousand connections of a kind from one address, beside a speaker from another.

    python tests/benchmarks/flood.py [--count 2000] [--at-once] [--recogniser own]

Starts a server with its default limits, lets somebody speak in real time, and meanwhile opens so many connections from
127.0.0.2, one kind after the other: that say nothing, that send half a handshake, and whose handshake is refused.
Prints for each how many the server ended at once, how long /healthz took to answer meanwhile, beside before, what
processor time the server and the flood took, and how long after they were let go the server held as many descriptors as
before. At the end: whether the speaker got the words that the same session gives without any network.

Who floods, who asks and who speaks are processes of their own. The flood stands behind them (`nice`), as on a machine
of its own it would not compute on the server's: without it the answers wait for two thousand sockets of this script.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.events import Words
from streamst.pipeline import load

sys.path.insert(0, str(Path(__file__).parent))
import bad_input as beside

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
KINDS = {"idle": b"", "half-open": HANDSHAKE, "refused": HANDSHAKE + b"X-Long: " + b"x" * 9000 + b"\r\n\r\n"}
OPTIONS = "refuse_when_busy = false\nrelieve_when_busy = false\n"  # the words then depend on no load
SPARE = 16  # descriptors that come and go by themselves
FIRST_S = 3.0  # answers of a server in peace
HELD_S = 2.0  # how long all connections stay
BEHIND = 19  # how nice the flood is


def cpu_s(pid: int) -> float:
    """Processor time of a process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port: int, answers: Connection) -> None:
    """Ask /healthz all the time; at each message the answers' times since the last [ms] are told."""
    taken: list[float] = []
    while True:
        began_s = time.perf_counter()
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.request("GET", "/healthz")
        client.getresponse().read()
        client.close()
        taken.append(1000 * (time.perf_counter() - began_s))
        if answers.poll():
            if answers.recv() is None:
                return
            answers.send(taken)
            taken = []
        time.sleep(0.02)


def ended(client: socket.socket) -> bool:
    """Whether the server has closed it, with or without an answer."""
    client.setblocking(False)
    try:
        while client.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def attack(port: int, sent: bytes, count: int, at_once: bool, orders: Connection) -> None:
    """Open so many connections and tell how many were ended soon; let go of them when told. at_once: all are there
    before the first of them says anything."""
    os.nice(BEHIND)
    opened = list[socket.socket]()
    for _ in range(count):
        client = socket.socket()
        client.bind(("127.0.0.2", 0))
        client.setblocking(not at_once)
        with contextlib.suppress(OSError):
            client.connect(("127.0.0.1", port))
            client.sendall(sent)
        opened.append(client)
    for client in opened if at_once else ():
        with contextlib.suppress(OSError):
            client.sendall(sent)
    time.sleep(HELD_S)
    orders.send(sum(map(ended, opened)))
    orders.recv()
    for client in opened:
        client.close()
    orders.send(time.process_time())


class Asker:
    """Asks in a process of its own."""

    def __init__(self, port: int) -> None:
        self._orders, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=ask, args=(port, theirs))
        self._process.start()

    def times_ms(self) -> list[float]:
        """Those since this was called last; the first is no answer in peace, where this process only begins."""
        self._orders.send(True)
        return self._orders.recv()

    def end(self) -> None:
        self._orders.send(None)
        self._process.join()


def told(times_ms: list[float]) -> str:
    """Answers in words."""
    median, most = np.percentile(times_ms, (50, 100))
    return f"{len(times_ms)} answers of /healthz within {most:.0f} ms, half within {median:.0f} ms"


def flood(server: beside.Server, asker: Asker, name: str, count: int, at_once: bool) -> None:
    """One kind, told in a line."""
    before = server.descriptors()
    orders, theirs = multiprocessing.Pipe()
    arguments = (server.port, KINDS[name], count, at_once, theirs)
    process = multiprocessing.get_context("spawn").Process(target=attack, args=arguments)
    process.start()
    asker.times_ms()
    used_s, most = cpu_s(server.pid), 0
    while not orders.poll(0.1):
        most = max(most, server.descriptors())
    gone, used_s = orders.recv(), cpu_s(server.pid) - used_s
    answers = told(asker.times_ms())
    orders.send(True)
    flood_s = orders.recv()
    began_s = time.perf_counter()
    while server.descriptors() > before + SPARE:
        time.sleep(0.02)
    back_s = time.perf_counter() - began_s
    process.join()
    print(f"{count} {name}: {gone} ended at once, {answers}", flush=True)
    spent = f"processor time: server {used_s:.2f} s, flood {flood_s:.2f} s"
    print(f"  at most {most} descriptors, back after {back_s:.2f} s; {spent}", flush=True)


async def scene(server: beside.Server, pcm: Pcm, count: int, at_once: bool) -> tuple[list[str], int]:
    """Everything beside the speaker: the words, and how many samples were spoken."""
    over, words, heard = asyncio.Event(), list[str](), [0]

    async def counted() -> AsyncIterator[Pcm]:
        async for piece in beside.spoken(pcm, over):
            heard[0] += len(piece)
            yield piece

    async def speak() -> None:
        async for event in stream(server.address, counted(), beside.SETTINGS):
            if isinstance(event, Words):
                words.extend(event.words)

    def floods() -> None:
        asker = Asker(server.port)
        try:
            time.sleep(FIRST_S)
            asker.times_ms()
            time.sleep(FIRST_S)
            print(f"before: {told(asker.times_ms())}, {server.descriptors()} descriptors", flush=True)
            for name in KINDS:
                flood(server, asker, name, count, at_once)
        finally:
            asker.end()

    speaker = asyncio.create_task(speak())
    while await server.sessions() < 1:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(floods)
    over.set()
    await speaker
    return words, heard[0]


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--recogniser", default="own")
    parser.add_argument("--at-once", action="store_true", help="All connect before the first says anything.")
    options = parser.parse_args()
    pcm = from_pcm16(to_pcm16(np.resize(read_audio(beside.SAMPLE), 1800 * beside.RATE_HZ)))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        config = Path(folder) / "server.toml"
        config.write_text(OPTIONS)
        serve = ["serve", "--port", "0", "--config", str(config), "--recogniser", options.recogniser]
        command = [sys.executable, "-c", beside.SERVE, *serve]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            with contextlib.suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.count + 256), hard))
            try:
                assert process.stdout is not None
                port = next(int(part) for line in process.stdout if (part := line.strip().rpartition(":")[2]).isdigit())
                words, heard = asyncio.run(scene(beside.Server(port, process.pid), pcm, options.count, options.at_once))
            finally:
                process.terminate()
        said.seek(0)
        tracebacks = said.read().count("Traceback")
    session = load("en-de", precision="auto", recogniser=options.recogniser).session(
        policy=beside.POLICY, latency=beside.LATENCY
    )
    events = [*session.push(pcm[:heard]), *session.finish()]
    expected = [word for event in events if isinstance(event, Words) for word in event.words]
    heard_as = f"{len(words)} words in {heard / beside.RATE_HZ:.0f} s, as alone: {words == expected}"
    print(f"the speaker: {heard_as}; tracebacks: {tracebacks}")
    raise SystemExit(0 if words == expected and not tracebacks else 1)


if __name__ == "__main__":
    main()
