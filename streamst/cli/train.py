"""`streamst train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamst.errors import UnavailableError

from . import options as opt
from .view import out


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
