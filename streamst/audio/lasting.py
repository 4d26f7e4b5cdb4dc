"""A resampler that can be written down, and gone on with elsewhere, to the last bit.

soxr's state cannot be read. So what is heard is cut into runs, at places that the stream alone decides: each has a
resampler of its own, which first hears again what came just before. To go on, the run so far is heard again. Where one
run takes over from another the samples differ from soxr's own by 4e-7 at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamst.errors import InputError

from .pcm import Pcm, Resampler

RUN_S = 0.5
REACH_S = 0.25  # heard before a run: more than the filter's length, and than soxr holds back


@dataclass(frozen=True)
class ResamplerKept:
    """A `LastingResampler` between two pieces."""

    run: Pcm  # (samples,) what the run's resampler has heard
    skip: int  # of its next output samples: the run before gave them


class LastingResampler:
    """`Resampler`, to be kept. Pushed in any pieces, the output is the same."""

    def __init__(self, source_hz: int, target_hz: int) -> None:
        """InputError as of `Resampler`."""
        self.source_hz, self.target_hz = source_hz, target_hz
        step = source_hz // math.gcd(source_hz, target_hz)  # input samples after which an output falls on an input
        self._new, self._reach = (step * math.ceil(seconds * source_hz / step) for seconds in (RUN_S, REACH_S))
        self._begin(np.zeros(0, np.float32), 0)

    def push(self, pcm: Pcm, final: bool = False) -> Pcm:
        """What `pcm` (samples,) completes at the target rate; after `final`, which flushes, the resampler is fresh."""
        if self.source_hz == self.target_hz:
            return pcm
        out: list[Pcm] = []
        pcm = np.ascontiguousarray(pcm, np.float32)
        while len(pcm) > (left := self._reach + self._new - self._heard):
            out.append(self._hear(pcm[:left]))
            pcm = pcm[left:]
            before = self._said - self._new * self.target_hz // self.source_hz
            out.append(self._begin(np.concatenate(self._pieces)[-self._reach :], before))
        out.append(self._hear(pcm, final))
        if final:
            self._begin(pcm[:0], 0)
        return np.concatenate(out)

    def keep(self) -> ResamplerKept:
        """What `go_on` takes."""
        return ResamplerKept(np.concatenate([np.zeros(0, np.float32), *self._pieces]), self._skip)

    def go_on(self, kept: ResamplerKept) -> None:
        """Be where another one of the same rates was; InputError for what none of them keeps."""
        most = self._reach + self._new
        if kept.run.ndim != 1 or len(kept.run) > most or not 0 <= kept.skip <= most * self.target_hz:
            raise InputError(f"a run of {len(kept.run)} samples, {kept.skip} to skip, is none at {self.source_hz} Hz")
        self._begin(kept.run, 0)
        self._skip = kept.skip

    def _begin(self, heard: Pcm, said: int) -> Pcm:
        """Begin a run, of whose output so much was said; what it says beyond that."""
        self._pieces: list[Pcm] = []  # that the run has heard
        self._heard = self._said = 0  # samples of the run, in and out
        self._skip = said  # of the latter that are to be left out still
        self._resampler = Resampler(self.source_hz, self.target_hz)
        return self._hear(heard)

    def _hear(self, pcm: Pcm, final: bool = False) -> Pcm:
        if len(pcm):
            self._pieces.append(pcm)
        self._heard += len(pcm)
        out = self._resampler.push(pcm, final)
        self._said += len(out)
        skipped = min(self._skip, len(out))
        self._skip -= skipped
        return out[skipped:]
