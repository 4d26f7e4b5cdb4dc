"""`streamst export`: a model's networks as graphs for ONNX Runtime."""

from __future__ import annotations

from typing import Annotated

import typer

from .view import err


def export(
    model: Annotated[str, typer.Argument(help="A shipped model, or a folder with model.json.")] = "en-de",
) -> None:
    """Write the graphs that --precision onnx runs, beside the weights that they take: of codec, writers and voices."""
    from streamst.graphs import export_graphs

    for path in export_graphs(model):
        err.print(f"{path}: {path.stat().st_size} bytes", soft_wrap=True)
