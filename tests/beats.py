"""Sounds without a word in them that come in beats, of other kinds than the training's (streamst/train/beats.py)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from streamst.audio import Pcm

HZ = 16_000
Floats = NDArray[np.float64]


def suite(each: int = 2) -> Iterator[tuple[str, Pcm]]:
    """`each` sounds of every kind, with silence around them; the same ones in each run."""
    for kind, make in KINDS.items():
        for number in range(each):
            draw = np.random.default_rng((len(kind), ord(kind[0]), number))
            time_s = np.arange(6 * HZ) / HZ
            sound = make(time_s, draw)
            sound *= 10 ** (draw.uniform(-25, -3) / 20) / np.abs(sound).max()
            yield f"{kind} {number}", np.pad(sound, (HZ // 2, HZ)).astype(np.float32)


def _band(draw: Generator, samples: int, low_hz: float, high_hz: float) -> Floats:
    noise = draw.standard_normal(samples)
    return np.asarray(sosfilt(butter(4, [low_hz, high_hz], "band", fs=HZ, output="sos"), noise))


def _tremolo(time_s: Floats, draw: Generator) -> Floats:
    """What `sox … synth 8 whitenoise sinc 300-3400 tremolo 5 100` makes."""
    depth = draw.uniform(0.6, 1)
    wave = 1 - depth / 2 + depth / 2 * np.sin(2 * np.pi * draw.uniform(3, 8) * time_s)
    return _band(draw, len(time_s), 300, 3400) * wave


def _wide(time_s: Floats, draw: Generator) -> Floats:
    return _band(draw, len(time_s), 200, 7000) * (0.5 + 0.5 * np.sin(2 * np.pi * draw.uniform(3, 8) * time_s))


def _steps(time_s: Floats, draw: Generator) -> Floats:
    """Gravel: swells of 0.1 to 0.25 s, two or three a second."""
    out, at = np.zeros(len(time_s)), 0
    while at < len(out):
        swell = np.hanning(int(draw.uniform(0.1, 0.25) * HZ))
        out[at : at + len(swell)] += swell[: len(out) - at]
        at += int(draw.uniform(0.3, 0.55) * HZ)
    return out * _band(draw, len(out), draw.uniform(100, 600), draw.uniform(2500, 7500))


def _blades(time_s: Floats, draw: Generator) -> Floats:
    wave = np.abs(np.sin(np.pi * draw.uniform(4, 14) * time_s)) ** draw.uniform(1, 8)
    return _band(draw, len(time_s), 80, draw.uniform(1500, 5000)) * wave


def _clapping(time_s: Floats, draw: Generator) -> Floats:
    out, at = np.zeros(len(time_s)), 0
    while at < len(out):
        fading = np.exp(-np.arange(HZ // 10) / draw.uniform(100, 400))
        out[at : at + len(fading)] += fading[: len(out) - at]
        at += int(draw.uniform(0.1, 0.3) * HZ)
    return out * _band(draw, len(out), draw.uniform(300, 900), draw.uniform(2500, 7500))


def _two_machines(time_s: Floats, draw: Generator) -> Floats:
    low, high = _band(draw, len(time_s), 200, draw.uniform(1000, 2500)), _band(draw, len(time_s), 2500, 7500)
    slow, fast = (0.5 + 0.5 * np.sin(2 * np.pi * draw.uniform(3, 8) * time_s) for _ in range(2))
    return low / low.std() * slow + draw.uniform(0.3, 1) * high / high.std() * fast


def _pumping(time_s: Floats, draw: Generator) -> Floats:
    """A resonance that is swept through noise."""
    noise, out, held = draw.standard_normal(len(time_s)), np.zeros(len(time_s)), np.zeros(2)
    centre_hz = draw.uniform(600, 2500) * (1 + 0.4 * np.sin(2 * np.pi * draw.uniform(1, 4) * time_s))
    width = np.exp(-np.pi * draw.uniform(150, 400) / HZ)
    for at in range(0, len(out), 80):
        poles = [1, -2 * width * np.cos(2 * np.pi * centre_hz[at] / HZ), width**2]
        out[at : at + 80], held = lfilter([1.0], poles, noise[at : at + 80], zi=held)
    return out * (0.5 + 0.5 * np.sin(2 * np.pi * draw.uniform(3, 6) * time_s))


KINDS = {
    "tremolo": _tremolo, "wide": _wide, "steps": _steps, "blades": _blades, "clapping": _clapping,
    "two machines": _two_machines, "pumping": _pumping,
}  # fmt: skip
