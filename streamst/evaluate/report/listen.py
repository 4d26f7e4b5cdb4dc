"""Audio that can be played in a report: the original, the dub as a live listener hears it, and both, one an ear.

Ogg Opus in `data:` addresses, so that the page stays one file that asks nobody.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from streamst.audio import Pcm, read_audio
from streamst.errors import InputError
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.metrics.speech import Interval
from streamst.evaluate.metrics.speech_quality import RATE_HZ, arrange

BITRATE_BPS = 24_000  # of each ear
LONGEST_MS = 60_000.0  # of what is embedded
ORIGINAL, DUB, BOTH = "original", "dub, as heard live", "both: original left, dub right"


def tracks(
    recording: Recording, root: Path | None, heard: Sequence[Interval], start_ms: float, end_ms: float
) -> dict[str, str]:
    """What can be played of a stretch of a recording, by what it is; {} where no audio is at hand.

    heard: when each chunk of speech is played. The dub is embedded for whole recordings only.
    """
    if end_ms - start_ms > LONGEST_MS:
        return {}
    found: dict[str, Pcm] = {}
    original = _read(None if root is None else root / recording.name)
    if original is not None:
        found[ORIGINAL] = original[_sample(start_ms) : _sample(end_ms)]
    dub = _dub(recording, heard) if start_ms == 0.0 else None
    if dub is not None and len(dub) <= _sample(2 * LONGEST_MS):
        found[DUB] = dub
    if len(found) == 2:
        both = np.zeros((max(map(len, found.values())), 2), np.float32)
        both[: len(found[ORIGINAL]), 0], both[: len(found[DUB]), 1] = found[ORIGINAL], found[DUB]
        found[BOTH] = both
    return {name: _embedded(pcm) for name, pcm in found.items() if len(pcm)}


def _dub(recording: Recording, heard: Sequence[Interval]) -> Pcm | None:
    """(samples,) the speech from the recording's begin on, with the silences that a listener hears."""
    spoken = _read(recording.speech_path)
    if spoken is None or not heard:
        return None
    delays = [chunk.delay_ms for chunk in recording.speech]
    durations = [chunk.duration_ms for chunk in recording.speech]
    try:
        dense = arrange(spoken, delays, durations, "removed")
    except InputError:  # the log and the audio are not of one run: nothing to hear
        return None
    out = np.zeros(_sample(heard[-1].end_ms) + 1, np.float32)
    at = 0
    for interval, duration in zip(heard, durations, strict=True):
        size = _sample(duration)
        piece = dense[at : at + size]
        place = _sample(interval.start_ms)
        out[place : place + len(piece)] = piece[: len(out) - place]
        at += size
    return out


def _read(path: Path | None) -> Pcm | None:
    if path is None or not path.is_file():
        return None
    try:
        return read_audio(path, RATE_HZ)
    except InputError:
        return None


def _sample(ms: float) -> int:
    return round(ms * RATE_HZ / 1000)


def _embedded(pcm: Pcm) -> str:
    """(samples,) or (samples, 2) as an address, coded in the quickest way: a page has many of them."""
    stereo = pcm.ndim == 2
    layout = "stereo" if stereo else "mono"
    samples = np.ascontiguousarray(np.clip(pcm, -1.0, 1.0).reshape(1, -1), np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE_HZ, layout=layout, options={"compression_level": "0"})
        stream.bit_rate = BITRATE_BPS * (1 + stereo)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate = RATE_HZ
        for part in (frame, None):
            container.mux(stream.encode(part))
    return "data:audio/ogg;base64," + base64.b64encode(file.getvalue()).decode()
