"""The streaming neural codec: 16 kHz speech at 1.5, 3 or 6 kbit/s in frames of 20 ms.

The encoder looks at 40 ms windows (logarithmic spectrum, autocorrelation, short-time energies; no phase) and gives
latents
(B, T, 64) at 50 Hz: number 0 is the pitch, `PITCH_SCALE * log2(Hz / middle of the pitch range)`, the others are about
as wide. A residual quantiser turns them into codes; the decoder turns latents, quantised or not, into the controls of a
source-filter synthesis (`nn/source_filter.py`). Beside the networks run linear paths that start as a cepstral vocoder
(latents are the cepstrum of the window, filters its minimum-phase responses), so training begins with speech and
improves it. Frame t describes the instant t * hop; the decoded audio runs one hop behind
the encoder's input, so the algorithmic latency is two hops: one to fill a frame, one until its hop is complete.

Both sides follow the state contract (`nn/state.py`): any chunking equals the offline path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.errors import ConfigError, InputError
from streamst.nn.convnext import ConvNeXtStack, StackState
from streamst.nn.pitch import PitchState, PitchTracker, power_spectrum
from streamst.nn.source_filter import QUIET, SourceFilter, SynthesisState
from streamst.nn.state import State
from streamst.nn.vq import ResidualQuantiser

PITCH_SCALE = 2.0  # latent units an octave
PITCH_LEVELS = 128  # of the quantised pitch: seven bits of the first code, 0.024 octaves apart
CEPSTRUM = 48  # latents 1 .. 48 start as these cepstral coefficients
CEPSTRUM_BIAS = 0.78  # log window spectrum to log filter, for noise: (-log(3/8) + Euler's gamma) / 2


def cepstrum_width(taps: int) -> Tensor:
    """Rough standard deviations (taps,) of speech's cepstral coefficients, the units of the latents."""
    return 0.8 / (1 + torch.arange(taps, dtype=torch.float32)) ** 0.75


@dataclass(frozen=True)
class NeuralCodecConfig:
    """Shapes of the codec."""

    sample_rate_hz: int = 16_000
    hop_samples: int = 320
    latent_dim: int = 64
    encoder_dim: int = 128
    encoder_blocks: int = 4
    decoder_dim: int = 192
    decoder_blocks: int = 6
    kernel_frames: int = 7
    expansion: int = 3
    codebooks: int = 12
    codebook_size: int = 1024
    code_dim: int = 8
    groups: int = 1  # of latent dimensions, each quantised by its own codebooks in turn; 1 is plain residual
    lowest_pitch_hz: float = 60.0
    highest_pitch_hz: float = 500.0
    pulse_taps: int = 128  # cepstral coefficients of the filter of the voiced part
    noise_taps: int = 64
    gains: int = 4  # level changes a hop

    @property
    def frame_hz(self) -> float:
        """Frames a second."""
        return self.sample_rate_hz / self.hop_samples

    @property
    def pitch_width(self) -> float:
        """How far the pitch latent reaches from the lowest to the highest pitch."""
        return PITCH_SCALE * math.log2(self.highest_pitch_hz / self.lowest_pitch_hz)

    @property
    def middle_pitch_hz(self) -> float:
        """The pitch whose latent is 0."""
        return math.sqrt(self.lowest_pitch_hz * self.highest_pitch_hz)


@dataclass(frozen=True)
class EncoderState(State):
    """What the encoder remembers of one stream."""

    previous: Tensor  # (B, 2 * hop) last samples
    pitch: PitchState
    stack: StackState


@dataclass(frozen=True)
class DecoderState(State):
    """What the decoder remembers of one stream."""

    stack: StackState
    synthesis: SynthesisState


class Analysis(nn.Module):
    """Windows (..., 2 * hop) -> what the encoder sees of them (..., features). Not trained; knows no phase."""

    window: Tensor
    lag_weight: Tensor
    lag_pitch: Tensor

    def __init__(self, config: NeuralCodecConfig) -> None:
        super().__init__()
        length = 2 * config.hop_samples
        window = np.hanning(length + 1)[:-1]
        shape = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * length)) ** 2)
        self.lags = slice(math.floor(config.sample_rate_hz / config.highest_pitch_hz), config.hop_samples + 1)
        self.pieces = 8
        self.features = config.hop_samples + 1 + (self.lags.stop - self.lags.start) + self.pieces + 2
        lag_hz = config.sample_rate_hz / np.arange(self.lags.start, self.lags.stop)
        octaves = torch.tensor(np.log2(lag_hz / config.middle_pitch_hz), dtype=torch.float32)
        self.register_buffer("lag_pitch", PITCH_SCALE * octaves, persistent=False)
        self.register_buffer("window", torch.tensor(window, dtype=torch.float32), persistent=False)
        weight = torch.tensor(shape[0] / shape[self.lags], dtype=torch.float32)
        self.register_buffer("lag_weight", weight, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Log spectrum, normalised autocorrelation over the pitch lags, log energies, pitch, periodicity."""
        length = windows.shape[-1]
        power = power_spectrum(windows * self.window, 2 * length)
        correlation = torch.fft.irfft(power, n=2 * length)
        periodicity = correlation[..., self.lags] / (correlation[..., :1] + 1e-5) * self.lag_weight
        spectrum = torch.log(power[..., ::2] / length + 1e-6)
        energy = windows.reshape(*windows.shape[:-1], self.pieces, -1).square().mean(-1)
        # a soft choice of lag, higher pitches first among equals
        choice = torch.softmax(60 * (periodicity.clamp(-1, 1.5) + 0.01 * self.lag_pitch), dim=-1)
        pitch = (choice * self.lag_pitch).sum(-1, keepdim=True)
        best = (choice * periodicity).sum(-1, keepdim=True)
        energies = torch.log(energy + 1e-7) / 3 + 3
        return torch.cat([spectrum / 4 + 1.5, periodicity.clamp(-1, 1.5), energies, pitch, best], dim=-1)

    def cepstral_start(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Weight (outputs, features) and bias of the map from features to the cepstrum in units of its width."""
        bins = self.window.shape[0] // 2 + 1
        taps = min(CEPSTRUM, outputs)
        angle = torch.outer(torch.arange(taps), torch.arange(bins)) * (math.pi / (bins - 1))
        share = torch.full((bins,), 1.0 / (bins - 1))
        share[0] = share[-1] = 0.5 / (bins - 1)
        cepstrum = torch.cos(angle) * share * torch.where(torch.arange(taps) > 0, 2.0, 1.0)[:, None]
        # log amplitude is half the log power, which is 4 * (feature - 1.5)
        rows = cepstrum * 2 / cepstrum_width(taps)[:, None]
        weight, bias = torch.zeros(outputs, self.features), torch.zeros(outputs)
        weight[:taps, :bins] = rows
        bias[:taps] = -1.5 * rows.sum(1)
        bias[0] += 4.0 / float(cepstrum_width(1)[0])  # speech at a usual level in the middle of the range
        return weight, bias


class CodecEncoder(nn.Module):
    """Samples (B, S), S a multiple of the hop -> latents (B, S / hop, latent_dim)."""

    def __init__(self, config: NeuralCodecConfig) -> None:
        super().__init__()
        self.hop = config.hop_samples
        self.pitch = PitchTracker(
            3 * config.hop_samples, config.sample_rate_hz, config.lowest_pitch_hz, config.highest_pitch_hz
        )
        self.analysis = Analysis(config)
        self.inward = nn.Linear(self.analysis.features, config.encoder_dim)
        self.inward_norm = nn.LayerNorm(config.encoder_dim)
        self.stack = ConvNeXtStack(config.encoder_dim, config.encoder_blocks, config.kernel_frames, config.expansion)
        self.outward_norm = nn.LayerNorm(config.encoder_dim)
        self.outward = nn.Linear(config.encoder_dim, config.latent_dim - 1)
        self.across = nn.Linear(self.analysis.features, config.latent_dim - 1)
        weight, bias = self.analysis.cepstral_start(config.latent_dim - 1)
        with torch.no_grad():
            self.across.weight.copy_(weight)
            self.across.bias.copy_(bias)
            self.outward.weight[:CEPSTRUM].mul_(0.1)
            self.outward.bias.zero_()

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> EncoderState:
        """A fresh state for `batch` rows."""
        previous = torch.zeros(batch, 2 * self.hop, device=device, dtype=dtype)
        pitch = self.pitch.init_state(batch, device, dtype)
        return EncoderState(previous, pitch, self.stack.init_state(batch, device, dtype))

    def step(self, pcm: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """pcm (B, S) -> latents (B, S / hop, latent_dim) and the state after it. InputError for a fraction of a hop."""
        if pcm.shape[-1] % self.hop:
            raise InputError(f"{pcm.shape[-1]} samples are not a whole number of frames of {self.hop}")
        signal = torch.cat([state.previous, pcm], dim=1)
        if pcm.shape[-1] == 0:
            return pcm.new_zeros(pcm.shape[0], 0, self.outward.out_features + 1), state
        octaves, pitch = self.pitch.step(signal.unfold(1, 3 * self.hop, self.hop), state.pitch)
        features = self.analysis(signal[:, self.hop :].unfold(1, 2 * self.hop, self.hop))
        x, stack = self.stack.step(self.inward_norm(self.inward(features)), state.stack)
        timbre = self.outward(self.outward_norm(x)) + self.across(features)
        latents = torch.cat([PITCH_SCALE * octaves[..., None], timbre], dim=-1)
        return latents, EncoderState(signal[:, -2 * self.hop :], pitch, stack)

    def forward(self, pcm: Tensor) -> Tensor:
        """Offline: the step from a fresh state."""
        return self.step(pcm, self.init_state(pcm.shape[0], pcm.device, pcm.dtype))[0]


class CodecDecoder(nn.Module):
    """Latents (B, T, latent_dim) -> samples (B, T * hop), one hop behind the frames' instants."""

    def __init__(self, config: NeuralCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.inward = nn.Linear(config.latent_dim, config.decoder_dim)
        self.inward_norm = nn.LayerNorm(config.decoder_dim)
        self.stack = ConvNeXtStack(config.decoder_dim, config.decoder_blocks, config.kernel_frames, config.expansion)
        self.outward_norm = nn.LayerNorm(config.decoder_dim)
        self.synthesis = SourceFilter(
            config.sample_rate_hz, config.hop_samples, config.pulse_taps, config.noise_taps, config.gains
        )
        self.outward = nn.Linear(config.decoder_dim, self.synthesis.controls)
        decay = [1 / (1 + n / 4) for taps in (config.pulse_taps, config.noise_taps) for n in range(taps)]
        scale = torch.tensor([*decay, *[0.5] * (2 * config.gains)])
        self.register_buffer("scale", scale, persistent=False)  # cepstra fall off like 1 / n
        self.scale: Tensor
        self.across = nn.Linear(config.latent_dim, self.synthesis.controls)
        noise = config.pulse_taps
        with torch.no_grad():
            self.outward.weight.mul_(0.1)
            self.outward.bias.zero_()
            self.across.weight.zero_()
            self.across.bias.zero_()
            for start, taps in ((0, config.pulse_taps), (noise, config.noise_taps)):
                taps = min(taps, CEPSTRUM, config.latent_dim - 1)
                self.across.weight[start : start + taps, 1 : taps + 1] = torch.diag(cepstrum_width(taps))
                self.across.bias[start] = CEPSTRUM_BIAS - 4.0 - QUIET
            self.across.bias[noise] -= 1.0

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> DecoderState:
        """A fresh state for `batch` rows."""
        return DecoderState(
            self.stack.init_state(batch, device, dtype), self.synthesis.init_state(batch, device, dtype)
        )

    def pitch_hz(self, latents: Tensor) -> Tensor:
        """The pitch (B, T) float64 that latents (B, T, latent_dim) ask for.

        Element by element, so that no chunking changes it.
        """
        config = self.config
        hz = config.middle_pitch_hz * torch.exp2(latents[..., 0].detach().double() / PITCH_SCALE)
        return hz.clamp(config.lowest_pitch_hz, config.highest_pitch_hz)

    def step(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """latents (B, T, latent_dim), any T -> samples (B, T * hop) and the state after them."""
        return self.step_at(latents, self.pitch_hz(latents), state)

    def step_at(self, latents: Tensor, hz: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As `step`, with the pulses at `hz` (B, T) float64 (training gives the true pitch)."""
        controls, stack = self.controls(latents, state.stack)
        samples, synthesis = self.synthesis.step(controls, hz, state.synthesis)
        return samples, DecoderState(stack, synthesis)

    def controls(self, latents: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """latents (B, T, latent_dim) -> controls of the synthesis (B, T, controls) and the state after them."""
        x, state = self.stack.step(self.inward_norm(self.inward(latents)), state)
        return self.outward(self.outward_norm(x)) * self.scale + self.across(latents), state

    def forward(self, latents: Tensor) -> Tensor:
        """Offline: the step from a fresh state."""
        return self.step(latents, self.init_state(latents.shape[0], latents.device, latents.dtype))[0]


class NeuralCodec(nn.Module):
    """Encoder, quantiser and decoder."""

    KIND = "codec"

    def __init__(self, config: NeuralCodecConfig | None = None) -> None:
        super().__init__()
        self.config = config or NeuralCodecConfig()
        c = self.config
        self.encoder = CodecEncoder(c)
        if c.codebook_size % PITCH_LEVELS:
            raise ConfigError(f"codebook_size {c.codebook_size} is not a multiple of {PITCH_LEVELS} pitch levels")
        sizes = (c.codebook_size // PITCH_LEVELS, *[c.codebook_size] * (c.codebooks - 1))
        self.quantiser = ResidualQuantiser(c.latent_dim - 1, sizes, c.code_dim, c.groups)
        self.decoder = CodecDecoder(c)

    def encode(self, pcm: Tensor) -> Tensor:
        """Offline: pcm (B, S) -> continuous latents (B, ceil(S / hop), latent_dim); the end is padded with silence."""
        return self.encoder(nn.functional.pad(pcm, (0, -pcm.shape[-1] % self.config.hop_samples)))

    def quantise(self, latents: Tensor, codebooks: int | None = None) -> tuple[Tensor, Tensor]:
        """latents (B, T, latent_dim) -> quantised latents and codes (B, T, codebooks); None means all."""
        timbre, codes = self.quantiser.quantise(latents[..., 1:], codebooks)
        level = self.pitch_level(latents[..., 0])
        codes = torch.cat([level[..., None] * self.quantiser.sizes[0] + codes[..., :1], codes[..., 1:]], dim=-1)
        return torch.cat([self.level_pitch(level)[..., None].to(timbre), timbre], dim=-1), codes

    def dequantise(self, codes: Tensor) -> Tensor:
        """codes (B, T, n) -> latents (B, T, latent_dim). InputError for a code outside its codebook."""
        size = self.config.codebook_size
        if codes.numel() and (int(codes[..., 0].min()) < 0 or int(codes[..., 0].max()) >= size):
            raise InputError(f"a code of the first codebook is not between 0 and {size - 1}")
        level, rest = codes[..., :1] // self.quantiser.sizes[0], codes[..., :1] % self.quantiser.sizes[0]
        timbre = self.quantiser.dequantise(torch.cat([rest, codes[..., 1:]], dim=-1))
        return torch.cat([self.level_pitch(level).to(timbre), timbre], dim=-1)

    def pitch_level(self, pitch: Tensor) -> Tensor:
        """The nearest of the PITCH_LEVELS levels of a pitch latent, int64."""
        share = pitch / self.config.pitch_width + 0.5
        return torch.round(share * (PITCH_LEVELS - 1)).clamp(0, PITCH_LEVELS - 1).long()

    def level_pitch(self, level: Tensor) -> Tensor:
        """The pitch latent of a level."""
        return (level / (PITCH_LEVELS - 1) - 0.5) * self.config.pitch_width

    def decode(self, latents: Tensor) -> Tensor:
        """Offline: latents (B, T, latent_dim) -> samples (B, T * hop), one hop behind."""
        return self.decoder(latents)

    def save(self, directory: Path) -> None:
        """Write config.json and weights.safetensors (float16)."""
        checkpoint.save(directory, self.KIND, to_dict(self.config), self)

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> Self:
        """The codec in `directory`, in eval mode; CheckpointError when it is damaged or something else."""
        module = cls(from_dict(NeuralCodecConfig, checkpoint.read_config(directory, cls.KIND), "codec"))
        checkpoint.load_weights(directory, module)
        return module.to(device).eval()
