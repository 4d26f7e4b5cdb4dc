"""Recognisers by name, besides the model's own: `whisper:DIR`, `moonshine:DIR`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamst.errors import InputError
from streamst.models.seam import Recogniser


def _whisper(folder: Path, language: str) -> Recogniser[Any]:
    from .whisper import WhisperRecogniser

    return WhisperRecogniser(folder, language)


RECOGNISERS: dict[str, Callable[[Path, str], Recogniser[Any]]] = {"whisper": _whisper}
ALLOWED = ", ".join(f"{name}:DIR" for name in RECOGNISERS)


def recogniser_named(name: str, language: str) -> Recogniser[Any]:
    """The recogniser that `name` ("whisper:DIR") means, for speech in `language`.

    InputError names what is allowed, UnavailableError the extra that is not installed, CheckpointError the file that
    DIR lacks.
    """
    kind, _, folder = name.partition(":")
    if kind not in RECOGNISERS or not folder:
        raise InputError(f"recogniser {name!r} is not known; allowed: own, ear, {ALLOWED}")
    return RECOGNISERS[kind](Path(folder).expanduser(), language)
