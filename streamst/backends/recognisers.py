"""Recognisers by name, besides the model's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .parts import Backend, Languages

if TYPE_CHECKING:
    from streamst.models.seam import Recogniser

MakeRecogniser = Callable[[str, str], "Recogniser[Any]"]  # (argument, language that is spoken)


def _whisper(argument: str, language: str) -> Recogniser[Any]:
    from .whisper import WhisperRecogniser

    return WhisperRecogniser(Path(argument).expanduser(), language)


def _whisper_hears(argument: str) -> Languages:
    from .whisper_model import languages_of

    return Languages(source=languages_of(Path(argument).expanduser()))


def _translating(argument: str, language: str) -> Recogniser[Any]:
    from .whisper_translate import TranslatingRecogniser

    return TranslatingRecogniser(Path(argument).expanduser(), language)


def _translating_hears(argument: str) -> Languages:
    from .whisper_translate import translates

    return Languages(source=translates(Path(argument).expanduser()).source)


def _moonshine(argument: str, language: str) -> Recogniser[Any]:
    from .moonshine import MoonshineRecogniser

    return MoonshineRecogniser(Path(argument).expanduser(), language)


def _moonshine_hears(argument: str) -> Languages:
    from .moonshine import languages_of

    return languages_of(Path(argument).expanduser())


def _sherpa(argument: str, language: str) -> Recogniser[Any]:
    from .sherpa import SherpaRecogniser

    return SherpaRecogniser(Path(argument).expanduser(), language)


def _sherpa_check(argument: str) -> Languages:
    from .sherpa import check

    return check(Path(argument).expanduser())


RECOGNISERS: dict[str, Backend[MakeRecogniser]] = {
    "whisper": Backend(
        _whisper, "a Whisper model in CTranslate2's format", "DIR", "whisper", ("ctranslate2", "tokenizers"),
        look=_whisper_hears,
    ),
    "whisper-translate": Backend(
        _translating, "a multilingual Whisper model that writes English", "DIR", "whisper",
        ("ctranslate2", "tokenizers"), look=_translating_hears,
    ),
    "moonshine": Backend(
        _moonshine, "a Moonshine model", "DIR", "moonshine", ("moonshine_voice",), look=_moonshine_hears
    ),
    "sherpa": Backend(
        _sherpa, "a streaming transducer of sherpa-onnx", "DIR", "sherpa", ("sherpa_onnx",), look=_sherpa_check
    ),
}  # fmt: skip
