"""Frozen dataclasses from plain dictionaries, strictly: an unknown key or a wrong type is an error that names it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from streamst.errors import ConfigError

T = TypeVar("T")
EXACT = 1 << 53  # below which a float holds every whole number


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build the dataclass `cls` from `values` (as read from JSON or TOML), nested dataclasses included.

    Raises ConfigError naming the key for an unknown key, a missing required key or a value of another type.
    """
    where = where or cls.__name__
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
    hints = typing.get_type_hints(cls)
    built = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    required = dataclasses.MISSING
    for name, field in known.items():
        if name not in built and field.default is required and field.default_factory is required:
            raise ConfigError(f"{where}: missing key {name!r}")
    return cls(**built)


def to_dict(config: Any) -> dict[str, Any]:
    """The inverse of `from_dict`: plain dictionaries, lists and scalars."""
    return dataclasses.asdict(config)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of(hint, value, where)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise ConfigError(f"{where}: {value!r} is not allowed; use one of {', '.join(map(str, typing.get_args(hint)))}")
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(typing.cast(type[Any], hint), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)
        hints = inner[:1] * len(value) if inner[1:] == (Ellipsis,) else inner
        if len(hints) == len(value):
            return tuple(_convert(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True)))
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _convert(typing.get_args(hint)[1], v, f"{where}.{k}") for k, v in value.items()}
    return _scalar(hint, value, where)


def _one_of(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint)
    if value is None and type(None) in options:
        return None
    inner = [option for option in options if option is not type(None)]
    for option in inner[:-1]:
        try:
            return _convert(option, value, where)
        except ConfigError:
            continue
    return _convert(inner[-1], value, where)  # its error names the key


def _scalar(hint: Any, value: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        return float(value)
    if hint is int and number and (isinstance(value, int) or (value.is_integer() and abs(value) < EXACT)):
        return int(value)  # JSON has one kind of number: 16000.0 is 16000
    if hint in (str, bool) and isinstance(value, hint):
        return value
    raise _other(hint, value, where)


def _other(hint: Any, value: Any, where: str) -> ConfigError:
    return ConfigError(f"{where}: {value!r} ({type(value).__name__}) is not {getattr(hint, '__name__', hint)}")
