"""An Opus decoder that can be written down, and gone on with elsewhere, to the last bit.

libopus' state cannot be read. So what is heard is cut into runs, at places that the stream alone decides: each has a
decoder of its own, which first hears again the second before (RFC 7845 asks for 80 ms). To go on, the run so far is
decoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamst.codecs.base import Pcm
from streamst.codecs.conceal import ConcealerKept
from streamst.codecs.opus import FRAME_NUMBERS, MAX_FRAMES, TAPS, Chunk, OpusDecoder, lasts_20_ms, pack, unpack_all
from streamst.errors import InputError
from streamst.nn.packing import from_bytes, to_bytes

RUN_FRAMES = 250
REACH_FRAMES = 50  # heard before a run


@dataclass(frozen=True)
class DecoderKept:
    """A `LastingOpusDecoder` between two packets."""

    run: np.ndarray[tuple[int], np.dtype[np.uint8]]  # chunks of the frames that the run's decoder has heard
    before: Pcm
    concealer: ConcealerKept
    next_frame: int


class LastingOpusDecoder(OpusDecoder):
    """`OpusDecoder`, to be kept."""

    def __init__(self) -> None:
        super().__init__()
        self._run: list[bytes] = []

    def keep(self) -> bytes:
        """See `Lasting`."""
        run = self._run
        chunks = b"".join(pack(Chunk(tuple(run[at : at + MAX_FRAMES]))) for at in range(0, len(run), MAX_FRAMES))
        kept = DecoderKept(np.frombuffer(chunks, np.uint8), self._before, self._concealer.keep(), self.next_frame)
        return to_bytes(kept)

    def go_on(self, kept: bytes) -> None:
        """See `Lasting`."""
        nothing = np.zeros(0, np.float32)
        like = DecoderKept(np.zeros(0, np.uint8), self._before, ConcealerKept(nothing, nothing, 0), 0)
        found: DecoderKept = from_bytes(DecoderKept, kept, like)
        run = [frame for chunk in unpack_all(found.run.tobytes()) for frame in chunk.frames]
        if len(run) > RUN_FRAMES + REACH_FRAMES or not all(map(lasts_20_ms, run)):
            raise InputError(f"{len(run)} Opus frames are no run; at most {RUN_FRAMES + REACH_FRAMES} are, of 20 ms")
        if found.before.shape != (TAPS - 1,) or not 0 <= found.next_frame < FRAME_NUMBERS:
            raise InputError(f"no Opus decoder holds {len(found.before)} samples before frame {found.next_frame}")
        self._concealer.go_on(found.concealer)
        self._begin(run)
        self._before, self.next_frame = found.before, found.next_frame

    def _begin(self, run: Sequence[bytes]) -> None:
        self._run = [*run]
        self._context = self._opened()
        before = self._before
        for frame in run:
            super()._decoded(frame)
        self._before = before

    def _decoded(self, frame: bytes) -> Pcm:
        if len(self._run) >= RUN_FRAMES + REACH_FRAMES:
            self._begin(self._run[-REACH_FRAMES:])
        pcm = super()._decoded(frame)
        self._run.append(frame)
        return pcm
