"""A writer as two ONNX graphs beside its weights: `read.onnx` makes a memory of source tokens, `write.onnx` goes on.

`read.onnx`: `tokens` (R, S) and `hidden` (R, S) True at padding -> `memory` (R, S, D), and what `write.onnx` takes of
it: `mask` (R, 1, 1, S), and of each layer `keys` (R, H, D / H, S) and `values` (R, H, S, D / H).
`write.onnx`: `tokens` (B, T) the next ones, `real` (B,) how many of the last of them are real, `prompts` (B,) where the
writer has any, `rows` (B,) which rows of the state they go on from, that state, and the memory of each row, or of one
for all -> `logits` (B, target_tokens), `weights` (B, S) over the memory and `states` (B, D) at the last token, and the
state after it: `length` (B,), and of each layer keys and values (B, H, L, D / H).

Products are of rows of 8 bits (`RowLinear`), or of real numbers. Scales are made of the weights when a graph is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamst.codecs.graph import Graph
from streamst.nn.graph_session import WEIGHTS
from streamst.text import Tokenizer

from .network import WriterConfig

READ, WRITE = "read.onnx", "write.onnx"


def export_writer(directory: Path, config: WriterConfig, part: str, exact: bool = False) -> tuple[Path, Path]:
    """Write both graphs beside the weights in `directory`, and return where; part: what the names of the writer's
    tensors begin with; exact: of real numbers. UnavailableError without the package onnx."""
    for name, build in ((READ, _Builder.read), (WRITE, _Builder.write)):
        made = build(_Builder(config, part, Graph(name.removesuffix(".onnx"), directory / WEIGHTS), exact))
        (directory / name).write_bytes(made.model().SerializeToString())
    return directory / READ, directory / WRITE


class _Builder:
    """Rows of vectors are (N, D), the tokens of all sentences."""

    def __init__(self, config: WriterConfig, part: str, graph: Graph, exact: bool) -> None:
        self.c, self.g, self._part = config, graph, part
        self._linear: Callable[[str, str], str] = graph.linear if exact else graph.linear_8_bits
        self._head = config.dim // config.heads
        self._table = f"{part}target.weight"
        self._exact = exact

    def read(self) -> Graph:
        """`Writer.memory` and `CrossAttention.project`."""
        g, c = self.g, self.c
        tokens, hidden = g.input("tokens", "INT64", ["rows", "size"]), g.input("hidden", "BOOL", ["rows", "size"])
        shape = g.op("Shape", tokens)
        count = g.op("Squeeze", g.cut(shape, 1))
        places = g.op("Range", g.constant(0, np.int64), count, g.constant(1, np.int64))
        source = self._table if c.shared else f"{self._part}source.weight"
        x = self._placed(self._embedded(tokens, source), places)
        apart = self._distances(places, places)
        other = g.op("Not", g.op("Equal", g.op("Unsqueeze", places, g.integers(1)), places))
        unseen = g.op("And", g.op("Unsqueeze", hidden, g.integers(1, 2)), other)  # (R, 1, S, S)
        four = self._heads_of(shape)
        for number in range(c.memory_layers):
            layer = f"{self._part}memory_layers.{number}"
            query, key, value = self._asked(g.norm(x, f"{layer}.norm"), f"{layer}.attention.project", four)
            seen, _ = self._attended(query, key, value, self._bias(f"{layer}.attention", apart), unseen)
            x = g.op("Add", x, self._linear(self._joined(seen), f"{layer}.attention.out"))
            x = self._thought(x, layer)
        memory = g.norm(x, f"{self._part}memory_norm")
        g.output("memory", g.op("Reshape", memory, g.op("Concat", shape, g.integers(c.dim), axis=0)), "FLOAT",
                 ["rows", "size", c.dim])  # fmt: skip
        mask = g.op("Where", g.op("Unsqueeze", hidden, g.integers(1, 2)), g.constant(-np.inf), g.constant(0))
        g.output("mask", mask, "FLOAT", ["rows", 1, 1, "size"])
        for number in range(c.decoder_layers):
            projected = self._linear(memory, f"{self._part}layers.{number}.cross_attention.key_value")
            keys, values = self._split(projected, 2, four)
            shapes = ["rows", c.heads, self._head, "size"], ["rows", c.heads, "size", self._head]
            turned = g.op("Transpose", keys, perm=[0, 1, 3, 2])
            for name, tensor, sizes in zip((f"keys{number}", f"values{number}"), (turned, values), shapes, strict=True):
                g.output(name, tensor, "FLOAT", sizes)
        return g

    def write(self) -> Graph:
        """`Writer.step` and `Writer.logits`; what the last layer makes of other tokens than the last is left out."""
        g, c = self.g, self.c
        tokens = g.input("tokens", "INT64", ["batch", "new"])
        real, rows = g.input("real", "INT64", ["batch"]), g.input("rows", "INT64", ["batch"])
        mask = g.input("memory.mask", "FLOAT", ["memories", 1, 1, "size"])
        length = g.op("Gather", g.input("state.length", "INT64", ["before"]), rows)
        total = g.op("Add", length, real)
        g.output("after.length", total, "INT64", ["batch"])
        past = [self._state("state", number, rows) for number in range(c.decoder_layers)]
        shape = g.op("Shape", tokens)
        four, new = self._heads_of(shape), g.cut(shape, 1)
        end = g.op("Add", g.op("Shape", past[0][0], start=2, end=3), new)
        places = g.op("Range", g.constant(0, np.int64), g.op("Squeeze", end), g.constant(1, np.int64))
        asking = g.op("Slice", places, g.op("Sub", end, new), end, g.integers(0))
        gone = g.op("Unsqueeze", g.op("Sub", end, total), g.integers(1))  # (B, 1) places of nothing
        inside = g.op("Max", g.op("Sub", asking, gone), g.integers(0))  # (B, T)
        x = self._placed(self._embedded(tokens, self._table, prompted=bool(c.prompts)), inside)
        apart = self._distances(asking, places)
        query_places = g.op("Unsqueeze", asking, g.integers(1))
        later = g.op("Greater", places, query_places)
        empty = g.op("Unsqueeze", g.op("Less", places, gone), g.integers(1, 2))
        other = g.op("Not", g.op("Equal", places, query_places))
        unseen = g.op("And", g.op("Or", empty, later), other)  # (B, 1, T, L)
        last = g.op("Sub", new, g.integers(1))
        for number in range(c.decoder_layers):
            layer, final = f"{self._part}layers.{number}", number == c.decoder_layers - 1
            query, key, value = self._asked(g.norm(x, f"{layer}.self_norm"), f"{layer}.self_attention.project", four)
            keys, values = (
                g.op("Concat", before, now, axis=2) for before, now in zip(past[number], (key, value), strict=True)
            )
            for name, tensor in ((f"after.keys{number}", keys), (f"after.values{number}", values)):
                g.output(name, tensor, "FLOAT", ["batch", c.heads, "length", self._head])
            if final:  # (B, D)
                query = g.op("Gather", query, last, axis=2)
                apart, unseen = g.op("Gather", apart, last, axis=0), g.op("Gather", unseen, last, axis=2)
                x = self._last(x, shape, last)
                four = g.integers(-1, 1, c.heads, self._head)
            bias = self._bias(f"{layer}.self_attention", apart)
            seen, _ = self._attended(query, keys, values, bias, unseen)
            x = g.op("Add", x, self._linear(self._joined(seen), f"{layer}.self_attention.out"))
            x, weights = self._crossed(x, layer, number, four, mask)
            if number == c.alignment_layer:
                mean = g.op("ReduceMean", weights, g.integers(1), keepdims=0)  # (B, T, S)
                found = g.op("Squeeze", mean if final else g.op("Gather", mean, last, axis=1), g.integers(1))
                g.output("weights", found, "FLOAT", ["batch", "size"])
            x = self._thought(x, layer)
        x = g.norm(x, f"{self._part}norm")
        g.output("states", x, "FLOAT", ["batch", c.dim])
        table = self._table.removesuffix(".weight")
        g.output("logits", g.product(x, table) if self._exact else g.product_8_bits(x, table), "FLOAT",
                 ["batch", c.target_tokens])  # fmt: skip
        return g

    def _state(self, name: str, number: int, rows: str) -> list[str]:
        """Keys and values of a layer, those of `rows`."""
        shape = ["before", self.c.heads, "said", self._head]
        return [
            self.g.op("Gather", self.g.input(f"{name}.{kind}{number}", "FLOAT", shape), rows)
            for kind in ("keys", "values")
        ]

    def _crossed(self, x: str, layer: str, number: int, four: str, mask: str) -> tuple[str, str]:
        """`CrossAttention`, residual, and its weights (B, H, T, S)."""
        g, c = self.g, self.c
        keys = g.input(f"memory.keys{number}", "FLOAT", ["memories", c.heads, self._head, "size"])
        values = g.input(f"memory.values{number}", "FLOAT", ["memories", c.heads, "size", self._head])
        asked = self._linear(g.norm(x, f"{layer}.cross_norm"), f"{layer}.cross_attention.query")
        (query,) = self._split(asked, 1, four)
        query = g.op("Mul", query, g.constant(self._head**-0.5))
        weights = g.op("Softmax", g.op("Add", g.op("MatMul", query, keys), mask), axis=-1)
        read = self._joined(g.op("MatMul", weights, values))
        return g.op("Add", x, self._linear(read, f"{layer}.cross_attention.out")), weights

    def _embedded(self, tokens: str, table: str, prompted: bool = False) -> str:
        """(B, T, D), before the places are added."""
        g = self.g
        x = g.cast(g.op("Gather", g.stored(table), tokens), "FLOAT")
        if prompted:
            prompts = g.input("prompts", "INT64", ["batch"])
            prompt = g.op("Unsqueeze", g.op("Gather", g.weight(f"{self._part}prompt.weight"), prompts), g.integers(1))
            begins = g.op("Equal", tokens, g.constant(Tokenizer.begin, np.int64))
            x = g.op("Add", x, g.op("Mul", prompt, g.op("Unsqueeze", g.cast(begins, "FLOAT"), g.integers(2))))
        return g.op("Mul", x, g.constant(self.c.dim**0.5))

    def _placed(self, x: str, places: str) -> str:
        """(N, D) of x (B, T, D), whose places are (B, T) or (T,)."""
        g, dim = self.g, self.c.dim
        if self.c.positions:
            half = dim // 2
            slopes = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10_000) / half))
            angles = g.op("Mul", g.op("Unsqueeze", g.cast(places, "FLOAT"), g.integers(-1)), g.constant(slopes))
            x = g.op("Add", x, g.op("Concat", g.op("Sin", angles), g.op("Cos", angles), axis=-1))
        return g.reshape(x, -1, dim)

    def _last(self, x: str, shape: str, last: str) -> str:
        """(B, D) of the last tokens among x (B * T, D)."""
        whole = self.g.op("Reshape", x, self.g.op("Concat", shape, self.g.integers(self.c.dim), axis=0))
        return self.g.op("Squeeze", self.g.op("Gather", whole, last, axis=1), self.g.integers(1))

    def _heads_of(self, shape: str) -> str:
        return self.g.op("Concat", shape, self.g.integers(self.c.heads, self._head), axis=0)

    def _asked(self, x: str, name: str, four: str) -> list[str]:
        """Query, scaled, key and value (B, H, T, D / H)."""
        query, key, value = self._split(self._linear(x, name), 3, four)
        return [self.g.op("Mul", query, self.g.constant(self._head**-0.5)), key, value]

    def _split(self, x: str, count: int, four: str) -> list[str]:
        """(N, count * D) as `count` of (B, H, T, D / H)."""
        names = [x] if count == 1 else self.g.split(x, count)
        return [self.g.op("Transpose", self.g.op("Reshape", one, four), perm=[0, 2, 1, 3]) for one in names]

    def _joined(self, seen: str) -> str:
        """(N, D) of (B, H, T, D / H)."""
        return self.g.reshape(self.g.op("Transpose", seen, perm=[0, 2, 1, 3]), -1, self.c.dim)

    def _distances(self, queries: str, keys: str) -> str:
        """(T, L) columns of the table of biases."""
        g, most = self.g, self.c.max_distance
        apart = g.op("Sub", keys, g.op("Unsqueeze", queries, g.integers(1)))
        limits = (g.constant(limit, np.int64) for limit in (-most, most))
        return g.op("Add", g.op("Clip", apart, *limits), g.integers(most))

    def _bias(self, name: str, apart: str) -> str:
        """(H, T, L)"""
        return self.g.op("Gather", self.g.weight(f"{name}.bias"), apart, axis=1)

    def _attended(self, query: str, keys: str, values: str, bias: str, unseen: str) -> tuple[str, str]:
        """What is seen (B, H, T, D / H), and the weights."""
        g = self.g
        scores = g.op("Add", g.op("MatMul", query, g.op("Transpose", keys, perm=[0, 1, 3, 2])), bias)
        weights = g.op("Softmax", g.op("Where", unseen, g.constant(-np.inf), scores), axis=-1)
        return g.op("MatMul", weights, values), weights

    def _thought(self, x: str, layer: str) -> str:
        """`FeedForward`, residual."""
        g, name = self.g, f"{layer}.feed_forward"
        wide = self._linear(g.norm(x, f"{name}.0"), f"{name}.1")
        wide = g.op("Mul", wide, g.op("Sigmoid", wide))
        return g.op("Add", x, self._linear(wide, f"{name}.4"))
