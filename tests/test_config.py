"""A wrong key or type is named, however deep it stands."""

from dataclasses import dataclass

import pytest

from streamst.config import from_dict
from streamst.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    optional: Inner | None = None
    number: int | str = 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optional": {"colour": 1}}, "Outer.optional: unknown key 'colour'; allowed: size"),
        ({"optional": {"size": "big"}}, r"Outer.optional.size: 'big' \(str\) is not int"),
        ({"optional": 5}, "Outer.optional: 5"),
        ({"number": 1.5}, "Outer.number: 1.5"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_an_optional_table_may_be_left_out_or_given() -> None:
    assert from_dict(Outer, {"optional": None, "number": "a"}) == Outer(None, "a")
    assert from_dict(Outer, {"optional": {"size": 2}}) == Outer(Inner(2))
