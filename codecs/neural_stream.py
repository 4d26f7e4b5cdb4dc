"""The neural codec behind the codec seam."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from streamst.codecs.base import Pcm
from streamst.codecs.bitstream import Codes, EntropyCoder
from streamst.codecs.coded_stream import FADE_FRAMES, CodeDecoder, CodeEncoder, bitrate_of
from streamst.codecs.entropy import EntropyModel
from streamst.codecs.neural import DecoderState, EncoderState, NeuralCodec
from streamst.codecs.wide import WIDE_HZ, WideDecoder
from streamst.errors import InputError
from streamst.nn.vq import FusedQuantiser

__all__ = ["FADE_FRAMES", "NeuralDecoder", "NeuralEncoder", "NeuralSpeechCodec"]

ENTROPY = "entropy.safetensors"
NeuralEncoder = CodeEncoder[EncoderState, DecoderState]
NeuralDecoder = CodeDecoder[EncoderState, DecoderState]


class NeuralSpeechCodec:
    """The `Codec` of a trained `NeuralCodec`.

    entropy: what reads entropy-coded packets; encoders make them where `sends_coded`. directory: where the weights are,
    and beside them the graphs that browsers run (`export.py`), if there are any.
    """

    name = "neural"
    codebook_counts = (3, 6, 12)
    tail_frames = 1  # the decoder runs one hop behind

    def __init__(
        self,
        module: NeuralCodec,
        entropy: EntropyCoder | None = None,
        sends_coded: bool = False,
        directory: Path | None = None,
    ) -> None:
        if sends_coded and entropy is None:
            raise InputError("entropy-coded packets need an entropy model, and this codec has none")
        config = module.config
        self.module = module.eval()
        self.fused = FusedQuantiser(module.quantiser)
        self.encoder_step, self.decoder_step = module.encoder.step, module.decoder.step
        self.entropy, self.sends_coded, self.directory = entropy, sends_coded, directory
        self.device = next(module.parameters()).device
        self.sample_rate_hz, self.frame_hz = config.sample_rate_hz, config.frame_hz
        self.hop_samples, self.codebooks = config.hop_samples, config.codebooks
        self.delay_samples, self.latency_samples = config.hop_samples, 2 * config.hop_samples
        counts = [n for n in self.codebook_counts if n <= config.codebooks] or [config.codebooks]
        self.bitrates_bps: tuple[int, ...] = tuple(bitrate_of(self, n) for n in counts)

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu", sends_coded: bool = False) -> Self:
        """The codec whose model, and entropy model if it has one, is in `directory`."""
        weights = directory / ENTROPY
        entropy = EntropyModel.load(weights) if weights.is_file() else None
        return cls(NeuralCodec.load(directory, device), entropy, sends_coded, directory)

    def freeze(self) -> None:
        """Say the same faster, on a CPU: the networks' steps become graphs, which takes some seconds."""
        from streamst.codecs.frozen import FrozenDecoder, FrozenEncoder

        if self.device.type == "cpu":
            for linear in (part for part in self.module.modules() if isinstance(part, nn.Linear)):
                # the same numbers in the order in which few rows are multiplied fastest
                linear.weight.data = linear.weight.data.t().contiguous().t()
            self.encoder_step = FrozenEncoder(self.module.encoder).step
            self.decoder_step = FrozenDecoder(self.module.decoder).step

    def encoder(self, bitrate_bps: int | None = None) -> NeuralEncoder:
        """A fresh encoder; None is the middle rate."""
        middle = self.bitrates_bps[len(self.bitrates_bps) // 2]
        return CodeEncoder(self, middle if bitrate_bps is None else bitrate_bps)

    def decoder(self, sample_rate_hz: int | None = None) -> NeuralDecoder:
        """A fresh decoder for any of the bit rates, speaking at 16 kHz (None is the same) or 24 kHz.

        InputError for another rate.
        """
        if sample_rate_hz == WIDE_HZ:
            return CodeDecoder(_Wide(self))
        if sample_rate_hz not in (None, self.sample_rate_hz):
            allowed = f"{self.sample_rate_hz} and {WIDE_HZ}"
            raise InputError(f"the {self.name} codec does not speak at {sample_rate_hz} Hz; allowed: {allowed}")
        return CodeDecoder(self)

    def encoder_state(self) -> EncoderState:
        """A fresh encoder's."""
        return self.module.encoder.init_state(1, self.device)

    def decoder_state(self) -> DecoderState:
        """A fresh decoder's."""
        return self.module.decoder.init_state(1, self.device)

    @torch.inference_mode()
    def codes(self, pcm: Tensor, codebooks: int, state: EncoderState) -> tuple[Codes, EncoderState]:
        """pcm (B, frames * hop) -> codes (B, frames, codebooks) and the state after them."""
        latents, state = self.encoder_step(pcm.to(self.device), state)
        return self.quantise(latents, codebooks).cpu().numpy(), state

    def quantise(self, latents: Tensor, codebooks: int) -> Tensor:
        """latents (B, T, D) -> codes (B, T, codebooks): what `NeuralCodec.quantise` gives, faster."""
        flat = latents.reshape(-1, latents.shape[2])
        codes = self.fused.codes(flat[:, 1:], codebooks)
        codes[:, 0] += self.module.pitch_level(flat[:, 0]) * self.module.quantiser.sizes[0]
        return codes.reshape(*latents.shape[:2], codebooks)

    def dequantise(self, codes: Tensor) -> Tensor:
        """codes (B, T, n), each inside its codebook -> latents (B, T, D)."""
        flat = codes.reshape(-1, codes.shape[2])
        first = self.module.quantiser.sizes[0]
        pitch = self.module.level_pitch(flat[:, :1] // first)
        timbre = self.fused.latents(torch.cat([flat[:, :1] % first, flat[:, 1:]], dim=1))
        return torch.cat([pitch.to(timbre), timbre], dim=1).reshape(*codes.shape[:2], -1)

    @torch.inference_mode()
    def latents(self, codes: Codes) -> Tensor:
        """codes (frames, n) -> latents (1, frames, D); InputError for a code that does not exist."""
        given = torch.from_numpy(codes)[None].to(self.device)
        if codes.min() < 0 or codes.max() >= self.module.config.codebook_size:
            return self.module.dequantise(given)  # which says what is wrong
        return self.dequantise(given)

    @torch.inference_mode()
    def samples(self, latents: Tensor, state: DecoderState) -> tuple[Pcm, DecoderState]:
        """latents (B, frames, D) -> (B, frames * hop) and the state after them."""
        samples, state = self.decoder_step(latents, state)
        return samples.cpu().numpy(), state


class _Wide(NeuralSpeechCodec):
    """The same codec, decoding at 24 kHz."""

    def __init__(self, codec: NeuralSpeechCodec) -> None:
        super().__init__(codec.module, codec.entropy)
        self._decoder = WideDecoder(codec.module.decoder).to(codec.device).eval()
        self.hop_samples, self.decoder_step = self._decoder.synthesis.hop, self._decoder.step

    def decoder_state(self) -> DecoderState:
        """A fresh decoder's."""
        return self._decoder.init_state(1, self.device)
