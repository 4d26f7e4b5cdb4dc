"""When is each word of a text heard in speech that says it? Forced alignment of words to audio.

German by the voice's own aligner (models/speak/aligner.py): the likeliest path through the letters of the spoken words.
Other languages, and text that does not fit the audio, are spread over what sounds, by letters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from streamst.audio import Pcm

RATE_HZ = 16_000
SPEECH_LEVEL = 0.065  # RMS of speech that the aligner was trained at
AUDIBLE = 0.1  # of the loudest sample, above which a sample is of speech

Times = list[tuple[float, float]]  # begin and end of each word [ms]


def align_speech(pcm: Pcm, words: Sequence[str], language: str) -> tuple[Times, str]:
    """Begin and end [ms] of each of `words` in pcm (samples,) at 16 kHz, never going backwards, and how they were
    found: "voice-aligner" or "letters"."""
    if language.lower().split("-")[0] == "de":
        times = _by_the_voice(pcm, words)
        if times is not None:
            return times, "voice-aligner"
    return spread(pcm, words), "letters"


def spread(pcm: Pcm, words: Sequence[str]) -> Times:
    """`words` over what sounds, each as long as its letters."""
    loud = np.flatnonzero(np.abs(pcm) > AUDIBLE * np.abs(pcm).max(initial=0.0))
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(pcm))
    letters = [0, *itertools.accumulate(len(word) for word in words)]
    total = max(1, letters[-1])
    edges = [1000.0 * (first + (last - first) * count / total) / RATE_HZ for count in letters]
    return list(itertools.pairwise(edges))


def at_level(pcm: Pcm) -> Pcm:
    """Speech (samples,) as loud as the aligner knows it."""
    active = pcm[np.abs(pcm) > AUDIBLE * np.abs(pcm).max()] if len(pcm) else pcm
    level = float(np.sqrt(np.square(active).mean())) if len(active) else 1.0
    return (pcm * (SPEECH_LEVEL * 1.4 / max(level, 1e-5))).astype(np.float32)


def _by_the_voice(pcm: Pcm, words: Sequence[str]) -> Times | None:
    """None where there are fewer frames than letters, or no letters."""
    import torch

    from streamst.languages.german.spoken import spoken
    from streamst.languages.german.symbols import encode
    from streamst.models.speak.aligner import HOP_SAMPLES, best_path, mel_frames

    symbols: list[int] = []
    counts = []
    for word in words:
        before = len(symbols)
        for piece in spoken(word):
            symbols += encode(piece, not symbols)
        counts.append(len(symbols) - before)
    frames = len(pcm) // HOP_SAMPLES
    if not symbols or frames < len(symbols):
        return None
    samples = torch.from_numpy(at_level(pcm[: frames * HOP_SAMPLES]))[None]
    with torch.inference_mode():
        scores = _aligner()(torch.tensor([symbols]), mel_frames(samples))[0].numpy()
    durations = best_path(scores)
    ends = 1000.0 * np.concatenate([[0], np.cumsum(durations)]) * HOP_SAMPLES / RATE_HZ
    edges = np.cumsum([0, *counts])
    return [(float(ends[a]), float(ends[b])) for a, b in itertools.pairwise(edges)]


@lru_cache(maxsize=1)
def _aligner() -> Any:
    from streamst.inventory import ASSETS
    from streamst.models.speak.aligner import load_aligner

    return load_aligner(ASSETS / "voice-de" / "aligner")
