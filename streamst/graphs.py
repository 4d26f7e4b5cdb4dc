"""The networks of a model that have ONNX graphs, and the graphs written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamst.codecs.export import export_sound
from streamst.model_file import model_named
from streamst.models.speak.export import export as export_voice


def export_graphs(name: str = "en-de") -> Iterator[Path]:
    """Write the graphs of the model `name` (shipped, or a folder) beside the weights, and say where, one by one.

    InputError for an unknown name, CheckpointError for damaged weights, UnavailableError without the package onnx.
    """
    model = model_named(name)
    if model.file.codec is not None:
        yield export_sound(model.at(model.file.codec))
    for place in model.file.voices.values():
        yield from export_voice(model.at(place))
