"""What a session can say. Every event carries source time and compute time: all that the latency metrics need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events.

    source_ms: audio heard when this was said, the chunk just read included [ms from the stream's start].
    compute_ms: wall time from the begin of the `push` or `finish` call that said this until it was said [ms].
    """

    source_ms: float
    compute_ms: float


@dataclass(frozen=True, kw_only=True)
class Caption(Event):
    """Text of one segment in one language: `stable` never changes again within the segment and only grows."""

    lang: str
    segment: int  # from 0
    revision: int  # from 0, grows with every caption of this segment and language
    stable: str
    unstable: str = ""
    start_ms: float = 0.0  # where the segment's speech begins
    end_ms: float = 0.0  # how far the speech behind this text reaches
    final: bool = False  # nothing more comes for this segment and language
    spans_ms: tuple[tuple[float, float], ...] = ()  # where each word, stable or not, was heard; in the source language


@dataclass(frozen=True, kw_only=True)
class Words(Event):
    """Target words that were committed just now: the units of AL, LAAL and relatives."""

    lang: str
    segment: int
    words: tuple[str, ...]
    aligned_ms: tuple[float, ...] = ()  # source time each word was read from, where the translator tells


@dataclass(frozen=True, kw_only=True)
class Speech(Event):
    """Synthetic target speech: follows without a gap whatever audio the session said before."""

    pcm: NDArray[np.float32]  # (samples,), -1..1
    sample_rate_hz: int
    text: str  # the words that are heard in it, "" for a pause
    rate: float = 1.0  # of the voice: above 1 it has fallen behind and hurries


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The last event of a stream."""

    samples: int  # source samples heard
    segments: int
    decoder_calls: int
    compute_s: float  # all pushes and finish together
