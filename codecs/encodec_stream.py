"""EnCodec behind the codec seam: 24 kHz, 1.5 to 24 kbit/s, in packets of our bitstream."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from streamst.codecs.base import Pcm
from streamst.codecs.bitstream import Codes, EntropyCoder
from streamst.codecs.coded_stream import CodeDecoder, CodeEncoder, bitrate_of
from streamst.codecs.encodec import Encodec, StackState


class EncodecSpeechCodec:
    """The `Codec` of an `Encodec`."""

    name = "encodec"
    tail_frames = 0
    delay_samples = 0
    sends_coded = False  # our entropy model knows other codes
    entropy: EntropyCoder | None = None

    def __init__(self, module: Encodec) -> None:
        config = module.config
        self.module = module.eval()
        self.device = module.codes.device
        self.sample_rate_hz, self.hop_samples = config.sample_rate_hz, config.hop_samples
        self.frame_hz = config.sample_rate_hz / config.hop_samples
        self.latency_samples, self.codebooks = config.hop_samples, config.codebooks
        counts = [n for n in (2, 4, 8, 16, 32) if n <= config.codebooks] or [config.codebooks]
        self.bitrates_bps: tuple[int, ...] = tuple(bitrate_of(self, n) for n in counts)

    @classmethod
    def load(cls, path: Path | None = None, device: torch.device | str = "cpu") -> Self:
        """With the published weights, from `path` or from where the `encodec` package keeps them."""
        return cls(Encodec.load(path, device))

    def encoder(self, bitrate_bps: int | None = None) -> CodeEncoder[StackState, StackState]:
        """A fresh encoder; None is the middle rate."""
        middle = self.bitrates_bps[len(self.bitrates_bps) // 2]
        return CodeEncoder(self, middle if bitrate_bps is None else bitrate_bps)

    def decoder(self) -> CodeDecoder[StackState, StackState]:
        """A fresh decoder for any of the rates."""
        return CodeDecoder(self)

    def encoder_state(self) -> StackState:
        """A fresh encoder's."""
        return self.module.encoder.init_state(1, self.device)

    def decoder_state(self) -> StackState:
        """A fresh decoder's."""
        return self.module.decoder.init_state(1, self.device)

    @torch.inference_mode()
    def codes(self, pcm: Tensor, codebooks: int, state: StackState) -> tuple[Codes, StackState]:
        """pcm (B, frames * hop) -> codes (B, frames, codebooks) and the state after them."""
        latents, state = self.module.encode_step(pcm.to(self.device), state)
        return self.module.quantise(latents, codebooks).cpu().numpy(), state

    @torch.inference_mode()
    def latents(self, codes: Codes) -> Tensor:
        """codes (frames, n) -> latents (1, frames, dimension); InputError for a code that does not exist."""
        return self.module.dequantise(torch.from_numpy(codes)[None].to(self.device))

    @torch.inference_mode()
    def samples(self, latents: Tensor, state: StackState) -> tuple[Pcm, StackState]:
        """latents (B, frames, dimension) -> (B, frames * hop) and the state after them."""
        samples, state = self.module.decode_step(latents, state)
        return samples.cpu().numpy(), state
