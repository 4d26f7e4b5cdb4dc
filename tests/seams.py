"""One piece of work at a time, for tests that look at a part by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamst.audio import Pcm
from streamst.models.seam import Speak


def spoken_by(voice: Any, words: Sequence[str], state: Any, final: bool, **wishes: Any) -> tuple[Pcm, Any]:
    """The audio of a voice and its next state."""
    return voice.speak_all([Speak(tuple(words), state, final, **wishes)])[0]
