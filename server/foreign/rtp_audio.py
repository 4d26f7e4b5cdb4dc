"""What a peer connection's track hands over, as one stream without holes.

aiortc puts packets in order and decodes them; what was lost on the way is seen only from the times of its frames. They
go through the receiver that plays the packets of our own codecs, which conceals what is missing, within its bounds.
"""

from __future__ import annotations

import struct

import numpy as np
from av import AudioFrame

from streamst.audio import Pcm, Resampler
from streamst.codecs.conceal import Concealer
from streamst.codecs.receive import FRAME_NUMBERS, PacketReceiver

UNITS_A_SECOND = 400  # frames are numbered by 2.5 ms, the shortest that Opus has
LONGEST_GAP_S = 10.0  # a longer one is a new beginning
NUMBER = struct.Struct("<H")


class Whole:
    """Frames of a track to mono at `rate_hz`. Their rate, channels and clock may change from one to the next."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz, self._source_hz = rate_hz, 0
        self._last_pts = 0
        self._concealed_units = 0
        self._receiver: PacketReceiver | None = None
        self._resampler: Resampler | None = None

    @property
    def concealed_s(self) -> float:
        """How much was made up in place of what was lost."""
        now = 0 if self._receiver is None else self._receiver.delivery.concealed_frames
        return (self._concealed_units + now) / UNITS_A_SECOND

    def push(self, frame: AudioFrame) -> Pcm:
        """What a frame of 16-bit samples completes: (samples,) float32."""
        pts = frame.pts or 0
        number = round(pts * UNITS_A_SECOND / frame.sample_rate) % FRAME_NUMBERS
        before = np.zeros(0, np.float32)
        if self._resampler is None or self._source_hz != frame.sample_rate:
            if self._resampler is not None:
                before = self._resampler.push(before, final=True)
            self._source_hz = frame.sample_rate
            self._resampler, self._receiver = Resampler(frame.sample_rate, self._rate_hz), None
        if self._receiver is None or pts < self._last_pts:
            self._begin(number)
        assert self._receiver is not None
        self._last_pts = pts
        pcm = self._resampler.push(self._receiver.push(NUMBER.pack(number) + _mono(frame).tobytes()))
        return np.concatenate([before, pcm])

    def _begin(self, number: int) -> None:
        """A clock that starts anew: nothing before it is missing."""
        if self._receiver is not None:
            self._concealed_units += self._receiver.delivery.concealed_frames
        decoder = _Decoded(self._source_hz, number)
        longest = round(LONGEST_GAP_S * UNITS_A_SECOND)
        self._receiver = PacketReceiver(decoder, 0, longest, lambda packet: NUMBER.unpack_from(packet)[0])


class _Decoded:
    """A `NumberedDecoder` of what is decoded already: a number, then (samples,) float32."""

    def __init__(self, rate_hz: int, next_frame: int) -> None:
        self.next_frame = next_frame
        self._unit = rate_hz // UNITS_A_SECOND
        self._concealer = Concealer(rate_hz)

    def push(self, packet: bytes) -> Pcm:
        """See `NumberedDecoder`."""
        pcm = np.frombuffer(packet, np.float32, offset=NUMBER.size)
        self.next_frame = (NUMBER.unpack_from(packet)[0] + len(pcm) // self._unit) % FRAME_NUMBERS
        return self._concealer.heard(pcm)

    def conceal(self, frames: int) -> Pcm:
        """See `NumberedDecoder`."""
        return self._concealer.conceal(frames * self._unit)


def _mono(frame: AudioFrame) -> Pcm:
    """(samples,) of a frame of 16-bit samples, whatever its channels."""
    samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
    return samples.mean(axis=1, dtype=np.float32) / np.float32(32_768)
