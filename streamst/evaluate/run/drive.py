"""Plays one recording to a session, in pieces, and writes down every event with its times (`events.jsonl`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from streamst.audio import Pcm, WavWriter
from streamst.evaluate.log.manifest import Clip
from streamst.evaluate.log.recording import Written
from streamst.evaluate.log.runlog import Line, event_json, speech_path
from streamst.events import Event, Speech

ClockName = Literal["simulated", "realtime", "remote"]


class Drivable(Protocol):
    """What the evaluator asks of a session: `streamst.session.Session` is one."""

    sample_rate_hz: int

    def push(self, pcm: Pcm) -> list[Event]:
        """Hear (samples,)."""
        ...

    def finish(self) -> list[Event]:
        """Hear the end."""
        ...


@dataclass(frozen=True)
class Labels:
    """What a log says of a recording besides its events."""

    source: str  # language codes
    target: str
    unit: str  # what is counted: "word" or "char"
    written: Written  # where the units are read from: committed words, all captions, or the stable part of captions
    task: str
    clock: ClockName


def drive(
    session: Drivable,
    blocks: Iterable[Pcm],
    piece_samples: int,
    clock: ClockName = "simulated",
    now: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Line, list[Event]]]:
    """Push `blocks` in pieces of `piece_samples` and then the end: a line and its events for each step.

    On the simulated clock a piece is pushed as soon as the last is done; in real time no earlier than it could have
    been spoken. `now` [s] and `sleep` stand for the wall clock. The last piece may be shorter.
    """
    began = now()
    rate = session.sample_rate_hz
    heard = 0
    for piece in _pieces(blocks, piece_samples):
        heard += len(piece)
        audio_ms = 1000.0 * heard / rate
        if clock == "realtime":
            wait_s = began + audio_ms / 1000.0 - now()
            if wait_s > 0:
                sleep(wait_s)
        start = now()
        events = session.push(piece)
        yield _step("push", audio_ms, 1000 * (start - began), 1000 * (now() - began)), events
    start = now()
    events = session.finish()
    yield _step("finish", 1000.0 * heard / rate, 1000 * (start - began), 1000 * (now() - began)), events


def record(
    clip: Clip, steps: Iterable[tuple[Line, list[Event]]], labels: Labels, rate_hz: int, folder: Path
) -> list[Line]:
    """All lines of one recording, begin to end; what it said becomes a wav under `folder`, the run's directory."""
    lines: list[Line] = []
    wav = speech_path(folder, clip.index)
    scratch = wav.with_suffix(".part.wav")
    writer: WavWriter | None = None
    audio_ms = 0.0
    try:
        for line, events in steps:
            entries: list[Line] = []
            for event in events:
                said = writer.samples if writer else 0
                if isinstance(event, Speech) and len(event.pcm):
                    writer = writer or WavWriter(scratch, event.sample_rate_hz)
                    writer.write(event.pcm)
                entries.append(event_json(event, said))
            lines.append({**line, "id": clip.index, "events": entries})
            audio_ms = line["audio_ms"]
    finally:
        if writer:
            writer.close()
    if writer:
        scratch.replace(wav)
    begin: Line = {
        "type": "begin",
        "id": clip.index,
        "path": clip.name,
        "line": clip.line,
        "speaker": clip.speaker,
        "source_ms": audio_ms,
        "sample_rate_hz": rate_hz,
        **asdict(labels),
        "references": [asdict(reference) for reference in clip.references],
        "speech": str(wav.relative_to(folder)) if writer else None,
    }
    return [begin, *lines, {"type": "end", "id": clip.index, "steps": len(lines)}]


def _step(kind: str, audio_ms: float, start_ms: float, end_ms: float) -> Line:
    return {"type": kind, "id": 0, "audio_ms": audio_ms, "arrival_ms": audio_ms, "start_ms": start_ms, "end_ms": end_ms}


def _pieces(blocks: Iterable[Pcm], size: int) -> Iterator[Pcm]:
    """The same samples in pieces of `size`, the last one shorter."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held
