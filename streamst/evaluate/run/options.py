"""What a run is: the options of `streamst bench run`, and what its log says of every recording."""

from __future__ import annotations

from dataclasses import dataclass

from streamst.errors import InputError
from streamst.evaluate.log.recording import Written
from streamst.evaluate.log.units import unit_of

from .drive import ClockName, Labels

TASKS = ("st", "asr")


@dataclass(frozen=True)
class RunOptions:
    """What is run: two runs with equal options and manifests are the same run.

    policy: as `streamst.policies.catalog.parse_policy` reads it (`wait-k:k=3`), None for the dial's. chunk_ms: None for
    the dial's. task: "st" scores translations, "asr" the captions in the language that is spoken. url: of a server.
    codec: as `streamst.evaluate.run.codec_bench.condition` reads it; its delay is taken off.
    """

    model: str = "en-de"
    device: str = "cpu"
    precision: str = "float32"
    source: str = "en"
    target: str = "de"
    policy: str | None = None
    latency: str = "medium"
    chunk_ms: int | None = None
    task: str = "st"
    speech: bool = True
    realtime: bool = False
    url: str | None = None
    threads: int = 1  # of the networks, in each process
    glossary: str | None = None  # a file of terms
    codec: str | None = None  # NAME:BITRATE that the speech went through before it is heard
    recogniser: str | None = None  # parts by their names, as `streamst.assembly.plan` reads them; None is the model's
    writer: str | None = None
    voice: str | None = None

    def __post_init__(self) -> None:
        if self.codec is not None and self.url is not None:
            raise InputError(f"codec {self.codec!r} is for runs in this process; a server's client chooses its own")
        if self.url is not None and (self.recogniser or self.writer or self.voice):
            part = self.recogniser or self.writer or self.voice
            raise InputError(f"{part!r} is for runs in this process; a server has its own recogniser, writer and voice")
        if self.task not in TASKS:
            raise InputError(f"unknown task {self.task!r}; allowed: {', '.join(TASKS)}")
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}; use 1 or more")
        if self.chunk_ms is not None and self.chunk_ms <= 0:
            raise InputError(f"chunk_ms is {self.chunk_ms}; use a number of milliseconds above 0")

    @property
    def clock(self) -> ClockName:
        """Which clock drives the run."""
        return "remote" if self.url else "realtime" if self.realtime else "simulated"

    @property
    def written(self) -> Written:
        """Where the scored units are read from."""
        if self.task == "asr":
            return "stable"
        return "captions" if (self.policy or "").split(":")[0] == "retranslate" else "words"


def labels(options: RunOptions) -> Labels:
    """What the log says of every recording."""
    language = options.source if options.task == "asr" else options.target
    return Labels(options.source, options.target, unit_of(language), options.written, options.task, options.clock)
