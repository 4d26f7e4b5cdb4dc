"""What each integration adds: the same talk of eight sentences by the native client and by each adapter, in real time.

    python tests/benchmarks/adapters.py wyoming [--recogniser own]

Speaks eight sentences with flite, sends them at the pace of a speaker, first with the native client and then with the
adapter's own framework, and compares words and, where there is speech, samples. The latency that is added is the
difference of when each German word came, against the start of the talk: p50 and p95 over all words. Then 100 connects
and disconnects: tasks, sockets and memory before and after. One run at a time, both in this process with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from serving import running

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.events import Speech, Words
from streamst.pipeline import load

SENTENCES = (
    "Good morning and welcome to our meeting.", "The train to the city leaves at nine o'clock.",
    "I would like a cup of coffee, please.", "We have seen the new house of my brother.",
    "Tomorrow the weather will be better.", "Where can I find the station?",
    "She has read this book three times.", "Thank you very much for your help.",
)  # fmt: skip
PIECE = 320  # samples: 20 ms, as frameworks send them
ADAPTERS = ("wyoming", "livekit")


@dataclass
class Told:
    """What came back."""

    words: list[tuple[float, str]] = field(default_factory=list)  # when [s], and the German word
    speech: list[Pcm] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(word for _, word in self.words)

    @property
    def pcm(self) -> Pcm:
        return np.concatenate([np.zeros(0, np.float32), *self.speech])


def talk() -> Pcm:
    """The sentences, half a second between them."""
    with tempfile.TemporaryDirectory() as folder:
        pieces: list[Pcm] = []
        for number, sentence in enumerate(SENTENCES):
            path = Path(folder) / f"{number}.wav"
            subprocess.run(["flite", "-voice", "slt", "-t", sentence, "-o", str(path)], check=True)
            pieces += [read_audio(path), np.zeros(8000, np.float32)]
    return from_pcm16(to_pcm16(np.concatenate(pieces)))


async def paced(pcm: Pcm, speed: float) -> AsyncIterator[Pcm]:
    """20 ms at a time, each when it could have been spoken."""
    began_s = time.perf_counter()
    for at in range(0, len(pcm), PIECE):
        await asyncio.sleep(max(0.0, began_s + (at + PIECE) / 16_000 / speed - time.perf_counter()))
        yield pcm[at : at + PIECE]


async def native(address: str, pcm: Pcm, speed: float) -> Told:
    """By our client."""
    told, began_s = Told(), time.perf_counter()
    async for event in stream(address, paced(pcm, speed)):
        if isinstance(event, Words):
            told.words += [(time.perf_counter() - began_s, word) for word in event.words]
        elif isinstance(event, Speech):
            told.speech.append(event.pcm)
    return told


async def wyoming(context: Any, pcm: Pcm, speed: float) -> Told:
    """By Wyoming's client."""
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient

    told, form, began_s = Told(), {"rate": 16_000, "width": 2, "channels": 1}, time.perf_counter()
    async with AsyncClient.from_uri(context) as client:

        async def send() -> None:
            await client.write_event(AudioStart(**form).event())
            async for piece in paced(pcm, speed):
                await client.write_event(AudioChunk(audio=to_pcm16(piece), **form).event())
            await client.write_event(AudioStop().event())

        sending = asyncio.create_task(send())
        while (event := await client.read_event()) is not None and event.type != "transcript-stop":
            if event.type == "transcript-chunk":
                told.words += [(time.perf_counter() - began_s, word) for word in event.data["text"].split()]
        await sending
    return told


async def livekit(context: str, pcm: Pcm, speed: float) -> Told:
    """By a translation model of LiveKit's."""
    from livekit import rtc
    from livekit.agents.beta.translation import TranslatedAudioFrame

    from streamst.integrations.livekit import StreamstTranslation

    told, began_s = Told(), time.perf_counter()
    async with StreamstTranslation(context) as model:
        session = model.session()

        def said(event: Any) -> None:
            told.words += [(time.perf_counter() - began_s, word) for word in event.text.split()]

        session.on("output_transcript", said)

        async def send() -> None:
            async for piece in paced(pcm, speed):
                session.push_audio(rtc.AudioFrame(to_pcm16(piece), 16_000, 1, len(piece)))
            cast(Any, session).end_input()  # ours, not of the base class

        sending = asyncio.create_task(send())
        async for item in session.audio_stream:
            if isinstance(item, TranslatedAudioFrame):
                told.speech.append(from_pcm16(bytes(item.frame.data.cast("B"))))
        await sending
    return told


def memory_kb() -> int:
    """Resident."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


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


async def measure(name: str, adapter: Any, context: Any, address: str, pcm: Pcm) -> None:
    """Print what `adapter` is told beside the native client, and what a hundred of it leave behind."""
    await native(address, pcm[: 16_000 * 3], 8.0)
    began_s = time.process_time()
    ours = await native(address, pcm, 1.0)
    turned_s = time.process_time()
    theirs = await adapter(context, pcm, 1.0)
    cpu_s = turned_s - began_s, time.process_time() - turned_s
    print(f"{name}: {len(pcm) / 16_000:.1f} s, {len(ours.words)} German words")
    print(f"  word for word as the native client's: {'yes' if ours.text == theirs.text else 'NO'}")
    if theirs.speech:
        equal = len(ours.pcm) == len(theirs.pcm) and np.abs(ours.pcm - theirs.pcm).max() < 2 / 32_768
        print(f"  speech {len(theirs.pcm)} samples, native {len(ours.pcm)}: {'the same' if equal else 'NOT the same'}")
    later_ms = [1000 * (b[0] - a[0]) for a, b in zip(ours.words, theirs.words, strict=False)]
    p50, p95 = np.percentile(later_ms, [50, 95])
    print(f"  added latency of a word: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    print(f"  CPU time of the talk, server included: native {cpu_s[0]:.2f} s, {name} {cpu_s[1]:.2f} s")
    brief = np.zeros(1600, np.float32)
    for _ in range(10):
        await adapter(context, brief, 100.0)
    await asyncio.sleep(0.5)
    before = len(asyncio.all_tasks()), sockets(), memory_kb()
    for _ in range(100):
        await adapter(context, brief, 100.0)
    await asyncio.sleep(0.5)
    after = len(asyncio.all_tasks()), sockets(), memory_kb()
    print(f"  100 connects: tasks {before[0]} -> {after[0]}, sockets {before[1]} -> {after[1]}, ", end="")
    print(f"memory {before[2] / 1024:.0f} -> {after[2] / 1024:.0f} MB")


async def run_wyoming(pipeline: Any, address: str, pcm: Pcm) -> None:
    """A Wyoming server in this process."""
    clients = importlib.import_module("wyoming_clients")
    from streamst.integrations.wyoming import House

    house = House(pipeline)
    async with clients.serving(house) as uri:
        await measure("wyoming", wyoming, uri, address, pcm)
    house.close()


async def run_livekit(_: Any, address: str, pcm: Pcm) -> None:
    """A model in this process."""
    await measure("livekit", livekit, address, address, pcm)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="What each integration adds to a talk.")
    parser.add_argument("adapters", nargs="*", default=ADAPTERS, choices=ADAPTERS)
    parser.add_argument("--recogniser", default="own")
    options = parser.parse_args()
    pipeline, pcm = load(recogniser=options.recogniser, precision="auto"), talk()
    with running(pipeline) as address:
        for name in options.adapters:
            asyncio.run(globals()[f"run_{name}"](pipeline, address, pcm))


if __name__ == "__main__":
    main()
