"""Writers by name, besides the model's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .parts import Backend, Languages

if TYPE_CHECKING:
    from streamst.models.seam import Writer

# (argument, language that it reads, language that is wanted of those that it writes; None leaves it the choice)
MakeWriter = Callable[[str, str, str | None], "Writer"]


def _ct2(argument: str, source: str, target: str | None) -> Writer:
    from .ct2 import Ct2Writer

    return Ct2Writer(Path(argument).expanduser(), source, target)


def _ct2_reads(argument: str) -> Languages:
    from .ct2_model import languages_of

    return languages_of(Path(argument).expanduser())


def _english(argument: str, source: str, target: str | None) -> Writer:
    from .whisper_translate import EnglishWriter

    del target
    return EnglishWriter(Path(argument).expanduser(), source)


def _english_of(argument: str) -> Languages:
    from .whisper_translate import translates

    return translates(Path(argument).expanduser())


WRITERS: dict[str, Backend[MakeWriter]] = {
    "ct2": Backend(
        _ct2, "OPUS-MT, NLLB or M2M-100 in CTranslate2's format", "DIR", "ct2", ("ctranslate2",), look=_ct2_reads
    ),
    "whisper-translate": Backend(
        _english,
        "the English of the recogniser whisper-translate",
        "DIR",
        "whisper",
        ("ctranslate2", "tokenizers"),
        recogniser="whisper-translate",
        look=_english_of,
    ),
}
