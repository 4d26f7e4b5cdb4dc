"""EnCodec 24 kHz (Défossez et al., "High Fidelity Neural Audio Compression", 2022), truly streaming.

The architecture and the weight names are those of the `encodec` package, so its checkpoint loads; what the package
lacks is state. Here every convolution carries its last inputs, every transposed convolution the part of its output that
reaches into the next frame (without the bias, which would be added twice), every LSTM its cells, and weight norm is
folded into the weights. Any chunking equals the offline path, for as long as one likes.

One thing differs from the package: before the first sample stand zeros, where the package mirrors the samples that
follow, which a stream cannot know. That changes the first frames only as far as the LSTM remembers them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.nn.state import State

CHECKPOINT = "encodec_24khz-d7cc33bc.th"  # the digits begin its SHA-256
GET_IT = "python -c 'from encodec import EncodecModel as E; E.encodec_model_24khz()'"


@dataclass(frozen=True)
class EncodecConfig:
    """Shapes of the model; the defaults are those of the published 24 kHz model."""

    sample_rate_hz: int = 24_000
    filters: int = 32
    ratios: tuple[int, ...] = (8, 5, 4, 2)  # of the decoder; the encoder has them in reverse
    dimension: int = 128
    lstm_layers: int = 2
    codebooks: int = 32
    codebook_size: int = 1024

    @property
    def hop_samples(self) -> int:
        """Samples a frame."""
        return math.prod(self.ratios)


@dataclass(frozen=True)
class ConvState(State):
    """What a convolution remembers."""

    previous: Tensor  # (B, C, reach) last inputs


@dataclass(frozen=True)
class OverlapState(State):
    """What a transposed convolution remembers."""

    overlap: Tensor  # (B, C, K - S) its output beyond the last input, without the bias


@dataclass(frozen=True)
class RecurrentState(State):
    """What an LSTM remembers."""

    hidden: Tensor  # (B, layers, D)
    cell: Tensor  # (B, layers, D)


@dataclass(frozen=True)
class StackState(State):
    """What a stack of layers remembers."""

    layers: tuple[ConvState | OverlapState | RecurrentState, ...]


class Conv(nn.Module):
    """Causal convolution over (B, C, T); T is a multiple of the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel) * (inputs * kernel) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.activate = stride, activate

    def init_state(self, batch: int, device: torch.device | str, dtype: torch.dtype) -> ConvState:
        """Zeros before the first input."""
        _, inputs, kernel = self.weight.shape
        return ConvState(torch.zeros(batch, inputs, kernel - self.stride, device=device, dtype=dtype))

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """x (B, C, T) -> (B, C', T / stride)."""
        if self.activate:
            x = F.elu(x)
        reach = state.previous.shape[2]
        if reach:
            x = torch.cat([state.previous, x], dim=2)
            state = ConvState(x[:, :, x.shape[2] - reach :])
        return F.conv1d(x, self.weight, self.bias, self.stride), state


class ConvTranspose(nn.Module):
    """Causal transposed convolution over (B, C, T), kernel twice the stride, trimmed on the right."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, 2 * stride) * (2 * inputs) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride = stride

    def init_state(self, batch: int, device: torch.device | str, dtype: torch.dtype) -> OverlapState:
        """Nothing rings before the first input."""
        return OverlapState(torch.zeros(batch, self.weight.shape[1], self.stride, device=device, dtype=dtype))

    def step(self, x: Tensor, state: OverlapState) -> tuple[Tensor, OverlapState]:
        """x (B, C, T) -> (B, C', T * stride), after ELU."""
        y = F.conv_transpose1d(F.elu(x), self.weight, None, self.stride)
        y[:, :, : self.stride] += state.overlap
        done = y.shape[2] - self.stride
        return y[:, :, :done] + self.bias[:, None], OverlapState(y[:, :, done:])


class Recurrent(nn.Module):
    """LSTM over (B, C, T) with a connection past it."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, layers)

    def init_state(self, batch: int, device: torch.device | str, dtype: torch.dtype) -> RecurrentState:
        """Empty cells."""
        empty = torch.zeros(batch, self.lstm.num_layers, self.lstm.hidden_size, device=device, dtype=dtype)
        return RecurrentState(empty, empty)

    def step(self, x: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """x (B, C, T) -> the same shape."""
        cells = state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous()
        y, (hidden, cell) = self.lstm(x.permute(2, 0, 1), cells)
        return y.permute(1, 2, 0) + x, RecurrentState(hidden.transpose(0, 1), cell.transpose(0, 1))


class Residual(nn.Module):
    """Two convolutions, added to a third of width one."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = Conv(dim, dim // 2, 3, activate=True)
        self.second = Conv(dim // 2, dim, 1, activate=True)
        self.shortcut = Conv(dim, dim, 1)

    def init_state(self, batch: int, device: torch.device | str, dtype: torch.dtype) -> ConvState:
        """That of the first convolution: the others see one input at a time."""
        return self.first.init_state(batch, device, dtype)

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """x (B, C, T) -> the same shape."""
        y, after = self.first.step(x, state)
        y = F.conv1d(F.elu(y), self.second.weight, self.second.bias)
        return y + F.conv1d(x, self.shortcut.weight, self.shortcut.bias), after


class Stack(nn.Module):
    """Layers one after the other over (B, C, T)."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> StackState:
        """A fresh state for `batch` rows."""
        return StackState(tuple(layer.init_state(batch, device, dtype) for layer in self.layers))  # type: ignore[operator]

    def step(self, x: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """x (B, C, T) -> what the layers make of it, and the state after it."""
        after = []
        for layer, before in zip(self.layers, state.layers, strict=True):
            x, changed = layer.step(x, before)  # type: ignore[operator]
            after.append(changed)
        return x, StackState(tuple(after))


class Encodec(nn.Module):
    """Encoder, residual quantiser and decoder."""

    codes: Tensor  # (codebooks, size, dimension)

    def __init__(self, config: EncodecConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or EncodecConfig()
        dims = [c.filters << i for i in range(len(c.ratios) + 1)]
        down: list[nn.Module] = [Conv(1, dims[0], 7)]
        for dim, ratio in zip(dims, reversed(c.ratios), strict=False):
            down += [Residual(dim), Conv(dim, 2 * dim, 2 * ratio, ratio, activate=True)]
        down += [Recurrent(dims[-1], c.lstm_layers), Conv(dims[-1], c.dimension, 7, activate=True)]
        up: list[nn.Module] = [Conv(c.dimension, dims[-1], 7), Recurrent(dims[-1], c.lstm_layers)]
        for dim, ratio in zip(reversed(dims), c.ratios, strict=False):
            up += [ConvTranspose(dim, dim // 2, ratio), Residual(dim // 2)]
        up += [Conv(dims[0], 1, 7, activate=True)]
        self.encoder, self.decoder = Stack(down), Stack(up)
        self.register_buffer("codes", torch.randn(c.codebooks, c.codebook_size, c.dimension))

    def encode_step(self, pcm: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """pcm (B, S) -> latents (B, S / hop, dimension). InputError for a fraction of a frame."""
        if pcm.shape[1] % self.config.hop_samples:
            hop = self.config.hop_samples
            raise InputError(f"{pcm.shape[1]} samples are not a whole number of frames of {hop}")
        if pcm.shape[1] == 0:
            return pcm.new_zeros(pcm.shape[0], 0, self.config.dimension), state
        latents, state = self.encoder.step(pcm[:, None], state)
        return latents.transpose(1, 2), state

    def decode_step(self, latents: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """latents (B, T, dimension) -> samples (B, T * hop)."""
        if latents.shape[1] == 0:
            return latents.new_zeros(latents.shape[0], 0), state
        samples, state = self.decoder.step(latents.transpose(1, 2), state)
        return samples[:, 0], state

    def encode(self, pcm: Tensor) -> Tensor:
        """Offline: pcm (B, S) -> latents; the end is padded with silence."""
        padded = F.pad(pcm, (0, -pcm.shape[1] % self.config.hop_samples))
        return self.encode_step(padded, self.encoder.init_state(pcm.shape[0], pcm.device, pcm.dtype))[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Offline: latents (B, T, dimension) -> samples."""
        return self.decode_step(latents, self.decoder.init_state(latents.shape[0], latents.device, latents.dtype))[0]

    def quantise(self, latents: Tensor, codebooks: int | None = None) -> Tensor:
        """latents (B, T, dimension) -> codes (B, T, codebooks) int64; None means all."""
        rest, chosen = latents.reshape(-1, latents.shape[2]), []
        half_norms = 0.5 * self.codes.square().sum(2)
        for book, half_norm in zip(self.codes[:codebooks], half_norms, strict=False):
            index = torch.addmm(half_norm, rest, book.t(), alpha=-1).argmin(1)
            rest = rest - book[index]
            chosen.append(index)
        return torch.stack(chosen, 1).reshape(*latents.shape[:2], len(chosen))

    def dequantise(self, codes: Tensor) -> Tensor:
        """codes (B, T, n) -> latents. InputError for a code or a codebook that does not exist."""
        books, size = len(self.codes), self.config.codebook_size
        if not 1 <= codes.shape[2] <= books:
            raise InputError(f"{codes.shape[2]} codebooks; this codec has 1 to {books}")
        if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) < size):
            raise InputError(f"codes from {int(codes.min())} to {int(codes.max())}; a codebook has 0 to {size - 1}")
        number = torch.arange(codes.shape[2], device=codes.device)
        return self.codes[number, codes].sum(2)

    @classmethod
    def load(cls, path: Path | None = None, device: torch.device | str = "cpu") -> Encodec:
        """The published model from `path`, or from where the `encodec` package keeps it.

        UnavailableError when there is none, CheckpointError when it is damaged or something else.
        """
        path = path or Path(torch.hub.get_dir()) / "checkpoints" / CHECKPOINT
        if not path.is_file():
            raise UnavailableError(
                f"EnCodec's weights are not at {path}; get them with: pip install encodec, then {GET_IT}"
            )
        promised = re.search(r"-([0-9a-f]{8,64})\.th$", path.name)
        found = sha256(path.read_bytes()).hexdigest()
        if promised and not found.startswith(promised[1]):
            raise CheckpointError(f"{path} is damaged: its SHA-256 begins with {found[:8]}, not {promised[1]}")
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointError(f"{path} is not a checkpoint of EnCodec: {error}") from error
        module = cls()
        module.load_published(weights)
        return module.to(device).eval()

    def load_published(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of `encodec`'s `EncodecModel.state_dict()`; CheckpointError when they do not fit."""
        n = len(self.config.ratios)
        own: dict[str, Tensor] = {}
        try:
            places = [0, *[at + 3 * i for i in range(n) for at in (1, 3)], 3 * n + 1, 3 * n + 3]
            for number, place in enumerate(places):
                own |= _layer(weights, f"encoder.model.{place}.", f"encoder.layers.{number}.")
            places = [0, 1, *[at + 3 * i for i in range(n) for at in (3, 4)], 3 * n + 3]
            for number, place in enumerate(places):
                own |= _layer(weights, f"decoder.model.{place}.", f"decoder.layers.{number}.")
            names = [f"quantizer.vq.layers.{i}._codebook.embed" for i in range(self.config.codebooks)]
            own["codes"] = torch.stack([weights[name] for name in names])
            self.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"these weights are not EnCodec's in the configured shape: {error}") from error


def _layer(weights: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """A layer's weights under our names, weight norm folded."""
    if f"{theirs}lstm.weight_ih_l0" in weights:
        return {ours + name[len(theirs) :]: value for name, value in weights.items() if name.startswith(theirs)}
    if f"{theirs}shortcut.conv.conv.bias" in weights:
        found = _layer(weights, f"{theirs}block.1.", f"{ours}first.")
        found |= _layer(weights, f"{theirs}block.3.", f"{ours}second.")
        return found | _layer(weights, f"{theirs}shortcut.", f"{ours}shortcut.")
    kind = "convtr.convtr" if f"{theirs}convtr.convtr.bias" in weights else "conv.conv"
    name = f"{theirs}{kind}."
    return {f"{ours}weight": _folded(weights, f"{name}weight"), f"{ours}bias": weights[f"{name}bias"]}


def _folded(weights: dict[str, Tensor], name: str) -> Tensor:
    """g * v / |v| (Salimans and Kingma 2016), the norm over everything but dimension 0."""
    if name in weights:
        return weights[name]
    gain, direction = weights[f"{name}_g"], weights[f"{name}_v"]
    return gain * direction / direction.flatten(1).norm(dim=1)[:, None, None]
