"""Clients that break the rules, beside one that does not: `python tests/benchmarks/bad_input.py [--times 3]`.

Starts a server, lets somebody speak in real time, and meanwhile does to the server, one after the other and each
several times, what hostile or broken clients do. Prints for each the close code that it earned (that which the protocol
documents is in brackets), and how long after the close the place was free, at most. At the end: whether the
speaker got the words that the same session gives without any network, tracebacks in the log, and file descriptors and
memory of the server before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.events import Words
from streamst.pipeline import load
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Settings

SAMPLE = Path(__file__).parents[2] / "web" / "sample.flac"
SERVE = "from streamst.cli import main; main()"
RATE_HZ = 16_000
IDLE_S, PING_S, SEND_S = 6.0, 1.0, 1.0
OPTIONS = f"""
max_sessions = 400
refuse_when_busy = false
address_rate = 0
address_sessions = 0
address_connections = 0
park_s = 3.0
idle_s = {IDLE_S}
ping_s = {PING_S}
send_timeout_s = {SEND_S}
"""
GONE = 1006  # the connection was dropped: nobody was there to be told
POLICY, LATENCY = "wait-k:k=7", "high"  # which change nothing when the machine is busy
SETTINGS = Settings(policy=POLICY, latency=LATENCY)


@dataclass
class Server:
    """Where it is, and what of it can be seen from outside."""

    port: int
    pid: int

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    async def sessions(self) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2])["sessions"]

    def open(self, *tokens: str, **options: object) -> connect:
        names = [Subprotocol(name) for name in (SUBPROTOCOL, *(f"token.{token}" for token in tokens))]
        return connect(self.address, subprotocols=names, proxy=None, **options)  # type: ignore[arg-type]


def audio(seconds: float, number: int = 0) -> bytes:
    return pack_audio("pcm16", number, 0, bytes(2 * round(seconds * RATE_HZ)))


async def code_of(socket: ClientConnection) -> int:
    """The close code, once everything before it was heard."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(30):
            async for _ in socket:
                pass
    return int(socket.close_code or 0)


def says(*messages: str | bytes, text: bool | None = None) -> Callable[[Server], Awaitable[int]]:
    """A client that sends these and waits for the close."""

    async def act(server: Server) -> int:
        async with server.open() as socket:
            with contextlib.suppress(ConnectionClosed):
                for message in messages:
                    await socket.send(message, text=text)
            return await code_of(socket)

    return act


async def fragments(server: Server) -> int:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(100_000)

    async with server.open() as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(parts())
        return await code_of(socket)


async def raw(server: Server, *parts: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket that answers nothing by itself, after its handshake and `parts`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    for part in parts:
        writer.write(part)
    return reader, writer


async def bomb(server: Server) -> int:
    """A compressed frame, though no compression was agreed on."""
    reader, writer = await raw(server, b"\xc2\x84" + bytes(4) + b"bomb")
    heard = await reader.read()
    writer.close()
    return int.from_bytes(heard[heard.rindex(b"\x88") + 2 :][:2], "big")


async def half_open(server: Server) -> int:
    """Connected, but nobody is there: no ping is answered, nothing is closed."""
    reader, writer = await raw(server)
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    return GONE


async def slow_reader(server: Server) -> int:
    """Speaks for minutes, pings all the time, and reads nothing."""
    reader, writer = await raw(server)
    ping = json.dumps({"type": "ping", "id": "x" * 60}).encode()
    ping = b"\x81" + bytes([0x80 | len(ping)]) + bytes(4) + ping
    with contextlib.suppress(ConnectionError):
        for _ in range(2000):
            writer.write(ping * 50)
            await writer.drain()
    del reader
    writer.close()
    return GONE


async def too_fast(server: Server) -> int:
    return await says(*(audio(10.0, number) for number in range(8)))(server)


async def vanishes(server: Server) -> int:
    async with server.open() as socket:
        await socket.send(audio(0.1))
        await socket.recv()
        socket.transport.abort()
    return GONE


async def wrong_token(server: Server) -> int:
    async with server.open("guessed") as socket:
        return await code_of(socket)


async def anothers_token(server: Server) -> int:
    """Says hello with a token that is none, as whoever would take over another's session."""
    async with server.open() as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps({"type": "hello", "resume_token": "guessed", "last_sequence": 0}))
        return await code_of(socket)


async def flood(server: Server) -> int:
    """Two hundred at once, which all vanish."""

    async def one() -> None:
        with contextlib.suppress(OSError, InvalidStatus, TimeoutError, ConnectionClosed):
            async with server.open(open_timeout=30) as socket:
                await socket.recv()
                socket.transport.abort()

    await asyncio.gather(*(one() for _ in range(200)))
    return GONE


DEEDS: dict[str, tuple[Callable[[Server], Awaitable[int]], int]] = {
    "bad JSON": (says("hello"), 1007),
    "JSON that breaks off": (says('{"type":"config"'), 1007),
    "bad UTF-8": (says(b'{"type":"\xff"}', text=True), 1007),
    "audio in a text frame": (says('{"type":"audio","data":"AAAA"}'), 1003),
    "half a header": (says(audio(0.1)[:7]), 1007),
    "half a sample": (says(audio(0.1) + b"\0"), 1007),
    "an unknown parameter": (says('{"type":"config","langauge":"de"}'), 4400),
    "a text of 70 kB": (says('{"type":"hello","x":"' + "x" * 70_000 + '"}'), 1009),
    "ten megabytes": (says(bytes(10_000_000)), 1009),
    "ten megabytes in fragments": (fragments, 1009),
    "a compressed frame": (bomb, 1002),
    "80 s of audio at once": (too_fast, 4413),
    f"nothing for {IDLE_S:g} s": (says(), 4408),
    "a half-open connection": (half_open, GONE),
    "a reader that does not read": (slow_reader, GONE),
    "a client that vanishes": (vanishes, GONE),
    "a wrong token": (wrong_token, 4401),
    "another's session": (anothers_token, 4401),
    "200 connections at once": (flood, GONE),
}


async def freed_ms(server: Server, others: int) -> float:
    """How long until no more places are taken than by `others`."""
    began_s = time.perf_counter()
    while await server.sessions() > others:
        await asyncio.sleep(0.005)
    return 1000 * (time.perf_counter() - began_s)


async def spoken(pcm: Pcm, over: asyncio.Event) -> AsyncIterator[Pcm]:
    """In real time, until it is over."""
    began_s, at = time.monotonic(), 0
    while not over.is_set() and at < len(pcm):
        await asyncio.sleep(max(0.0, began_s + at / RATE_HZ - time.monotonic()))
        yield pcm[at : at + RATE_HZ // 10]
        at += RATE_HZ // 10


async def scene(server: Server, pcm: Pcm, times: int) -> tuple[list[str], int, bool]:
    """Everything at once: the speaker's words, how many samples were spoken, and whether all codes were right."""
    over, words, heard = asyncio.Event(), list[str](), [0]

    async def counted() -> AsyncIterator[Pcm]:
        async for piece in spoken(pcm, over):
            heard[0] += len(piece)
            yield piece

    async def speak() -> None:
        async for event in stream(server.address, counted(), SETTINGS):
            if isinstance(event, Words):
                words.extend(event.words)

    speaker = asyncio.create_task(speak())
    while await server.sessions() < 1:
        await asyncio.sleep(0.05)
    well = True
    for name, (deed, expected) in DEEDS.items():
        earned, waits_ms = set[int](), list[float]()
        for _ in range(times):
            earned.add(await deed(server))
            waits_ms.append(await freed_ms(server, 1))
        well &= earned == {expected}
        codes = ", ".join(map(str, sorted(earned)))
        print(f"{name}: {codes} ({expected}), place free after {max(waits_ms):.0f} ms", flush=True)
    over.set()
    await speaker
    return words, heard[0], well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    pcm = from_pcm16(to_pcm16(np.resize(read_audio(SAMPLE), 600 * RATE_HZ)))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        config = Path(folder) / "server.toml"
        config.write_text(OPTIONS)
        command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--config", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process:
            try:
                assert process.stdout is not None
                found = next(filter(None, (re.search(r":(\d+)\s*$", line) for line in process.stdout)))
                server = Server(int(found.group(1)), process.pid)
                before = server.descriptors(), server.rss_mib()
                words, heard, well = asyncio.run(scene(server, pcm, options.times))
                time.sleep(5)  # parked sessions end
                after = server.descriptors(), server.rss_mib()
            finally:
                process.terminate()
        said.seek(0)
        tracebacks = said.read().count("Traceback")
    session = load("en-de", precision="auto").session(policy=POLICY, latency=LATENCY)
    events = [*session.push(pcm[:heard]), *session.finish()]
    expected = [word for event in events if isinstance(event, Words) for word in event.words]
    print(f"the speaker beside them: {len(words)} words in {heard / RATE_HZ:.0f} s, as alone: {words == expected}")
    print(f"tracebacks: {tracebacks}; exit code {process.returncode}")
    print(f"file descriptors {before[0]} -> {after[0]}; RSS {before[1]:.0f} -> {after[1]:.0f} MiB")
    raise SystemExit(0 if well and words == expected and not tracebacks else 1)


if __name__ == "__main__":
    main()
