"""Opus (RFC 6716) at 16 kHz behind the codec seam, through PyAV's libopus; frames of 20 ms.

Opus packets do not say where they end, so they travel in chunks:

    byte 0      0xC6
    byte 1      version (1)
    byte 2      frames (1 to 255)
    byte 3-4    number of the first frame modulo 65536, little-endian
    byte 5-...  for each frame its length (one byte below 252, else two: RFC 6716, section 3.2.1) and its Opus packet
    last 4      CRC-32 (IEEE 802.3) of everything before, little-endian
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from streamst.codecs.base import Pcm, checked
from streamst.codecs.conceal import Concealer
from streamst.errors import InputError, UnavailableError
from streamst.nn.packing import from_bytes, to_bytes

MAGIC = 0xC6
VERSION = 1
HEADER = struct.Struct("<BBBH")
CHECK = struct.Struct("<I")
FRAME_NUMBERS = 1 << 16
MAX_FRAMES = 255
MAX_FRAME_BYTES = 1275  # RFC 6716, section 3.4
RATE_HZ = 16_000
FRAME = 320
DECODED_HZ = 48_000  # what libopus gives through FFmpeg
LOOKAHEAD = 104  # of libopus at 16 kHz: the 312 samples at 48 kHz of its pre-skip
WARM_FRAMES = 10  # that a new encoder hears before it takes over from another one
TAPS = 97  # of the filter before every third sample is kept: 16 samples of delay at 16 kHz


@dataclass(frozen=True)
class Chunk:
    """Opus packets of 20 ms each, and the number of the first, modulo 65536."""

    frames: tuple[bytes, ...]
    first_frame: int = 0


def pack(chunk: Chunk) -> bytes:
    """The chunk as bytes; InputError for what has no place in it."""
    if not 1 <= len(chunk.frames) <= MAX_FRAMES:
        raise InputError(f"an Opus chunk holds 1 to {MAX_FRAMES} frames, not {len(chunk.frames)}")
    body = bytearray(HEADER.pack(MAGIC, VERSION, len(chunk.frames), chunk.first_frame % FRAME_NUMBERS))
    for frame in chunk.frames:
        size = len(frame)
        if not 1 <= size <= MAX_FRAME_BYTES:
            raise InputError(f"an Opus frame has 1 to {MAX_FRAME_BYTES} bytes, not {size}")
        low = 252 + size % 4
        body += bytes([size]) if size < 252 else bytes([low, (size - low) // 4])
        body += frame
    return bytes(body) + CHECK.pack(zlib.crc32(body))


def unpack_one(data: bytes, start: int = 0) -> tuple[Chunk, int]:
    """The chunk at `start` and where it ends; InputError, saying what is wrong, for what `pack` did not make."""
    if len(data) - start < HEADER.size + CHECK.size:
        raise InputError(f"an Opus chunk has at least {HEADER.size + CHECK.size} bytes, this one {len(data) - start}")
    magic, version, count, first = HEADER.unpack_from(data, start)
    if magic != MAGIC:
        raise InputError(f"not an Opus chunk: it starts with 0x{magic:02X}, not 0x{MAGIC:02X}")
    if version != VERSION:
        raise InputError(f"Opus chunk of version {version}; this decoder reads version {VERSION}")
    if not count:
        raise InputError(f"an Opus chunk of 0 frames; allowed: 1 to {MAX_FRAMES}")
    at, frames = start + HEADER.size, []
    for _ in range(count):
        size = data[at] if at < len(data) else 0
        at += 1
        if size >= 252:
            size += 4 * data[at] if at < len(data) else 0
            at += 1
        if size == 0 or size > MAX_FRAME_BYTES or at + size + CHECK.size > len(data):
            raise InputError(f"Opus chunk of {len(data) - start} bytes is cut off or has a frame of {size} bytes")
        frames.append(data[at : at + size])
        at += size
    if zlib.crc32(data[start:at]) != CHECK.unpack_from(data, at)[0]:
        raise InputError("Opus chunk is damaged: its check sum does not match")
    return Chunk(tuple(frames), first), at + CHECK.size


def unpack_all(data: bytes) -> list[Chunk]:
    """The chunks that follow each other in `data`; InputError when any of them is not whole and right."""
    chunks, start = [], 0
    while start < len(data):
        chunk, start = unpack_one(data, start)
        chunks.append(chunk)
    return chunks


def spans(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each chunk in `data` starts and ends by what it claims, and its frames (see `bitstream.spans`)."""
    start = 0
    while start < len(data):
        end, frames = len(data), 0
        if end - start >= HEADER.size and data[start] == MAGIC:
            frames = data[start + 2]
            at = start + HEADER.size
            for _ in range(frames):
                if at + 1 >= len(data):
                    break
                size = data[at]
                at += 1 + size if size < 252 else 2 + size + 4 * data[at + 1]
            end = min(end, at + CHECK.size)
        yield start, end, frames
        start = end


@dataclass(frozen=True)
class EncoderKept:
    """An `OpusEncoder` between two pieces."""

    bitrate_bps: int
    frame: int  # number of the next one
    pending: Pcm
    recent: Pcm  # the last frames that it heard


class OpusEncoder:
    """One speaker's sending side. `bitrate_bps` may be set at any time and holds from the next frame on."""

    def __init__(self, bitrate_bps: int) -> None:
        _allowed(bitrate_bps)
        self._av = pyav()
        self._bitrate_bps = bitrate_bps
        self._fresh()

    @property
    def bitrate_bps(self) -> int:
        """The target rate [bit/s], without the chunks' headers."""
        return self._bitrate_bps

    @bitrate_bps.setter
    def bitrate_bps(self, value: int) -> None:
        _allowed(value)
        if value != self._bitrate_bps:
            self._bitrate_bps = value
            self._restart()

    def push(self, pcm: Pcm) -> bytes:
        """The chunks for the frames that `pcm` (samples,) completes; b"" when none.

        InputError, the state being that of before, for NaN, infinity or anything but one dimension.
        """
        pending = np.concatenate([self._pending, checked(pcm)])
        whole = len(pending) // FRAME * FRAME
        self._pending = pending[whole:]
        frames = [self._encoded(pending[at : at + FRAME]) for at in range(0, whole, FRAME)]
        return self._packed(frames)

    def flush(self) -> bytes:
        """The chunk for the rest and for what the codec's delay still owes; the encoder is fresh afterwards."""
        rest = len(self._pending) + LOOKAHEAD + TAPS // 6 if self._frame or len(self._pending) else 0
        padded = np.zeros(-(-rest // FRAME) * FRAME, np.float32)
        padded[: len(self._pending)] = self._pending
        packet = self._packed([self._encoded(padded[at : at + FRAME]) for at in range(0, len(padded), FRAME)])
        self._fresh()
        return packet

    def keep(self) -> bytes:
        """See `Lasting`. What goes on elsewhere has a warm start, as after a change of rate: its packets say the same
        frames, in almost the same samples."""
        recent = np.concatenate([np.zeros(0, np.float32), *self._recent])
        return to_bytes(EncoderKept(self._bitrate_bps, self._frame, self._pending, recent))

    def go_on(self, kept: bytes) -> None:
        """See `Lasting`."""
        found: EncoderKept = from_bytes(EncoderKept, kept, EncoderKept(0, 0, self._pending, self._pending))
        whole = len(found.recent) % FRAME == 0 and len(found.recent) <= WARM_FRAMES * FRAME
        if not whole or len(found.pending) >= FRAME or found.frame < 0:
            raise InputError(f"no Opus encoder holds {len(found.pending)} and remembers {len(found.recent)} samples")
        _allowed(found.bitrate_bps)
        self._bitrate_bps, self._frame, self._pending = found.bitrate_bps, found.frame, found.pending
        self._recent = [found.recent[at : at + FRAME] for at in range(0, len(found.recent), FRAME)]
        self._restart()

    def _packed(self, frames: Sequence[bytes]) -> bytes:
        chunks = []
        for at in range(0, len(frames), MAX_FRAMES):
            some = tuple(frames[at : at + MAX_FRAMES])
            chunks.append(pack(Chunk(some, self._frame % FRAME_NUMBERS)))
            self._frame += len(some)
        return b"".join(chunks)

    def _encoded(self, pcm: Pcm) -> bytes:
        samples = np.rint(pcm * 32_767).astype(np.int16)
        frame = self._av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._pts
        self._pts += FRAME
        self._recent = [*self._recent[1 - WARM_FRAMES :], pcm]
        (packet,) = self._context.encode(frame)
        return bytes(packet)

    def _opened(self) -> Any:
        context = self._av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = RATE_HZ, "mono", "s16"
        context.bit_rate = self._bitrate_bps
        context.options = {"application": "voip", "frame_duration": "20", "vbr": "constrained"}
        context.open()
        self._pts = 0
        return context

    def _fresh(self) -> None:
        self._context = self._opened()
        self._pending = np.zeros(0, np.float32)
        self._recent: list[Pcm] = []
        self._frame = 0

    def _restart(self) -> None:
        """A warm start: the new encoder has heard what the old one heard last."""
        recent, self._context = self._recent, self._opened()
        for frame in recent:
            self._encoded(frame)
        self._recent = recent


class OpusDecoder:
    """One speaker's receiving side, for chunks of any rate. `next_frame` is the number of the frame due next."""

    def __init__(self) -> None:
        self._av = pyav()
        self._context = self._opened()
        ratio = DECODED_HZ // RATE_HZ
        at = np.arange(TAPS) - TAPS // 2
        taps = np.sinc(at / ratio) * np.kaiser(TAPS, 6.0)
        self._taps = (taps / taps.sum()).astype(np.float32)
        self._before: Pcm = np.zeros(TAPS - 1, np.float32)
        self._concealer = Concealer(RATE_HZ)
        self.next_frame = 0

    def push(self, packet: bytes) -> Pcm:
        """The samples in `packet` (or in several chunks), `OpusCodec.delay_samples` late.

        InputError for a damaged chunk, or one whose frames are not 20 ms long; the state is then that of before.
        """
        chunks = unpack_all(packet)
        frames = [frame for chunk in chunks for frame in chunk.frames]
        for frame in frames:
            if not lasts_20_ms(frame):
                raise InputError(f"an Opus frame with the table of contents 0x{frame[0]:02X} does not last 20 ms")
        if not chunks:
            return np.zeros(0, np.float32)
        pcm = np.concatenate([self._decoded(frame) for frame in frames])
        self.next_frame = (chunks[-1].first_frame + len(chunks[-1].frames)) % FRAME_NUMBERS
        return self._concealer.heard(pcm)

    def conceal(self, frames: int) -> Pcm:
        """Samples in place of `frames` lost frames: the last pitch period, repeated and faded out."""
        self.next_frame = (self.next_frame + frames) % FRAME_NUMBERS
        return self._concealer.conceal(frames * FRAME)

    def _opened(self) -> Any:
        context = self._av.CodecContext.create("libopus", "r")
        context.sample_rate, context.layout = DECODED_HZ, "mono"
        context.open()
        return context

    def _decoded(self, frame: bytes) -> Pcm:
        try:
            found = self._context.decode(self._av.Packet(frame))
        except self._av.error.FFmpegError as error:
            raise InputError(f"Opus frame of {len(frame)} bytes cannot be decoded: {error}") from error
        wide = np.concatenate([f.to_ndarray().reshape(-1) for f in found]).astype(np.float32) / np.float32(32_768)
        signal = np.concatenate([self._before, wide])
        self._before = signal[-(TAPS - 1) :]
        windows = np.lib.stride_tricks.sliding_window_view(signal, TAPS)[:: DECODED_HZ // RATE_HZ]
        return windows @ self._taps


class OpusCodec:
    """Opus at 6 to 64 kbit/s, mono, 16 kHz, tuned for speech. UnavailableError where PyAV is missing."""

    name = "opus"
    sample_rate_hz = RATE_HZ
    frame_hz = RATE_HZ / FRAME
    bitrates_bps: tuple[int, ...] = (6_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000, 64_000)
    delay_samples = LOOKAHEAD + TAPS // 6
    latency_samples = FRAME + delay_samples

    def encoder(self, bitrate_bps: int | None = None) -> OpusEncoder:
        """A fresh encoder; None is 16 kbit/s."""
        return OpusEncoder(16_000 if bitrate_bps is None else bitrate_bps)

    def decoder(self) -> OpusDecoder:
        """A fresh decoder for any of the rates."""
        return OpusDecoder()


def lasts_20_ms(frame: bytes) -> bool:
    """Whether it is one frame of 20 ms by its table of contents (RFC 6716, section 3.1, table 2)."""
    config, count = frame[0] >> 3, frame[0] & 3
    if count:
        return False
    if config < 12:
        return config % 4 == 1
    return config % 2 == 1 if config < 16 else config % 4 == 3


def _allowed(bitrate_bps: int) -> None:
    if bitrate_bps not in OpusCodec.bitrates_bps:
        allowed = ", ".join(map(str, OpusCodec.bitrates_bps))
        raise InputError(f"opus has no rate of {bitrate_bps} bit/s here; allowed: {allowed}")


def pyav() -> ModuleType:
    try:
        av = import_module("av")
        import_module("av.error")
    except ImportError as error:
        raise UnavailableError("Opus needs PyAV; get it with: pip install av") from error
    return av
