"""Words with times: the medium between a recogniser and a writer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeardWord:
    """A word as it is shown, with case and punctuation where the recogniser has them, and where it was heard.

    Frames are the recogniser's; a frame that two words share belongs to both.
    """

    text: str
    first_frame: int
    last_frame: int  # inclusive
    pieces: int = 1  # units of the recogniser that it is made of, by which policies count what was heard


@dataclass(frozen=True)
class Listening:
    """What was heard of a stream, after a chunk: all that a session asks of a recogniser."""

    words: tuple[HeardWord, ...]  # since the last `forget`, oldest first; frames count from the stream's start
    certain: int  # how many of them, from the first, will never change
    frames: int  # heard since the stream's start
    frame_ms: float
    silence_ms: float  # since the last sound of speech
    sentence: int = 0  # how many of the words are a sentence that has ended, where the recogniser itself can tell
    labels: int = 0  # target labels that its own heads read off the frames, for policies that count them
