"""A writer's network in ONNX Runtime, by the graphs of `export.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamst.nn.graph_session import Arrays, GraphSession
from streamst.text import Tokenizer

from .export import READ, WRITE
from .greedy import Array, Read
from .network import SELDOM, WriterConfig


@dataclass(frozen=True)
class Written:
    """What decoding carries on. sources: the memories, a row each; owners: (B,) which of them each row reads; memory:
    theirs, or the only one; held: keys, values and lengths; rows: (B,) which of these."""

    sources: Arrays
    owners: Array
    memory: Arrays
    held: Arrays
    rows: Array


class GraphDecoder:
    """Implements `Reader`."""

    def __init__(self, directory: Path, config: WriterConfig, seldom: Iterable[int] = ()) -> None:
        """seldom: tokens that nothing but a wish brings about. Errors as `GraphSession`."""
        self._read, self._write = GraphSession(directory / READ), GraphSession(directory / WRITE)
        self.max_tokens, self._prompted = config.max_tokens, bool(config.prompts)
        self._less = np.zeros(config.target_tokens, np.float32)
        self._less[list(seldom)] = SELDOM
        self._seldom = bool(self._less.any())
        nothing = np.zeros((1, config.heads, 0, config.dim // config.heads), np.float32)
        self._nothing = {
            f"state.{kind}{n}": nothing for n in range(config.decoder_layers) for kind in ("keys", "values")
        }

    def read(self, sources: Sequence[Sequence[int]]) -> tuple[list[Array], Written]:
        """Sources of any lengths."""
        tokens = np.full((len(sources), max(map(len, sources))), Tokenizer.end)
        hidden = np.ones(tokens.shape, np.bool_)
        for row, source in enumerate(sources):
            tokens[row, : len(source)], hidden[row, : len(source)] = source, False
        found = self._read.run({"tokens": tokens, "hidden": hidden})
        own = [row[: len(source)] for row, source in zip(found.pop("memory"), sources, strict=True)]
        memory = {f"memory.{name}": value for name, value in found.items()}
        held, rows = {"state.length": np.zeros(1, np.int64), **self._nothing}, np.arange(len(sources))
        return own, Written(memory, rows, memory, held, np.zeros_like(rows))

    def step(self, inputs: Array, state: Written, prompts: Array, real: Array | None = None) -> tuple[Read, Written]:
        """As `Writer.step`, with the logits."""
        batch, count = inputs.shape
        given = {"tokens": inputs, "rows": state.rows, "real": np.full(batch, count) if real is None else real}
        if self._prompted:
            given["prompts"] = prompts
        found = self._write.run({**given, **state.held, **state.memory})
        logits, weights, states = (found.pop(name) for name in ("logits", "weights", "states"))
        if self._seldom:
            logits -= self._less
        held = {name.replace("after", "state"): value for name, value in found.items()}
        return Read(logits, weights, states), replace(state, held=held, rows=np.arange(batch))

    def select(self, state: Written, rows: Sequence[int], same: bool = False) -> Written:
        """Some rows, in this order. same: row n is of the memory that it was of."""
        chosen = state.rows[rows]
        if same or len(next(iter(state.sources.values()))) == 1:
            return replace(state, rows=chosen)
        owners = state.owners[rows]
        return replace(
            state, rows=chosen, owners=owners, memory={name: one[owners] for name, one in state.sources.items()}
        )
