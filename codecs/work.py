"""The networks' share of a codec as `Work`: a step of a stream asks for it, and whoever drives the step does it, alone
(`now`) or together with that of other streams (`perform_all`)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from streamst.codecs.base import Pcm
from streamst.codecs.bitstream import Codes
from streamst.nn.state import State, stacked

R = TypeVar("R")
S = TypeVar("S", bound=State)


class FrameCoder(Protocol[S]):
    """A network in batches: states in and out. Nothing here may depend on what else is in the batch."""

    def codes(self, pcm: Tensor, codebooks: int, state: S) -> tuple[Codes, S]:
        """pcm (B, frames * hop) -> codes (B, frames, codebooks) and the state after them; fewer codebooks are the
        first of more."""
        ...

    def samples(self, latents: Tensor, state: S) -> tuple[Pcm, S]:
        """latents (B, frames, D) -> (B, frames * hop) and the state after them."""
        ...


@dataclass(frozen=True)
class EncodeFrames:
    """Whole frames of one speaker's audio; its result is (codes (frames, codebooks), next state)."""

    coder: FrameCoder[Any]
    pcm: Pcm  # (frames * hop,)
    codebooks: int
    state: State


@dataclass(frozen=True)
class DecodeFrames:
    """Whole frames for one listener; its result is (samples (frames * hop,), next state)."""

    coder: FrameCoder[Any]
    latents: Tensor  # (1, frames, D)
    state: State


CodecWork = EncodeFrames | DecodeFrames
CodecSteps = Generator[CodecWork, Any, R]  # yields what the networks should do, is sent the results, returns an R


@runtime_checkable
class StepwiseEncoder(Protocol):
    """An `Encoder` that has its networks' work done by whoever drives the step."""

    def pushing(self, pcm: Pcm) -> CodecSteps[bytes]:
        """`push` in steps."""
        ...

    def flushing(self) -> CodecSteps[bytes]:
        """`flush` in steps."""
        ...


def perform_all(work: Sequence[CodecWork]) -> list[Any]:
    """The results of pieces of work, in their order: those of one network and as many frames go together."""
    alike: dict[tuple[type, int, int], list[int]] = {}
    for at, one in enumerate(work):
        size = len(one.pcm) if isinstance(one, EncodeFrames) else one.latents.shape[1]
        alike.setdefault((type(one), id(one.coder), size), []).append(at)
    results: list[Any] = [None] * len(work)
    for places in alike.values():
        for at, result in zip(places, _together([work[at] for at in places]), strict=True):
            results[at] = result
    return results


def now(steps: CodecSteps[R]) -> R:
    """What `steps` return, their work done by itself."""
    result = None
    while True:
        try:
            (result,) = perform_all([steps.send(result)])
        except StopIteration as stop:
            return stop.value


def _together(work: Sequence[CodecWork]) -> list[Any]:
    first = work[0]
    state = stacked([one.state for one in work])
    if isinstance(first, EncodeFrames):
        inward = [one for one in work if isinstance(one, EncodeFrames)]
        most = max(one.codebooks for one in inward)
        codes, state = first.coder.codes(torch.stack([torch.from_numpy(one.pcm) for one in inward]), most, state)
        outputs = [rows[:, : one.codebooks] for rows, one in zip(codes, inward, strict=True)]
    else:
        latents = torch.cat([one.latents for one in work if isinstance(one, DecodeFrames)])
        samples, state = first.coder.samples(latents, state)
        outputs = list(samples)
    if len(work) == 1:
        return [(outputs[0], state)]
    return [(output, state.select([row])) for row, output in enumerate(outputs)]
