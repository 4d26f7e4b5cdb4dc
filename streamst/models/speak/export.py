"""The voice's network as two ONNX graphs, states in and out; the codec's `sound.onnx` makes samples of what they give.

`text.onnx`: `word` (L,) and `ahead` (M,) symbols, int64, `beyond` (1,) how many of `ahead` are seen, 0 where nothing is
known of it (`ahead` is then any symbol), `kind` (1,) what comes after the word -> `encodings` (L, D), `prosody`
(L, 3). `frames.onnx`: `x` (T, features of `lay_out`) -> `latents` (T, outputs). As in `codecs/export.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamst import checkpoint
from streamst.codecs.export import stack
from streamst.codecs.graph import Graph
from streamst.config import from_dict
from streamst.nn.graph_session import WEIGHTS

from .network import PROSODY, FrameDecoder, TtsConfig, TtsNetwork

TEXT, FRAMES = "text.onnx", "frames.onnx"


def export(directory: Path) -> tuple[Path, Path]:
    """Write both graphs beside the voice's weights in `directory`, and return where; CheckpointError where there is no
    voice, UnavailableError without the package onnx."""
    config = from_dict(TtsConfig, checkpoint.read_config(directory, TtsNetwork.KIND), "voice")
    weights = directory / WEIGHTS
    for name, graph in ((TEXT, _text(config, weights)), (FRAMES, _frames(config, weights))):
        (directory / name).write_bytes(graph.model().SerializeToString())
    return directory / TEXT, directory / FRAMES


def _frames(c: TtsConfig, weights: Path) -> Graph:
    """`FrameDecoder.step`."""
    g = Graph("frames", weights)
    x = g.input("x", "FLOAT", ["frames", c.text_dim + 2 * (PROSODY - 1) + FrameDecoder.POSITIONS])
    x = stack(g, g.linear(x, "frames.inward"), "frames", c.frame_blocks, c.frame_dim, c.kernel_frames)
    y = g.linear(g.norm(x, "frames.norm"), "frames.outward")
    y = g.op("Add", g.weight("frames.mean"), g.op("Mul", g.weight("frames.deviation"), y))
    g.output("latents", y, "FLOAT", ["frames", c.outputs])
    return g


def _text(c: TtsConfig, weights: Path) -> Graph:
    """`TextEncoder.step` of one word and the one after it."""
    g, dim = Graph("text", weights), c.text_dim
    word, ahead = (g.input(name, "INT64", [size]) for name, size in (("word", "letters"), ("ahead", "more")))
    beyond, kind = g.input("beyond", "INT64", [1]), g.input("kind", "INT64", [1])
    context, tail = g.input("state.context", "FLOAT", [1, dim]), g.input("state.tail", "FLOAT", [c.letters_before, dim])
    encoded, summary = _word(g, c, word)
    following, next_summary = _word(g, c, ahead)
    known = g.cast(g.op("Min", beyond, g.integers(1)), "FLOAT")
    history = _gru(g, dim, summary, context)
    g.output("after.context", history, "FLOAT", [1, dim])
    nothing = g.constant(np.zeros((c.letters_before, dim)))
    last = g.cut(g.op("Concat", nothing, encoded, axis=0), -c.letters_before)
    g.output("after.tail", last, "FLOAT", [c.letters_before, dim])
    seen = g.op("Concat", history, g.op("Mul", next_summary, known), axis=1)
    seen = g.op("Add", g.linear(seen, "text.joined"), g.op("Gather", g.weight("text.ending.weight"), kind))
    places = [g.cut(g.weight("text.place.weight"), n, n + 1) for n in range(3)]
    after = g.op("Slice", following, g.integers(0), beyond, g.integers(0))
    parts = [g.op("Add", part, place) for part, place in zip((tail, encoded, after), places, strict=True)]
    x = g.op("Add", g.op("Concat", *parts, axis=0), seen)
    x = _letters(g, x, "text.phrase", c.phrase_blocks, c.text_kernel)
    end = g.op("Add", g.op("Shape", word), g.integers(c.letters_before))
    y = g.norm(g.op("Slice", x, g.integers(c.letters_before), end, g.integers(0)), "text.norm")
    g.output("encodings", y, "FLOAT", ["letters", dim])
    prosody = g.linear(g.op("Gelu", g.linear(y, "text.prosody.0")), "text.prosody.2")
    g.output("prosody", prosody, "FLOAT", ["letters", PROSODY])
    return g


def _word(g: Graph, c: TtsConfig, symbols: str) -> tuple[str, str]:
    """Encodings (L, D) and summary (1, D) of a word by itself."""
    x = g.op("Gather", g.weight("text.embedding.weight"), symbols)
    x = _letters(g, x, "text.word", c.word_blocks, c.text_kernel)
    size = g.op("Sqrt", g.cast(g.op("Shape", symbols), "FLOAT"))
    total = g.op("Div", g.op("ReduceSum", x, g.integers(0), keepdims=1), size)
    return x, g.linear(total, "text.summary")


def _letters(g: Graph, x: str, name: str, blocks: int, kernel: int) -> str:
    """`LetterStack` of (L, D), nothing being padded."""
    for number in range(blocks):
        block = f"{name}.blocks.{number}"
        around = g.op("Pad", x, g.integers(kernel // 2, 0, kernel // 2, 0))
        taps = g.op("Transpose", g.op("Squeeze", g.weight(f"{block}.depthwise.weight"), g.integers(1)), perm=[1, 0])
        x = g.convnext(x, around, taps, block, kernel)
    return x


def _gru(g: Graph, dim: int, x: str, h: str) -> str:
    """A step of `nn.GRU`: x and h (1, dim)."""
    given, held = (
        g.op(
            "Gemm",
            value,
            g.weight(f"text.context.weight_{kind}_l0"),
            g.weight(f"text.context.bias_{kind}_l0"),
            transB=1,
        )
        for value, kind in ((x, "ih"), (h, "hh"))
    )
    (gr, gz, gn), (hr, hz, hn) = (
        [g.cut(part, n * dim, (n + 1) * dim, axis=1) for n in range(3)] for part in (given, held)
    )
    reset, keep = (g.op("Sigmoid", g.op("Add", a, b)) for a, b in ((gr, hr), (gz, hz)))
    new = g.op("Tanh", g.op("Add", gn, g.op("Mul", reset, hn)))
    return g.op("Add", new, g.op("Mul", keep, g.op("Sub", h, new)))
