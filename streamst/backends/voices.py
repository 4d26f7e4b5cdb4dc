"""Voices by name: the model's own, or one of `VOICES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from streamst.errors import InputError
from streamst.models.seam import Voice

ALLOWED = "own (the model's), espeak-ng, hf:NAME (a VITS or MMS model of Hugging Face), piper:FILE (NAME.onnx)"


def _espeak(argument: str, language: str, device: torch.device | str) -> Voice[Any]:
    from .espeak import espeak_voice

    del argument, device
    return espeak_voice(language)


def _hugging_face(argument: str, language: str, device: torch.device | str) -> Voice[Any]:
    from .huggingface import vits_voice

    return vits_voice(argument, language, device)


def _piper(argument: str, language: str, device: torch.device | str) -> Voice[Any]:
    from .piper import piper_voice

    del device
    return piper_voice(Path(argument).expanduser(), language)


VOICES: dict[str, Callable[[str, str, torch.device | str], Voice[Any]]] = {
    "espeak-ng": _espeak,
    "hf": _hugging_face,
    "piper": _piper,
}
ALONE = frozenset({"espeak-ng"})  # names that nothing follows


def voice_named(
    name: str, own: Voice[Any] | None, language: str, device: torch.device | str = "cpu"
) -> Voice[Any] | None:
    """The voice that `name` means; `own` is the model's. InputError names what is allowed, UnavailableError what is
    missing here, CheckpointError the file that is missing or damaged."""
    if name == "own":
        return own
    kind, colon, argument = name.partition(":")
    if kind not in VOICES or bool(argument) == (kind in ALONE) or bool(colon) != bool(argument):
        raise InputError(f"voice {name!r} is not known; allowed: {ALLOWED}")
    return VOICES[kind](argument, language, device)
