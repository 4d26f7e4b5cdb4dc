"""The networks of a model that have ONNX graphs, and the graphs written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamst.codecs.export import export_sound
from streamst.model_file import kind_of, model_named
from streamst.models.speak.export import export as export_voice
from streamst.models.write import store as pen


def export_graphs(name: str = "en-de") -> Iterator[Path]:
    """Write the graphs of the model `name` (shipped, or a folder) beside the weights, and say where, one by one.

    InputError for an unknown name, CheckpointError for damaged weights, UnavailableError without the package onnx.
    """
    model = model_named(name)
    if model.file.codec is not None:
        yield export_sound(model.at(model.file.codec))
    for folder in map(model.at, model.file.writers.values()):
        if kind_of(folder) == pen.KIND:
            yield from pen.export(folder)
    for place in model.file.voices.values():
        yield from export_voice(model.at(place))
