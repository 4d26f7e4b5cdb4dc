"""One piece of work at a time, for tests that look at a part by itself, and the text of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamst.audio import Pcm
from streamst.backends.parts import chosen
from streamst.backends.voices import VOICES
from streamst.events import Event, Words
from streamst.models.seam import Speak, Voice


def spoken_by(voice: Any, words: Sequence[str], state: Any, final: bool, **wishes: Any) -> tuple[Pcm, Any]:
    """The audio of a voice and its next state."""
    return voice.speak_all([Speak(tuple(words), state, final, **wishes)])[0]


def voice_named(name: str, language: str) -> Voice[Any]:
    """Another's voice."""
    found = chosen("voice", name, VOICES)
    return found.backend.make(found.argument, language, "cpu")


def text(events: Sequence[Event]) -> str:
    """All committed words."""
    return " ".join(word for event in events if isinstance(event, Words) for word in event.words)
