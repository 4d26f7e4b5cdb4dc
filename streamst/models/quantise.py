"""Faster networks on a CPU: the steps of encoder and decoder as frozen graphs, and weights in 8 bits.

A stream's step is small matrices, whose cost is reading weights and starting operations. A frozen graph starts them
without Python and computes the same. 8-bit weights read a quarter; activations are quantised on the fly, by one scale
for the whole batch, so numbers change a little and a stream's depend on its company: a choice for one stream, or for
who would rather serve more of them. The ear and the pen have 8 bits of another kind, a scale a row (`RowLinear`): they
cost nothing that is seen, and no stream knows of another, but where company changes the last bit of a float and with it
how an activation is rounded: now and then, by a few hundredths of a log-probability.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear

from streamst.errors import InputError, UnavailableError
from streamst.models.listen.conformer import Conformer, EncoderState
from streamst.models.translator import SpeechTranslator
from streamst.models.write.network import DecoderState, Writer, WriterGraphs
from streamst.nn.frozen import frozen, quietly
from streamst.text import Tokenizer

Precision = Literal["float32", "frozen", "int8", "onnx"]  # int8 is frozen too, and what onnx has no graphs of


class FrozenEncoder(nn.Module):
    """A `Conformer` whose `step` runs as one graph, for any batch and chunk size; making it takes a second or two."""

    def __init__(self, encoder: Conformer) -> None:
        super().__init__()
        self.encoder, self.config = encoder.eval(), encoder.config
        rows, frames = 2, 4
        x = torch.zeros(rows, frames * encoder.config.subsampling, encoder.config.bands)
        self._step = frozen(encoder, encoder.step, x, state=encoder.init_state(rows))

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> EncoderState:
        """A fresh stream."""
        return self.encoder.init_state(batch, device, dtype)

    def step(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """x: (B, T, bands), exactly one chunk, of any size that is a multiple of the subsampling."""
        if x.shape[1] % self.config.subsampling:
            raise ValueError(f"{x.shape[1]} features are not a multiple of the subsampling {self.config.subsampling}")
        y, after = self._step(x, state)
        return y, after

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, chunk: int | Sequence[int] = -1, left: int = -1
    ) -> tuple[Tensor, Tensor]:
        """The masked offline path of the encoder."""
        return self.encoder(x, lengths, chunk, left)


def freeze_writer(writer: Writer) -> None:
    """Let `writer` read, decode and score by a graph each, for any number of rows; takes about a second."""
    size = writer.config.dim
    memory = torch.zeros(2, 3, size)
    inputs = torch.full((2, 1), Tokenizer.begin)
    prompts = torch.zeros(2, dtype=torch.long)
    with quietly():
        _, _, state = writer.step(inputs, writer.begin(memory, torch.zeros(2, 3, dtype=torch.bool)), prompts)

    def step(inputs: Tensor, prompts: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        return writer.step(inputs, state, prompts)

    graph = frozen(writer, step, inputs, prompts, state=state)

    def token(inputs: Tensor, state: DecoderState, prompts: Tensor) -> tuple[Tensor, Tensor, DecoderState]:
        said, weights, after = graph(inputs, prompts, state)
        return said, weights, after

    tokens, hidden = torch.full((2, 3), Tokenizer.begin), torch.zeros(2, 3, dtype=torch.bool)
    remember = frozen(writer, lambda tokens, hidden: (writer.memory(tokens, hidden),), tokens, hidden)
    scoring = nn.ModuleList([writer, *([writer.projection] if isinstance(writer.projection, nn.Module) else [])])
    score = frozen(scoring, lambda said: (writer.logits(said),), torch.zeros(2, size))
    writer.graphs = WriterGraphs(lambda tokens, hidden: remember(tokens, hidden)[0], token, lambda said: score(said)[0])


def choose(precision: str, device: str) -> Precision:
    """What `precision` means on `device`: "auto" is the frozen graph on a CPU, plain float32 elsewhere.

    Raises InputError for an unknown name, and for all but float32 on a GPU; UnavailableError where this PyTorch has
    no 8-bit kernels.
    """
    if precision not in ("auto", *get_args(Precision)):
        raise InputError(f"precision {precision!r} is not possible; allowed: auto, {', '.join(get_args(Precision))}")
    if precision == "auto":
        return "frozen" if device == "cpu" else "float32"
    if precision != "float32" and device != "cpu":
        raise InputError(f"precision {precision!r} is for the CPU, not for {device!r}; allowed there: auto, float32")
    if precision == "int8" and all(name == "none" for name in torch.backends.quantized.supported_engines):
        raise UnavailableError("this PyTorch has no 8-bit kernels: use precision auto")
    return cast(Precision, precision)


def prepare(translator: SpeechTranslator, precision: Precision) -> SpeechTranslator:
    """Make `translator` (it is changed) ready to serve in `precision`; returns it.

    Only the encoder runs in 8 bits: on this writer they cost BLEU (2.9 points with the first checkpoint), and it is
    not where the time goes.
    """
    listener = translator.listener.eval()
    if precision == "int8":
        listener.encoder = cast(Conformer, in_8_bits(listener.encoder))
    if precision != "float32":
        listener.encoder = cast(Conformer, FrozenEncoder(listener.encoder))
        freeze_writer(translator.writer)
    return translator


def in_8_bits(module: nn.Module) -> nn.Module:
    """A copy of `module` with the weights of every linear layer in 8 bits, one scale an output.

    Activations get 8 bits where the processor adds such products without overflow (VNNI), else PyTorch's 7.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own future only
        from torch.ao.quantization.qconfig import per_channel_dynamic_qconfig
        from torch.ao.quantization.quantize import quantize_dynamic

        made = quantize_dynamic(module.eval(), {nn.Linear: per_channel_dynamic_qconfig}, dtype=torch.qint8)
    if torch.cpu._is_vnni_supported():
        for parent in list(made.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, DynamicLinear):
                    setattr(parent, name, _EightBits(child))
    return made


class _EightBits(nn.Module):
    """A dynamic linear layer that gives its activations all 8 bits: half the error."""

    def __init__(self, linear: DynamicLinear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        packed = self.linear._packed_params._packed_params
        return torch.ops.quantized.linear_dynamic(x, packed, reduce_range=False)
