"""An inaudible mark in synthetic speech, found again without the original.

Spread spectrum in the loudness of time-frequency cells (the patchwork of Bender et al. 1996, on log-spectra): every
cell of 16 ms by 62.5 Hz is made a little louder or softer, as a fixed pseudo-random pattern says. Speech codecs keep
the loudness of cells, and the sum over thousands of them finds the pattern.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from streamst.audio import SAMPLE_RATE_HZ, Pcm
from streamst.errors import InputError

WINDOW_S = 0.032
FIRST_BIN, BANDS, BINS = 10, 110, 2  # bands of two 31.25 Hz bins, from 312 Hz to 7.2 kHz
LEAST_RATE_HZ = math.ceil(2 * (FIRST_BIN + BANDS * BINS) / WINDOW_S)
PERIOD = 256  # frames of half a window until the pattern begins again (4.1 s)
STRENGTH_DB = 3.0
FALSE_ALARM = 1e-5  # probability for a recording without a mark
PIECE = 375  # frames looked at together (6 s); a recording is searched in such pieces, half over each other
SHIFTS = 4  # places within half a window that are tried
LEAST = 16  # frames in which a mark can be looked for

PATTERN = (np.random.default_rng(20_261_121).integers(0, 2, (PERIOD, BANDS)) * 2 - 1).astype(np.float64)


@dataclass(frozen=True)
class MarkState:
    """Of one stream: waiting input, output that the next window completes, the number of the next frame."""

    waiting: Pcm
    overlap: Pcm
    frame: int
    skip: int  # output samples that lie before the first input


def _window_samples(sample_rate_hz: int) -> int:
    if sample_rate_hz < LEAST_RATE_HZ:
        raise InputError(f"a watermark does not fit in {sample_rate_hz} Hz; allowed: {LEAST_RATE_HZ} Hz and more")
    return round(WINDOW_S * sample_rate_hz)


@cache
def _window(size: int) -> NDArray[np.float32]:
    """Its square, shifted by half, adds up to one."""
    return np.sin(np.pi * (np.arange(size) + 0.5) / size).astype(np.float32)


@cache
def _gains(size: int) -> NDArray[np.float32]:
    """(PERIOD, size / 2 + 1): what each bin of each frame is multiplied by."""
    gains = np.ones((PERIOD, size // 2 + 1), np.float32)
    gains[:, FIRST_BIN : FIRST_BIN + BANDS * BINS] = 10 ** (STRENGTH_DB / 20 * np.repeat(PATTERN, BINS, 1))
    return gains


def init_state(sample_rate_hz: int = SAMPLE_RATE_HZ) -> MarkState:
    """A fresh stream. Raises InputError for a rate whose half does not reach the mark's highest band."""
    hop = _window_samples(sample_rate_hz) // 2
    return MarkState(np.zeros(hop, np.float32), np.zeros(hop, np.float32), 0, hop)


def mark(pcm: Pcm, state: MarkState, final: bool = False) -> tuple[Pcm, MarkState]:
    """`pcm` (samples,) marked: 16 to 32 ms late, or all of it where `final`; and the next state (then a fresh one)."""
    hop = len(state.overlap)
    size = 2 * hop
    waiting = np.concatenate([state.waiting, np.asarray(pcm, np.float32)])
    due = len(waiting) - state.skip
    if final:
        waiting = np.concatenate([waiting, np.zeros(size + -len(waiting) % hop, np.float32)])
    count = max(0, len(waiting) // hop - 1)
    if not count:
        return np.zeros(0, np.float32), MarkState(waiting, state.overlap, state.frame, state.skip)
    frames = waiting[hop * np.arange(count)[:, None] + np.arange(size)] * _window(size)
    gains = _gains(size)[(state.frame + np.arange(count)) % PERIOD]
    changed = (np.fft.irfft(np.fft.rfft(frames) * gains, size) * _window(size)).astype(np.float32)
    lead = np.concatenate([state.overlap[None], changed[:-1, hop:]])
    done: Pcm = (lead + changed[:, :hop]).astype(np.float32).reshape(-1)[state.skip :]
    if final:
        return done[:due], MarkState(np.zeros(hop, np.float32), np.zeros(hop, np.float32), 0, hop)
    return done, MarkState(waiting[hop * count :], changed[-1, hop:], state.frame + count, 0)


@dataclass(frozen=True)
class Finding:
    """score: standard deviations above chance of the best place. needed: from where on the mark is there."""

    score: float
    needed: float

    @property
    def marked(self) -> bool:
        """Whether the mark is there."""
        return self.score > self.needed


def detect(pcm: Pcm, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Finding:
    """Look for the mark in `pcm` (samples,); a second of speech is enough. Silence has a score of 0.

    Raises InputError for sound of several channels and for a rate whose half does not reach the mark's highest band.
    """
    if np.ndim(pcm) != 1:
        raise InputError(f"audio of shape {np.shape(pcm)} is not mono (samples,)")
    size = _window_samples(sample_rate_hz)
    pcm = np.where(np.isfinite(pcm), pcm, 0).astype(np.float32)
    hop = size // 2
    scores = [0.0]
    for shift in range(0, hop, hop // SHIFTS):
        part = pcm[shift:]
        count = len(part) // hop - 1
        loud = _loudness(part, count, size) if count >= LEAST else None
        for start in range(0, max(1, count - LEAST), PIECE // 2):
            if loud is not None:
                scores.append(_score(loud[start : start + PIECE]))
    tried = PERIOD * (len(scores) - 1)
    return Finding(max(scores), -NormalDist().inv_cdf(FALSE_ALARM / max(1, tried)))


def _loudness(pcm: Pcm, count: int, size: int) -> NDArray[np.float64]:
    """(count, BANDS) decibels."""
    pieces = []
    for start in range(0, count, 4096):
        at = size // 2 * np.arange(start, min(count, start + 4096))
        spectrum = np.fft.rfft(pcm[at[:, None] + np.arange(size)] * _window(size))
        power = np.abs(spectrum[:, FIRST_BIN : FIRST_BIN + BANDS * BINS]) ** 2
        pieces.append(power.reshape(len(at), BANDS, BINS).sum(2))
    return 10 * np.log10(np.concatenate(pieces) + 1e-10)


def _score(loud: NDArray[np.float64]) -> float:
    """How far the best of all places of the pattern stands out, in robust standard deviations of the others."""
    level = np.log10(np.sum(10 ** (loud / 10), 1))
    heard = level > np.quantile(level, 0.95) - 4
    if len(loud) < LEAST or not heard.any() or level.max() < -6:
        return 0.0
    # What the frames before and after predict is speech; the rest may be the mark.
    rest = _sharpened(np.concatenate([loud[:1], loud[:1], loud, loud[-1:], loud[-1:]]))[2:-2]
    rest = np.clip(rest / (np.median(np.abs(rest[heard])) + 1e-9), -3, 3) * heard[:, None]
    folded = np.zeros((PERIOD, BANDS))
    np.add.at(folded, np.arange(len(rest)) % PERIOD, rest)
    spectrum = np.fft.rfft(folded, axis=0) * np.conj(np.fft.rfft(_sharpened(PATTERN), axis=0))
    found = np.fft.irfft(spectrum, PERIOD, axis=0).sum(1)
    score = float(found.max() / (1.4826 * np.median(np.abs(found)) + 1e-9))
    return score if math.isfinite(score) else 0.0


def _sharpened(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every cell less the mean of the same band two frames before and after."""
    return cells - 0.5 * (np.roll(cells, 2, 0) + np.roll(cells, -2, 0))
