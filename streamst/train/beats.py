"""Noise that comes in beats, as of machines, saws, engines and steps: what a phoneme head takes for syllables."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from streamst.audio import SAMPLE_RATE_HZ, Pcm

Floats = NDArray[np.float64]
HOWL_SAMPLES = 160  # for which a resonance stands still
WIDTHS_HZ = ((300, 3400), (200, 7000), (20, 7900), (100, 2000), (500, 4000), (150, 5000))


def beats(kind: str, draw: Generator) -> Pcm:
    """4 to 8 s of a `kind` of `KINDS` at -30 to -1 dB, a moment of silence before and a second after it."""
    time_s = np.arange(int(draw.uniform(4, 8) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    made = KINDS[kind](time_s, draw)
    made *= 10 ** (draw.uniform(-30, -1) / 20) / max(1e-9, float(np.abs(made).max()))
    before, after = int(draw.uniform(0.2, 1) * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ
    return np.pad(made, (before, after)).astype(np.float32)


def band(noise: Floats, low_hz: float, high_hz: float) -> Floats:
    """What of `noise` lies between two frequencies."""
    return np.asarray(sosfilt(butter(4, [low_hz, min(high_hz, 7900)], "band", fs=SAMPLE_RATE_HZ, output="sos"), noise))


def coloured(samples: int, draw: Generator) -> Floats:
    """White or brownish noise in one of `WIDTHS_HZ`."""
    noise = draw.standard_normal(samples)
    if draw.random() < 0.5:
        noise = np.asarray(lfilter([1.0], [1.0, -0.9], noise))
    return band(noise, *WIDTHS_HZ[int(draw.integers(len(WIDTHS_HZ)))])


def strokes(samples: int, draw: Generator, rate_hz: float, width_s: float, fading: bool, jitter: float) -> Floats:
    """An envelope of strokes that fade, or swell and fade, `rate_hz` of them a second, more or less."""
    out, at = np.zeros(samples), 0
    while at < samples:
        width = max(4, int(width_s * draw.uniform(0.8, 1.2) * SAMPLE_RATE_HZ))
        shape = np.exp(-np.arange(width) * draw.uniform(3, 6) / width) if fading else np.hanning(width)
        out[at : at + width] += shape[: samples - at] * draw.uniform(0.6, 1)
        at += int(SAMPLE_RATE_HZ / rate_hz * draw.uniform(1 - jitter, 1 + jitter)) + 1
    return out


def _swelling(time_s: Floats, draw: Generator) -> Floats:
    depth = draw.uniform(0.7, 1)
    wave = 1 - depth / 2 + depth / 2 * np.sin(2 * np.pi * draw.uniform(3, 8) * time_s)
    return coloured(len(time_s), draw) * wave


def _sawing(time_s: Floats, draw: Generator) -> Floats:
    turns, rising = draw.uniform(1.5, 5) * time_s, draw.uniform(0.2, 0.8)
    place = turns % 1
    stroke = np.where(place < rising, place / rising, (1 - place) / (1 - rising)) ** draw.uniform(0.7, 3)
    noise = draw.standard_normal((2, len(time_s)))
    push, pull = band(noise[0], 400, draw.uniform(2500, 7000)), band(noise[1], 800, draw.uniform(2000, 4000))
    forth = turns.astype(int) % 2 == 0
    return np.where(forth, push, pull * draw.uniform(0.3, 1)) * stroke


def _hammering(time_s: Floats, draw: Generator) -> Floats:
    rate_hz, width_s = draw.uniform(6, 15), draw.uniform(0.03, 0.1)
    return coloured(len(time_s), draw) * strokes(len(time_s), draw, rate_hz, width_s, True, 0.05)


def _steaming(time_s: Floats, draw: Generator) -> Floats:
    rate_hz = draw.uniform(2, 5)
    envelope = strokes(len(time_s), draw, rate_hz, draw.uniform(0.15, 0.35), bool(draw.random() < 0.5), 0.02)
    accent = np.where((rate_hz * time_s).astype(int) % 4 == 0, 1, 0.6)
    return coloured(len(time_s), draw) * envelope * accent


def _chopped(time_s: Floats, draw: Generator) -> Floats:
    open_ = ((draw.uniform(3, 8) * time_s) % 1 < draw.uniform(0.3, 0.7)).astype(float)
    return coloured(len(time_s), draw) * np.convolve(open_, np.hanning(161) / 80.5, "same")


def _wiping(time_s: Floats, draw: Generator) -> Floats:
    turn = 2 * np.pi * draw.uniform(1, 4) * time_s
    dark, bright = (
        band(draw.standard_normal(len(time_s)), 300, 1200),
        band(draw.standard_normal(len(time_s)), 1500, 6000),
    )
    share = 0.5 + 0.5 * np.sin(turn)
    return (dark / dark.std() * share + bright / bright.std() * (1 - share)) * np.abs(np.sin(turn + 1))


def _fluttering(time_s: Floats, draw: Generator) -> Floats:
    """Two to five bands, each with a beat of its own: the spectrum moves, as that of speech does."""
    out = np.zeros(len(time_s))
    edges = np.exp(np.sort(draw.uniform(np.log(150), np.log(7500), int(draw.integers(3, 7)))))
    for low_hz, high_hz in itertools.pairwise(edges):
        noise = band(draw.standard_normal(len(time_s)), min(low_hz, 6500), max(high_hz, 1.15 * low_hz))
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * (draw.uniform(2.5, 8) * time_s + draw.random()))
        if draw.random() < 0.3:
            wave = (wave > draw.uniform(0.3, 0.7)).astype(float)
        out += draw.uniform(0.2, 1) * noise / noise.std() * wave ** draw.uniform(1, 5)
    return out


def _howling(time_s: Floats, draw: Generator) -> Floats:
    """Wind in a chimney: one to three resonances that wander, in gusts."""
    noise, out = draw.standard_normal(len(time_s)), np.zeros(len(time_s))
    steps = len(time_s) // HOWL_SAMPLES + 1
    for _ in range(int(draw.integers(1, 4))):
        wander = np.cumsum(draw.standard_normal(steps)) * draw.uniform(0.02, 0.15)
        centre_hz = np.clip(np.exp(np.log(draw.uniform(300, 3000)) + wander - wander.mean()), 150, 6000)
        width, held = np.exp(-np.pi * draw.uniform(60, 500) / SAMPLE_RATE_HZ), np.zeros(2)
        for at, hz in zip(range(0, len(out), HOWL_SAMPLES), centre_hz, strict=False):
            poles = [1, -2 * width * np.cos(2 * np.pi * hz / SAMPLE_RATE_HZ), width**2]
            made, held = lfilter([1 - width], poles, noise[at : at + HOWL_SAMPLES], zi=held)
            out[at : at + HOWL_SAMPLES] += made
    gusts = np.interp(time_s, np.arange(0, time_s[-1] + 1, 0.15), draw.random(int((time_s[-1] + 1) / 0.15) + 1))
    return out * gusts ** draw.uniform(0, 3)


KINDS: dict[str, Callable[[Floats, Generator], Floats]] = {
    "swelling": _swelling, "sawing": _sawing, "hammering": _hammering, "steaming": _steaming, "chopped": _chopped,
    "wiping": _wiping, "fluttering": _fluttering, "howling": _howling,
}  # fmt: skip
