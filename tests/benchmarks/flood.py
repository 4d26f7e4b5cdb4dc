"""Two thousand connections of a kind from one address, beside a speaker from another.

    python tests/benchmarks/flood.py [--count 2000] [--recogniser own]

Starts a server with its default limits, lets somebody speak in real time, and meanwhile opens so many connections from
127.0.0.2, one kind after the other: that say nothing, that send half a handshake, and whose handshake is refused.
Prints for each how many the server ended at once, the slowest answer of /healthz meanwhile, beside the slowest before,
and how long after they were let go the server held as many descriptors as before. At the end: whether the speaker got
the words that the same session gives without any network.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
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
OPTIONS = "refuse_when_busy = false\n"
SPARE = 16  # descriptors that come and go by themselves
FIRST_S = 3.0  # answers of a server in peace


async def slowest_ms(server: beside.Server, over: asyncio.Event) -> tuple[float, int]:
    """The slowest answer of /healthz until it is over, and the most descriptors meanwhile."""
    slowest, most = 0.0, 0
    while not over.is_set():
        began_s = time.perf_counter()
        await server.sessions()
        slowest = max(slowest, 1000 * (time.perf_counter() - began_s))
        most = max(most, server.descriptors())
        await asyncio.sleep(0.1)
    return slowest, most


async def opened(port: int, sent: bytes) -> socket.socket | None:
    """A connection from another address that has sent `sent`; None where it was turned away."""
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        client.bind(("127.0.0.2", 0))
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, sent)
    except OSError:
        client.close()
        return None
    return client


def ended(client: socket.socket) -> bool:
    """Whether the server has closed it, with or without an answer."""
    try:
        while client.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


async def attack(server: beside.Server, sent: bytes, count: int) -> tuple[int, float, int, float]:
    """How many were ended, the slowest answer [ms], the most descriptors, and how soon these came back [s]."""
    before, over = server.descriptors(), asyncio.Event()
    asking = asyncio.create_task(slowest_ms(server, over))
    clients: list[socket.socket | None] = []
    for _ in range(count):
        clients.append(await opened(server.port, sent))
    await asyncio.sleep(2.0)
    there = [client for client in clients if client is not None]
    gone = count - len(there) + sum(ended(client) for client in there)
    for client in there:
        client.close()
    began_s = time.perf_counter()
    while server.descriptors() > before + SPARE:
        await asyncio.sleep(0.02)
    back_s = time.perf_counter() - began_s
    over.set()
    slowest, most = await asking
    return gone, slowest, most, back_s


async def scene(server: beside.Server, pcm: Pcm, count: int) -> tuple[list[str], int]:
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

    speaker = asyncio.create_task(speak())
    while await server.sessions() < 1:
        await asyncio.sleep(0.05)
    peace = asyncio.Event()
    asyncio.get_running_loop().call_later(FIRST_S, peace.set)
    slowest, most = await slowest_ms(server, peace)
    print(f"before: /healthz within {slowest:.0f} ms, {most} descriptors", flush=True)
    for name, sent in KINDS.items():
        gone, slowest, most, back_s = await attack(server, sent, count)
        told = f"/healthz within {slowest:.0f} ms, at most {most} descriptors, back after {back_s:.2f} s"
        print(f"{count} {name}: {gone} ended at once, {told}", flush=True)
    over.set()
    await speaker
    return words, heard[0]


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--recogniser", default="own")
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
                words, heard = asyncio.run(scene(beside.Server(port, process.pid), pcm, options.count))
            finally:
                process.terminate()
        said.seek(0)
        tracebacks = said.read().count("Traceback")
    session = load("en-de", recogniser=options.recogniser).session(policy=beside.POLICY, latency=beside.LATENCY)
    events = [*session.push(pcm[:heard]), *session.finish()]
    expected = [word for event in events if isinstance(event, Words) for word in event.words]
    told = f"{len(words)} words in {heard / beside.RATE_HZ:.0f} s, as alone: {words == expected}"
    print(f"the speaker: {told}; tracebacks: {tracebacks}")
    raise SystemExit(0 if words == expected and not tracebacks else 1)


if __name__ == "__main__":
    main()
