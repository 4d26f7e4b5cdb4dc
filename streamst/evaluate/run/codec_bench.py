"""Codecs beside each other on the same recordings: quality, rate, speed and delay, with pictures.

A condition is a codec at a rate, "neural:3000" or "opus:6000"; "+entropy" codes the packets of the neural codec once
more. Decoded speech is moved back by the codec's known delay and compared with what went in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamst.audio import SAMPLE_RATE_HZ, Pcm, resample
from streamst.codecs.base import Codec
from streamst.codecs.catalog import open_codec
from streamst.errors import InputError, UnavailableError
from streamst.evaluate.metrics.codec_quality import corpus, missing
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import error_rate

FRAMES_MS = 80  # of audio in a packet
FFT, MELS = 512, 80
TICKS_KHZ = ("0.5", "1", "2", "4", "8")
QUALITY = ("PESQ", "STOI", "SI-SDR")


@dataclass(frozen=True)
class Condition:
    """One codec at one rate."""

    name: str  # as written by the user
    codec: Codec
    bitrate_bps: int | None  # None is the codec's default


@dataclass(frozen=True)
class Coded:
    """A recording that went through a codec."""

    pcm: Pcm  # (samples,) at 16 kHz, aligned with the original and as long
    wire_bytes: int  # packets with their headers
    compute_s: float


def condition(text: str) -> Condition:
    """ "NAME[+entropy][:BITRATE]" as a condition; InputError names what is allowed."""
    whole, _, rate = text.partition(":")
    name, _, extra = whole.partition("+")
    if extra and (extra, name) != ("entropy", "neural"):
        raise InputError(f"codec {text!r}: only neural+entropy has something after its name")
    if rate and not rate.isdecimal():
        raise InputError(f"codec {text!r}: the rate is a whole number of bit/s")
    codec = open_codec(name, coded=bool(extra))
    bitrate_bps = int(rate) if rate else None
    codec.encoder(bitrate_bps)
    return Condition(text, codec, bitrate_bps)


def through(codec: Codec, bitrate_bps: int | None, pcm: Pcm, piece_ms: int = FRAMES_MS) -> Coded:
    """pcm (samples,) at 16 kHz through the codec in pieces of `piece_ms`."""
    rate = codec.sample_rate_hz
    signal = pcm if rate == SAMPLE_RATE_HZ else resample(pcm, SAMPLE_RATE_HZ, rate)
    size = rate * piece_ms // 1000
    encoder, decoder = codec.encoder(bitrate_bps), codec.decoder()
    began = time.perf_counter()
    heard, sent = [], 0
    for packet in (*(encoder.push(signal[at : at + size]) for at in range(0, len(signal), size)), encoder.flush()):
        sent += len(packet)
        heard.append(decoder.push(packet))
    spent_s = time.perf_counter() - began
    out = np.concatenate(heard)[codec.delay_samples :]
    out = out if rate == SAMPLE_RATE_HZ else resample(out, rate, SAMPLE_RATE_HZ)
    return Coded(np.pad(out[: len(pcm)], (0, max(0, len(pcm) - len(out)))), sent, spent_s)


def log_mel(pcm: Pcm) -> np.ndarray:
    """Log10 mel spectrogram (frames, MELS), 32 ms windows every 10 ms."""
    padded = np.pad(pcm, (FFT // 2, FFT // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, FFT)[:: SAMPLE_RATE_HZ // 100]
    power = np.abs(np.fft.rfft(windows * np.hanning(FFT))) ** 2
    edges_mel = np.linspace(0, _mel(SAMPLE_RATE_HZ / 2), MELS + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    hz = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE_HZ)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.clip(np.minimum(rising, falling), 0, None)
    return np.log10(power @ bank.T + 1e-5)


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def mel_distance_db(reference: Pcm, decoded: Pcm) -> float:
    """Mean absolute difference of the log mel spectrograms [dB]."""
    return float(10 * np.abs(log_mel(reference) - log_mel(decoded)).mean())


@dataclass(frozen=True)
class Row:
    """What one condition reached; None where a measure does not apply."""

    name: str
    figures: dict[str, float | None]


def measure(
    conditions: Iterable[Condition],
    clips: list[tuple[Pcm, str]],
    recognise: Callable[[Pcm], str] | None = None,
    tell: Callable[[str, list[Coded]], None] | None = None,
) -> list[Row]:
    """A row for each condition over clips of (pcm at 16 kHz, text or ""); the first row is the original.

    tell: called with each condition's name and its decoded clips. Measures of QUALITY whose package is not installed
    are left out.
    """
    if not clips:
        raise InputError("there is no recording to code")
    lacking = missing(QUALITY)
    measured = [name for name in QUALITY if name not in lacking]
    seconds = sum(len(pcm) for pcm, _ in clips) / SAMPLE_RATE_HZ
    texts = [text for _, text in clips]

    def wer(signals: list[Pcm]) -> float | None:
        if recognise is None or not any(texts):
            return None
        told = [(recognise(pcm), text) for pcm, text in zip(signals, texts, strict=True) if text]
        found = error_rate("WER", [h for h, _ in told], [t for _, t in told], normaliser_for("en"))
        return None if found is None else found.value

    rows = [Row("original", {"WER": wer([pcm for pcm, _ in clips])})]
    for one in conditions:
        coded = [through(one.codec, one.bitrate_bps, pcm) for pcm, _ in clips]
        if tell is not None:
            tell(one.name, coded)
        pairs = [(pcm, c.pcm) for (pcm, _), c in zip(clips, coded, strict=True)]
        figures: dict[str, float | None] = {"kbit/s": sum(c.wire_bytes for c in coded) * 8 / seconds / 1000}
        for name in measured:
            metric = corpus(name, pairs)
            figures[name] = None if metric is None else metric.value
        figures["mel dB"] = float(np.mean([mel_distance_db(a, b) for a, b in pairs]))
        figures["WER"] = wer([c.pcm for c in coded])
        figures["RTF"] = sum(c.compute_s for c in coded) / seconds
        figures["latency ms"] = one.codec.latency_samples * 1000 / one.codec.sample_rate_hz
        rows.append(Row(one.name, figures))
    return rows


def check_picture(path: Path) -> None:
    """InputError where `draw` could not write `path`, UnavailableError without matplotlib."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise UnavailableError("pictures need matplotlib; get it with: pip install matplotlib") from error
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise InputError(f"{path} is no image file by its name; allowed: {', '.join(f'.{name}' for name in known)}")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: the folder {path.parent} does not exist")
    if path.is_dir():
        raise InputError(f"{path} cannot be written: it is a folder")


def draw(path: Path, pictures: list[tuple[str, Pcm]]) -> None:
    """Log mel spectrograms under each other as an image file; errors as in `check_picture`."""
    check_picture(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.6 * len(pictures)), layout="constrained")
    for number, (name, pcm) in enumerate(pictures, 1):
        axes = figure.add_subplot(len(pictures), 1, number)
        extent = (0, len(pcm) / SAMPLE_RATE_HZ, 0, MELS)
        decibels = 10 * log_mel(pcm).T
        image = axes.imshow(decibels, origin="lower", aspect="auto", vmin=-40, vmax=20, extent=extent)
        axes.set_title(name, fontsize=8, loc="left")
        axes.set_ylabel("kHz", fontsize=8)
        axes.set_yticks([MELS * _mel(1000 * float(khz)) / _mel(SAMPLE_RATE_HZ / 2) for khz in TICKS_KHZ], TICKS_KHZ)
        axes.tick_params(labelsize=7)
        figure.colorbar(image, ax=axes).set_label("dB", fontsize=8)
        if number == len(pictures):
            axes.set_xlabel("s", fontsize=8)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
