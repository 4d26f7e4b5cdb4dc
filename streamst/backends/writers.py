"""Writers by name, besides the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .parts import Backend

if TYPE_CHECKING:
    from streamst.models.seam import Writer

# (argument, language that it reads, language that is wanted of those that it writes; None leaves it the choice)
MakeWriter = Callable[[str, str, str | None], "Writer"]

WRITERS: dict[str, Backend[MakeWriter]] = {}
