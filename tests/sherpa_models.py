"""A tiny random streaming transducer for sherpa-onnx: encoder, decoder and joiner with the metadata that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BANDS, DIM, SHIFT, CONTEXT = 80, 8, 4, 2  # a frame out for every four in
PIECES = ("<blk>", "▁yes", "▁no", "▁may", "be", "▁so", "ly")


def transducer(folder: Path, seed: int = 3) -> Path:
    """encoder.onnx, decoder.onnx, joiner.onnx and tokens.txt: it hears something in what is loud only."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    looks = draw.normal(size=(SHIFT * BANDS, DIM)).astype(np.float32) / 60
    scores = draw.normal(size=(DIM, len(PIECES))).astype(np.float32)
    offset = np.zeros(len(PIECES), np.float32)
    offset[0] = 1.5  # of blank
    state = ["N", 1, DIM]
    encoder = [
        helper.make_node("Constant", [], ["lowest"], value=_tensor(np.float32(-16.0))),
        helper.make_node("Sub", ["x", "lowest"], ["louder"]),
        helper.make_node("Relu", ["louder"], ["loud"]),
        helper.make_node("Constant", [], ["whole"], value=_tensor(np.array([0, 1, SHIFT * BANDS], np.int64))),
        helper.make_node("Reshape", ["loud", "whole"], ["stacked"]),
        helper.make_node("Constant", [], ["looks"], value=_tensor(looks)),
        helper.make_node("MatMul", ["stacked", "looks"], ["encoder_out"]),
        helper.make_node("Identity", ["h"], ["next_h"]),
        helper.make_node("Identity", ["c"], ["next_c"]),
    ]
    states = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "N", DIM]) for name in ("h", "c")]
    after = [helper.make_tensor_value_info(f"next_{name}", TensorProto.FLOAT, [1, "N", DIM]) for name in ("h", "c")]
    _save(
        folder / "encoder.onnx", encoder,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", SHIFT, BANDS]), *states],
        [helper.make_tensor_value_info("encoder_out", TensorProto.FLOAT, state), *after],
        {"model_type": "lstm", "num_encoder_layers": 1, "T": SHIFT, "decode_chunk_len": SHIFT, "rnn_hidden_size": DIM,
         "d_model": DIM},
    )  # fmt: skip
    vectors = draw.normal(size=(len(PIECES), DIM)).astype(np.float32)
    decoder = [
        helper.make_node("Constant", [], ["vectors"], value=_tensor(vectors)),
        helper.make_node("Gather", ["vectors", "y"], ["each"]),
        helper.make_node("Constant", [], ["axis"], value=_tensor(np.array([1], np.int64))),
        helper.make_node("ReduceSum", ["each", "axis"], ["decoder_out"], keepdims=0),
    ]
    _save(
        folder / "decoder.onnx", decoder, [helper.make_tensor_value_info("y", TensorProto.INT64, ["N", CONTEXT])],
        [helper.make_tensor_value_info("decoder_out", TensorProto.FLOAT, ["N", DIM])],
        {"vocab_size": len(PIECES), "context_size": CONTEXT},
    )  # fmt: skip
    joiner = [
        helper.make_node("Constant", [], ["tenth"], value=_tensor(np.float32(0.1))),
        helper.make_node("Mul", ["decoder_out", "tenth"], ["little"]),
        helper.make_node("Mul", ["little", "encoder_out"], ["both"]),
        helper.make_node("Add", ["encoder_out", "both"], ["sum"]),
        helper.make_node("Constant", [], ["scores"], value=_tensor(scores)),
        helper.make_node("MatMul", ["sum", "scores"], ["scored"]),
        helper.make_node("Constant", [], ["offset"], value=_tensor(offset)),
        helper.make_node("Add", ["scored", "offset"], ["logit"]),
    ]
    inputs = [
        helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, ["N", DIM]) for name in ("encoder", "decoder")
    ]
    _save(
        folder / "joiner.onnx", joiner, inputs,
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", len(PIECES)])], {"joiner_dim": DIM},
    )  # fmt: skip
    lines = (f"{piece} {number}\n" for number, piece in enumerate(PIECES))
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def _tensor(value: np.ndarray | np.generic) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value))


def _save(
    file: Path, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto],
    metadata: dict[str, object],
) -> None:  # fmt: skip
    graph = helper.make_graph(nodes, file.stem, inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
