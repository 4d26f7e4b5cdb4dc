"""G.711 (ITU-T G.711): the two companding laws of telephony, as tables of 256 samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mulaw_to_pcm16(payload: bytes) -> bytes:
    """mu-law bytes as little-endian 16-bit samples."""
    return MULAW[np.frombuffer(payload, np.uint8)].tobytes()


def alaw_to_pcm16(payload: bytes) -> bytes:
    """A-law bytes as little-endian 16-bit samples."""
    return ALAW[np.frombuffer(payload, np.uint8)].tobytes()


def _mulaw() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype("<i2")


def _alaw() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    step, segment = (code & 0x0F) << 4, (code & 0x70) >> 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype("<i2")


MULAW, ALAW = _mulaw(), _alaw()
