"""One talk by the native client and by the users of each adapter: what `adapters.py` compares."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16, write_wav
from streamst.client import stream
from streamst.events import Speech, Words
from streamst.server.wire.seam import Settings

PIECE_MS = 20  # as frameworks send them
FILE_SPEED = 1000.0  # of a talk that is there already


@dataclass
class Told:
    """What came back."""

    words: list[tuple[float, str]] = field(default_factory=list)  # when [s, perf_counter], and the German word
    speech: list[Pcm] = field(default_factory=list)
    began_s: float = 0.0  # when the talk's first sample was spoken

    @property
    def text(self) -> str:
        return " ".join(word for _, word in self.words)

    @property
    def pcm(self) -> Pcm:
        return np.concatenate([np.zeros(0, np.float32), *self.speech])


async def paced(told: Told, pcm: Pcm, speed: float, rate_hz: int = 16_000) -> AsyncIterator[Pcm]:
    """20 ms at a time, each when it could have been spoken; a second where it is a file."""
    size = rate_hz * PIECE_MS // 1000 if speed < FILE_SPEED else rate_hz
    told.began_s = time.perf_counter()
    for at in range(0, len(pcm), size):
        await asyncio.sleep(max(0.0, told.began_s + (at + size) / rate_hz / speed - time.perf_counter()))
        yield pcm[at : at + size]


async def native(address: str, pcm: Pcm, speed: float, rate_hz: int = 16_000) -> Told:
    """By our client."""
    told = Told()
    async for event in stream(address, paced(told, pcm, speed, rate_hz), Settings(sample_rate_hz=rate_hz)):
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
            async for piece in paced(told, pcm, speed):
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
            async for piece in paced(told, pcm, speed):
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
        async for piece in paced(told, pcm, speed):
            await worker.queue_frame(frames.InputAudioRawFrame(to_pcm16(piece), 16_000, 1))
        await worker.queue_frame(frames.EndFrame())

    assert testing
    await runner.add_workers(worker)
    await runner.run()
    return told


async def webrtc(context: str, pcm: Pcm, _: float) -> Told:
    """By a call over aiortc, in real time; `adapter_calls.Overheard` keeps what its session heard and said."""
    calling: Any = importlib.import_module("calling")
    told, brief = Told(), len(pcm) < 16_000
    async with calling.calling(pcm) as caller:
        await caller.call(context)
        await caller.until("session.created")
        told.began_s = caller.microphone.begin()

        def read(text: str) -> None:
            event = json.loads(text)
            if event["type"] == "session.output_transcript.delta":
                told.words += [(time.perf_counter(), word) for word in event["delta"].split()]

        caller.channel.on("message", read)
        while not brief and not caller.microphone.over:
            await asyncio.sleep(0.02)
        caller.channel.send('{"type":"session.close"}')
        await caller.until("session.closed")
        while not brief and caller.peer.connectionState != "closed":  # what was said is played to its end
            await asyncio.sleep(0.02)
        told.speech = [caller.heard]
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
