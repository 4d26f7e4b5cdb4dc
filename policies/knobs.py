"""Parameters of policies: declared once beside their default, with range and meaning; checked whenever a policy is
built."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from streamst.errors import InputError

T = TypeVar("T", int, float, str, bool)


@dataclasses.dataclass(frozen=True)
class Knob:
    """What one parameter may be: a choice where `choices` is not empty, else a number from `low` to `high`, both
    allowed."""

    name: str
    default: int | float | str | bool
    low: float
    high: float
    choices: tuple[str, ...]
    help: str

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if isinstance(self.default, bool):
            return "true or false"
        if self.choices:
            return " or ".join(self.choices)
        kind = "whole number " if isinstance(self.default, int) else ""
        return f"{kind}{self.low:g} to {self.high:g}"

    def checked(self, value: object, policy: str) -> int | float | str | bool:
        """`value` as this parameter takes it (a whole number becomes a float where one is meant). InputError
        otherwise."""
        fits: object = None
        if isinstance(self.default, bool) or isinstance(value, bool):
            fits = value if isinstance(self.default, bool) and isinstance(value, bool) else None
        elif isinstance(self.default, str):
            fits = value if value in self.choices else None
        elif isinstance(value, int) or (isinstance(self.default, float) and isinstance(value, float)):
            within = self.low <= value <= self.high  # False for NaN
            fits = type(self.default)(value) if within else None
        if not isinstance(fits, bool | int | float | str):
            use = f"use {self.allowed} ({self.help})"
            raise InputError(f"policy {policy}: {self.name} = {value!r} is not allowed; {use}")
        return fits


def knob(default: T, low: float = 0.0, high: float = 0.0, help: str = "", choices: tuple[str, ...] = ()) -> T:
    """A dataclass field with its range `low` to `high` (both allowed) or its `choices`; T is the type of the
    default."""
    meta = {"default": default, "low": low, "high": high, "choices": choices, "help": help}
    return dataclasses.field(default=default, metadata=meta)


def knobs_of(policy: Any) -> tuple[Knob, ...]:
    """The parameters of a policy class or instance, in the order of their declaration."""
    return tuple(Knob(name=f.name, **f.metadata) for f in dataclasses.fields(policy))


def check(policy: Any, name: str) -> None:
    """For `__post_init__`: InputError where a parameter of the frozen dataclass `policy` is out of its range."""
    values: Mapping[str, object] = vars(policy)
    for one in knobs_of(policy):
        object.__setattr__(policy, one.name, one.checked(values[one.name], name))
