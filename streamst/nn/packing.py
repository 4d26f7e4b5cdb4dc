"""Any state as plain values and tensors, and back: by the fields of its dataclasses, so that none can be forgotten."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from streamst.errors import InputError

PLAIN = (bool, int, float, str)


def pack(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists, tensors as copies on the CPU; TypeError for anything else."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if is_dataclass(value):
        return {field.name: pack(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [pack(one) for one in value]
    if value is None or isinstance(value, PLAIN):
        return value
    raise TypeError(f"a state holds tensors, plain values, tuples and dataclasses of them, not {type(value).__name__}")


def unpack(kind: Any, packed: Any, like: Any = None) -> Any:
    """The value of type `kind` that `pack` made `packed` of; InputError where it is none.

    like: a fresh value, whose tensors name the device, the type and the shape (a dimension of 0 in it is any).
    """
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if packed is None and type(None) in inside:
            return None
        (kind,) = (one for one in inside if one is not type(None))
        return unpack(kind, packed, like)
    if kind is Tensor:
        return _tensor(packed, like)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        if not isinstance(packed, dict) or set(packed) != set(hints):
            raise InputError(f"not a {kind.__name__}: {packed!r:.80}")
        return kind(**{name: unpack(hint, packed[name], getattr(like, name, None)) for name, hint in hints.items()})
    if origin is tuple:
        if not isinstance(packed, list) or (inside[-1] is not Ellipsis and len(packed) != len(inside)):
            raise InputError(f"not a list for {kind}: {packed!r:.80}")
        kinds = [inside[0]] * len(packed) if inside[-1] is Ellipsis else list(inside)
        likes = like if isinstance(like, tuple) and len(like) == len(packed) else [None] * len(packed)
        return tuple(unpack(*one) for one in zip(kinds, packed, likes, strict=True))
    if kind in PLAIN and type(packed) in ((int, float) if kind is float else (kind,)):
        return packed
    raise InputError(f"{packed!r:.80} is not a {getattr(kind, '__name__', kind)}")


def _tensor(packed: Any, like: Any) -> Tensor:
    if not isinstance(packed, Tensor):
        raise InputError(f"not a tensor: {packed!r:.80}")
    if not isinstance(like, Tensor):
        return packed
    fits = packed.dim() == like.dim() and all(b in (0, a) for a, b in zip(packed.shape, like.shape, strict=True))
    if not fits:
        raise InputError(f"a tensor of shape {tuple(packed.shape)} where {tuple(like.shape)} is expected")
    return packed.to(like)
