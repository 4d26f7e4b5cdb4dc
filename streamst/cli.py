"""The `streamst` command. PyTorch is imported inside commands only, so that `--help` answers at once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import typer

from streamst import __version__
from streamst import cli_options as opt
from streamst.cli_bench import bench_app
from streamst.cli_codec import bench_codec, codec_app
from streamst.cli_live import mic, stream
from streamst.cli_machine import doctor, models
from streamst.cli_translate import translate
from streamst.cli_view import err, out, shown
from streamst.errors import InputError, StreamstError, UnavailableError

app = typer.Typer(
    name="streamst",
    help="Streaming speech translation: speak English, read and hear German while still speaking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. An error of ours or of a file is one line on stderr and exit code 2."""
    try:
        app(args=None if arguments is None else list(arguments))
    except StreamstError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")  # a file that cannot be written, a full disk


def _fail(message: str) -> NoReturn:
    err.print(f"streamst: {message}", style="red", soft_wrap=True)
    raise SystemExit(2) from None


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"streamst {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


@app.command()
def serve(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with these settings and more; flags go before it.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one and prints it.")] = 8000,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    voice_name: opt.Voice = "own",
    policy: opt.Policy = None,
    latency: opt.Latency = "medium",
    max_sessions: Annotated[int, typer.Option(help="Speakers at once, as far as the machine carries them.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that translate; more than one only helps many speakers.")] = 1,
    origin: Annotated[
        list[str] | None, typer.Option(help="A web origin whose pages may connect, beside our own. May be repeated.")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option(help="Certificate, a PEM file.", rich_help_panel="TLS")] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its key, a PEM file.", rich_help_panel="TLS")] = None,
    tls_self_signed: Annotated[
        bool,
        typer.Option(
            "--tls-self-signed",
            help="Make a certificate: other devices' microphones need https.",
            rich_help_panel="TLS",
        ),
    ] = False,
    log_format: Annotated[
        str, typer.Option("--log-format", help="text, or json: one object a line.", rich_help_panel="Logs")
    ] = "text",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every session.", rich_help_panel="Logs")
    ] = False,
) -> None:
    """Serve the page and the websocket: open it in a browser and speak."""
    from streamst.server.config_file import read_config
    from streamst.server.logs import configure_logging

    flags = {
        "host": host, "port": port, "model": model, "device": device, "precision": precision, "voice": voice_name,
        "policy": policy, "latency": latency, "max_sessions": max_sessions, "workers": workers,
        "allowed_origins": tuple(origin or ()), "tls_cert": tls_cert, "tls_key": tls_key,
        "tls_self_signed": tls_self_signed, "log_format": log_format, "verbose": verbose,
    }  # fmt: skip
    parameters = {"voice": "voice_name", "allowed_origins": "origin"}
    options = read_config(
        config,
        {name: value for name, value in flags.items() if _was_given(context, parameters.get(name, name))},
    )
    configure_logging(options.log_format, options.verbose)
    with ExitStack() as stack:
        if options.tls_self_signed:
            from streamst.tls import self_signed

            certificate, key = stack.enter_context(self_signed(options.host))
            options = replace(options, tls_cert=certificate, tls_key=key)
        with shown("Loading the model"):
            import torch

            from streamst.pipeline import load
            from streamst.server.app import serve as run_server

            torch.set_num_threads(1)  # small steps: a second thread would only wait
            loader = partial(load, options.model, options.device, options.precision, options.voice)
            pipeline = loader()
            if pipeline.codec is not None and options.precision != "float32":
                pipeline.codec.freeze()
        run_server(pipeline, options, announce=_announce, loader=loader)


def _was_given(context: typer.Context, parameter: str) -> bool:
    """Whether a flag was written, and its value is no default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _announce(address: str) -> None:
    out.print(f"StreamST listens on {address}", soft_wrap=True)
    out.print("Open it in a browser and speak English. Ctrl-C stops.", style="dim", soft_wrap=True)


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say, in German.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The WAV file to write.")],
    report: Annotated[
        Path | None, typer.Option("--json", help='Write {"first_audio_ms": ..., "rtf": ...} to this file.')
    ] = None,
    rate: Annotated[float, typer.Option(help="Speed: 0.8 is slower, 1.25 is faster.", min=0.8, max=1.25)] = 1.0,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    voice_name: opt.Voice = "own",
) -> None:
    """Speak German text with the model's voice, given to it word by word as in a translation.

    The times are those of a warm process: the model is loaded and has spoken once. first_audio_ms runs from the first
    word's arrival until its first samples; rtf is computing time over the length of the speech.
    """
    words = text.split()
    if not words:
        raise InputError("there is nothing to say: TEXT has no words")
    from streamst.audio import WavWriter
    from streamst.pipeline import load
    from streamst.text_de import leans

    with shown("Loading the model"):
        voice = load(model, device, voice_name=voice_name).voice
    if voice is None:
        raise InputError(f"model {model!r} has no voice")
    voice.speak(words[:1], voice.init_state(), final=True)
    pieces: list[np.ndarray] = []
    first_audio_s: float | None = None
    state = voice.init_state()
    started = time.perf_counter()
    for place, word in enumerate(words):
        final = place == len(words) - 1 or (word.endswith((".", "!", "?")) and not leans(word))
        pcm, state = voice.speak([word], state, final=final, rate=rate)
        if len(pcm) and first_audio_s is None:
            first_audio_s = time.perf_counter() - started
        pieces.append(pcm)
    spent_s = time.perf_counter() - started
    if first_audio_s is None:
        raise InputError(f"the voice finds nothing to say in {text!r}")
    with WavWriter(output, voice.sample_rate_hz) as file:
        for pcm in pieces:
            file.write(pcm)
        length_s = file.samples / voice.sample_rate_hz
    if report is not None:
        figures = {"first_audio_ms": round(first_audio_s * 1000, 1), "rtf": round(spent_s / length_s, 4)}
        report.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    out.print(
        f"{output}: {length_s:.1f} s of speech; first audio after {first_audio_s * 1000:.0f} ms, "
        f"real-time factor {spent_s / length_s:.3f}",
        soft_wrap=True,
    )


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file, or the name of a shipped recipe.")],
    device: opt.Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that stands in its directory.")] = False,
) -> None:
    """Train a model from a recipe; the same command on a CPU and on a GPU."""
    try:
        from streamst.train.recipe import run
    except ModuleNotFoundError as error:
        raise UnavailableError(f"training needs {error.name}: python -m pip install 'streamst[train]'") from error

    figures = run(recipe, device=device, resume=resume)
    out.print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()), soft_wrap=True)


bench_app.command("codec")(bench_codec)
app.add_typer(bench_app)
app.add_typer(codec_app)
for command in (translate, mic, stream, models, doctor):
    app.command()(command)
