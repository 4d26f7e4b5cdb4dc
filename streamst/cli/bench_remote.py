"""`streamst bench run --url`: recordings are played to a server as they are spoken, its answers logged with times.

A step of the log is what the server said about one point of the audio. Its computation is the time from when that audio
could be spoken, or from the step before, until the answer was here: it holds the network and the server's queue, too,
and the `queue` clock gives back the measured times.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_blocks
from streamst.client import stream
from streamst.errors import InputError
from streamst.evaluate.log.manifest import Clip
from streamst.evaluate.log.runlog import Line
from streamst.evaluate.run.drive import record
from streamst.evaluate.run.options import RunOptions, labels
from streamst.events import Caption, Event, Finished, Speech, Words
from streamst.server.wire.seam import Output, Settings

Heard = tuple[Event, float]  # an event and when it came [ms since the audio began]


def remote_player(options: RunOptions) -> Callable[[Clip, Path], list[Line]]:
    """A function that plays a clip to the server of `options.url` and returns its lines.

    A server with API keys is shown the environment's STREAMST_TOKEN, which no log keeps.
    """
    if options.url is None:
        raise InputError("a remote run needs --url")
    if options.chunk_ms is not None:
        raise InputError("chunk_ms is the server's choice in a remote run: leave it out")
    url, token = options.url, os.environ.get("STREAMST_TOKEN")
    output: tuple[Output, ...] = ("captions", "audio") if options.speech and options.task == "st" else ("captions",)
    settings = Settings(options.source, options.target, options.policy, options.latency, output)

    def play(clip: Clip, out: Path) -> list[Line]:
        heard = asyncio.run(_listen(url, clip, settings, token))
        return record(clip, steps_of(heard), labels(options), SAMPLE_RATE_HZ, out)

    return play


async def _listen(url: str, clip: Clip, settings: Settings, token: str | None) -> list[Heard]:
    """All events of one recording with their times. The audio begins with the first piece that is sent."""
    began: list[float] = []

    def blocks() -> Iterator[Pcm]:
        began.append(time.monotonic())
        yield from read_blocks(clip.path)

    heard: list[Heard] = []
    async for event in stream(url, blocks(), settings, realtime=True, token=token):
        if isinstance(event, Caption | Words | Speech | Finished):
            heard.append((event, 1000.0 * (time.monotonic() - began[0])))
    return heard


def steps_of(heard: list[Heard]) -> Iterator[tuple[Line, list[Event]]]:
    """One step for each run of events with the same audio heard; the flush at the end is the last.

    InputError when the server says nothing about the end.
    """
    if not heard or not isinstance(heard[-1][0], Finished):
        raise InputError("the server ended the stream without its summary")
    audio_ms = 1000.0 * heard[-1][0].samples / SAMPLE_RATE_HZ
    groups: list[tuple[float, list[Heard]]] = []
    for event, ms in heard:
        source_ms = min(event.source_ms, audio_ms) if not isinstance(event, Finished) else audio_ms
        if groups and source_ms <= groups[-1][0]:
            groups[-1][1].append((event, ms))
        else:
            groups.append((source_ms, [(event, ms)]))
    before = 0.0
    for number, (source_ms, members) in enumerate(groups):
        end = max(before, members[-1][1])
        start = min(max(source_ms, before), end)
        line: Line = {
            "type": "finish" if number == len(groups) - 1 else "push",
            "id": 0,
            "audio_ms": source_ms,
            "arrival_ms": source_ms,
            "start_ms": start,
            "end_ms": end,
        }
        before = end
        yield line, [event for event, _ in members]
