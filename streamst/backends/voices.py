"""Voices by name, besides the model's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .parts import Backend, Languages, check_files

if TYPE_CHECKING:
    import torch

    from streamst.models.seam import Voice

MakeVoice = Callable[[str, str, "torch.device | str"], "Voice[Any]"]  # (argument, language, device)


def _espeak(argument: str, language: str, device: torch.device | str) -> Voice[Any]:
    from .espeak import espeak_voice

    del argument, device
    return espeak_voice(language)


def _hugging_face(argument: str, language: str, device: torch.device | str) -> Voice[Any]:
    from .huggingface import vits_voice

    return vits_voice(argument, language, device)


def _hugging_face_check(argument: str) -> Languages:
    folder = Path(argument).expanduser()
    if folder.is_dir():
        check_files(folder, "a VITS voice", "config.json", "vocab.json", "model.safetensors|pytorch_model.bin")
    return Languages()


def _piper(argument: str, language: str, device: torch.device | str) -> Voice[Any]:
    from .piper import piper_voice

    del device
    return piper_voice(Path(argument).expanduser(), language)


def _piper_speaks(argument: str) -> Languages:
    from .piper import language_of

    return Languages(targets=(language_of(Path(argument).expanduser()),))


VOICES: dict[str, Backend[MakeVoice]] = {
    "espeak-ng": Backend(_espeak, "eSpeak NG: robotic and quick, a hundred languages", program="espeak-ng"),
    "hf": Backend(
        _hugging_face, "a VITS or MMS voice of Hugging Face", "NAME", "hf", ("transformers",),
        look=_hugging_face_check,
    ),
    "piper": Backend(
        _piper, "a Piper voice, NAME.onnx beside NAME.onnx.json", "FILE", "piper", ("piper", "onnxruntime"),
        look=_piper_speaks,
    ),
}  # fmt: skip
