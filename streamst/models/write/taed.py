"""TAED: a transducer whose predictor is the attention decoder (Tang et al., ACL 2023, arXiv:2305.03101).

The lattice here is over what the writer reads: at each moment it knows a prefix of the source tokens, and either says
the next target token or ends, which on an open source means "read on". So blank is the writer's own `<end>`, moved by a
gate that compares what was said with the newest source token; only the gate is new, and sentence pairs without audio
train it, or it and the writer together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.text import Tokenizer

from .network import Writer


@dataclass(frozen=True)
class TaedConfig:
    """Shape of the gate."""

    dim: int = 192  # of the writer
    joiner: int = 128


class Taed(nn.Module):
    """The logit that reading on gains over what the writer alone would give its `<end>`."""

    def __init__(self, config: TaedConfig) -> None:
        super().__init__()
        self.config = config
        self.newest = nn.Linear(config.dim, config.joiner)
        self.said = nn.Linear(config.dim, config.joiner)
        self.out = nn.Linear(config.joiner, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, newest: Tensor, said: Tensor) -> Tensor:
        """newest: (B, dim) the memory's last vector; said: (B, U, dim) decoder states; (B, U)."""
        return self.out(torch.tanh(self.newest(newest)[:, None] + self.said(said)))[..., 0]

    def logits(
        self, writer: Writer, memory: Tensor, hidden: Tensor, inputs: Tensor, open_source: Tensor, source: Tensor
    ) -> Tensor:
        """Teacher-forced logits (B, U + 1, target_tokens), `<end>` being blank where `open_source` (B,) is True.

        memory: (B, S, dim), hidden: (B, S) as for the writer, source: (B, S) its tokens; inputs: (B, U + 1) from
        `<begin>` on.
        """
        said, attention = writer.decoder_states(memory, hidden, inputs)
        rows = torch.arange(len(memory), device=memory.device)
        newest = memory[rows, (~hidden).sum(1) - 1]
        gate = self(newest, said) * open_source[:, None]
        logits = F.linear(said, writer.target.weight)
        if writer.lexicon is not None:
            logits = writer.lexicon.added(logits, attention, source)
        return logits + F.pad(gate[..., None], (Tokenizer.end, writer.config.target_tokens - Tokenizer.end - 1))

    def write_probability(self, writer: Writer, memory: Tensor, prefix: list[int], source: Tensor) -> list[float]:
        """How probable it is to say, not to read on, before each of the tokens `prefix` and after the last.

        memory: (1, S, dim) of the tokens `source` (S,).
        """
        inputs = torch.tensor([[Tokenizer.begin, *prefix]], device=memory.device)
        hidden = torch.zeros(1, memory.shape[1], dtype=torch.bool, device=memory.device)
        everywhere = torch.ones(1, dtype=torch.bool, device=memory.device)
        blank = self.logits(writer, memory, hidden, inputs, everywhere, source[None]).softmax(-1)[0, :, Tokenizer.end]
        return (1 - blank).tolist()
