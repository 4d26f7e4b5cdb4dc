"""Any state as bytes, and back: by the fields and types of its dataclasses, so that none can be forgotten.

The bytes are a safetensors file: tensors and arrays by number, everything else as JSON in its metadata. Two things are
left out that say nothing: the rows of zeros before what a cache holds (`ROWS`), and what samples that were 16 bits once
are longer than FLAC (`SAMPLES`). Nothing in them is run when they are read; what is read is at most `LONGEST`.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from streamst.audio import from_flac, to_flac
from streamst.errors import InputError

PLAIN = (bool, int, float, str)
TENSOR = "tensor"  # the one key of what stands in the JSON for a tensor: its number
ROWS = "rows"  # beside it, where rows of zeros, along the last dimension but one, stood before those that are there
SAMPLES = "samples"  # beside it, how many samples the FLAC holds that stands there
FEWEST = 64  # numbers that are worth looking at
LONGEST = 1 << 28  # bytes of a state that is read


def to_bytes(value: Any) -> bytes:
    """`value` (dataclasses, tuples, tensors, arrays, plain values) written down; TypeError for anything else."""
    tensors: list[Tensor] = []
    text = json.dumps(_pack(value, tensors), allow_nan=True)
    return safetensors.torch.save({str(number): one for number, one in enumerate(tensors)}, {"state": text})


def from_bytes(kind: Any, data: bytes, like: Any = None, part: str = "") -> Any:
    """The value of type `kind` that `to_bytes` wrote, or that its field `part` was; InputError where `data` holds none.

    like: a fresh value. Its tensors name the device, the type and, but for the dimensions that are 0 in it, the shape;
    its fields that are marked `packed: False` are kept.
    """
    if len(data) > LONGEST:
        raise InputError(f"{len(data)} bytes are no state; at most {LONGEST} are allowed")
    try:
        tensors = safetensors.torch.load(data)
        size = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + size])["__metadata__"]["state"]
        packed = json.loads(text)
        return _unpack(kind, packed[part] if part else packed, tensors, like)
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InputError(str(error) or "it ends too soon") from error


def _pack(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value) if value.flags.writeable else value.copy())
    if isinstance(value, Tensor):
        small, left_out = shortened(value.detach().cpu())
        tensors.append(small.clone().contiguous())
        return {TENSOR: len(tensors) - 1, **left_out}
    if is_dataclass(value):
        return {one.name: _pack(getattr(value, one.name), tensors) for one in fields(value) if _packed(one)}
    if isinstance(value, tuple):
        return [_pack(one, tensors) for one in value]
    if value is None or isinstance(value, PLAIN):
        return value
    raise TypeError(f"a state holds tensors, arrays, plain values, tuples and dataclasses, not {type(value).__name__}")


def shortened(value: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """What of it has to be written, and how `_lengthened` makes it whole."""
    if value.numel() < FEWEST or not value.is_floating_point():
        return value, {}
    if value.dim() == 1 and value.dtype == torch.float32:
        whole = value * 32_768
        small = whole.clamp(-32_768, 32_767).to(torch.int16)
        if not torch.equal(small.float(), whole):
            return value, {}
        return torch.frombuffer(bytearray(to_flac(small.numpy())), dtype=torch.uint8), {SAMPLES: len(value)}
    if value.dim() < 3:
        return value, {}
    rows = value.shape[-2]
    held = value.transpose(-2, 0).reshape(rows, -1).count_nonzero(1).nonzero()
    first = int(held[0]) if len(held) else rows
    return (value[..., first:, :], {ROWS: rows}) if first else (value, {})


def _lengthened(found: Tensor, left_out: Mapping[str, Any]) -> Tensor:
    if SAMPLES in left_out:
        count = left_out[SAMPLES]
        if type(count) is not int or not 0 < count <= LONGEST // 4 or found.dtype != torch.uint8:
            raise InputError(f"{count!r:.80} samples in {found.dtype}, where FLAC is expected")
        return torch.from_numpy(from_flac(found.numpy().tobytes(), count)).float() / 32_768
    if ROWS not in left_out:
        return found
    rows = left_out[ROWS]
    if type(rows) is not int or found.dim() < 3 or rows < found.shape[-2]:
        raise InputError(f"{rows!r:.80} rows of a tensor of shape {tuple(found.shape)}")
    if rows * math.prod((*found.shape[:-2], found.shape[-1])) * found.element_size() > LONGEST:
        raise InputError(f"{rows} rows are no state; at most {LONGEST} bytes are allowed")
    return torch.nn.functional.pad(found, (0, 0, rows - found.shape[-2], 0))


def _packed(one: Any) -> bool:
    return one.metadata.get("packed", True)


def _unpack(kind: Any, packed: Any, tensors: Mapping[str, Tensor], like: Any) -> Any:
    if isinstance(kind, TypeVar) or kind is Any:  # only what is fresh knows
        kind = type(like)
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if packed is None and type(None) in inside:
            return None
        kinds = [one for one in inside if one is not type(None)]
        alike = [one for one in kinds if one is type(packed)]
        return _unpack(alike[0] if alike else kinds[0], packed, tensors, like)
    if kind is type(None) and packed is None:
        return None
    if kind is Tensor:
        return _tensor(packed, tensors, like)
    if kind is np.ndarray or origin is np.ndarray:
        return _array(packed, tensors, like)
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, packed, tensors, like)
    if origin is tuple:
        return _tuple(kind, inside, packed, tensors, like)
    return _plain(kind, packed)


def _plain(kind: Any, packed: Any) -> Any:
    if kind not in PLAIN or type(packed) not in ((int, float) if kind is float else (kind,)):
        raise InputError(f"{packed!r:.80} is not a {getattr(kind, '__name__', kind)}")
    if kind is float and not packed < math.inf:  # nor NaN
        raise InputError(f"{packed} is not a number that a state holds")
    return packed


def _dataclass(kind: Any, packed: Any, tensors: Mapping[str, Tensor], like: Any) -> Any:
    hints = _hints(kind)
    wanted = [one for one in fields(kind) if _packed(one)]
    if not isinstance(packed, dict) or set(packed) != {one.name for one in wanted}:
        raise InputError(f"not a {kind.__name__}: {packed!r:.80}")
    values = {
        one.name: _unpack(hints[one.name], packed[one.name], tensors, getattr(like, one.name, None)) for one in wanted
    }
    kept = {
        one.name: getattr(like, one.name)
        for one in fields(kind)
        if not _packed(one) and (like is not None or one.default is MISSING)
    }
    return kind(**values, **kept)


def _tuple(kind: Any, inside: tuple[Any, ...], packed: Any, tensors: Mapping[str, Tensor], like: Any) -> Any:
    if not isinstance(packed, list) or (inside[-1] is not Ellipsis and len(packed) != len(inside)):
        raise InputError(f"not a list for {kind}: {packed!r:.80}")
    same = inside[-1] is Ellipsis
    kinds = [inside[0]] * len(packed) if same else list(inside)
    alike = isinstance(like, tuple) and len(like) == len(packed)
    if isinstance(like, tuple) and len(like) and not alike:
        raise InputError(f"{len(packed)} values where {len(like)} are expected")
    likes = like if alike else [None] * len(packed)
    return tuple(_unpack(k, one, tensors, example) for k, one, example in zip(kinds, packed, likes, strict=True))


def _tensor(packed: Any, tensors: Mapping[str, Tensor], like: Any) -> Tensor:
    if not isinstance(packed, dict) or TENSOR not in packed or not set(packed) <= {TENSOR, ROWS, SAMPLES}:
        raise InputError(f"not a tensor: {packed!r:.80}")
    found = _lengthened(tensors[str(packed[TENSOR])], packed)
    if not isinstance(like, Tensor):
        return found
    fits = found.dim() == like.dim() and all(b in (0, a) for a, b in zip(found.shape, like.shape, strict=True))
    if not fits or found.is_floating_point() != like.is_floating_point():
        raise InputError(f"a tensor of shape {tuple(found.shape)} where {tuple(like.shape)} is expected")
    if found.is_floating_point() and not bool(found.isfinite().all()):
        raise InputError("a tensor holds values that are not numbers")
    return found.to(like)


def _array(packed: Any, tensors: Mapping[str, Tensor], like: Any) -> Any:
    found = _tensor(packed, tensors, None).numpy()
    if isinstance(like, np.ndarray) and (found.dtype != like.dtype or found.ndim != like.ndim):
        raise InputError(f"an array of {found.dtype} {found.shape} where {like.dtype} of {like.ndim} is expected")
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
