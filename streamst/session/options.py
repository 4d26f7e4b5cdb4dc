"""What a session is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionOptions:
    """glossary: (source term, target term); see models/glossary.py."""

    target: str = "de"
    chunk_ms: int = 320  # audio that the encoder takes at a time
    speech: bool = True  # speak the translation, where there is a voice
    glossary: tuple[tuple[str, str], ...] = ()
