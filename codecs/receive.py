"""Packets as a bad network delivers them: put in order, freed of duplicates and damage, and with gaps concealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from streamst.codecs import bitstream, opus
from streamst.codecs.base import Lasting, Pcm
from streamst.codecs.work import CodecSteps, now
from streamst.errors import InputError
from streamst.nn.packing import from_bytes, to_bytes

FRAME_NUMBERS = bitstream.FRAME_NUMBERS
LONGEST_GAP_FRAMES = 500  # a longer one is not filled: the stream goes on at the next packet


@runtime_checkable
class NumberedDecoder(Protocol):
    """A decoder whose packets say which frames they hold."""

    next_frame: int

    def push(self, packet: bytes) -> Pcm:
        """The samples in `packet`; InputError for a damaged one."""
        ...

    def conceal(self, frames: int) -> Pcm:
        """Samples in place of `frames` lost frames."""
        ...


@runtime_checkable
class StepwiseDecoder(NumberedDecoder, Protocol):
    """One that has its networks' work done by whoever drives the step."""

    def pushing(self, packet: bytes) -> CodecSteps[Pcm]:
        """`push` in steps."""
        ...

    def concealing(self, frames: int) -> CodecSteps[Pcm]:
        """`conceal` in steps."""
        ...


@dataclass
class Delivery:
    """What became of the packets."""

    played: int = 0
    damaged: int = 0
    late: int = 0  # duplicates, and what came after its place was concealed
    concealed_frames: int = 0


@dataclass(frozen=True)
class ReceiverKept:
    """A `PacketReceiver` between two packets."""

    decoder: NDArray[np.uint8]
    next: int
    allowance: int
    places: tuple[int, ...]  # of the packets that wait
    waiting: tuple[NDArray[np.uint8], ...]
    delivery: Delivery


def first_frame_of(packet: bytes) -> int:
    """The number of the first frame in a whole packet of the neural codec, EnCodec or Opus; InputError otherwise."""
    if packet[:1] == bytes([opus.MAGIC]):
        return opus.unpack_one(packet)[0].first_frame
    start, end, _ = next(bitstream.spans(packet), (0, 0, 0))
    return bitstream.first_frame_of(packet[start:end])


class PacketReceiver:
    """Plays packets through a decoder: waits for at most `wait_packets` later ones before it conceals a missing one.

    Nothing that arrives raises: damaged packets count as lost. Gaps of more than `longest_gap_frames`, and those that
    would make the concealed exceed what was played by more than so many frames, are not filled: the stream goes on at
    the next packet, and nobody gets hours of sound out of a few packets.
    """

    def __init__(
        self,
        decoder: NumberedDecoder,
        wait_packets: int = 2,
        longest_gap_frames: int = LONGEST_GAP_FRAMES,
        number_of: Callable[[bytes], int] = first_frame_of,
    ) -> None:
        """number_of: the number of a packet's first frame, or InputError."""
        if wait_packets < 0:
            raise InputError(f"wait_packets {wait_packets}; it is 0 or more")
        self._decoder, self._wait, self._longest = decoder, wait_packets, longest_gap_frames
        self._number_of = number_of
        self._allowance = longest_gap_frames  # frames that may still be concealed
        self._waiting: dict[int, bytes] = {}  # by the number of their first frame, counted on beyond 65535
        self._next = decoder.next_frame  # the frame due next, counted on likewise
        self.delivery = Delivery()
        self.trouble = ""  # with the last damaged packet

    def push(self, packet: bytes) -> Pcm:
        """What can be heard now that `packet` has arrived: nothing, its samples, or more."""
        return now(self.pushing(packet))

    def flush(self) -> Pcm:
        """Everything that still waits; what is missing between is concealed."""
        return now(self.flushing())

    def pushing(self, packet: bytes) -> CodecSteps[Pcm]:
        """`push` in steps."""
        try:
            ahead = (self._number_of(packet) - self._next) % FRAME_NUMBERS
        except InputError as error:
            self._damaged(error)
            return np.zeros(0, np.float32)
        if ahead >= FRAME_NUMBERS // 2 or self._next + ahead in self._waiting:
            self.delivery.late += 1
            return np.zeros(0, np.float32)
        self._waiting[self._next + ahead] = packet
        return (yield from self._playing(self._wait))

    def flushing(self) -> CodecSteps[Pcm]:
        """`flush` in steps."""
        return (yield from self._playing(0))

    def keep(self) -> bytes:
        """See `Lasting`; b"" where the decoder is none."""
        if not isinstance(self._decoder, Lasting):
            return b""
        waiting = tuple(np.frombuffer(packet, np.uint8) for packet in self._waiting.values())
        decoder = np.frombuffer(self._decoder.keep(), np.uint8)
        delivery = replace(self.delivery)
        return to_bytes(ReceiverKept(decoder, self._next, self._allowance, tuple(self._waiting), waiting, delivery))

    def go_on(self, kept: bytes) -> None:
        """See `Lasting`."""
        found: ReceiverKept = from_bytes(ReceiverKept, kept)
        if len(found.places) != len(found.waiting) or min((found.next, found.allowance, *found.places)) < 0:
            raise InputError(f"no receiver has {len(found.waiting)} packets in {len(found.places)} places")
        assert isinstance(self._decoder, Lasting)
        self._decoder.go_on(found.decoder.tobytes())
        self._next, self._allowance, self.delivery = found.next, found.allowance, found.delivery
        packets = (packet.tobytes() for packet in found.waiting)
        self._waiting = dict(zip(found.places, packets, strict=True))

    def _damaged(self, error: InputError) -> None:
        self.delivery.damaged += 1
        self.trouble = str(error)

    def _playing(self, patience: int) -> CodecSteps[Pcm]:
        decoder = self._decoder
        heard = [np.zeros(0, np.float32)]
        while self._waiting:
            place = min(self._waiting)
            gap = place - self._next
            if gap > 0 and len(self._waiting) <= patience:
                break
            packet = self._waiting.pop(place)
            if gap < 0:  # overlaps what was played
                self.delivery.late += 1
                continue
            if 0 < gap <= min(self._longest, self._allowance):
                self.delivery.concealed_frames += gap
                self._allowance -= gap
                if isinstance(decoder, StepwiseDecoder):
                    heard.append((yield from decoder.concealing(gap)))
                else:
                    heard.append(decoder.conceal(gap))
            self._next = place
            try:
                if isinstance(decoder, StepwiseDecoder):
                    heard.append((yield from decoder.pushing(packet)))
                else:
                    heard.append(decoder.push(packet))
            except InputError as error:
                self._damaged(error)
                continue
            self.delivery.played += 1
            frames = (self._decoder.next_frame - place) % FRAME_NUMBERS
            self._allowance += frames
            self._next += frames
        return np.concatenate(heard)
