"""A session as bytes, for whichever node goes on with it: who may come back (head), and all that it takes (body)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.nn.packing import from_bytes, to_bytes
from streamst.server.wire.native import Mark
from streamst.server.wire.seam import Message, Settings
from streamst.server.wire.traffic import Traffic

from .qoe import Listener

FORMAT = 4
MOST_REPLAY_BYTES = 1 << 20  # of what was said and the client may not have got


@dataclass(frozen=True)
class Head:
    """Who may come back, and to which kind of server."""

    model: str  # what has to be the same where it goes on
    tokens: tuple[str, ...]  # digests of the tokens that are good, in hex
    owner: str | None = None  # name of the API key that it came with
    format: int = FORMAT

    def packed(self) -> bytes:
        """What `unpacked` reads."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> Head:
        """The head; InputError when `data` is none."""
        try:
            head = from_dict(cls, json.loads(data), "head")
        except (ValueError, ConfigError) as error:
            raise InputError(f"not the head of a session: {error}") from error
        if head.format != FORMAT:
            raise InputError(f"sessions of format {head.format} are not read here; allowed: {FORMAT}")
        return head


@dataclass(frozen=True)
class Said:
    """One answer: the text message that tells it, and the audio message that follows it, or nothing."""

    text: str
    audio: NDArray[np.uint8]


@dataclass(frozen=True)
class Kept:
    """A session after it heard a message."""

    mark: Mark  # how far it heard
    settings: str  # JSON: to begin with, where `stream` is empty
    stream: NDArray[np.uint8]  # what `Stream.keep` gave; empty where nothing was heard yet
    newest: int  # number of the last answer
    spoken: int  # audio messages said
    answers: tuple[Said, ...]  # the last ones, up to `newest`
    audio_ms: float
    emit_ms: float
    resumed: int
    listener: Listener
    up: Traffic
    down: Traffic
    room: NDArray[np.uint8]  # who listens; empty where nobody may
    pieces: int = 0  # of what came of a recording, which lie beside this

    def packed(self) -> bytes:
        """What `unpacked` reads."""
        return to_bytes(self)

    @classmethod
    def unpacked(cls, data: bytes) -> Kept:
        """The session; InputError when `data` holds none."""
        return from_bytes(cls, data)

    def asked(self) -> Settings | None:
        """The settings to begin with; InputError for impossible ones."""
        try:
            return from_dict(Settings, json.loads(self.settings), "settings") if self.settings else None
        except (ValueError, ConfigError) as error:
            raise InputError(f"not the settings of a session: {error}") from error

    def messages(self) -> list[list[Message]]:
        """The answers as a connection sends them."""
        return [[one.text, one.audio.tobytes()] if len(one.audio) else [one.text] for one in self.answers]


def answers_of(messages: tuple[list[Message], ...]) -> tuple[Said, ...]:
    """The newest of the answers that `messages` tell, as many as may be kept."""
    kept: list[Said] = []
    left = MOST_REPLAY_BYTES
    for text, *audio in reversed(messages):
        left -= len(text) + sum(map(len, audio))
        if left < 0:
            break
        assert isinstance(text, str)
        sound = b"".join(piece for piece in audio if isinstance(piece, bytes))
        kept.append(Said(text, np.frombuffer(sound, np.uint8)))
    return tuple(reversed(kept))
