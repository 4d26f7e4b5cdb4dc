"""A Whisper ear on disk: `config.json`, the pieces of its vocabulary, weights in 16 bits, and in 8 where they are many.

The decoder's matrices, its embedding among them, have a scale a row and whole numbers from -127 to 127.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.models.whisper.recogniser import WhisperConfig, WhisperRecogniser
from streamst.models.whisper.vocabulary import Vocabulary
from streamst.nn.eight_bits import possible

KIND = "whisper"
PIECES = "pieces.txt"


class _Packed(nn.Module):
    """Tensors under names with points in them, as they are stored."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.names = {name.replace(".", "/"): name for name in tensors}
        for stored, name in self.names.items():
            self.register_buffer(stored, tensors[name])

    def tensors(self) -> dict[str, Tensor]:
        """By their own names."""
        return {name: getattr(self, stored) for stored, name in self.names.items()}


def save(ear: WhisperRecogniser, directory: Path) -> None:
    """Write `ear` as a model directory."""
    checkpoint.save(directory, KIND, to_dict(ear.config), _Packed(_packed(ear.state_dict())))
    pieces = "".join(f"{piece.hex()}\n" for piece in ear.vocabulary.pieces)
    (directory / PIECES).write_text(pieces, "ascii")


def load(directory: Path, device: torch.device | str = "cpu", quick: bool = True) -> WhisperRecogniser:
    """The ear in `directory`, on a CPU in 8 bits where `quick`; CheckpointError names what lacks or does not fit."""
    config = from_dict(WhisperConfig, checkpoint.read_config(directory, KIND))
    ear = WhisperRecogniser(config, Vocabulary.load(directory / PIECES))
    packed = _Packed(_packed(ear.state_dict()))
    checkpoint.load_weights(directory, packed)
    found = packed.tensors()
    whole = {name: value for name, value in found.items() if not name.endswith((":scale", ":whole"))}
    for name in (name.removesuffix(":whole") for name in found if name.endswith(":whole")):
        whole[name] = found[f"{name}:whole"].float() * found[f"{name}:scale"]
    ear.load_state_dict(whole)
    ear = ear.to(device).eval()
    if quick and ear.silence.device.type == "cpu" and possible():
        ear.quicken()
    return ear


def _packed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.startswith("decoder.") and value.dim() == 2 and name != "decoder.places":
            scale = value.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
            out[f"{name}:scale"] = scale.half().float()
            out[f"{name}:whole"] = (value / out[f"{name}:scale"]).round().clamp(-127, 127).to(torch.int8)
        else:
            out[name] = value
    return out
