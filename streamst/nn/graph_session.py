"""A network in ONNX Runtime: arrays in, arrays out. What it remembers of a stream goes in and comes out by name."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamst.errors import CheckpointError, UnavailableError

LAYOUT = "layout"  # in a graph's metadata: where its tensors lie in the file of weights
WEIGHTS = "weights.safetensors"
Arrays = dict[str, np.ndarray[Any, Any]]


class GraphSession:
    """A graph on one thread, its weights read from the file beside it."""

    def __init__(self, path: Path) -> None:
        """CheckpointError for a graph that is missing, damaged or of other weights; UnavailableError without ONNX
        Runtime."""
        try:
            import onnxruntime
        except ImportError as error:
            raise UnavailableError("onnxruntime is not installed; get it with: pip install 'streamst[onnx]'") from error
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; it is written by: streamst export")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.x64quantprecision", "1")  # no overflow in 8 bits without VNNI
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common class
            raise CheckpointError(f"{path} is damaged: {str(error).splitlines()[0]:.200}") from error
        told = self._session.get_modelmeta().custom_metadata_map.get(LAYOUT)
        if told != layout_of(path.parent / WEIGHTS):
            raise CheckpointError(
                f"{path} is of other weights than {WEIGHTS} beside it; write it with: streamst export"
            )
        self._outputs = [one.name for one in self._session.get_outputs()]

    def run(self, given: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """What the graph makes of its inputs, by name."""
        found: list[Any] = list(self._session.run(None, given))
        return dict(zip(self._outputs, found, strict=True))


def layout_of(weights: Path) -> str:
    """A digest of where which tensor lies in a safetensors file; CheckpointError where there is none."""
    try:
        with weights.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            return hashlib.sha256(file.read(size)).hexdigest()
    except (OSError, struct.error) as error:
        raise CheckpointError(f"{weights} is not a file of tensors: {error}") from error
