"""Files with one JSON object a line, as a killed writer may have left them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from streamst.errors import InputError

Object = dict[str, Any]


def read_objects(path: Path) -> tuple[list[tuple[int, Object]], int]:
    """(line number, object) of every line, and 1 if the last line is truncated and was left out, else 0.

    Raises InputError with file and line for any other line that is not a JSON object, and for an empty file.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    objects: list[tuple[int, Object]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number == len(lines) and objects:
                return objects, 1
            raise InputError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(entry, dict):
            raise InputError(f"{path}:{number}: a JSON object is expected, not {type(entry).__name__}")
        objects.append((number, entry))
    if not objects:
        raise InputError(f"{path}: empty, no line to score")
    return objects, 0


def write_objects(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """One line an object; NaN is refused."""
    text = "".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n" for entry in objects)
    path.write_text(text, encoding="utf-8")


def text_of(entry: Object, key: str, where: str) -> str:
    """A string. InputError naming `where` and the key."""
    value = entry.get(key)
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} is {value!r}; a string is expected")
    return value


def number_of(entry: Object, key: str, where: str) -> float:
    """A finite number, 0 or more. InputError naming `where` and the key."""
    return _number(entry.get(key), key, where)


def numbers_of(entry: Object, key: str, where: str) -> tuple[float, ...]:
    """A list of finite numbers, 0 or more; none where the key is absent. InputError naming `where` and the key."""
    values = entry.get(key, [])
    if not isinstance(values, list):
        raise InputError(f"{where}: {key} is {values!r}; a list of numbers is expected")
    return tuple(_number(value, f"{key}[{i}]", where) for i, value in enumerate(values))


def strings_of(entry: Object, key: str, where: str) -> tuple[str, ...]:
    """A list of strings; none where the key is absent. InputError naming `where` and the key."""
    values = entry.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{where}: {key} is {values!r}; a list of strings is expected")
    return tuple(values)


def _number(value: object, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(f"{where}: {key} is {value!r}; a finite number, 0 or more, is expected")
    return float(value)
