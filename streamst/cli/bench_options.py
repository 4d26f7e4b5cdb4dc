"""Options that several commands of `streamst bench` share, and what they show while they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .view import err

if TYPE_CHECKING:
    from streamst.assembly import Plan
    from streamst.evaluate.run.players import MakePlayer

ManifestArgument = Annotated[Path, typer.Argument(help="TSV: path, duration_s, speaker, text, translation.")]
OutOption = Annotated[Path, typer.Option("--out", help="Directory of the run; the same command goes on with it.")]
ModelOption = Annotated[str, typer.Option(help="A model's name or directory.")]
PrecisionOption = Annotated[str, typer.Option(help="float32, frozen, int8 or auto: speed on a CPU.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
TaskOption = Annotated[str, typer.Option(help="st: translations. asr: captions in the spoken language.")]
LimitOption = Annotated[int | None, typer.Option(help="Only the first N recordings.", min=1)]
WorkersOption = Annotated[int, typer.Option(help="Processes that play recordings at the same time.", min=1)]
TogetherOption = Annotated[
    int | None,
    typer.Option(
        help="Recordings that each process plays at once, in batches; 16 with the model's own recognisers, else 1."
    ),
]
ThreadsOption = Annotated[int, typer.Option(help="Of the networks, in each process.", min=1)]
SpeechOption = Annotated[bool, typer.Option("--speech/--no-speech", help="Speak the translations, too.")]
RealtimeOption = Annotated[bool, typer.Option(help="Play at the speed of speech and measure the wall clock.")]
UrlOption = Annotated[str | None, typer.Option(help="Of a server (ws://...) to measure in place of this process.")]
ResamplesOption = Annotated[int, typer.Option(help="Of the bootstrap behind the intervals.", min=100)]
AllOption = Annotated[bool, typer.Option("--all", help="Show every metric, not only the usual ones.")]
FormatOption = Annotated[str | None, typer.Option(help="Of the log, where it is not to be detected.")]
ReferencesOption = Annotated[Path | None, typer.Option(help="Text file, one reference a line.")]
SegmentsOption = Annotated[Path | None, typer.Option(help="YAML of the references' places: wav, offset, duration.")]
SourceOption = Annotated[str | None, typer.Option(help="Language that is spoken; else the model's.")]
TargetOption = Annotated[str | None, typer.Option(help="Language of the translation; else the model's.")]
LatencyOption = Annotated[str | None, typer.Option(help="minimal, low, medium, high or xhigh; else the model's.")]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        "--judge", help="Who listens to the speech: whisper:DIR, or a command with {wav} that prints a transcript."
    ),
]
CometOption = Annotated[
    str | None, typer.Option(help="Command with {source}, {hypothesis}, {reference} that prints COMET.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the figures there.")]


@contextmanager
def counted(names: list[str], total: int) -> Iterator[Callable[[str], None]]:
    """Bars that count to `total`, one a name; what is yielded counts one on."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err) as bar:
        tasks = {name: bar.add_task(name, total=total) for name in names}
        yield lambda name: bar.advance(tasks[name])


def planned(
    model: str,
    source: str | None,
    target: str | None,
    recogniser: str | None = None,
    writer: str | None = None,
    voice: str | None = None,
) -> Plan:
    """The parts that are measured, and their languages; what cannot be is refused before anything is loaded."""
    from streamst.assembly import plan

    return plan(model, recogniser, writer, voice, source, target)


def player_of(url: str | None) -> MakePlayer | None:
    """Who plays recordings to the server at `url`; None for a session of this process."""
    if url is None:
        return None
    from .bench_remote import remote_player

    return remote_player


def say_notes(notes: tuple[str, ...]) -> None:
    """What a reader of the figures must know."""
    for note in notes:
        err.print(f"Note: {note}.", style="yellow", soft_wrap=True)
