"""The model as a server's settings name it."""

from __future__ import annotations

from streamst.pipeline import Pipeline, load
from streamst.server.operator.config_file import ServeConfig


def load_for(options: ServeConfig) -> Pipeline:
    """The model as each process that translates has it: its codec is as fast in all of them."""
    pipeline = load(
        options.model, options.device, options.precision, options.recogniser, options.writer, options.voice,
        options.source, options.target,
    )  # fmt: skip
    if pipeline.codec is not None and options.precision != "float32":
        pipeline.codec.freeze()
    return pipeline
