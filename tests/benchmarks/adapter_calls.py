"""What passes through a WebRTC call on the server's side: what its session heard, said, and had played.

Opus stands on both sides of it, so a call is compared with the native client that is given what the call's session
heard: word for word, and before it is coded sample for sample. What the caller hears is compared by its loudness.
"""

from __future__ import annotations

import base64
import importlib
import json
from typing import Any

import numpy as np

from streamst.audio import Pcm, Resampler, from_pcm16

RATE_HZ = 24_000  # of OpenAI's protocol


class Overheard:
    """Listens in on every call of this process."""

    def __init__(self) -> None:
        self._heard: list[bytes] = []
        self._said: list[bytes] = []
        self._played: list[bytes] = []
        link: Any = importlib.import_module("streamst.server.foreign.call_link")
        message, say, take = link.CallLink._message, link.SpeechTrack.say, link.SpeechTrack._take

        def messaged(one: Any, pcm16: bytes) -> Any:
            made = message(one, pcm16)
            self._heard.append(base64.b64decode(json.loads(made)["audio"]))
            return made

        async def told(one: Any, pcm16: bytes) -> None:
            self._said.append(pcm16)
            await say(one, pcm16)

        def taken(one: Any, size: int) -> bytes:
            pcm16 = take(one, size)
            self._played.append(pcm16)
            return pcm16

        link.CallLink._message, link.SpeechTrack.say, link.SpeechTrack._take = messaged, told, taken

    def clear(self) -> None:
        """Another call."""
        self._heard.clear()
        self._said.clear()
        self._played.clear()

    @property
    def heard(self) -> Pcm:
        """By the session, at RATE_HZ."""
        return from_pcm16(b"".join(self._heard))

    @property
    def said(self) -> Pcm:
        """By the session, at RATE_HZ."""
        return from_pcm16(b"".join(self._said))

    @property
    def played(self) -> Pcm:
        """To the caller, with the silence in between."""
        return from_pcm16(b"".join(self._played))


def resampled(pieces: list[Pcm]) -> Pcm:
    """Speech at 16 kHz as the protocol has it."""
    resampler = Resampler(16_000, RATE_HZ)
    done = [*map(resampler.push, pieces), resampler.push(np.zeros(0, np.float32), final=True)]
    return np.concatenate(done)


def offset_s(pcm: Pcm, within: Pcm) -> float:
    """Where `within`, at RATE_HZ, the talk `pcm`, at 16 kHz, begins, by the largest correlation."""
    talk = resampled([pcm])
    size = 1 << (len(talk) + len(within)).bit_length()
    found = np.fft.irfft(np.fft.rfft(within, size) * np.conj(np.fft.rfft(talk, size)), size)
    return int(np.argmax(found[: len(within)])) / RATE_HZ


def likeness(one: Pcm, other: Pcm, rate_hz: int) -> float:
    """Correlation of the loudness, 10 ms at a time, of two recordings that begin up to two seconds apart."""
    first, second = (_loudness(pcm, rate_hz) for pcm in (one, other))
    best = 0.0
    for shift in range(-200, 201):
        a, b = (first[shift:], second) if shift >= 0 else (first, second[-shift:])
        length = min(len(a), len(b))
        if length > 100:
            best = max(best, float(np.corrcoef(a[:length], b[:length])[0, 1]))
    return best


def _loudness(pcm: Pcm, rate_hz: int) -> np.ndarray:
    step = rate_hz // 100
    return np.sqrt((pcm[: len(pcm) // step * step].reshape(-1, step) ** 2).mean(1))
