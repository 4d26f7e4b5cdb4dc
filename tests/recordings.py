"""Recordings in every container and coding, as FFmpeg's libraries write them into files and into pipes."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soundfile
from serving import PATIENCE_S

from streamst.audio import Pcm

RATE = 16_000
SECONDS = 4
SAMPLES = SECONDS * RATE


@dataclass(frozen=True)
class Kind:
    """A container and a codec, and how far from the truth a length may be [samples at 16 kHz]."""

    container: str
    codec: str
    slack: int = 0
    rate_hz: int = RATE
    options: tuple[tuple[str, str], ...] = ()
    layout: str = "mono"


KINDS = {
    "wav": Kind("wav", "pcm_s16le"),
    "float.wav": Kind("wav", "pcm_f32le"),
    "24.wav": Kind("wav", "pcm_s24le"),
    "mulaw.wav": Kind("wav", "pcm_mulaw"),
    "adpcm.wav": Kind("wav", "adpcm_ms", 1_200),
    "rf64.wav": Kind("wav", "pcm_s16le", options=(("rf64", "always"),)),
    "w64": Kind("w64", "pcm_s16le"),
    "au": Kind("au", "pcm_s16be"),
    "caf": Kind("caf", "pcm_s16be"),
    "aiff": Kind("aiff", "pcm_s16be"),
    "flac": Kind("flac", "flac"),
    "mp3": Kind("mp3", "libmp3lame", 1_700),
    "guessed.mp3": Kind("mp3", "libmp3lame", 1_700, options=(("write_xing", "0"),)),
    "opus.ogg": Kind("ogg", "libopus", 700, 48_000),
    "m4a": Kind("ipod", "aac", 2_048),
    "mov": Kind("mov", "pcm_s16le"),
    "fragments.mp4": Kind("mp4", "aac", 2_048, options=(("movflags", "frag_keyframe+empty_moov+default_base_moof"),)),
    "webm": Kind("webm", "libopus", 700, 48_000),
    "mkv": Kind("matroska", "pcm_s16le"),
    "aac": Kind("adts", "aac", 2_048),
}
NEEDS_SEEKING = ("aiff", "m4a", "mov")  # to be written at all


class Pipe(io.RawIOBase):
    """What can only be written to."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def speechlike(samples: int = SAMPLES, rate_hz: int = RATE) -> Pcm:
    """A tone that becomes higher, loud and soft three times a second."""
    time = np.arange(samples) / rate_hz
    tone = np.sin(2 * np.pi * (200 + 100 * time) * time)
    return (0.3 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def written(kind: Kind, piped: bool = False, pcm: Pcm | None = None, **codec_options: str) -> bytes:
    """A recording as FFmpeg's libraries write it: into a file, or into a pipe, where no header can be mended."""
    if pcm is None:
        pcm = speechlike(SECONDS * kind.rate_hz, kind.rate_hz)
    target = Pipe() if piped else io.BytesIO()
    with av.open(target, "w", format=kind.container, options=dict(kind.options)) as container:
        stream: Any = container.add_stream(kind.codec, rate=kind.rate_hz, layout=kind.layout, options=codec_options)
        for begin in range(0, len(pcm), 1024):
            samples = (pcm[None, begin : begin + 1024] * 32_000).astype(np.int16)
            samples = np.repeat(samples, av.AudioLayout(kind.layout).nb_channels, axis=1)
            frame = av.AudioFrame.from_ndarray(samples, "s16", kind.layout)
            frame.sample_rate, frame.pts = kind.rate_hz, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return bytes(target.data) if isinstance(target, Pipe) else target.getvalue()


WHOLE = [(name, piped) for name in KINDS for piped in (False, True) if not (piped and name in NEEDS_SEEKING)]


def by_soundfile(samples: np.ndarray, container: str, coding: str, rate_hz: int = RATE) -> bytes:
    """A recording as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype=coding)
    return file.getvalue()


def no_threads() -> bool:
    """Whether all that unpack have ended; waits for them."""
    deadline = time.monotonic() + PATIENCE_S
    while any(thread.name == "unpacker" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(thread.name == "unpacker" for thread in threading.enumerate())


def silent_film(container: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A second of pictures without sound."""
    target = io.BytesIO()
    options = dict(KINDS["fragments.mp4"].options) if container == "mp4" else {}
    with av.open(target, "w", format=container, options=options) as film:
        stream: Any = film.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), "rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return target.getvalue()
