"""A Whisper ear on disk: `config.json`, the pieces of its vocabulary, weights in 16 bits, and in 8 where they are many.

The decoder's matrices, its embedding among them, have a scale a row and whole numbers from -127 to 127.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.models.listen.evidence import SpeechEvidence
from streamst.models.whisper.readout import sketch_of
from streamst.models.whisper.recogniser import WhisperConfig, WhisperRecogniser
from streamst.models.whisper.vocabulary import Vocabulary
from streamst.nn.eight_bits import possible

KIND = "whisper"
PIECES = "pieces.txt"
SPEECH = "speech.npz"


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


def save_evidence(ear: WhisperRecogniser, base: Path, directory: Path) -> None:
    """Write the ear of the directory `base` with the evidence and configuration of `ear`, and with its own weights."""
    assert ear.evidence is not None
    directory.mkdir(parents=True, exist_ok=True)
    for name in (checkpoint.WEIGHTS, PIECES):
        shutil.copyfile(base / name, directory / name)
    ear.evidence.save(directory / SPEECH)
    ear.config = replace(ear.config, speech_sha256=checkpoint.file_sha256(directory / SPEECH))
    described = {"kind": KIND, "sha256": checkpoint.file_sha256(directory / checkpoint.WEIGHTS)}
    text = json.dumps(described | {"config": to_dict(ear.config)}, indent=1, ensure_ascii=False)
    (directory / checkpoint.CONFIG).write_text(f"{text}\n", encoding="utf-8")


def with_sketch(ear: WhisperRecogniser, moment: Tensor, rank: int) -> WhisperRecogniser:
    """`ear` with a readout that seeks in `rank` dimensions, by the second moment (D, D) of its decoder's states."""
    config = replace(ear.config, decoder=replace(ear.config.decoder, sketch=min(rank, ear.config.decoder.dim)))
    other = WhisperRecogniser(config, ear.vocabulary, ear.evidence).to(ear.silence.device).eval()
    weights = dict(ear.state_dict())
    if rank:
        weights["decoder.sketch"] = sketch_of(ear.decoder.tokens.weight.detach(), moment, config.decoder.sketch)
    other.load_state_dict({name: weights[name] for name in other.state_dict()})
    return other


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
    if config.speech_sha256:
        checkpoint.check_sha256(directory / SPEECH, config.speech_sha256)
        ear.evidence = SpeechEvidence.load(directory / SPEECH, config.encoder.dim, config.evidence)
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
