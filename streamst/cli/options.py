"""Options that several commands share, as `Annotated` types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamst.backends.parts import names
from streamst.backends.recognisers import RECOGNISERS
from streamst.backends.voices import VOICES
from streamst.backends.writers import WRITERS

_MODEL, _SERVER = "Model", "Server"

_AUDIO = 'Audio or video: WAV, FLAC, Ogg, MP3, M4A, MP4, WebM, Matroska, ...; "-" is standard input.'
File = Annotated[Path, typer.Argument(help=_AUDIO, show_default=False)]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help=f"{_AUDIO} Or a folder.", show_default=False)]
Format = Annotated[
    str | None, typer.Option("--format", help="For programs, on standard output: txt, srt, vtt, json or jsonl.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No captions, no progress: errors only.")]
To = Annotated[str | None, typer.Option("--to", help="The language to translate into; else the model's.")]
From = Annotated[
    str | None,
    typer.Option("--from", help="The language that is spoken, for parts of several.", rich_help_panel=_MODEL),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the speech there: .wav, .flac, .mp3, .ogg, .opus; - is a pipe."),
]
Subtitles = Annotated[Path | None, typer.Option("--srt", help="Write subtitles there (.srt or .vtt).")]
Bilingual = Annotated[bool, typer.Option("--bilingual", help="Subtitles in both languages.")]
Contiguous = Annotated[
    bool, typer.Option("--contiguous", help="Speech without the silences that align it with the original.")
]
Policy = Annotated[str | None, typer.Option("--policy", help="When to speak: wait-k, local-agreement, ...")]
Latency = Annotated[
    str | None, typer.Option("--latency", help="minimal, low, medium, high or xhigh; else the model's.")
]
ChunkMs = Annotated[int | None, typer.Option("--chunk-ms", help="Audio that the model hears at once.")]
Glossary = Annotated[Path | None, typer.Option("--glossary", help="Terms: a file with SOURCE TAB TARGET a line.")]

Model = Annotated[str, typer.Option("--model", help="A model's name or directory.", rich_help_panel=_MODEL)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=_MODEL)]

Precision = Annotated[
    str,
    typer.Option("--precision", help="float32, frozen, int8, onnx or auto: speed on a CPU.", rich_help_panel=_MODEL),
]

_PART = "%s: own (the model's), %s. `streamst models` tells what each needs."
Recogniser = Annotated[
    str | None,
    typer.Option("--recogniser", help=_PART % ("Who listens", f"ear, {names(RECOGNISERS)}"), rich_help_panel=_MODEL),
]
Writer = Annotated[
    str | None,
    typer.Option("--writer", help=_PART % ("Who translates", f"pen, {names(WRITERS)}"), rich_help_panel=_MODEL),
]
Voice = Annotated[
    str | None, typer.Option("--voice", help=_PART % ("Who speaks", names(VOICES)), rich_help_panel=_MODEL)
]

_URL = "ws://HOST:PORT or wss://HOST:PORT."
Urls = Annotated[
    list[str],
    typer.Option(
        "--url", help=f"{_URL} Several that share a store: the next where one is lost.", rich_help_panel=_SERVER
    ),
]
MaybeUrl = Annotated[str | None, typer.Option("--url", help=f"A server: {_URL}", rich_help_panel=_SERVER)]
Codec = Annotated[
    str,
    typer.Option("--codec", help="Audio on the wire: pcm16, opus, or neural at a few kbit/s.", rich_help_panel=_SERVER),
]
Bitrate = Annotated[
    int | None,
    typer.Option(
        "--bitrate", help="Of opus or neural, in bit/s, at most; falls on a slow network.", rich_help_panel=_SERVER
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="STREAMST_TOKEN", help="An API key, where the server has keys.", rich_help_panel=_SERVER
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept any certificate, a self-signed one too.", rich_help_panel=_SERVER)
]
