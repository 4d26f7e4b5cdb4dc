"""A talk as LiveKit hands it over, for the tests of its adapters."""

from __future__ import annotations

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions

from streamst.audio import Pcm, to_pcm16

ONCE = APIConnectOptions(max_retry=0, timeout=30.0)


def frames(pcm: Pcm, rate_hz: int = 16_000, samples: int = 320, channels: int = 1) -> list[rtc.AudioFrame]:
    pieces = [pcm[at : at + samples] for at in range(0, len(pcm), samples)]
    return [rtc.AudioFrame(to_pcm16(np.repeat(p, channels)), rate_hz, channels, len(p)) for p in pieces]
