"""An ONNX graph, written node by node, whose weights stay in the file where they are.

The weights' tensors are `external data` of the graph: a place in `weights.safetensors`, whose tensors lie there as
ONNX wants them. So the same file serves PyTorch and ONNX Runtime, and the graph is small. Tables of sines are computed
from integers in the graph, which ONNX Runtime does once, when it loads it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamst.errors import CheckpointError, UnavailableError
from streamst.nn.eight_bits import SMALLEST, TOP
from streamst.nn.graph_session import LAYOUT, layout_of

if TYPE_CHECKING:
    import onnx

OPSET = 20  # the first with Gelu
IR_VERSION = 9
TYPES = {"F16": "FLOAT16", "F32": "FLOAT"}
LAST = np.iinfo(np.int64).max


class Graph:
    """Nodes in the order in which they are asked for; a tensor is its name."""

    def __init__(self, name: str, weights: Path) -> None:
        try:
            import onnx
            from onnx import helper, numpy_helper
        except ImportError as error:
            raise UnavailableError("graphs are written with the package onnx: pip install onnx") from error
        self._onnx, self._helper, self._numpy = onnx, helper, numpy_helper
        self._name, self._weights = name, weights
        self._places = tensors_of(weights)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """A node of one output, by its name; of several the first, the others being `NAME.1` and so on."""
        self._count += 1
        name = f"{kind.lower()}{self._count}"
        names = [name, *(f"{name}.{number}" for number in range(1, outputs))]
        self._nodes.append(self._helper.make_node(kind, list(inputs), names, **attributes))
        return name

    def constant(self, values: object, kind: type[np.generic] = np.float32) -> str:
        """An array that the graph holds itself."""
        array = np.asarray(values, kind)
        key = f"c{len(self._constants)}"
        self._constants[key] = self._numpy.from_array(array, key)
        return key

    def integers(self, *values: int) -> str:
        """One dimension of int64: axes, shapes, places."""
        return self.constant(values, np.int64)

    def weight(self, name: str) -> str:
        """A tensor of the weights' file as float32."""
        return self.op("Cast", self.stored(name), to=self._onnx.TensorProto.FLOAT)

    def stored(self, name: str) -> str:
        """A tensor of the weights' file as it lies there."""
        kind, shape, begin, end = self._places[name]
        if name not in self._constants:
            tensor = self._onnx.TensorProto(
                name=name, dims=shape, data_type=getattr(self._onnx.TensorProto, TYPES[kind])
            )
            tensor.data_location = self._onnx.TensorProto.EXTERNAL
            for key, value in (("location", self._weights.name), ("offset", begin), ("length", end - begin)):
                tensor.external_data.add(key=key, value=str(value))
            self._constants[name] = tensor
        return name

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> str:
        """What is given for every run; a dimension is a number or a name."""
        self._inputs.append(self._value(name, kind, shape))
        return name

    def output(self, name: str, tensor: str, kind: str, shape: Sequence[int | str]) -> None:
        """What a run gives."""
        self._nodes.append(self._helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(self._value(name, kind, shape))

    def cast(self, tensor: str, kind: str) -> str:
        """As another type: FLOAT, DOUBLE, INT32, INT64."""
        return self.op("Cast", tensor, to=getattr(self._onnx.TensorProto, kind))

    def reshape(self, tensor: str, *shape: int) -> str:
        """-1: whatever is left; 0: as it is."""
        return self.op("Reshape", tensor, self.integers(*shape))

    def cut(self, tensor: str, begin: int, end: int = LAST, axis: int = 0) -> str:
        """A slice along an axis, as Python counts."""
        return self.op("Slice", tensor, self.integers(begin), self.integers(end), self.integers(axis))

    def linear(self, x: str, name: str) -> str:
        """(T, in) -> (T, out) with the weights `name.weight` (out, in) and `name.bias`."""
        return self.op("Gemm", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), transB=1)

    def product(self, x: str, name: str) -> str:
        """As `linear`, without a bias."""
        return self.op("Gemm", x, self.weight(f"{name}.weight"), transB=1)

    def linear_8_bits(self, x: str, name: str) -> str:
        """As `linear`, in rows of 8 bits (`RowLinear`)."""
        return self.op("Add", self.product_8_bits(x, name), self.weight(f"{name}.bias"))

    def product_8_bits(self, x: str, name: str) -> str:
        """As `linear_8_bits`, without a bias."""
        tiny, zero = self.constant(SMALLEST), self.constant(128, np.uint8)
        weight = self.weight(f"{name}.weight")
        steps = self.op("ReduceMax", self.op("Abs", weight), self.integers(1), keepdims=1)
        steps = self.op("Div", self.op("Max", steps, tiny), self.constant(TOP))
        whole = self.cast(self.op("Round", self.op("Div", weight, steps)), "INT8")
        columns = self.op("Mul", self.op("Transpose", steps, perm=[1, 0]), self.constant(2 / 255))
        largest = self.op("Max", self.op("ReduceMax", self.op("Abs", x), self.integers(-1), keepdims=1), tiny)
        given = self.op("QuantizeLinear", self.op("Div", x, largest), self.constant(2 / 255), zero)
        y = self.cast(self.op("MatMulInteger", given, self.op("Transpose", whole, perm=[1, 0]), zero), "FLOAT")
        return self.op("Mul", self.op("Mul", y, columns), largest)

    def split(self, x: str, count: int) -> list[str]:
        """As many parts of the last dimension."""
        first = self.op("Split", x, outputs=count, axis=-1, num_outputs=count)
        return [first, *(f"{first}.{number}" for number in range(1, count))]

    def norm(self, x: str, name: str) -> str:
        """Layer norm of the last dimension."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)

    def convnext(self, x: str, around: str, taps: str, name: str, kernel: int) -> str:
        """A ConvNeXt block of x (T, D); its convolution reads `around` (T + kernel - 1, D) by `taps` (kernel, D)."""
        y = self.weight(f"{name}.depthwise.bias")
        for tap in range(kernel):
            seen = self.cut(around, tap, tap + 1 - kernel) if tap + 1 < kernel else self.cut(around, tap)
            y = self.op("Add", y, self.op("Mul", seen, self.cut(taps, tap, tap + 1)))
        y = self.linear(self.op("Gelu", self.linear(self.norm(y, f"{name}.norm"), f"{name}.up")), f"{name}.down")
        return self.op("Add", x, self.op("Mul", y, self.weight(f"{name}.scale")))

    def waves(self, rows: Sequence[int], columns: Sequence[int], period: int) -> tuple[str, str]:
        """Cosine and sine (rows, columns) of 2 pi * row * column / period, from integers."""
        turns = self.op("MatMul", self.constant(np.asarray(rows)[:, None]), self.constant(np.asarray(columns)[None]))
        rounds = self.op("Floor", self.op("Mul", turns, self.constant(1 / period)))
        rest = self.op("Sub", turns, self.op("Mul", rounds, self.constant(period)))  # exact: whole numbers below 2**24
        angle = self.op("Mul", rest, self.constant(2 * math.pi / period))
        return self.op("Cos", angle), self.op("Sin", angle)

    def body(self, name: str) -> Graph:
        """A graph for the inside of a loop; it sees this one's constants."""
        inner = Graph.__new__(Graph)
        inner.__dict__.update(self.__dict__)
        inner._name, inner._nodes, inner._inputs, inner._outputs = name, [], [], []
        inner._count = 1000 + self._count
        return inner

    def proto(self, constants: bool = True) -> onnx.GraphProto:
        """The graph alone."""
        held = list(self._constants.values()) if constants else []
        return self._helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, held)

    def model(self) -> onnx.ModelProto:
        """The graph as it is saved; it is checked first."""
        opset = [self._helper.make_opsetid("", OPSET)]
        made = self._helper.make_model(self.proto(), opset_imports=opset, ir_version=IR_VERSION)
        made.producer_name = "streamst"
        made.metadata_props.add(key=LAYOUT, value=layout_of(self._weights))
        return made

    def _value(self, name: str, kind: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
        return self._helper.make_tensor_value_info(name, getattr(self._onnx.TensorProto, kind), list(shape))


def tensors_of(weights: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """Type, shape, first and last byte in the file of each tensor of a safetensors file; CheckpointError otherwise."""
    try:
        with weights.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(size))
    except (OSError, struct.error, ValueError) as error:
        raise CheckpointError(f"{weights} is not a file of tensors: {error}") from error
    header.pop("__metadata__", None)
    start = 8 + size
    return {
        name: (told["dtype"], told["shape"], start + told["data_offsets"][0], start + told["data_offsets"][1])
        for name, told in header.items()
    }
