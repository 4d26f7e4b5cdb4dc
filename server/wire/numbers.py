"""Whole numbers however they are written: JSON knows one kind of number, and 16000.0 is 16000."""

from __future__ import annotations

MOST_DIGITS = 15  # all of which a float can hold


def whole_number(value: object) -> int | None:
    """The whole number that `value` is, be it written as 16000, 16000.0, 1.6e4 or, as a string, "16000"; else None."""
    if isinstance(value, str):
        text = value.strip()
        if not text.isascii() or len(text) > 2 * MOST_DIGITS or "_" in text:
            return None
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not abs(value) < 10**MOST_DIGITS or value != int(value):  # which nan and the infinities fail as well
        return None
    return int(value)
