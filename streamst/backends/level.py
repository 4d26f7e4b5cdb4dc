"""Whether somebody speaks, by loudness alone: louder than what is always there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamst.models.seam import Pcm

QUIETEST_DB = -60.0  # below full scale: below it nobody speaks
ABOVE_DB = 9.0  # above the noise
RISE_DB_S = 3.0  # how fast the noise may be thought to have become louder


@dataclass(frozen=True)
class Level:
    """floor_db: loudness of the noise; silent: frames since the last loud one; loud: whether any was in the last
    chunk."""

    floor_db: float = QUIETEST_DB
    silent: int = 0
    loud: bool = False


def listen(pcm: Pcm, level: Level, frame_samples: int, rate_hz: int) -> Level:
    """The level after `pcm` (samples,), frame by frame; what is shorter than one at its end counts as one."""
    floor, silent, loud = level.floor_db, level.silent, False
    rise = RISE_DB_S * frame_samples / rate_hz
    for at in range(0, len(pcm), frame_samples):
        power = float(np.mean(np.square(pcm[at : at + frame_samples])))
        now_db = 10 * float(np.log10(max(power, 1e-10)))
        floor = max(QUIETEST_DB, min(now_db, floor + rise))
        heard = now_db > floor + ABOVE_DB
        silent, loud = (0, True) if heard else (silent + 1, loud)
    return Level(floor, silent, loud)
