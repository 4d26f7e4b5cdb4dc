"""What each integration adds: the same talk of eight sentences by the native client and by each adapter.

    python tests/benchmarks/adapters.py livekit wyoming webrtc rest mcp [--recogniser own] [--turns 3] [--speed 1]
    .venv/pipecat/bin/python tests/benchmarks/adapters.py pipecat

Speaks eight sentences with flite and has them translated by the native client and by the adapter's own framework, in
turns, and compares words and, where there is speech, samples. Two latencies of a word, p50 and p95 over all words of
all turns. "From the session": from when the session says it to when the framework's user has it, for the native client
and for the adapter. "Added": how much later after the talk's beginning the adapter's user has it than the native
client's, which is right only where nothing else runs, in real time. MCP and REST get a file, and have every word at the
end. A WebRTC call is compared with the native client that is given what the call's session heard, since Opus stands
between. Then --connects connects and disconnects: tasks, sockets and memory before and after each hundred. Without
--recogniser the model is a tiny one that babbles, which takes next to no time and always says the same: what is
measured is what stands around it. Clients and server share this process.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import adapter_users
from adapter_users import FILE_SPEED, Told, native
from memory import in_use_mib, objects, resident_mib
from serving import running

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.events import Words
from streamst.pipeline import load

SENTENCES = (
    "Good morning and welcome to our meeting.", "The train to the city leaves at nine o'clock.",
    "I would like a cup of coffee, please.", "We have seen the new house of my brother.",
    "Tomorrow the weather will be better.", "Where can I find the station?",
    "She has read this book three times.", "Thank you very much for your help.",
)  # fmt: skip
ADAPTERS = ("livekit", "wyoming", "webrtc", "rest", "mcp")  # pipecat has an environment of its own
HUNDRED = 100


def talk() -> Pcm:
    """The sentences, half a second between them."""
    with tempfile.TemporaryDirectory() as folder:
        pieces: list[Pcm] = []
        for number, sentence in enumerate(SENTENCES):
            path = Path(folder) / f"{number}.wav"
            subprocess.run(["flite", "-voice", "slt", "-t", sentence, "-o", str(path)], check=True)
            pieces += [read_audio(path), np.zeros(8000, np.float32)]
    return from_pcm16(to_pcm16(np.concatenate(pieces)))


def sockets() -> int:
    """Open in this process."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    found = 0
    for link in links:
        try:
            found += os.readlink(link).startswith("socket:")
        except OSError:  # that of the listing
            continue
    return found


class Mouth:
    """When the session said each German word of the talk that runs."""

    def __init__(self) -> None:
        self.said_s: list[float] = []
        served: Any = importlib.import_module("streamst.server.session.served").Served
        say = served.say

        def heard(one: Any, *answers: Any) -> None:
            for answer in answers:
                if isinstance(answer, Words):
                    self.said_s += [time.perf_counter()] * len(answer.words)
            say(one, *answers)

        served.say = heard

    def of_wyoming(self) -> None:
        """Wyoming's server has sessions of its own."""
        hearing: Any = importlib.import_module("streamst.integrations.wyoming_parts").Hearing
        fresh = hearing.fresh

        def heard(one: Any, events: Any) -> str:
            delta: str = fresh(one, events)
            self.said_s += [time.perf_counter()] * len(delta.split())
            return delta

        hearing.fresh = heard


def shown_ms(samples_s: list[float]) -> str:
    """p50 and p95."""
    if not samples_s:
        return "has none"
    p50, p95 = np.percentile(1000 * np.asarray(samples_s), [50, 95])
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def later_s(ours: Told, theirs: Told) -> list[float]:
    """How much later after the talk's beginning `theirs` has each word, where the words are the same."""
    if ours.text != theirs.text:
        return []
    pairs = zip(ours.words, theirs.words, strict=True)
    return [(theirs_s - theirs.began_s) - (ours_s - ours.began_s) for (ours_s, _), (theirs_s, _) in pairs]


def same(ours: Pcm, theirs: Pcm) -> bool:
    """Whether two recordings are the same but for rounding."""
    return len(ours) == len(theirs) and (not len(ours) or float(np.abs(ours - theirs).max()) < 2**-14)


class Measure:
    """One adapter beside the native client."""

    def __init__(self, name: str, adapter: Any, context: Any, address: str, options: argparse.Namespace) -> None:
        self.name, self._adapter, self._context, self._address = name, adapter, context, address
        self._turns, self._connects = options.turns, options.connects
        self._live = name not in ("rest", "mcp")
        self._speed = options.speed if self._live else FILE_SPEED
        self._mouth = Mouth()
        self._mouth.of_wyoming()
        self._from_session_s: dict[str, list[float]] = {"native": [], name: []}
        self._cpu_s = {"native": 0.0, name: 0.0}

    async def all(self, pcm: Pcm) -> None:
        """Print what the adapter is told beside the native client, and what hundreds of it leave behind."""
        await native(self._address, pcm[: 16_000 * 3], 8.0)
        words = samples = 0
        added_s: list[float] = []
        ours = theirs = Told()
        for turn in range(self._turns):
            ours, theirs = await self._turn(pcm, turn)
            words += ours.text == theirs.text
            samples += same(ours.pcm, theirs.pcm)
            added_s += later_s(ours, theirs)
        print(f"{self.name}: {len(pcm) / 16_000:.1f} s, {len(ours.words)} German words, {self._turns} turns")
        print(f"  word for word as the native client's: {words} of {self._turns}", end="")
        print("" if ours.text == theirs.text else f"; the last: {ours.text!r} and {theirs.text!r}")
        if len(theirs.pcm):
            told = f"  speech of {len(theirs.pcm)} samples, native {len(ours.pcm)}: "
            print(f"{told}the same in {samples} of {self._turns}")
        if self._live:
            for who, found in self._from_session_s.items():
                print(f"  latency of a word from the session, {who}: {shown_ms(found)}")
            print(f"  latency of a word, added: {shown_ms(added_s)}")
        cpu = ", ".join(f"{who} {spent_s / self._turns:.2f} s" for who, spent_s in self._cpu_s.items())
        print(f"  CPU time of a talk, server included: {cpu}", flush=True)
        await self._connect_often()

    async def _turn(self, pcm: Pcm, turn: int) -> tuple[Told, Told]:
        """The native client's and the adapter's, who goes first taking turns."""
        told: dict[str, Told] = {}
        for who in ("native", self.name) if turn % 2 == 0 else (self.name, "native"):
            told[who] = await self._measured(who, pcm)
        return told["native"], told[self.name]

    async def _measured(self, who: str, pcm: Pcm, rate_hz: int = 16_000) -> Told:
        self._mouth.said_s.clear()
        began_s = time.process_time()
        if who == "native":
            told = await native(self._address, pcm, self._speed, rate_hz)
        else:
            told = await self._adapter(self._context, pcm, self._speed)
        self._cpu_s[who] += time.process_time() - began_s
        pairs = zip(self._mouth.said_s, told.words, strict=False)
        self._from_session_s[who] += [at_s - said_s for said_s, (at_s, _) in pairs]
        return told

    async def _connect_often(self) -> None:
        brief = np.zeros(1600, np.float32)
        if not self._connects:
            return
        for _ in range(10):
            await self._adapter(self._context, brief, 100.0)
        print(f"  after 10 connects: {await left_behind()}")
        for number in range(self._connects):
            await self._adapter(self._context, brief, 100.0)
            if not (number + 1) % HUNDRED:
                print(f"  after {number + 1} more: {await left_behind()}", flush=True)


class MeasureOfCalls(Measure):
    """A WebRTC call beside the native client that is given what its session heard."""

    async def _turn(self, pcm: Pcm, turn: int) -> tuple[Told, Told]:
        calls: Any = importlib.import_module("adapter_calls")
        overheard = calls.Overheard()
        theirs = await self._measured(self.name, pcm)
        ours = await self._measured("native", overheard.heard, calls.RATE_HZ)
        ours.began_s += calls.offset_s(pcm, overheard.heard)
        heard = calls.likeness(calls.resampled(theirs.speech), overheard.played, calls.RATE_HZ)
        print(f"{self.name}: loudness of what is played and of what the caller hears, correlation: {heard:.3f}")
        theirs.speech, ours.speech = [overheard.said], [calls.resampled(ours.speech)]
        return ours, theirs


async def left_behind() -> str:
    """Tasks, sockets and memory, once it is quiet."""
    await asyncio.sleep(1.0)
    held = f"{objects()} objects, {resident_mib():.1f} MiB, {in_use_mib():.1f} of it in use"
    return f"{len(asyncio.all_tasks())} tasks, {sockets()} sockets, {held}"


async def run_wyoming(pipeline: Any, address: str, pcm: Pcm, options: argparse.Namespace) -> None:
    """A Wyoming server in this process."""
    clients = importlib.import_module("wyoming_clients")
    from streamst.integrations.wyoming import House

    house = House(pipeline)
    async with clients.serving(house) as uri:
        await Measure("wyoming", adapter_users.wyoming, uri, address, options).all(pcm)
    house.close()


async def run_webrtc(_: Any, address: str, pcm: Pcm, options: argparse.Namespace) -> None:
    """Peers that meet at 127.0.0.1, which ICE leaves out by itself."""
    ice: Any = importlib.import_module("aioice.ice")
    ice.get_host_addresses = lambda **_: ["127.0.0.1"]
    await MeasureOfCalls("webrtc", adapter_users.webrtc, address, address, options).all(pcm)


async def run_mcp(pipeline: Any, address: str, pcm: Pcm, options: argparse.Namespace) -> None:
    """The tools in this process."""
    server = importlib.import_module("streamst.integrations.mcp").make_server(lambda: pipeline)
    await Measure("mcp", adapter_users.mcp, server, address, options).all(pcm)


def run_by_address(name: str) -> Callable[..., Any]:
    """An adapter that needs our server's address only."""
    adapter = getattr(adapter_users, name)
    return lambda _, address, pcm, options: Measure(name, adapter, address, address, options).all(pcm)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="What each integration adds to a talk.")
    parser.add_argument("adapters", nargs="*", default=ADAPTERS, choices=(*ADAPTERS, "pipecat"))
    parser.add_argument("--recogniser", help="a real model, own for the smallest; a tiny one by default")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--speed", type=float, default=1.0, help="of the speaker, of live adapters")
    parser.add_argument("--connects", type=int, default=HUNDRED)
    options = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as folder:
        if options.recogniser:
            pipeline = load(recogniser=options.recogniser, precision="auto")
        else:
            tiny = importlib.import_module("tiny")
            pipeline = tiny.make_pipeline(tiny.make_translator(Path(folder)))
        pcm = talk()
        with running(pipeline) as address:
            for name in options.adapters:
                run = globals().get(f"run_{name}") or run_by_address(name)
                asyncio.run(run(pipeline, address, pcm, options))


if __name__ == "__main__":
    main()
