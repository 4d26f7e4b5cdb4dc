"""Voices by name: the model's own, eSpeak's, or one of Hugging Face."""

from __future__ import annotations

from typing import Any

import torch

from streamst.errors import InputError
from streamst.models.seam import Voice

ALLOWED = "own (the model's), espeak-ng, hf:NAME (a VITS or MMS model of Hugging Face)"


def voice_named(
    name: str, own: Voice[Any] | None, language: str, device: torch.device | str = "cpu"
) -> Voice[Any] | None:
    """The voice that `name` means; `own` is the model's. InputError names what is allowed, UnavailableError what is
    missing here."""
    if name == "own":
        return own
    if name == "espeak-ng":
        from streamst.backends.espeak import espeak_voice

        return espeak_voice(language)
    if name.startswith("hf:") and len(name) > 3:
        from streamst.backends.huggingface import vits_voice

        return vits_voice(name.removeprefix("hf:"), language, device)
    raise InputError(f"voice {name!r} is not known; allowed: {ALLOWED}")
