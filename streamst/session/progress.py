"""What a session has come to: everything that a snapshot holds beside its options and policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamst.audio import Pcm
from streamst.errors import InputError

from .segment import Segment
from .speaker import Speaking


@dataclass(frozen=True)
class Progress:
    """A value; InputError for one that no session comes to."""

    ear: Any  # the recogniser's state
    voice: Any  # the voice's, None without one
    chunk_ms: int
    next_chunk_ms: int | None = None  # from the next chunk on
    waiting: Pcm = field(default_factory=lambda: np.zeros(0, np.float32))  # not yet a chunk
    segment: Segment = field(default_factory=Segment)
    speaking: Speaking = field(default_factory=Speaking)
    samples: int = 0  # heard
    decoder_calls: int = 0
    compute_s: float = 0.0
    finished: bool = False

    def __post_init__(self) -> None:
        for name in ("samples", "decoder_calls", "compute_s"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} {getattr(self, name)!r} of a session is not possible; allowed: 0 and more")
        for chunk_ms in (self.chunk_ms, self.next_chunk_ms):
            if chunk_ms is not None and chunk_ms < 1:
                raise InputError(f"a chunk of {chunk_ms!r} ms is not possible; allowed: 1 and more")
