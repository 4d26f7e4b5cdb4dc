"""StreamST: streaming speech translation, English speech in, German text and speech out while it is still spoken.

    session = streamst.load().session(target="de")
    for block in streamst.read_blocks("talk.wav", session.sample_rate_hz):
        for event in session.push(block):
            ...
    events = session.finish()

A name is imported when it is first asked for: PyTorch is not loaded before `load`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamst.audio import read_blocks
    from streamst.errors import StreamstError
    from streamst.events import Caption, Finished, Speech, Words
    from streamst.pipeline import load
    from streamst.session import Session

__version__ = "0.1.0"
__all__ = ["Caption", "Finished", "Session", "Speech", "StreamstError", "Words", "load", "read_blocks"]

_MODULES = {
    "Caption": "streamst.events",
    "Finished": "streamst.events",
    "Session": "streamst.session",
    "Speech": "streamst.events",
    "StreamstError": "streamst.errors",
    "Words": "streamst.events",
    "load": "streamst.pipeline",
    "read_blocks": "streamst.audio",
}


if not TYPE_CHECKING:  # a type checker reads the imports above, and would take any name for one of these

    def __getattr__(name: str) -> object:
        """A public name, from the module that defines it (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module 'streamst' has no attribute {name!r}; it offers {', '.join(__all__)}")
        found = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
