"""What tests of scores and reports share: a run that is made up, a long log, and how a table is printed."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from streamst.evaluate.formats.detect import Log, read_log
from streamst.evaluate.formats.references import attach
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk, replay
from streamst.evaluate.report.score import ScoreOptions

LOGS = Path(__file__).parent / "data" / "logs"
FAST = ScoreOptions(resamples=100)
TEXTS = (
    ("guten Morgen zusammen", "guten Morgen zusammen"),
    ("wo ist der nächste Bahnhof", "wo ist der Bahnhof bitte"),
    ("ich möchte einen Kaffee", "ich will Kaffee"),
    ("vielen Dank für die Hilfe", "vielen Dank für Ihre Hilfe"),
    ("", "das blieb leer"),
)


def run_of(lag_steps: int = 1, mistakes: int = 0, *, speech: bool = False, texts=TEXTS) -> Log:
    """A run of raw events: one word every 400 ms of audio, `lag_steps` behind, the first `mistakes` words wrong."""
    recordings = []
    for index, (hypothesis, reference) in enumerate(texts):
        said = ["falsch" if i < mistakes else word for i, word in enumerate(hypothesis.split())]
        count = len(reference.split()) + 1
        steps = []
        for i in range(count):
            place = i - lag_steps
            new = said[place : place + 1] if place >= 0 else []
            steps.append(Step(400.0 * (i + 1), 50.0, tuple(new)))
        steps.append(Step(400.0 * count, 20.0, tuple(said[max(0, count - lag_steps) :])))
        units, delays = replay(steps, "made up")
        chunks = tuple(
            SpeechChunk(step.heard_ms, 300.0 * len(step.written), number, " ".join(step.written))
            for number, step in enumerate(steps)
            if step.written and speech
        )
        recordings.append(
            Recording(
                index,
                f"{index}.wav",
                f"made up:{index + 1}",
                400.0 * count,
                units,
                delays,
                references=(Reference(0.0, 400.0 * count, "good morning", reference),),
                steps=tuple(steps),
                speech=chunks,
                transcript="good morning" if index else "good mourning",
                captions=((400.0, "good"), (800.0, "good morning" if index else "good mourning")),
            )
        )
    return Log(Path("made-up"), "streamst", tuple(recordings), 0)


def long_log(name: str) -> Log:
    folder = LOGS / "longform"
    log = read_log(folder / name)
    recordings = attach(log.recordings, folder / "references.txt", folder / "ref_segments.yaml")
    return replace(log, recordings=tuple(recordings))


def printed(table: object) -> str:
    console = Console(width=110, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]
