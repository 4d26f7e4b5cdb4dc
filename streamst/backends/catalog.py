"""Every part that can stand in for a model's own, and whether it is usable here."""

from __future__ import annotations

from dataclasses import dataclass

from .recognisers import RECOGNISERS
from .voices import VOICES
from .writers import WRITERS


@dataclass(frozen=True)
class PartInfo:
    """One kind of part."""

    kind: str  # recogniser, writer or voice, as the option is called that names it
    name: str  # as it is asked for: "whisper:DIR"
    what: str
    lacks: str  # what is not installed here and how to get it; "" where it is usable


def parts() -> list[PartInfo]:
    """All of them; nothing is loaded."""
    kinds = (("recogniser", RECOGNISERS), ("writer", WRITERS), ("voice", VOICES))
    return [
        PartInfo(kind, f"{name}:{backend.argument}".rstrip(":"), backend.what, backend.lacks())
        for kind, backends in kinds
        for name, backend in backends.items()
    ]
