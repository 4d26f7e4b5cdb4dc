"""The neural codec's steps as frozen graphs (`streamst/nn/frozen.py`)."""

from __future__ import annotations

import torch
from torch import Tensor

from streamst.nn.frozen import frozen, quietly

from .neural import CodecDecoder, CodecEncoder, DecoderState, EncoderState

MOST_ROWS = 256  # of batch times frames; more are done as well without a graph, and faster


class FrozenEncoder:
    """`CodecEncoder.step` for any batch and number of frames."""

    def __init__(self, encoder: CodecEncoder) -> None:
        self._encoder = encoder
        plain = encoder.pitch.best_ends
        try:
            with quietly():  # its loop must stay one, whatever the number of frames
                encoder.pitch.best_ends = torch.jit.script(plain)
            pcm = 0.05 * torch.randn(2, 4 * encoder.hop)
            self._step = frozen(encoder, encoder.step, pcm, state=encoder.init_state(2))
        finally:
            encoder.pitch.best_ends = plain

    def step(self, pcm: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """See `CodecEncoder.step`."""
        frames, rest = divmod(pcm.shape[1], self._encoder.hop)
        if rest or not 0 < pcm.shape[0] * frames < MOST_ROWS:
            return self._encoder.step(pcm, state)
        latents, after = self._step(pcm, state)
        return latents, after


class FrozenDecoder:
    """`CodecDecoder.step` for any batch and number of frames."""

    def __init__(self, decoder: CodecDecoder) -> None:
        self._decoder = decoder
        latents = torch.randn(2, 4, decoder.config.latent_dim)
        self._step = frozen(decoder, decoder.step, latents, state=decoder.init_state(2))

    def step(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """See `CodecDecoder.step`."""
        if not 0 < latents.shape[0] * latents.shape[1] < MOST_ROWS:
            return self._decoder.step(latents, state)
        samples, after = self._step(latents, state)
        return samples, after
