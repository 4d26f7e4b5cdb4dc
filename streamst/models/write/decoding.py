"""A writer's network in PyTorch as the search asks for it: arrays in, arrays out, whatever device it is on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from streamst.text import Tokenizer

from .greedy import Array, Decoder, Read, S

if TYPE_CHECKING:
    from .network import DecoderState, Writer


class Reader(Decoder[S], Protocol[S]):
    """A decoder that reads sources as well."""

    def read(self, sources: Sequence[Sequence[int]]) -> tuple[list[Any], S]:
        """Of sources with <begin> and perhaps <end>: the memory (S, D) of each, and nothing written over them."""
        ...


class TensorDecoder:
    """Implements `Reader`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest sentence."""
        return self._writer.max_tokens

    @torch.no_grad()
    def read(self, sources: Sequence[Sequence[int]]) -> tuple[list[Tensor], DecoderState]:
        """Sources of any lengths."""
        rows = [torch.tensor(source) for source in sources]
        tokens = pad_sequence(rows, batch_first=True, padding_value=Tokenizer.end)
        hidden = torch.arange(tokens.shape[1]) >= torch.tensor([len(row) for row in rows])[:, None]
        hidden = hidden.to(self._device)
        memory = self._writer.memory(tokens.to(self._device), hidden)
        own = [row[: len(source)] for row, source in zip(memory, sources, strict=True)]
        return own, self._writer.begin(memory, hidden)

    @torch.no_grad()
    def step(
        self, inputs: Array, state: DecoderState, prompts: Array, real: Array | None = None
    ) -> tuple[Read, DecoderState]:
        """As `Writer.step`, with the logits."""
        given = None if real is None else self._tensor(real)
        said, weights, after = self._writer.step(self._tensor(inputs), state, self._tensor(prompts), given)
        logits = self._writer.logits(said).float().cpu().numpy()
        return Read(logits, weights.float().cpu().numpy(), said), after

    def select(self, state: DecoderState, rows: Sequence[int], same: bool = False) -> DecoderState:
        """As `Writer.select`."""
        return self._writer.select(state, rows, same)

    @property
    def _device(self) -> torch.device:
        return self._writer.target.weight.device

    def _tensor(self, values: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(values).to(self._device)
