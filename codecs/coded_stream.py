"""One speaker's side of a codec that sends codes: buffering, packets, rates and concealment, whatever the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from streamst.codecs.base import Pcm, checked
from streamst.codecs.bitstream import (
    CODE_BITS,
    FRAME_NUMBERS,
    MAX_FRAMES,
    Codes,
    EntropyCoder,
    Packet,
    pack,
    unpack_all,
)
from streamst.codecs.work import CodecSteps, DecodeFrames, EncodeFrames, now
from streamst.errors import InputError
from streamst.nn.packing import from_bytes, to_bytes
from streamst.nn.state import State

FADE_FRAMES = 6  # concealment is silent after so many frames

E = TypeVar("E", bound=State)
D = TypeVar("D", bound=State)


class Coder(Protocol[E, D]):
    """What a network offers to the streams: batches, states in and out."""

    name: str
    hop_samples: int
    frame_hz: float
    codebooks: int  # codes a frame at most
    tail_frames: int  # of silence that the decoder needs to say everything
    bitrates_bps: tuple[int, ...]
    entropy: EntropyCoder | None  # what decoders read entropy-coded packets with
    sends_coded: bool  # encoders make such packets

    def encoder_state(self) -> E:
        """A fresh encoder's."""
        ...

    def decoder_state(self) -> D:
        """A fresh decoder's."""
        ...

    def codes(self, pcm: Tensor, codebooks: int, state: E) -> tuple[Codes, E]:
        """pcm (B, frames * hop) -> codes (B, frames, codebooks) and the state after them."""
        ...

    def latents(self, codes: Codes) -> Tensor:
        """codes (frames, n) -> latents (1, frames, D); InputError for a code that does not exist."""
        ...

    def samples(self, latents: Tensor, state: D) -> tuple[Pcm, D]:
        """latents (B, frames, D) -> (B, frames * hop) and the state after them."""
        ...


def bitrate_of(coder: Coder[E, D], codebooks: int) -> int:
    """Rate [bit/s] of `codebooks` codes a frame, without headers."""
    return round(codebooks * CODE_BITS * coder.frame_hz)


def codebooks_for(coder: Coder[E, D], bitrate_bps: int) -> int:
    """Codes a frame at a rate; InputError names the allowed rates."""
    if bitrate_bps not in coder.bitrates_bps:
        allowed = ", ".join(map(str, coder.bitrates_bps))
        raise InputError(f"the {coder.name} codec has no rate of {bitrate_bps} bit/s; allowed: {allowed}")
    return round(bitrate_bps / (CODE_BITS * coder.frame_hz))


@dataclass(frozen=True)
class EncoderKept:
    """A `CodeEncoder` between two pieces."""

    state: Any
    codebooks: int
    pending: Pcm
    frame: int  # number of the next one


@dataclass(frozen=True)
class DecoderKept:
    """A `CodeDecoder` between two packets."""

    state: Any
    last: Tensor | None
    lost: int
    next_frame: int


class CodeEncoder(Generic[E, D]):
    """One speaker's sending side. `bitrate_bps` may be set at any time and holds from the next packet on."""

    def __init__(self, coder: Coder[E, D], bitrate_bps: int) -> None:
        self._coder = coder
        self._codebooks = codebooks_for(coder, bitrate_bps)
        self._fresh()

    @property
    def bitrate_bps(self) -> int:
        """The rate of the next packet [bit/s], without headers and before entropy coding."""
        return bitrate_of(self._coder, self._codebooks)

    @bitrate_bps.setter
    def bitrate_bps(self, value: int) -> None:
        self._codebooks = codebooks_for(self._coder, value)

    def push(self, pcm: Pcm) -> bytes:
        """The packet for whatever frames `pcm` (samples,) completes; b"" when none, several after very many at once.

        InputError, the state being that of before, for NaN, infinity or anything but one dimension. Samples beyond
        -1..1 are clipped.
        """
        return now(self.pushing(pcm))

    def flush(self) -> bytes:
        """The packet for the rest, padded with silence to a whole frame, and for what the decoder needs beyond it.

        The encoder is fresh afterwards.
        """
        return now(self.flushing())

    def pushing(self, pcm: Pcm) -> CodecSteps[bytes]:
        """`push` in steps."""
        hop = self._coder.hop_samples
        pending = np.concatenate([self._pending, checked(pcm)])
        whole = len(pending) // hop * hop
        self._pending = pending[whole:]
        block = MAX_FRAMES * hop
        packets = b""
        for i in range(0, whole, block):
            packets += yield from self._encoding(pending[i : min(i + block, whole)])
        return packets

    def flushing(self) -> CodecSteps[bytes]:
        """`flush` in steps."""
        hop = self._coder.hop_samples
        frames = -(-len(self._pending) // hop) + self._coder.tail_frames
        rest = np.zeros(frames * hop, np.float32)
        rest[: len(self._pending)] = self._pending
        started = self._frame > 0 or len(self._pending) > 0
        packet = (yield from self._encoding(rest)) if started and frames else b""
        self._fresh()
        return packet

    def keep(self) -> bytes:
        """See `Lasting`."""
        return to_bytes(EncoderKept(self._state, self._codebooks, self._pending, self._frame))

    def go_on(self, kept: bytes) -> None:
        """See `Lasting`."""
        like = EncoderKept(self._coder.encoder_state(), 0, self._pending[:0], 0)
        found: EncoderKept = from_bytes(EncoderKept, kept, like)
        if len(found.pending) >= self._coder.hop_samples or found.frame < 0:
            raise InputError(f"no encoder holds {len(found.pending)} samples before frame {found.frame}")
        self.bitrate_bps = bitrate_of(self._coder, found.codebooks)
        self._state, self._pending, self._frame = found.state, found.pending, found.frame

    def _encoding(self, pcm: Pcm) -> CodecSteps[bytes]:
        codes, self._state = yield EncodeFrames(self._coder, pcm, self._codebooks, self._state)
        packet = Packet(codes, self._frame % FRAME_NUMBERS)
        self._frame += len(codes)
        return pack(packet, self._coder.entropy if self._coder.sends_coded else None)

    def _fresh(self) -> None:
        self._state = self._coder.encoder_state()
        self._pending = np.zeros(0, np.float32)
        self._frame = 0


class CodeDecoder(Generic[E, D]):
    """One speaker's receiving side, for packets of any rate. `next_frame` is the number of the frame due next."""

    def __init__(self, coder: Coder[E, D]) -> None:
        self._coder = coder
        self._state = coder.decoder_state()
        self._last: Tensor | None = None
        self._lost = 0
        self.next_frame = 0

    def push(self, packet: bytes) -> Pcm:
        """The samples in `packet` (or in several, one after the other).

        Raises InputError for a damaged packet, or one with more codebooks than this codec has; the state is then that
        of before.
        """
        return now(self.pushing(packet))

    def conceal(self, frames: int) -> Pcm:
        """Samples in place of `frames` lost frames: the last sound held and faded out."""
        return now(self.concealing(frames))

    def keep(self) -> bytes:
        """See `Lasting`."""
        return to_bytes(DecoderKept(self._state, self._last, self._lost, self.next_frame))

    def go_on(self, kept: bytes) -> None:
        """See `Lasting`."""
        coder = self._coder
        with torch.inference_mode():
            latents = coder.latents(np.zeros((1, 1), np.int64))
        found: DecoderKept = from_bytes(DecoderKept, kept, DecoderKept(coder.decoder_state(), latents, 0, 0))
        if found.lost < 0 or not 0 <= found.next_frame < FRAME_NUMBERS:
            raise InputError(f"no decoder waits for frame {found.next_frame}, {found.lost} being lost")
        self._state, self._last, self._lost = found.state, found.last, found.lost
        self.next_frame = found.next_frame

    def pushing(self, packet: bytes) -> CodecSteps[Pcm]:
        """`push` in steps."""
        packets = unpack_all(packet, self._coder.entropy)
        for one in packets:
            if one.codes.shape[1] > self._coder.codebooks:
                raise InputError(f"packet of {one.codes.shape[1]} codebooks; this codec has {self._coder.codebooks}")
        if not packets:
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            latents = torch.cat([self._coder.latents(one.codes) for one in packets], dim=1)
        samples, self._state = yield DecodeFrames(self._coder, latents, self._state)
        if self._lost > FADE_FRAMES:  # the listener heard silence: the first frame comes in softly
            rising = np.minimum(np.arange(1, len(samples) + 1, dtype=np.float32) / self._coder.hop_samples, 1)
            samples = samples * rising
        self._last, self._lost = latents[:, -1:], 0
        self.next_frame = (packets[-1].first_frame + len(packets[-1].codes)) % FRAME_NUMBERS
        return samples

    def concealing(self, frames: int) -> CodecSteps[Pcm]:
        """`conceal` in steps."""
        if frames < 0:
            raise InputError(f"{frames} lost frames; the number is 0 or more")
        hop = self._coder.hop_samples
        out = np.zeros(frames * hop, np.float32)
        heard = min(frames, max(0, FADE_FRAMES - self._lost)) if self._last is not None else 0
        if heard and self._last is not None:
            held, self._state = yield DecodeFrames(self._coder, self._last.expand(-1, heard, -1), self._state)
            position = (self._lost * hop + np.arange(heard * hop)) / (FADE_FRAMES * hop)
            out[: heard * hop] = held * (1 - position)
        self._lost += frames
        self.next_frame = (self.next_frame + frames) % FRAME_NUMBERS
        return out
