"""The neural codec's steps as frozen graphs: the same numbers without Python between the operations.

A stream's step is some hundred small operations; starting them from Python takes as long as doing them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from streamst.codecs.neural import CodecDecoder, CodecEncoder, DecoderState, EncoderState

MOST_ROWS = 256  # of batch times frames; more are done as well without a graph, and faster


class _Step(nn.Module):
    """A step with the state's tensors one by one, as a graph takes them."""

    def __init__(self, module: Any, state: Any) -> None:
        super().__init__()
        self.module, self.state = module, state

    def forward(self, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """x and the state's tensors -> the output and those of the state after it."""
        parts = iter(tensors)
        y, after = self.module.step(x, self.state.map(lambda _: next(parts)))
        return (y, *after.tensors())


def _graph(module: CodecEncoder | CodecDecoder, x: Tensor) -> torch.jit.ScriptModule:
    state = module.init_state(x.shape[0])
    with _quietly():
        traced = torch.jit.trace(_Step(module, state).eval(), (x, *state.tensors()), check_trace=False)
        graph = torch.jit.freeze(cast(torch.jit.ScriptModule, traced))
        for _ in range(3):  # the first runs of a graph compile it
            graph(x, *state.tensors())
    return graph


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit announces its end, and that sizes were seen to be numbers
        yield


class FrozenEncoder:
    """`CodecEncoder.step` for any batch and number of frames."""

    def __init__(self, encoder: CodecEncoder) -> None:
        self._encoder = encoder
        plain = encoder.pitch.best_ends
        try:
            with _quietly():
                encoder.pitch.best_ends = torch.jit.script(
                    plain
                )  # its loop must stay one, whatever the number of frames
            self._graph = _graph(encoder, 0.05 * torch.randn(2, 4 * encoder.hop))
        finally:
            encoder.pitch.best_ends = plain

    def step(self, pcm: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """See `CodecEncoder.step`."""
        frames, rest = divmod(pcm.shape[1], self._encoder.hop)
        if rest or not 0 < pcm.shape[0] * frames < MOST_ROWS:
            return self._encoder.step(pcm, state)
        latents, *tensors = self._graph(pcm, *state.tensors())
        parts = iter(tensors)
        return latents, state.map(lambda _: next(parts))


class FrozenDecoder:
    """`CodecDecoder.step` for any batch and number of frames."""

    def __init__(self, decoder: CodecDecoder) -> None:
        self._decoder = decoder
        self._graph = _graph(decoder, torch.randn(2, 4, decoder.config.latent_dim))

    def step(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """See `CodecDecoder.step`."""
        if not 0 < latents.shape[0] * latents.shape[1] < MOST_ROWS:
            return self._decoder.step(latents, state)
        samples, *tensors = self._graph(latents, *state.tensors())
        parts = iter(tensors)
        return samples, state.map(lambda _: next(parts))
