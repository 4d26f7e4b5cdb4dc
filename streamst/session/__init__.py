"""One speaker: push(pcm) -> events, finish() -> events. Server, command line, evaluator and tests drive this."""

from .options import SessionOptions
from .session import Session, Steps

__all__ = ["Session", "SessionOptions", "Steps"]
