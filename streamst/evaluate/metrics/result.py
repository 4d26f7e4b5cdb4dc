"""What a metric returns: a value, its unit, and a signature that says how it was computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import streamst
from streamst.errors import InputError


@dataclass(frozen=True)
class Metric:
    """One number of a report.

    value: finite. A metric that does not apply is absent from a report (None where it is computed), never 0.
    unit: "ms", "%", "ratio", "segments", "chunks", ... ; what `value` counts.
    signature: `key:value|key:value|...`, enough to compute the number again with another tool.
    """

    value: float
    unit: str
    signature: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InputError(f"a metric's value must be finite, got {self.value!r} ({self.signature})")

    def as_json(self) -> dict[str, float | str]:
        """The entry of `report.json`."""
        return {"value": self.value, "unit": self.unit, "signature": self.signature}


def signature(fields: Mapping[str, object]) -> str:
    """`key:value|...` in the order given, with this package's version last. Neither part may hold `|`, a key no `:`.

    Raises InputError naming the offending field.
    """
    for key, value in fields.items():
        if "|" in key or ":" in key or "|" in str(value):
            raise InputError(f"signature field {key!r}: {value!r} must not contain '|', nor its name ':'")
    parts = [f"{key}:{value}" for key, value in fields.items()]
    return "|".join([*parts, f"version:streamst-{streamst.__version__}"])
