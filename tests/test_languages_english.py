"""English as it is heard and counted."""

from __future__ import annotations

import pytest

from streamst.languages.english import spoken_english


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Don't!", "don't"),
        ("'Hello,' she said — twice.", "hello she said twice"),
        ("It's the 21st of May, 1984.", "it's the twenty first of may nineteen eighty four"),
        ("1,250 cafés", "one thousand two hundred and fifty cafes"),
        ("Mr. O’Neil paid 20% at 5:30.", "mister o'neil paid twenty percent at five thirty"),
        ("你好 😀", ""),
        ("", ""),
        (f"{'1' * 301}, {'2' * 5_000}th", " ".join(["one"] * 301 + ["two"] * 5_000)),
    ],
)
def test_english_is_spelled_as_it_is_spoken(written: str, spoken: str) -> None:
    assert spoken_english(written) == spoken
    assert spoken_english(spoken) == spoken
