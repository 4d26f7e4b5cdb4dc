"""The neural codec behind the codec seam: one speaker's PCM to packets and back."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch

from streamst.codecs.base import Pcm
from streamst.codecs.bitstream import CODE_BITS, FRAME_NUMBERS, MAX_FRAMES, Packet, pack, unpack_all
from streamst.codecs.neural import NeuralCodec
from streamst.errors import InputError

FADE_FRAMES = 6  # concealment is silent after so many frames (120 ms)


class NeuralEncoder:
    """One speaker's sending side. `bitrate_bps` may be set at any time and holds from the next packet on."""

    def __init__(self, codec: NeuralSpeechCodec, bitrate_bps: int) -> None:
        self._codec = codec
        self._codebooks = codec.codebooks_for(bitrate_bps)
        self._fresh()

    @property
    def bitrate_bps(self) -> int:
        """The rate of the next packet [bit/s], without headers."""
        return self._codec.bitrate_of(self._codebooks)

    @bitrate_bps.setter
    def bitrate_bps(self, value: int) -> None:
        self._codebooks = self._codec.codebooks_for(value)

    def push(self, pcm: Pcm) -> bytes:
        """The packet for whatever frames `pcm` (samples,) completes; b"" when none, several packets after 80 s at once.

        InputError, the state being that of before, for NaN, infinity or anything but one dimension. Samples beyond
        -1..1 are clipped.
        """
        pcm = np.asarray(pcm, np.float32)
        if pcm.ndim != 1:
            raise InputError(f"audio has the shape (samples,), not {pcm.shape}")
        if not np.isfinite(pcm).all():
            raise InputError("audio holds NaN or infinite samples")
        hop = self._codec.module.config.hop_samples
        pending = np.concatenate([self._pending, np.clip(pcm, -1, 1)])
        whole = len(pending) // hop * hop
        self._pending = pending[whole:]
        block = MAX_FRAMES * hop
        return b"".join(self._encode(pending[i : min(i + block, whole)]) for i in range(0, whole, block))

    def flush(self) -> bytes:
        """The packet for the rest, padded with silence to a whole frame, and one more for the decoder's last hop.

        The encoder is fresh afterwards.
        """
        hop = self._codec.module.config.hop_samples
        rest = np.zeros((len(self._pending) + hop - 1) // hop * hop + hop, np.float32)
        rest[: len(self._pending)] = self._pending
        started = self._frame > 0 or len(self._pending) > 0
        packet = self._encode(rest) if started else b""
        self._fresh()
        return packet

    def _encode(self, pcm: Pcm) -> bytes:
        module = self._codec.module
        with torch.inference_mode():
            samples = torch.from_numpy(pcm)[None].to(self._codec.device)
            latents, self._state = module.encoder.step(samples, self._state)
            codes = module.quantise(latents, self._codebooks)[1][0].cpu().numpy()
        packet = Packet(codes, self._frame % FRAME_NUMBERS)
        self._frame += len(codes)
        return pack(packet)

    def _fresh(self) -> None:
        self._state = self._codec.module.encoder.init_state(1, self._codec.device)
        self._pending = np.zeros(0, np.float32)
        self._frame = 0


class NeuralDecoder:
    """One speaker's receiving side, for packets of any rate. `next_frame` is the number of the frame due next."""

    def __init__(self, codec: NeuralSpeechCodec) -> None:
        self._codec = codec
        self._state = codec.module.decoder.init_state(1, codec.device)
        self._last: torch.Tensor | None = None
        self._lost = 0
        self.next_frame = 0

    def push(self, packet: bytes) -> Pcm:
        """The samples in `packet` (or in several, one after the other), one hop behind.

        Raises InputError for a damaged packet, or one with more codebooks than this codec has; the state is then that
        of before.
        """
        module = self._codec.module
        packets = unpack_all(packet)
        for one in packets:
            if one.codes.shape[1] > module.config.codebooks:
                raise InputError(f"packet of {one.codes.shape[1]} codebooks; this codec has {module.config.codebooks}")
        if not packets:
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            codes = [torch.from_numpy(one.codes)[None].to(self._codec.device) for one in packets]
            latents = torch.cat([module.dequantise(c) for c in codes], dim=1)
            samples, self._state = module.decoder.step(latents, self._state)
        self._last, self._lost = latents[:, -1:], 0
        self.next_frame = (packets[-1].first_frame + len(packets[-1].codes)) % FRAME_NUMBERS
        return samples[0].cpu().numpy()

    def conceal(self, frames: int) -> Pcm:
        """Samples in place of `frames` lost frames: the last sound held and faded out."""
        if frames < 0:
            raise InputError(f"{frames} lost frames; the number is 0 or more")
        hop = self._codec.module.config.hop_samples
        out = np.zeros(frames * hop, np.float32)
        heard = min(frames, max(0, FADE_FRAMES - self._lost)) if self._last is not None else 0
        if heard and self._last is not None:
            with torch.inference_mode():
                samples, self._state = self._codec.module.decoder.step(self._last.expand(-1, heard, -1), self._state)
            position = (self._lost * hop + np.arange(heard * hop)) / (FADE_FRAMES * hop)
            out[: heard * hop] = samples[0].cpu().numpy() * (1 - position)
        self._lost += frames
        self.next_frame = (self.next_frame + frames) % FRAME_NUMBERS
        return out


class NeuralSpeechCodec:
    """The `Codec` of a trained `NeuralCodec`."""

    name = "neural"
    codebook_counts = (3, 6, 12)

    def __init__(self, module: NeuralCodec) -> None:
        config = module.config
        self.module = module.eval()
        self.device = next(module.parameters()).device
        self.sample_rate_hz, self.frame_hz = config.sample_rate_hz, config.frame_hz
        self.latency_samples = 2 * config.hop_samples
        counts = [n for n in self.codebook_counts if n <= config.codebooks] or [config.codebooks]
        self.bitrates_bps: tuple[int, ...] = tuple(self.bitrate_of(n) for n in counts)

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> Self:
        """The codec whose model is in `directory`."""
        return cls(NeuralCodec.load(directory, device))

    def bitrate_of(self, codebooks: int) -> int:
        """Rate [bit/s] of `codebooks` codes a frame."""
        return round(codebooks * CODE_BITS * self.frame_hz)

    def codebooks_for(self, bitrate_bps: int) -> int:
        """Codes a frame at a rate; InputError names the allowed rates."""
        if bitrate_bps not in self.bitrates_bps:
            allowed = ", ".join(map(str, self.bitrates_bps))
            raise InputError(f"the neural codec has no rate of {bitrate_bps} bit/s; allowed: {allowed}")
        return round(bitrate_bps / (CODE_BITS * self.frame_hz))

    def encoder(self, bitrate_bps: int | None = None) -> NeuralEncoder:
        """A fresh encoder; None is the middle rate."""
        middle = self.bitrates_bps[len(self.bitrates_bps) // 2]
        return NeuralEncoder(self, middle if bitrate_bps is None else bitrate_bps)

    def decoder(self) -> NeuralDecoder:
        """A fresh decoder for any of the rates."""
        return NeuralDecoder(self)
