"""Whisper's weights out of a CTranslate2 file: the tensors by name, and as the state dicts of our networks.

The file (CTranslate2 `models/model.cc`, binary version 6): version, name of the specification, its revision, number of
variables; then of each its name, rank, dimensions, type and bytes; texts end with a zero and have their length before
them. Linear layers are (out, in); queries, keys and values of self-attention lie in one.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamst.errors import CheckpointError

KINDS = (np.float32, np.int8, np.int16, np.int32, np.float16)
NORM = (("weight", "gamma"), ("bias", "beta"))
LINEAR = (("weight", "weight"), ("bias", "bias"))
BLOCK = {
    "attention_norm": ("self_attention/layer_norm", NORM),
    "project": ("self_attention/linear_0", LINEAR),
    "out": ("self_attention/linear_1", LINEAR),
    "norm": ("ffn/layer_norm", NORM),
    "wide": ("ffn/linear_0", LINEAR),
    "narrow": ("ffn/linear_1", LINEAR),
}
READING = {
    "cross_norm": ("attention/layer_norm", NORM),
    "query": ("attention/linear_0", LINEAR),
    "key_value": ("attention/linear_1", LINEAR),
    "cross_out": ("attention/linear_2", LINEAR),
}


def read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """Tensor by name, as float32 where they are floats or integers without a scale; CheckpointError names the file and
    the place where it ends too soon or is no such model."""
    data, at = path.read_bytes(), 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return value

    def text() -> str:
        nonlocal at
        length = take("H")
        found = data[at : at + length]
        at += length
        return found.rstrip(b"\0").decode()

    found: dict[str, Tensor] = {}
    try:
        take("I")
        text()
        take("I")
        for _ in range(take("I")):
            name = text()
            shape = [take("I") for _ in range(take("B"))]
            kind, size = KINDS[take("B")], take("I")
            array = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
            found[name] = torch.from_numpy(array.astype(np.float32))
            at += size
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a whole CTranslate2 model of {len(data)} bytes ({error})") from error
    return found


def encoder_weights(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `WhisperEncoder`."""
    out = {}
    for ours, theirs in (("first", "conv1"), ("second", "conv2")):
        out |= _put(found, ours, f"encoder/{theirs}", LINEAR)
    for number in range(layers(found, "encoder")):
        for ours, (theirs, names) in BLOCK.items():
            out |= _put(found, f"blocks.{number}.{ours}", f"encoder/layer_{number}/{theirs}", names)
    return out | _put(found, "norm", "encoder/layer_norm", NORM)


def decoder_weights(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `WhisperDecoder`."""
    out = {
        "tokens.weight": found["decoder/embeddings/weight"],
        "places": found["decoder/position_encodings/encodings"],
    }
    for number in range(layers(found, "decoder")):
        for ours, (theirs, names) in (BLOCK | READING).items():
            out |= _put(found, f"blocks.{number}.{ours}", f"decoder/layer_{number}/{theirs}", names)
    return out | _put(found, "norm", "decoder/layer_norm", NORM)


def layers(found: dict[str, Tensor], part: str) -> int:
    """How many layers `part` ("encoder", "decoder") has."""
    return sum(name.startswith(f"{part}/layer_") and name.endswith("/ffn/linear_0/bias") for name in found)


def _put(found: dict[str, Tensor], ours: str, theirs: str, names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    return {f"{ours}.{own}": found[f"{theirs}/{other}"] for own, other in names}
