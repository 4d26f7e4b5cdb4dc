"""What each integration adds: the same talk of eight sentences by the native client and by each adapter.

    python tests/benchmarks/adapters.py livekit wyoming webrtc rest mcp [--recogniser own] [--turns 3] [--speed 1]
    .venv/pipecat/bin/python tests/benchmarks/adapters.py pipecat

Speaks eight sentences with flite and has them translated by the native client and by the adapter's own framework, in
turns, and compares words and, where there is speech, samples. The latency of a word is from when the session says it to
when the framework's user has it, p50 and p95 over all words of all turns, for the native client and for the adapter:
what differs is what the adapter adds. MCP and REST get a file, and have every word at the end. Then 100 connects and
disconnects: tasks, sockets and memory before and after. Without --recogniser the model is a tiny one that babbles,
which takes next to no time and always says the same: what is measured is what stands around it. Clients and server
share this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from serving import running

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16, write_wav
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
ADAPTERS = ("livekit", "wyoming", "webrtc", "rest", "mcp")  # pipecat has an environment of its own
CONNECTS = 100
FILE_SPEED = 1000.0  # of a talk that is there already


@dataclass
class Told:
    """What came back."""

    words: list[tuple[float, str]] = field(default_factory=list)  # when [s, perf_counter], and the German word
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
    """20 ms at a time, each when it could have been spoken; a second where it is a file."""
    began_s, size = time.perf_counter(), PIECE if speed < FILE_SPEED else 16_000
    for at in range(0, len(pcm), size):
        await asyncio.sleep(max(0.0, began_s + (at + size) / 16_000 / speed - time.perf_counter()))
        yield pcm[at : at + size]


async def native(address: str, pcm: Pcm, speed: float) -> Told:
    """By our client."""
    told = Told()
    async for event in stream(address, paced(pcm, speed)):
        if isinstance(event, Words):
            told.words += [(time.perf_counter(), word) for word in event.words]
        elif isinstance(event, Speech):
            told.speech.append(event.pcm)
    return told


async def wyoming(context: Any, pcm: Pcm, speed: float) -> Told:
    """By Wyoming's client."""
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient

    told, form = Told(), {"rate": 16_000, "width": 2, "channels": 1}
    async with AsyncClient.from_uri(context) as client:

        async def send() -> None:
            await client.write_event(AudioStart(**form).event())
            async for piece in paced(pcm, speed):
                await client.write_event(AudioChunk(audio=to_pcm16(piece), **form).event())
            await client.write_event(AudioStop().event())

        sending = asyncio.create_task(send())
        while (event := await client.read_event()) is not None and event.type != "transcript-stop":
            if event.type == "transcript-chunk":
                told.words += [(time.perf_counter(), word) for word in event.data["text"].split()]
        await sending
    return told


async def livekit(context: str, pcm: Pcm, speed: float) -> Told:
    """By a translation model of LiveKit's."""
    from livekit import rtc
    from livekit.agents.beta.translation import TranslatedAudioFrame

    from streamst.integrations.livekit import StreamstTranslation

    told = Told()
    async with StreamstTranslation(context) as model:
        session = model.session()

        def said(event: Any) -> None:
            told.words += [(time.perf_counter(), word) for word in event.text.split()]

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


async def pipecat(context: str, pcm: Pcm, speed: float) -> Told:
    """By a pipeline of Pipecat's."""
    frames: Any = importlib.import_module("pipecat.frames.frames")
    testing: Any = importlib.import_module("pipecat.tests.utils")
    processor: Any = importlib.import_module("pipecat.processors.frame_processor").FrameProcessor
    service: Any = importlib.import_module("streamst.integrations.pipecat").StreamstService
    told = Told()

    class Ear(processor):
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, frames.TranslationFrame):
                told.words += [(time.perf_counter(), word) for word in frame.text.split()]
            elif isinstance(frame, frames.TTSAudioRawFrame):
                told.speech.append(from_pcm16(frame.audio))
            await self.push_frame(frame, direction)

    pipeline = importlib.import_module("pipecat.pipeline.pipeline").Pipeline([service(context), Ear()])
    worker = importlib.import_module("pipecat.pipeline.worker").PipelineWorker(pipeline, cancel_on_idle_timeout=False)
    runner = importlib.import_module("pipecat.workers.runner").WorkerRunner(handle_sigint=False)

    @worker.event_handler("on_pipeline_started")
    async def begin(*_: Any) -> None:
        async for piece in paced(pcm, speed):
            await worker.queue_frame(frames.InputAudioRawFrame(to_pcm16(piece), 16_000, 1))
        await worker.queue_frame(frames.EndFrame())

    assert testing
    await runner.add_workers(worker)
    await runner.run()
    return told


async def webrtc(context: str, pcm: Pcm, _: float) -> Told:
    """By a call over aiortc, in real time; its sound has been Opus."""
    calling: Any = importlib.import_module("calling")
    told, brief = Told(), len(pcm) < 16_000
    async with calling.calling(pcm) as caller:
        await caller.call(context)
        await caller.until("session.created")
        caller.microphone.begin()

        def read(text: str) -> None:
            event = json.loads(text)
            if event["type"] == "session.output_transcript.delta":
                told.words += [(time.perf_counter(), word) for word in event["delta"].split()]

        caller.channel.on("message", read)
        while not brief and not caller.microphone.over:
            await asyncio.sleep(0.02)
        caller.channel.send('{"type":"session.close"}')
        await caller.until("session.closed")
    return told


async def rest(context: str, pcm: Pcm, _: float) -> Told:
    """By OpenAI's client, as a file."""
    openai: Any = importlib.import_module("openai")
    with wav(pcm) as path, path.open("rb") as file:
        async with openai.AsyncOpenAI(
            api_key="any", base_url=f"{context}/v1", http_client=openai.DefaultAsyncHttpxClient(trust_env=False)
        ) as client:
            form = {"file": file, "model": "any"}
            answer = await client.audio.with_raw_response.translations.create(**form)
            text = json.loads(answer.text)["text"]
    return Told([(time.perf_counter(), word) for word in text.split()])


async def mcp(context: Any, pcm: Pcm, _: float) -> Told:
    """By MCP's client, in this process."""
    client_of: Any = importlib.import_module("mcp").Client
    with wav(pcm) as path:
        said = path.with_name("said.wav")
        async with client_of(context, read_timeout_seconds=600.0) as client:
            asked = {"path": str(path), "speech_path": str(said)}
            answer = await client.call_tool("translate_file", asked)
        text = json.loads(answer.content[0].text)["de"]
        speech = [read_audio(said)] if said.exists() else []
    return Told([(time.perf_counter(), word) for word in text.split()], speech)


@contextlib.contextmanager
def wav(pcm: Pcm) -> Any:
    """A file of `pcm`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.wav"
        write_wav(path, pcm, 16_000)
        yield path


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


async def measure(name: str, adapter: Any, context: Any, address: str, pcm: Pcm, turns: int, speed: float) -> None:
    """Print what `adapter` is told beside the native client, and what a hundred of it leave behind."""
    live = name not in ("rest", "mcp")
    speed = speed if live else FILE_SPEED
    mouth = Mouth()
    mouth.of_wyoming()
    await native(address, pcm[: 16_000 * 3], 8.0)
    words = samples = 0
    ours = theirs = Told()
    later_s: tuple[list[float], list[float]] = ([], [])
    cpu_s = [0.0, 0.0]
    for turn in range(turns):
        told: list[Told] = [Told(), Told()]
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            mouth.said_s.clear()
            began_s = time.process_time()
            told[which] = await (native(address, pcm, speed) if which == 0 else adapter(context, pcm, speed))
            cpu_s[which] += time.process_time() - began_s
            pairs = zip(mouth.said_s, told[which].words, strict=False)
            later_s[which].extend(at_s - said_s for said_s, (at_s, _) in pairs)
        ours, theirs = told
        words += ours.text == theirs.text
        equal = len(ours.pcm) == len(theirs.pcm) and (not len(ours.pcm) or np.abs(ours.pcm - theirs.pcm).max() < 2**-14)
        samples += bool(equal)
    print(f"{name}: {len(pcm) / 16_000:.1f} s, {len(ours.words)} German words, {turns} turns")
    print(f"  word for word as the native client's: {words} of {turns}", end="")
    print("" if ours.text == theirs.text else f"; the last: {ours.text!r} and {theirs.text!r}")
    if theirs.speech:
        print(f"  speech of {len(theirs.pcm)} samples, native {len(ours.pcm)}: the same in {samples} of {turns}")
    for who, found in (("native", later_s[0]), (name, later_s[1])):
        print(f"  latency of a word, {who}: {shown_ms(found)}")
    print(
        f"  CPU time of a talk, server included: native {cpu_s[0] / turns:.2f} s, {name} {cpu_s[1] / turns:.2f} s",
        flush=True,
    )
    brief = np.zeros(1600, np.float32)
    for _ in range(10):
        await adapter(context, brief, 100.0)
    await asyncio.sleep(1.0)
    before = len(asyncio.all_tasks()), sockets(), memory_kb()
    for _ in range(CONNECTS):
        await adapter(context, brief, 100.0)
    await asyncio.sleep(1.0)
    after = len(asyncio.all_tasks()), sockets(), memory_kb()
    print(f"  {CONNECTS} connects: tasks {before[0]} -> {after[0]}, sockets {before[1]} -> {after[1]}, ", end="")
    print(f"memory {before[2] / 1024:.1f} -> {after[2] / 1024:.1f} MB", flush=True)


async def run_wyoming(pipeline: Any, address: str, pcm: Pcm, turns: int, speed: float) -> None:
    """A Wyoming server in this process."""
    clients = importlib.import_module("wyoming_clients")
    from streamst.integrations.wyoming import House

    house = House(pipeline)
    async with clients.serving(house) as uri:
        await measure("wyoming", wyoming, uri, address, pcm, turns, speed)
    house.close()


async def run_webrtc(_: Any, address: str, pcm: Pcm, turns: int, speed: float) -> None:
    """Peers that meet at 127.0.0.1, which ICE leaves out by itself."""
    ice: Any = importlib.import_module("aioice.ice")
    ice.get_host_addresses = lambda **_: ["127.0.0.1"]
    await measure("webrtc", webrtc, address, address, pcm, turns, speed)


async def run_mcp(pipeline: Any, address: str, pcm: Pcm, turns: int, speed: float) -> None:
    """The tools in this process."""
    server = importlib.import_module("streamst.integrations.mcp").make_server(lambda: pipeline)
    await measure("mcp", mcp, server, address, pcm, turns, speed)


def run_by_address(name: str) -> Callable[..., Any]:
    """An adapter that needs our server's address only."""
    return lambda _, address, pcm, turns, speed: measure(name, globals()[name], address, address, pcm, turns, speed)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="What each integration adds to a talk.")
    parser.add_argument("adapters", nargs="*", default=ADAPTERS, choices=(*ADAPTERS, "pipecat"))
    parser.add_argument("--recogniser", help="a real model, own for the smallest; a tiny one by default")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--speed", type=float, default=1.0, help="of the speaker, of live adapters")
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
                asyncio.run(run(pipeline, address, pcm, options.turns, options.speed))


if __name__ == "__main__":
    main()
