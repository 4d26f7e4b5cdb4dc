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
    for piece in pieces(blocks, piece_samples):
        heard += len(piece)
        audio_ms = 1000.0 * heard / rate
        if clock == "realtime":
            wait_s = began + audio_ms / 1000.0 - now()
            if wait_s > 0:
                sleep(wait_s)
        start = now()
        events = session.push(piece)
        yield step("push", audio_ms, 1000 * (start - began), 1000 * (now() - began)), events
    start = now()
    events = session.finish()
    yield step("finish", 1000.0 * heard / rate, 1000 * (start - began), 1000 * (now() - began)), events


def record(
    clip: Clip, steps: Iterable[tuple[Line, list[Event]]], labels: Labels, rate_hz: int, folder: Path
) -> list[Line]:
    """All lines of one recording, begin to end; what it said becomes a wav under `folder`, the run's directory."""
    with Tape(clip, labels, rate_hz, folder) as tape:
        for line, events in steps:
            tape.add(line, events)
    return tape.lines()


class Tape:
    """Writes down one recording, step by step; what it says becomes a wav under `folder` once the tape is closed."""

    def __init__(self, clip: Clip, labels: Labels, rate_hz: int, folder: Path) -> None:
        self._clip, self._labels, self._rate_hz, self._folder = clip, labels, rate_hz, folder
        self._wav = speech_path(folder, clip.index)
        self._writer: WavWriter | None = None
        self._lines: list[Line] = []

    def __enter__(self) -> Tape:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            if kind is None:
                self._scratch.replace(self._wav)

    @property
    def _scratch(self) -> Path:
        return self._wav.with_suffix(".part.wav")

    def add(self, line: Line, events: Iterable[Event]) -> None:
        """A step and what was said in it."""
        entries: list[Line] = []
        for event in events:
            said = self._writer.samples if self._writer else 0
            if isinstance(event, Speech) and len(event.pcm):
                self._writer = self._writer or WavWriter(self._scratch, event.sample_rate_hz)
                self._writer.write(event.pcm)
            entries.append(event_json(event, said))
        self._lines.append({**line, "id": self._clip.index, "events": entries})

    def lines(self) -> list[Line]:
        """All lines, begin to end."""
        clip = self._clip
        begin: Line = {
            "type": "begin",
            "id": clip.index,
            "path": clip.name,
            "line": clip.line,
            "speaker": clip.speaker,
            "source_ms": self._lines[-1]["audio_ms"] if self._lines else 0.0,
            "sample_rate_hz": self._rate_hz,
            **asdict(self._labels),
            "references": [asdict(reference) for reference in clip.references],
            "speech": str(self._wav.relative_to(self._folder)) if self._writer else None,
        }
        return [begin, *self._lines, {"type": "end", "id": clip.index, "steps": len(self._lines)}]


def step(kind: str, audio_ms: float, start_ms: float, end_ms: float) -> Line:
    """The line of a step, without its events."""
    return {"type": kind, "id": 0, "audio_ms": audio_ms, "arrival_ms": audio_ms, "start_ms": start_ms, "end_ms": end_ms}


def pieces(blocks: Iterable[Pcm], size: int) -> Iterator[Pcm]:
    """The same samples in pieces of `size`, the last one shorter."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held
