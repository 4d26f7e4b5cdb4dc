"""The `streamst` command. PyTorch is imported inside commands only, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from streamst import __version__
from streamst.errors import StreamstError

from .bench import bench_app
from .codec import bench_codec, codec_app
from .export import export
from .listen import listen
from .live import mic, stream
from .machine import doctor, models
from .mcp import mcp
from .say import say
from .serve import serve
from .train import train
from .translate import translate
from .view import err, out
from .wyoming import wyoming

app = typer.Typer(
    name="streamst",
    help="Streaming speech translation: speak English, read and hear German while still speaking.",
    no_args_is_help=True,
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


bench_app.command("codec")(bench_codec)
app.add_typer(bench_app)
app.add_typer(codec_app)
for command in (serve, say, train, translate, mic, stream, listen, wyoming, mcp, models, export, doctor):
    app.command()(command)
