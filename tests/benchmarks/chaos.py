"""What a bad network costs: `python tests/benchmarks/chaos.py [TALK.wav] [--minutes 10] [--cuts 50] [--jitter-ms 200]`.

Streams a talk (the sample that comes with the page, over and over) to a server of its own through a proxy that holds
every packet for a random time up to the jitter, another 200 ms for the share of packets that TCP would have to send
again, and cuts the connection without a word, many times, at random places of either direction. Then it kills the
server in the midst of a stream, begins it again, and does the same once more. Prints how many words of the translation
were lost and how many came twice, beside those of a session that has no network at all. The policy is one that does
not change when the machine is short of time, so that the text may be compared word for word.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.client.audio import Exchange
from streamst.errors import StreamstError
from streamst.events import Caption, Event, Speech, Words
from streamst.pipeline import load
from streamst.server.wire.seam import Acknowledged, Closed, Settings
from streamst.server.wire.summary import Summary

SAMPLE = Path(__file__).parents[2] / "web" / "sample.flac"
SERVE = "from streamst.cli import main; main()"
RATE = 16_000
RESEND_MS = 200.0  # what a lost packet costs at least (RFC 6298 asks for 1 s, Linux does with 200 ms)
POLICY, LATENCY = "wait-k:k=7", "high"


@dataclass
class Proxy:
    """A bad network in front of a port. Cuts are planned by bytes that went up and come down, of either direction."""

    port: int
    jitter_ms: float
    loss: float
    cuts: list[int]  # sorted: so many bytes passed in all
    random: random.Random
    passed: int = 0
    done: int = 0
    connections: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        ways = [asyncio.create_task(self._pump(*way)) for way in ((reader, there_writer), (there_reader, writer))]
        with contextlib.suppress(asyncio.CancelledError):  # the benchmark is over
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for side in (writer, there_writer):
            side.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction: late, but in order, as TCP has it; until it is time to cut."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def deliver() -> None:
            while True:
                due_s, data = await queue.get()
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                if self.cuts and self.passed + len(data) >= self.cuts[0]:
                    sink.write(data[: max(0, self.cuts[0] - self.passed)])
                    self.passed = self.cuts.pop(0)
                    self.done += 1
                    return
                self.passed += len(data)
                sink.write(data)
                await sink.drain()

        async def receive() -> None:
            while data := await source.read(1448):
                late_ms = self.random.uniform(0, self.jitter_ms) + RESEND_MS * (self.random.random() < self.loss)
                await queue.put((time.monotonic() + late_ms / 1000, data))
            await queue.put((time.monotonic() + self.jitter_ms / 1000, b""))

        parts = [asyncio.create_task(deliver()), asyncio.create_task(receive())]
        try:
            await asyncio.wait(parts[:1])
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)


@contextlib.contextmanager
def server(port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server process and its port. What it says does not depend on how busy the machine is."""
    calm = Path(tempfile.mkdtemp()) / "streamst.toml"
    calm.write_text("refuse_when_busy = false\nrelieve_when_busy = false\n")
    command = [sys.executable, "-c", SERVE, "serve", "--port", str(port), "--config", str(calm)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.search(r"https?://[\d.]+:(\d+)", line)
                if found:
                    yield process, int(found.group(1))
                    return
            raise SystemExit("the server did not start")
        finally:
            process.kill()


async def spoken(pcm: Pcm, speed: float) -> AsyncIterator[Pcm]:
    """The talk in pieces of 100 ms, at `speed` times real time."""
    began_s = time.monotonic()
    for at in range(0, len(pcm), RATE // 10):
        await asyncio.sleep(max(0.0, began_s + at / RATE / speed - time.monotonic()))
        yield pcm[at : at + RATE // 10]


@dataclass
class Got:
    """What a listener got."""

    words: list[str] = field(default_factory=list)
    captions: list[tuple[Any, ...]] = field(default_factory=list)
    speech_samples: int = 0
    acknowledged: list[int] = field(default_factory=list)

    def take(self, event: Any) -> None:
        """One more event."""
        match event:
            case Words():
                self.words += event.words
            case Caption():
                self.captions.append((event.lang, event.segment, event.revision, event.stable, event.unstable))
            case Speech():
                self.speech_samples += len(event.pcm)
            case Acknowledged():
                self.acknowledged.append(event.sequence)
            case _:
                pass


def differences(expected: list[Any], got: list[Any]) -> tuple[int, int]:
    """How many of `expected` are missing in `got`, and how many are too many there."""
    matched = sum(
        size for _, _, size in difflib.SequenceMatcher(None, expected, got, autojunk=False).get_matching_blocks()
    )
    return len(expected) - matched, len(got) - matched


async def through(port: int, pcm: Pcm, options: argparse.Namespace, cuts: int, seed: int) -> tuple[Got, Proxy, Summary]:
    """The talk, streamed to `port` through a bad network."""
    rng = random.Random(seed)
    whole = int(2.2 * len(pcm))  # bytes that pass: audio up, and some 10 % down
    proxy = Proxy(port, options.jitter_ms, options.loss, sorted(rng.randint(1, whole) for _ in range(cuts)), rng)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    address = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    got, summary, exchange = Got(), Summary(), Exchange()
    settings = Settings(
        policy=POLICY, latency=LATENCY, output=("captions",) if options.captions else ("captions", "audio")
    )
    try:
        async for event in stream(address, spoken(pcm, options.speed), settings, exchange=exchange):
            got.take(event)
            if isinstance(event, Closed):
                summary = event.summary
    finally:
        listener.close()
    return got, proxy, summary


def report(name: str, expected: Got, got: Got, proxy: Proxy, summary: Summary) -> None:
    lost, doubled = differences(expected.words, got.words)
    captions_lost, captions_doubled = differences(expected.captions, got.captions)
    once = got.acknowledged == list(range(len(got.acknowledged)))
    print(f"{name}: {proxy.done} cuts, {proxy.connections} connections, {summary.resumed} times resumed")
    print(f"  words: {len(expected.words)} expected, {len(got.words)} got, lost {lost}, too many {doubled}")
    print(f"  captions: {len(expected.captions)} expected, lost {captions_lost}, too many {captions_doubled}")
    print(f"  speech: {expected.speech_samples} samples expected, {got.speech_samples} got")
    heard_s, dropped_ms = summary.audio_ms / 1000, summary.dropped_ms
    print(f"  audio heard {heard_s:.1f} s, dropped {dropped_ms} ms; each message once: {once}")


async def killed(port: int, process: subprocess.Popen[str], pcm: Pcm, options: argparse.Namespace) -> None:
    """Kill the server in the midst of a stream."""
    asyncio.get_running_loop().call_later(len(pcm) / RATE / options.speed / 2, process.kill)
    try:
        await through(port, pcm, options, 2, 7)
    except StreamstError as error:
        print(f"server killed in the midst: {type(error).__name__}: {error}")
    else:
        raise SystemExit("the stream ended although its server was killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("talk", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--jitter-ms", type=float, default=200.0)
    parser.add_argument("--loss", type=float, default=0.05, help="Share of packets that have to be sent again.")
    parser.add_argument("--speed", type=float, default=1.0, help="Of the speaker, in real time.")
    parser.add_argument("--captions", action="store_true", help="Without speech.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sample = read_audio(options.talk)
    samples = round(options.minutes * 60 * RATE)
    pcm = from_pcm16(to_pcm16(np.resize(sample, samples)))
    pipeline = load("en-de", precision="auto")
    session = pipeline.session(policy=POLICY, latency=LATENCY, speech=not options.captions)
    expected = Got()
    events: list[Event] = []
    for at in range(0, len(pcm), RATE):
        events += session.push(pcm[at : at + RATE])
    for event in [*events, *session.finish()]:
        expected.take(event)
    print(
        f"{options.minutes:g} min of talk, jitter {options.jitter_ms:g} ms, {100 * options.loss:g} % of packets twice"
    )
    short = pcm[: min(len(pcm), 20 * RATE)]
    with server(0) as (process, port):
        report("first server", expected, *asyncio.run(through(port, pcm, options, options.cuts, options.seed)))
        asyncio.run(killed(port, process, short, options))
    with server(port):
        got, proxy, summary = asyncio.run(through(port, short, options, 5, options.seed + 1))
        session = pipeline.session(policy=POLICY, latency=LATENCY, speech=not options.captions)
        expected = Got()
        for event in [*session.push(short), *session.finish()]:
            expected.take(event)
        report("after a restart", expected, got, proxy, summary)


if __name__ == "__main__":
    main()
